"""A stack has no secret in plain text: it is refused in every place, and the diagnostics do not show it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.secret_shape import assigned_secret, is_token_not_name, shape_of_secret
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.style import Ink
from cortexctl.stack.load import VariableInputs, load_stack
from tests.reading import model_text, stack_text

V = "PLANTED7xQ2mZ9kVw4"
"""The value that must not be shown. It has no shape of a secret."""


def read(folder: Path, text: str, *assignments: str, env: str = "") -> tuple[Desired | None, list[Diagnostic]]:
    path = folder / "stack.toml"
    path.write_text(text)
    return load_stack(
        str(path),
        default_docker="unix:///x",
        secret_value=lambda _source, _key: "v",
        inputs=VariableInputs(assignments),
        env=env,
    )


def rules(diagnostics: list[Diagnostic]) -> set[str]:
    return {d.rule for d in diagnostics if d.is_error}


def shown(diagnostics: list[Diagnostic]) -> str:
    return diagnostics_text(diagnostics, Ink(enabled=False))


TOKENS = [
    f"hf_{V}",
    f"sk-{V}",
    f"sk-proj-{V}",
    f"ghp_{V}",
    f"github_pat_{V}",
    f"glpat-{V}",
    f"xoxb-{V}",
    "AKIAPLANTED7XQ2MZ9KV",
    f"eyJ{V}.{V}.{V}",
    f"Bearer {V}",
    "Basic dXNlcjpQTEFOVEVE",
    f"https://u:{V}@h/x",
    f"https://{V}@h/x",
    f"redis://:{V}@h",
    f"postgresql://u:{V}@h/db",
    f"https://b.s3.amazonaws.com/w?X-Amz-Credential=a&X-Amz-Signature={V}",
    f"https://a.blob.core.windows.net/w?sv=1&sig={V}",
    f"https://h.example.com/x?token={V}",
    f"https://hooks.slack.com/services/T0/B0/{V}",
    f"https://discord.com/api/webhooks/1/{V}",
    f"Authorization: Bearer {V}",
    f"password={V}",
    f'{{"a": {{"api_key": "{V}"}}}}',
    "-----BEGIN RSA PRIVATE KEY-----",
]
PLACES = {
    "env": "env = { FOO = @ }",
    "args": "args = { chat_template = @ }",
    "nested": "args = { hf_overrides = { a = [{ b = @ }] } }",
    "extra_args": 'extra_args = ["--chat-template", @]',
    "glued": 'extra_args = ["--chat-template=@@"]',
    "volume": 'volumes = ["/a:/b", @]',
    "served": "served_names = [@]",
    "prompt": "gate = { smoke = { prompt = @ } }",
    "hook": 'hooks = { h = { on = "pre_stop", command = ["curl", @] } }',
    "hook path": 'hooks = { h = { on = "pre_stop", command = ["./x", "--data=@@"] } }',
    "hook url": 'hooks = { h = { on = "pre_stop", url = @ } }',
    "command": 'secrets = { A = { command = ["echo", @] } }',
    "file": "secrets = { A = { file = @ } }",
}
PROSE = {"prompt"}
"""Places of prose, where "password=V" may be part of an explanation."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("token", TOKENS, ids=lambda t: t[:14])
def test_a_token_is_refused_in_every_place(tmp_path: Path, token: str, place: str) -> None:
    if (place in PROSE and not shape_of_secret(token)) or (place == "file" and not shape_of_secret(token)):
        return
    line = PLACES[place].replace("@@", token.replace('"', '\\"')).replace("@", json.dumps(token), 1)
    line = PLACES[place].replace("@@", json.dumps(token)[1:-1]) if "@@" in PLACES[place] else line
    desired, diagnostics = read(tmp_path, stack_text(model_text() + line + "\n"))
    assert desired is None
    assert "CX210" in rules(diagnostics), shown(diagnostics)
    assert V not in shown(diagnostics)
    assert "PLANTED" not in shown(diagnostics)


@pytest.mark.parametrize(
    "text",
    [
        '[vars.a]\ndefault = "@"\n',
        '[profiles.p.env]\nFOO = "@"\n',
        '[env.other.models.tiny.env]\nFOO = "@"\n',
        '[hooks.h]\non = "post_apply"\ncommand = ["x", "@"]\n',
        '[env.other.hooks.h]\non = "post_apply"\ncommand = ["x", "@"]\n',
    ],
)
def test_a_secret_is_refused_in_parts_that_this_run_does_not_use(tmp_path: Path, text: str) -> None:
    desired, diagnostics = read(tmp_path, stack_text(model_text()) + text.replace("@", f"hf_{V}"))
    assert desired is None
    assert rules(diagnostics) == {"CX210"}
    assert V not in shown(diagnostics)


def test_a_secret_from_a_variable_is_refused(tmp_path: Path) -> None:
    text = stack_text(model_text() + 'env = { FOO = "{{ vars.foo }}" }\n') + "[vars.foo]\n"
    assert read(tmp_path, text, "foo=bar")[0] is not None
    desired, diagnostics = read(tmp_path, text, f"foo=hf_{V}")
    assert desired is None
    assert rules(diagnostics) == {"CX210"}
    assert V not in shown(diagnostics)


@pytest.mark.parametrize(
    "name",
    [
        *("DB_PASS", "BASIC_AUTH", "DB_PASSWORD", "DB_PASSWD", "KEY_PASSPHRASE", "SENTRY_DSN", "GOOGLE_CREDENTIALS"),
        *("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "STRIPE_KEY", "WANDB_API_KEY", "MY_TOKEN"),
        *("CLIENT_SECRET", "AZURE_STORAGE_CONNECTION_STRING", "HTTP_AUTHORIZATION", "MY_PAT", "dbPassword"),
    ],
)
def test_a_variable_is_refused_for_its_name(tmp_path: Path, name: str) -> None:
    desired, diagnostics = read(tmp_path, stack_text(model_text() + f'env = {{ {name} = "{V}" }}\n'))
    assert desired is None
    assert rules(diagnostics) == {"CX210"}
    assert V not in shown(diagnostics)
    assert f'not_secret = ["models.tiny.env.{name}"]' in " ".join(shown(diagnostics).split())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("CACHE_KEY", "a"), ("PUBLIC_KEY", "a"), ("SSL_KEY", "/etc/ssl/x.pem"), ("MAX_TOKENS", "12")),
        *(("TOKENIZERS_PARALLELISM", "false"), ("BASIC_AUTH", "true"), ("BYPASS", "x")),
        *(("HF_HOME", "/x/hf_downloads"), ("MODE", "task-of-the-day"), ("NOTE", "Basic authentication is off")),
        *(("LOG", "Bearer tokens are hidden"), ("IMAGE", "a@sha256:" + "ab" * 32), ("N", "eos_token=x")),
        *(("URL", "https://h.example.com/x?page=2"), ("URL2", "http://127.0.0.1:8000/v1"), ("FROM", "token=$HF_TOKEN")),
    ],
)
def test_a_value_that_only_resembles_a_secret_is_accepted(tmp_path: Path, name: str, value: str) -> None:
    desired, diagnostics = read(tmp_path, stack_text(model_text() + f"env = {{ {name} = {json.dumps(value)} }}\n"))
    assert desired is not None, shown(diagnostics)


SPELLINGS = ["--api-key", "--api_key", "--api-ke", "--api-k", "--api_k", "--api-", "--api", "--ap", "--API-KEY", "--hf-token",
             "--hf-toke", "--hf_tok", "--hf-tok", "--hf-t", "--api-key.x"]  # fmt: skip


@pytest.mark.parametrize("image", ["image:v0.32.0", "image:v0.9.2", "image:v0.6.3", "image:own"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("template", ["{} {}", "{}={}", "{} {} {}"])
def test_extra_args_accept_no_key_in_any_spelling(tmp_path: Path, spelling: str, template: str, image: str) -> None:
    argv = ["--seed", "1", *template.format(spelling, V, f"{V}-2").split(), "--max-model-len", "9"]
    text = stack_text(model_text(image=f'"{image}"') + f"extra_args = {json.dumps(argv)}\n")
    desired, diagnostics = read(tmp_path, text)
    assert desired is None
    assert "CX304" in rules(diagnostics)
    assert V not in shown(diagnostics)


def test_extra_args_set_none_of_our_options_by_abbreviation(tmp_path: Path) -> None:
    desired, diagnostics = read(tmp_path, stack_text(model_text() + 'extra_args = ["--por", "9000"]\n'))
    assert desired is None
    assert rules(diagnostics) == {"CX304"}


@pytest.mark.parametrize(
    "argv",
    [
        ["curl", "-H", f"Authorization: Bearer {V}"],
        ["curl", "-H", f"X-Api-Key: {V}"],
        ["curl", "-u", f"me:{V}"],
        ["curl", "--user", f"me:{V}"],
        ["psql", f"--password={V}"],
        ["psql", "--password", V],
        ["sh", "-c", f"PGPASSWORD={V} psql"],
        ["sh", "-c", f"curl -H 'Authorization: Bearer {V}' https://x"],
    ],
)
def test_a_hook_has_no_secret_in_its_command(tmp_path: Path, argv: list[str]) -> None:
    hook = f'[hooks.h]\non = "post_apply"\ncommand = {json.dumps(argv)}\n'
    desired, diagnostics = read(tmp_path, stack_text(model_text()) + hook)
    assert desired is None
    assert rules(diagnostics) == {"CX210"}
    assert V not in shown(diagnostics)


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", 'curl -H "Authorization: Bearer $TOKEN" https://x'],
        ["sh", "-c", 'PGPASSWORD="$DB" psql -u me'],
        ["sh", "-c", "curl -u me:$PASS https://x"],
        ["curl", "-u", "me:$PASS"],
        ["docker", "run", "-u", "1000", "--name", "x", "image:tag"],
        ["./drain.sh", "--token-file", "/run/token", "--max-tokens=5"],
    ],
)
def test_a_hook_may_name_where_its_secret_is(tmp_path: Path, argv: list[str]) -> None:
    hook = f'[hooks.h]\non = "post_apply"\ncommand = {json.dumps(argv)}\n'
    desired, diagnostics = read(tmp_path, stack_text(model_text()) + hook)
    assert desired is not None, shown(diagnostics)


@pytest.mark.parametrize(
    "command",
    [
        ["vault", "kv", "get", "-field=token", "kv/hf"],
        ["gcloud", "secrets", "versions", "access", "latest", "--secret=db-pass"],
        ["aws", "secretsmanager", "get-secret-value", "--secret-id", "prod/db"],
        ["op", "read", "op://vault/item/password"],
        ["pass", "show", "hf/token"],
    ],
)
def test_the_command_that_reads_a_secret_may_name_it(tmp_path: Path, command: list[str]) -> None:
    desired, diagnostics = read(
        tmp_path, stack_text(model_text() + f"secrets = {{ A = {{ command = {json.dumps(command)} }} }}\n")
    )
    assert desired is not None, shown(diagnostics)


@pytest.mark.parametrize("source", ["env", "var"])
@pytest.mark.parametrize("value", [f"hf_{V}", "AKIAPLANTED7XQ2MZ9KV", f"ghp_{V}", "aB3" * 10, "deadbeef" * 4])
def test_a_secret_value_is_refused_as_the_name_of_a_variable(tmp_path: Path, source: str, value: str) -> None:
    desired, diagnostics = read(
        tmp_path, stack_text(model_text() + f'secrets = {{ A = {{ {source} = "{value}" }} }}\n')
    )
    assert desired is None
    assert "CX210" in rules(diagnostics)
    assert value not in shown(diagnostics)


@pytest.mark.parametrize("name", ["HF_TOKEN", "hf_token", "hf_api_token", "AKIA", "sk_live", "OPENAI_API_KEY_2", "a"])
def test_names_of_variables_stay_names(name: str) -> None:
    assert not is_token_not_name(name)


def test_a_plain_url_of_a_hook_is_accepted_and_an_unguessable_one_is_not(tmp_path: Path) -> None:
    plain = '[hooks.h]\non = "post_apply"\nurl = "https://hooks.example.com/deploys/vllm-models-in-production"\n'
    assert read(tmp_path, stack_text(model_text()) + plain)[0] is not None
    for path in ("3f2a9c1e7b4d8f60a1c5e9d2", "0b1f3c52-9a7e-4f7e-8f0e-0c9d3f6a2b11", V + "0123456789"):
        text = f'[hooks.h]\non = "post_apply"\nurl = "https://hooks.example.com/in/{path}"\n'
        desired, diagnostics = read(tmp_path, stack_text(model_text()) + text)
        assert desired is None
        assert rules(diagnostics) == {"CX210"}
        assert path not in shown(diagnostics)


def test_a_text_that_is_not_a_secret_is_exempted_by_its_path(tmp_path: Path) -> None:
    text = stack_text(model_text() + 'env = { SORT_TOKEN = "first" }\nextra_args = ["--chat-template", "token=x"]\n')
    assert read(tmp_path, text)[0] is None
    exempt = 'not_secret = ["models.tiny.env.SORT_TOKEN", "models.tiny.extra_args"]\n'
    desired, diagnostics = read(tmp_path, exempt + text)
    assert desired is not None, shown(diagnostics)


def test_an_exception_for_a_profile_or_an_environment_is_its_path_in_the_file(tmp_path: Path) -> None:
    text = stack_text(model_text() + 'profile = "p"\n') + '[profiles.p.env]\nMY_TOKEN = "x"\n'
    assert read(tmp_path, text)[0] is None
    assert read(tmp_path, 'not_secret = ["profiles.p.env.MY_TOKEN"]\n' + text)[0] is not None
    text = stack_text(model_text()) + '[env.other.models.tiny.env]\nMY_TOKEN = "x"\n'
    exempt = 'not_secret = ["models.tiny.env.MY_TOKEN"]\n'
    assert read(tmp_path, text)[0] is None
    assert read(tmp_path, exempt + text)[0] is not None
    assert read(tmp_path, exempt + text, env="other")[0] is not None


@pytest.mark.parametrize("entry", ["models.tiny.env.GONE", "models.tiny.env", "models", "*", "models.tiny.env.*"])
def test_an_exception_that_names_no_text_is_refused(tmp_path: Path, entry: str) -> None:
    text = f'not_secret = ["{entry}"]\n' + stack_text(model_text() + 'env = { MY_TOKEN = "x" }\n')
    desired, diagnostics = read(tmp_path, text)
    assert desired is None
    assert rules(diagnostics) == {"CX210", "CX230"}


@pytest.mark.parametrize(
    "line",
    [
        f'env = {{ FOO = "--api-key {V}" }}',
        f'env = {{ FOO = "serve --hf-token {V} --seed 1" }}',
        f'env = {{ FOO = "Basic {V}" }}',
        f'env = {{ FOO = "user:{V}@proxy:3128" }}',
        f'extra_args = ["--new-option", "user:{V}@h"]',
    ],
)
def test_a_secret_in_the_middle_of_a_text_is_refused(tmp_path: Path, line: str) -> None:
    desired, diagnostics = read(tmp_path, stack_text(model_text() + line + "\n"))
    assert desired is None
    assert "CX210" in rules(diagnostics)
    assert V not in shown(diagnostics)


@pytest.mark.parametrize(
    "text",
    [
        stack_text(model_text(image=f'"user:{V}@registry/image:v0.32.0"')),
        stack_text(model_text(), hosts=f'[hosts.here]\naddress = "user:{V}@h"\n'),
        stack_text(model_text()) + f'[hooks.h]\non = "post_apply"\nurl = "https://h/#{V}"\n',
    ],
)
def test_a_password_in_a_name_or_a_url_is_refused(tmp_path: Path, text: str) -> None:
    desired, diagnostics = read(tmp_path, text)
    assert desired is None
    assert V not in shown(diagnostics)


@pytest.mark.parametrize(
    "text", ["mailto:me@example.com", "git@example.com:a/b", "reg:5000/a/b:v1@sha256:00", "--tokenizer-mode auto"]
)
def test_a_text_with_an_at_sign_or_an_option_is_not_therefore_a_secret(text: str) -> None:
    assert shape_of_secret(text) == ""
    assert assigned_secret(text) == ""
