"""Secrets in wrong places: a value is planted in each place of a stack, and no output and no file may contain it.

The stack may be refused, or the value hidden: both are right. The second attack is a server that writes its own secret to
its log, in all the usual text formats: no output of an apply may show it.
"""

from __future__ import annotations

import base64
import html
import json
import os
import random
import re
import string
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from tests.attack.commands import check_sane, command, in_one_process
from tests.attack.finds import Find, Row, bounded, kind_of
from tests.attack.lanes import Lanes
from tests.attack.scenes import Ground, ground
from tests.live import STAND_IN

HEAD = 'stack = "demo"\n\n[hosts.here]\nmodels_dir = "/models"\n\n'
MODEL = '[models.tiny]\nimage = "image:v0.32.0"\nsource = { path = "tiny" }\ngpus = "none"\npublish = "127.0.0.1"\n'

PLACES: dict[str, str] = {
    # name: what follows the model's table, with VALUE in it
    **{
        f"extra_args {line}": f"extra_args = {line}\n"
        for line in (
            '["--api-key", "VALUE"]', '["--api-key=VALUE"]', '["--api-k", "VALUE"]', '["--api-k=VALUE"]', '["--hf-token", "VALUE"]', '["--hf-tok", "VALUE"]',
            '["--hf-tok=VALUE"]', '["--hf_token", "VALUE"]', '["--hf-overrides", \'{"token": "VALUE"}\']', '["--hf-overrides={\\"api_key\\": \\"hf_VALUE\\"}"]',
            '["--otlp-traces-endpoint", "https://user:VALUE@host/x"]', '["--new-option", "Bearer VALUE"]', '["--new-option", "hf_VALUE"]', '["--hf-overrides.token", "VALUE"]',
        )
    },
    **{
        f"args {line}": f"\n[models.tiny.args]\n{line}\n"
        for line in (
            'api_key = "VALUE"', 'api_key = ["VALUE"]', 'hf_token = "VALUE"', 'otlp_traces_endpoint = "https://user:VALUE@host/x"', 'hf_overrides = { token = "VALUE" }',
            'hf_overrides = { deep = [{ password = "VALUE" }] }', 'hf_overrides = { x = "hf_VALUE" }', 'hf_overrides = { x = "Bearer VALUE" }',
            'otlp_traces_endpoint = "https://host/x?X-Amz-Signature=VALUE&x=1"', 'tokenizer = "https://:VALUE@host/x"',
        )
    },
    **{
        f"env {line}": f"\n[models.tiny.env]\n{line}\n"
        for line in (
            'HF_TOKEN = "VALUE"', 'VLLM_API_KEY = "VALUE"', 'FOO = "hf_VALUE"', 'FOO = "sk-VALUE"', 'FOO = "ghp_VALUE"', 'FOO = "Bearer VALUE"', 'FOO = "Basic VALUE"',
            'FOO = "Authorization: Bearer VALUE"', 'DB_PASS = "VALUE"', 'DB_PASSWORD = "VALUE"', 'DBPASSWD = "VALUE"', 'BASIC_AUTH = "VALUE"',
            'OTEL_EXPORTER_OTLP_HEADERS = "authorization=Basic VALUE"', 'OTEL_EXPORTER_OTLP_HEADERS = "x-api-key=VALUE"', 'SENTRY_DSN = "https://VALUE@sentry.example/1"',
            'REDIS_URL = "redis://:VALUE@host"', 'DATABASE_URL = "postgresql://user:VALUE@host/db"', 'FOO = "https://user:VALUE@host/x"', 'PROXY = "http://VALUE@host:3128"',
            'AWS_SECRET_ACCESS_KEY = "VALUE"', 'FOO = "https://b.s3.amazonaws.com/x?X-Amz-Signature=VALUE&X-Amz-Date=1"', 'FOO = "https://a.blob.core.windows.net/c?sv=1&sig=VALUE"',
            'FOO = \'{"api_key": "VALUE"}\'', "FOO = '{\"auths\": {\"reg\": {\"auth\": \"VALUE\"}}}'", 'FOO = "password=VALUE"', 'FOO = "--api-key VALUE"', 'my_secret = "VALUE"',
            'FOO = """\n-----BEGIN PRIVATE KEY-----\nVALUE\n-----END PRIVATE KEY-----\n"""',
        )
    },
    **{
        f"hook {line}": f'\n[hooks.tell]\non = "post_apply"\n{line}\n'
        for line in (
            'command = ["curl", "-H", "Authorization: Bearer VALUE", "https://h"]', 'command = ["curl", "-u", "user:VALUE", "https://h"]', 'command = ["tool", "--password=VALUE"]',
            'command = ["tool", "--password", "VALUE"]', 'command = ["tool", "--token", "VALUE"]', 'command = ["tool", "hf_VALUE"]', 'command = ["env", "API_KEY=VALUE", "tool"]',
            'command = ["curl", "https://user:VALUE@h/x"]', 'url = "https://hooks.example/services/T0/VALUE"', 'url = "https://user:VALUE@h/x"', 'url = "https://h/x?token=VALUE"',
            'url = "https://h/#VALUE"',
        )
    },
    "hook of a model": '\n[models.tiny.hooks.tell]\non = "post_healthy"\nurl = "https://hooks.example/services/VALUE"\n',
    "default of a secret variable": '\n[models.tiny.secrets]\nHF_TOKEN = { var = "token" }\n\n[vars.token]\nsecret = true\ndefault = "VALUE"\n',
    "default of a variable named so": '\n[models.tiny.env]\nFOO = "{{ vars.password }}"\n\n[vars.password]\ndefault = "VALUE"\n',
    "default of a variable used as one": '\n[models.tiny.env]\nHF_TOKEN = "{{ vars.x }}"\n\n[vars.x]\ndefault = "VALUE"\n',
    "description that holds one": '\n[vars.x]\ndefault = "1"\ndescription = "hf_VALUE"\n',
    "profile": 'profile = "p"\n\n[profiles.p.env]\nHF_TOKEN = "VALUE"\n',
    "overlay": '\n[env.prod.models.tiny.env]\nHF_TOKEN = "VALUE"\n',
    "secret as text": '\n[models.tiny.secrets]\nHF_TOKEN = "VALUE"\n',
    "secret with a value": '\n[models.tiny.secrets]\nHF_TOKEN = { value = "VALUE" }\n',
    "unknown key named so": 'api_key = "VALUE"\n',
    "beside a syntax error": '\n[models.tiny.env]\nHF_TOKEN = "VALUE\n',
    "beside a duplicate key": '\n[models.tiny.env]\nHF_TOKEN = "VALUE"\nHF_TOKEN = "VALUE"\n',
}  # fmt: skip
INSTEAD: dict[str, tuple[str, str]] = {
    "host's daemon": ("[hosts.here]\n", '[hosts.here]\ndocker = "tcp://user:VALUE@h:2375"\n'),
    "host's address": ("[hosts.here]\n", '[hosts.here]\naddress = "user:VALUE@h"\n'),
    "image": ('"image:v0.32.0"', '"user:VALUE@registry/image:v0.32.0"'),
    "source": ('{ path = "tiny" }', '{ repo = "https://user:VALUE@host/org/tiny" }'),
    "source is a token": ('{ path = "tiny" }', '{ repo = "org/tiny", revision = "hf_VALUE" }'),
    "audit log": ("[hosts.here]\n", '[audit]\nlog = "https://user:VALUE@host/x"\n\n[hosts.here]\n'),
}  # fmt: skip
OFFLINE: list[tuple[str, ...]] = [
    ("validate", "STACK"), ("validate", "STACK", "--format", "json"), ("validate", "STACK", "--format", "sarif"), ("validate", "STACK", "--env", "prod"),
    ("plan", "STACK", "--against", "none", "--explain", "--out", "plan.json"), ("plan", "STACK", "--against", "none", "--format", "markdown"),
    ("plan", "STACK", "--against", "none", "--format", "html"), ("plan", "STACK", "--against", "none", "--format", "json"),
    ("plan", "STACK", "--against", "none", "--env", "prod"), ("plan", "STACK", "--against", "OTHER"), ("plan", "OTHER", "--against", "STACK"),
    ("plan", "STACK"), ("drift", "STACK"), ("status", "STACK"), ("args", "here/tiny", "--stack", "STACK"), ("args", "here/tiny", "--stack", "STACK", "--format", "docker"),
    ("args", "here/tiny", "--stack", "STACK", "--format", "compose"), ("args", "here/tiny", "--stack", "STACK", "--format", "json"),
    ("apply", "STACK", "--auto-approve"), ("show", "plan.json"), ("catalog", "upgrade", "STACK", "--to", "0.33.0"), ("history", "STACK"), ("fmt", "STACK", "--check"),
]  # fmt: skip
"""No daemon answers, so those that want one end with an error, which may hold no secret either."""


def value_of(seed: int) -> str:
    """Something that nothing else contains."""
    choose = random.Random(f"planted-{seed}")
    return "".join(choose.choices(string.ascii_letters + string.digits, k=24))


def stacks(value: str) -> Iterator[tuple[str, str]]:
    """Place -> a stack's text with the value there."""
    for place, text in PLACES.items():
        yield place, (HEAD + MODEL + text).replace("VALUE", value)
    for place, (old, new) in INSTEAD.items():
        yield place, (HEAD + MODEL).replace(old, new).replace("VALUE", value)


def _forms(text: str) -> Iterator[tuple[str, str]]:
    """The stack as TOML, and also as JSON if it can be read."""
    yield "stack.toml", text
    try:
        yield "stack.json", json.dumps(tomllib.loads(text), indent=2)
    except tomllib.TOMLDecodeError:
        return


def attack_stacks(count: int, seed: int) -> Row:
    """Try `count` places, chosen by the seed, each as TOML and as JSON."""
    value = value_of(seed)
    cases = list(stacks(value))
    random.Random(f"places-{seed}").shuffle(cases)
    finds: list[Find] = []
    tried = 0
    for place, text in cases[:count]:
        for name, content in _forms(text):
            tried += 1
            find = _plant(f"{place} ({name})", name, content, value)
            finds += [find] if find else []
    what = "secrets in the open in places of a stack, through " + f"{len(OFFLINE)} commands each"
    return Row(
        what,
        f"{min(count, len(cases))} places, {tried} stacks",
        f"{tried - len(finds)} refused or hidden",
        tuple(finds),
    )


def _plant(case: str, name: str, content: str, value: str) -> Find | None:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, in_one_process():
        os.chdir(folder)
        try:
            Path(name).write_text(content)
            Path("other.toml").write_text(HEAD + MODEL)
            seen = {name: (Path(name).stat().st_mtime_ns)}
            shown = _shown(name, value)
            files = [
                str(p)
                for p in Path().rglob("*")
                if p.is_file() and p.name not in seen and _holds(p.read_bytes(), value)
            ]
        except Exception as cause:  # noqa: BLE001 - every exception is a find
            return Find(kind_of(cause), _slug(case), str(cause), {name: content.encode()})
        finally:
            os.chdir(before)
    if shown or files:
        where = "; ".join([*shown, *(f"the file {f}" for f in files)])
        return Find(
            f"shown: {case.rpartition(' (')[0]}", _slug(case), f"{case} is shown by {where}", {name: content.encode()}
        )
    return None


def _shown(name: str, value: str) -> list[str]:
    """The commands that show the value, each with its first line that does."""
    showing = []
    for line in OFFLINE:
        arguments = [w.replace("STACK", name).replace("OTHER", "other.toml") for w in line]
        with bounded():
            wrote = command(*arguments, env={"DOCKER_HOST": "unix:///nowhere/daemon.sock", "NO_COLOR": "1"})
        if _holds(wrote.all.encode(), value):
            first = next(text for text in wrote.all.splitlines() if value[:10] in text)
            showing.append(f"{' '.join(line)}: {first.strip()[:160]}")
    return showing


def _holds(content: bytes, value: str) -> bool:
    """Whether the content has the start of the value. Texts may be cut."""
    return value[:10].encode() in content


def _slug(case: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in case)[:80]


# a server that logs its secret


FORMS: Mapping[str, Callable[[str], str]] = {
    "plain": lambda v: v,
    "JSON": lambda v: json.dumps({"token": v}),
    "JSON in JSON": lambda v: json.dumps(json.dumps({"token": v})),
    "repr": lambda v: repr({"token": v}),
    "repr of bytes": lambda v: repr(v.encode()),
    "URL": lambda v: f"GET /x?token={quote(v, safe='')}",
    "URL of a form": lambda v: f"token={quote_plus(v)}",
    "HTML": lambda v: f"<p>{html.escape(v)}</p>",
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "basic": lambda v: f"Authorization: Basic {base64.b64encode(f'user:{v}'.encode()).decode()}",
    "hex": lambda v: v.encode().hex(),
    "bearer": lambda v: f"Authorization: Bearer {v}",
    "in a line": lambda v: f"RuntimeError: 401 for token {v} of this server",
}
ODD = ("", '"', "'", "/+=", "%20&", "\\", "<>", "\u00e9")
"""Characters that the forms write in their own ways."""


@dataclass(frozen=True)
class Server:
    """A candidate that writes `line`, with its secret in one format, to its log and exits."""

    name: str
    secret: str
    line: str


def servers(seed: int) -> Iterator[Server]:
    choose = random.Random(f"servers-{seed}")
    letters = (string.ascii_letters + string.digits).replace("n", "")  # the stand-in starts a new line at \\n
    for style, write in FORMS.items():
        for odd in ODD:
            half = "".join(choose.choices(letters, k=12))
            secret = f"{half}{odd}{half[::-1]}"
            yield Server(f"{style} of one with {odd or 'nothing odd'}", secret, write(secret))


def play(server: Server, here: Ground) -> Find | None:
    """Run an apply that fails in its gate, and search everything that it wrote. Returns a find if it shows the secret."""
    here.clear()
    for left in here.folder.iterdir():
        if left.is_file() and left.suffix != ".sock":
            left.unlink()
    model = here.model("m")
    here.path.write_text(
        f'stack = "{here.stack}"\n\n[hosts.here]\nnetwork = "{here.stack}-net"\n\n[models.{model}]\nimage = "{STAND_IN}"\n'
        f'source = {{ repo = "org/tiny", revision = "1" }}\nserved_names = ["m"]\ngpus = "none"\nshm_size = "64 MiB"\n\n'
        f'[models.{model}.env]\nSTANDIN_CRASH_AFTER_SECONDS = "0"\n\n[models.{model}.secrets]\nHF_TOKEN = {{ file = "token" }}\nSTANDIN_LOG = {{ file = "log" }}\n'
    )
    # the log is a secret too, or the stack would show it; with a first line, so that no line is the whole secret
    (here.folder / "token").write_text(server.secret)
    (here.folder / "log").write_text(f"loading\\n{server.line}\\nRuntimeError: {server.line}")
    arguments = ("apply", str(here.path), "--auto-approve", "--events", str(here.folder / "events.jsonl"))
    code, wrote = here.end(here.begin(*arguments), arguments)
    check_sane(code, wrote)
    planted = _cores(server)
    inputs = {"token", "log", "stack.toml"}
    texts = {p.name: p.read_bytes() for p in here.folder.rglob("*") if p.is_file() and p.name not in inputs}
    for log in re.findall(r"^  log +(/\S+)$", wrote, re.MULTILINE):
        texts[log] = Path(log).read_bytes()
        Path(log).unlink()
    assert any(b"loading" in content for content in texts.values()), (
        f"the log of a failed candidate is nowhere: {wrote[-500:]}"
    )
    shown = sorted(name for name, content in texts.items() if any(core in content for core in planted))
    if shown:
        return Find(
            f"a server's log shows a secret as {server.name.partition(' of one')[0]}",
            _slug(server.name),
            f"{server} in {shown}",
            texts,
        )
    return None


def _cores(server: Server) -> list[bytes]:
    """The halves beside the odd character, each as the form writes it."""
    half = server.secret[:12]
    halves = [half, half[::-1]]
    if server.name.startswith("hex"):
        halves = [part.encode().hex() for part in halves]
    if server.name.startswith(("base64", "basic")):
        whole = server.line.rpartition(" ")[2]
        halves = [whole[4:16], whole[16:28]]
    return [part.encode() for part in halves]


@contextmanager
def _straight(_: Path, docker: str) -> Iterator[tuple[str, None]]:
    """No proxy."""
    yield docker, None


def attack_servers(
    count: int, seed: int, folder: Path, lanes: int = 2, until: Callable[[], bool] = lambda: False
) -> Row:
    cases = list(servers(seed))
    random.Random(f"servers-order-{seed}").shuffle(cases)

    def run(lane: tuple[Ground, Any], server: Server) -> Find | None:
        try:
            return play(server, lane[0])
        except Exception as cause:  # noqa: BLE001 - every exception is a find
            return Find(kind_of(cause), _slug(server.name), str(cause), {})

    outcomes = Lanes(lambda: ground(folder, _straight), lanes).run(cases[:count], run, until)
    finds = tuple(find for find in outcomes if find)
    what = "a server that writes its secret to its log, as " + ", ".join(FORMS)
    return Row(what, f"{len(outcomes)} failed applies", f"{len(outcomes) - len(finds)} with nothing shown", finds)
