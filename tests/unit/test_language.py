"""Variables, environments, profiles and references of a stack: their values, and the refused forms."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.stack.load import VariableInputs
from tests.reading import desired_from, model_text, read, stack_text

HOSTS = "".join(f'[hosts.{n}]\ndocker = "unix:///run/{n}.sock"\nmodels_dir = "/m"\n\n' for n in ("one", "two"))


def written(tmp_path: Path, text: str, name: str = "stack.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def args_of(desired: Desired, address: str = "here/tiny") -> dict[str, object]:
    return dict(next(i for i in desired.instances if i.address == address).spec.server.args)


def rules(diagnostics: list[Diagnostic]) -> list[str]:
    return [d.rule for d in diagnostics if d.is_error]


WITH_LENGTH = (
    "[vars.length]\ndefault = 1024\n\n" + model_text() + '[models.tiny.args]\nmax_model_len = "{{ vars.length }}"\n'
)


@pytest.mark.parametrize(
    ("inputs", "length"),
    [
        (VariableInputs(), 1024),
        (VariableInputs(environ={"CORTEXCTL_VAR_length": "2"}), 2),
        (VariableInputs(assignments=("length=3",), environ={"CORTEXCTL_VAR_length": "2"}), 3),
        (VariableInputs(assignments=("length=3", "length=4")), 4),
    ],
)
def test_a_variable_takes_the_nearest_value_with_its_type(tmp_path: Path, inputs: VariableInputs, length: int) -> None:
    path = written(tmp_path, stack_text(WITH_LENGTH))
    assert args_of(desired_from(path, inputs=inputs)) == {"max_model_len": length}


@pytest.mark.parametrize("name", ["values.toml", "values.json"])
def test_a_file_of_values_lies_between_the_environment_and_the_command_line(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, stack_text(WITH_LENGTH))
    values = written(tmp_path, "length = 7\n" if name.endswith("toml") else '{"length": 7}', name)
    inputs = VariableInputs(files=(str(values),), environ={"CORTEXCTL_VAR_length": "2"})
    assert args_of(desired_from(path, inputs=inputs)) == {"max_model_len": 7}
    inputs = VariableInputs(assignments=("length=9",), files=(str(values),))
    assert args_of(desired_from(path, inputs=inputs)) == {"max_model_len": 9}


def test_a_variable_inside_a_text_is_put_into_the_text(tmp_path: Path) -> None:
    models = '[vars.tag]\ndefault = "v0.31.0"\n\n' + model_text(
        image='"reg:5000/vllm/vllm-openai:{{ vars.tag }}-cu129"'
    )
    desired = desired_from(written(tmp_path, stack_text(models)))
    assert desired.instances[0].spec.container.image == "reg:5000/vllm/vllm-openai:v0.31.0-cu129"
    assert desired.instances[0].spec.server.version == "0.31.0"


@pytest.mark.parametrize(
    ("written_as", "text"),
    [
        ("{{ '{{' }} messages }}", "{{ messages }}"),
        ("{{'{%'}} if %}", "{% if %}"),
        ("{{ '{#' }}{{ vars.length }}#}\r\n", "{#1024#}\r\n"),
        ('{"a":{{vars.length}}}', '{"a":1024}'),
        ("{ {vars.length} } %} #} }}", "{ {vars.length} } %} #} }}"),
        ("{{ vars.mark }} vars.length }}", "{{ vars.length }}"),
    ],
)
def test_a_text_is_taken_literally_but_for_its_variables(tmp_path: Path, written_as: str, text: str) -> None:
    models = '[vars.length]\ndefault = 1024\n[vars.mark]\ndefault = "{{"\n' + model_text()
    models += f"[models.tiny.env]\nTEMPLATE = {json.dumps(written_as)}\n"
    desired = desired_from(written(tmp_path, stack_text(models)))
    assert desired.instances[0].spec.container.env["TEMPLATE"] == text


def test_each_problem_of_a_text_is_reported_once(tmp_path: Path) -> None:
    models = model_text() + '[models.tiny.env]\nA = "{{ a }} {{ b }} {% c %} {{ vars.no }} {{ vars.no }}"\n'
    _, diagnostics = read(written(tmp_path, stack_text(models)))
    assert rules(diagnostics) == ["CX106", "CX107"]
    assert all(d.span == diagnostics[0].span and d.help for d in diagnostics)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("{{ vars.lenght }}", "CX106"),
        ("{{ vars }}", "CX107"),
        ("{{ vars.length.__class__.__mro__ }}", "CX107"),
        ("{{ vars.length + 1 }}", "CX107"),
        ("{{ vars['length'] }}", "CX107"),
        ("{{ vars.length|string }}", "CX107"),
        ("{% for i in range(10**9) %}x{% endfor %}", "CX107"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "CX107"),
        ("{{ vars.length", "CX107"),
        ("{{- vars.length -}}", "CX107"),
        ("{{{ vars.length }}}", "CX107"),
        ("{{ 'text' }}", "CX107"),
        ("{{}}", "CX107"),
        ("{%", "CX107"),
        ("a {# b", "CX107"),
        ("{# a comment #}{{ self }}", "CX107"),
    ],
)
def test_nothing_but_a_variable_can_stand_in_a_string(tmp_path: Path, value: str, rule: str) -> None:
    text = WITH_LENGTH.replace('"{{ vars.length }}"', json.dumps(value))
    desired, diagnostics = read(written(tmp_path, stack_text(text)))
    assert desired is None
    assert rules(diagnostics) == [rule], [d.summary for d in diagnostics]
    assert diagnostics[0].span is not None
    assert value in diagnostics[0].span.line_text


def test_a_value_of_the_wrong_type_is_refused_where_the_variable_is_declared(tmp_path: Path) -> None:
    path = written(tmp_path, stack_text(WITH_LENGTH))
    desired, diagnostics = read(path, inputs=VariableInputs(assignments=("length=long",)))
    assert desired is None
    assert rules(diagnostics) == ["CX106"]
    assert diagnostics[0].span is not None
    assert diagnostics[0].span.line_text == "[vars.length]"


def test_a_value_for_no_variable_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = written(tmp_path, stack_text(WITH_LENGTH))
    _, diagnostics = read(path, inputs=VariableInputs(assignments=("lenght=1",)))
    assert diagnostics[0].help == 'did you mean "length"?'


SECRET = "[vars.key]\nsecret = true\n\n" + model_text() + '[models.tiny.secrets]\nHF_TOKEN = { var = "key" }\n'


def test_a_secret_variable_is_a_fingerprint_in_the_spec(tmp_path: Path) -> None:
    path = written(tmp_path, stack_text(SECRET))
    desired = desired_from(path, inputs=VariableInputs(environ={"CORTEXCTL_VAR_key": "planted"}))
    (secret,) = desired.instances[0].spec.container.secrets
    assert (secret.source, secret.key, len(secret.fingerprint)) == ("var", "key", 16)
    assert "planted" not in repr(desired)


def test_a_secret_variable_in_the_open_is_refused(tmp_path: Path) -> None:
    text = SECRET + '\n[models.tiny.env]\nA = "x{{ vars.key }}"\n'
    _, diagnostics = read(
        written(tmp_path, stack_text(text)), inputs=VariableInputs(environ={"CORTEXCTL_VAR_key": "planted"})
    )
    assert rules(diagnostics) == ["CX108"]
    assert "planted" not in repr(diagnostics)


def test_a_secret_variable_has_no_default(tmp_path: Path) -> None:
    text = SECRET.replace("secret = true", 'secret = true\ndefault = "planted"')
    _, diagnostics = read(written(tmp_path, stack_text(text)))
    assert "CX106" in rules(diagnostics)


def test_a_secret_variable_without_a_value_is_reported_once(tmp_path: Path) -> None:
    _, diagnostics = read(written(tmp_path, stack_text(SECRET)))
    assert rules(diagnostics) == ["CX204"]
    assert "CORTEXCTL_VAR_key" in diagnostics[0].summary


OVERLAY = (
    model_text(hosts='["one"]', gpus="[0, 1]")
    + "[models.tiny.args]\nmax_model_len = 1\nmax_num_seqs = 2\n\n"
    + '[env.staging.models.tiny]\nhosts = ["two"]\ngpus = [5]\n'
    + "[env.staging.models.tiny.args]\nmax_model_len = 3\n"
)


def test_an_environment_merges_tables_and_replaces_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path, stack_text(OVERLAY, hosts=HOSTS))
    base, staging = desired_from(path), desired_from(path, env="staging")
    assert [i.address for i in base.instances] == ["one/tiny"]
    assert [i.address for i in staging.instances] == ["two/tiny"]
    assert staging.instances[0].spec.container.gpus == (5,)
    assert args_of(staging, "two/tiny") == {"max_model_len": 3, "max_num_seqs": 2}
    assert (base.owner, staging.owner) == ("demo", "demo@staging")


def test_a_mistake_in_an_environment_is_shown_where_it_is_written(tmp_path: Path) -> None:
    text = stack_text(OVERLAY.replace("max_model_len = 3", 'max_model_len = "three"'), hosts=HOSTS)
    path = written(tmp_path, text)
    desired_from(path)
    desired, diagnostics = read(path, env="staging")
    assert desired is None
    assert diagnostics[0].span is not None
    assert diagnostics[0].span.line == 1 + text[: text.index('max_model_len = "three"')].count("\n")


def test_an_unknown_environment_is_refused(tmp_path: Path) -> None:
    _, diagnostics = read(written(tmp_path, stack_text(OVERLAY, hosts=HOSTS)), env="stagin")
    assert rules(diagnostics) == ["CX109"]
    assert diagnostics[0].help == 'did you mean "staging"?'


PROFILE = (
    "[profiles.big]\ngpus = [0, 1]\n[profiles.big.args]\nmax_model_len = 1\nmax_num_seqs = 2\n\n"
    + model_text(profile='"big"').replace('gpus = "none"\n', "")
    + "[models.tiny.args]\nmax_model_len = 3\n"
)


def test_a_model_inherits_from_its_profile_what_it_does_not_declare(tmp_path: Path) -> None:
    desired = desired_from(written(tmp_path, stack_text(PROFILE)))
    assert desired.instances[0].spec.container.gpus == (0, 1)
    assert args_of(desired) == {"max_model_len": 3, "max_num_seqs": 2}


def test_a_mistake_in_an_unused_profile_is_shown_there(tmp_path: Path) -> None:
    text = stack_text(PROFILE + "[profiles.other.args]\nmax_modle_len = 1\n")
    desired, diagnostics = read(written(tmp_path, text))
    assert desired is None
    assert rules(diagnostics) == ["CX102"]
    assert diagnostics[0].span is not None
    assert diagnostics[0].span.line_text == "max_modle_len = 1"


@pytest.mark.parametrize(
    ("models", "rule"),
    [
        (model_text(profile='"bigg"') + "[profiles.big]\n", "CX214"),
        (model_text(after='["tinyy"]'), "CX215"),
        (model_text("a", after='["b"]') + model_text("b", after='["a"]'), "CX215"),
        (model_text(after='["tiny"]'), "CX215"),
        (model_text() + '[[moved]]\nfrom = "tiny"\nto = "tiny"\n', "CX216"),
        (model_text() + '[[moved]]\nfrom = "old"\nto = "new"\n', "CX216"),
        (model_text(gpus="[0, 1, 2]", replicas="2"), "CX217"),
    ],
)
def test_references_that_lead_nowhere_are_refused(tmp_path: Path, models: str, rule: str) -> None:
    desired, diagnostics = read(written(tmp_path, stack_text(models)))
    assert desired is None
    assert set(rules(diagnostics)) == {rule}
    assert all(d.span for d in diagnostics)


def test_another_version_is_refused(tmp_path: Path) -> None:
    text = 'required_version = ">=99"\n' + stack_text(model_text())
    _, diagnostics = read(written(tmp_path, text))
    assert rules(diagnostics) == ["CX110"]
    desired_from(written(tmp_path, 'required_version = ">=0.1"\n' + stack_text(model_text())))


def test_replicas_share_gpus_and_count_ports_up(tmp_path: Path) -> None:
    models = model_text(replicas="2", gpus="[3, 1, 2, 0]", publish='"127.0.0.1:9000"')
    desired = desired_from(written(tmp_path, stack_text(models)))
    replicas = [
        (i.address, i.spec.container.gpus, i.spec.container.publish and i.spec.container.publish.port)
        for i in desired.instances
    ]
    assert replicas == [("here/tiny", (3, 1), 9000), ("here/tiny.2", (2, 0), 9001)]


def test_a_disabled_model_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    models = model_text("a") + model_text("b", enabled="false")
    assert [i.model for i in desired_from(written(tmp_path, stack_text(models))).instances] == ["a"]


@pytest.mark.parametrize("text", [WITH_LENGTH, OVERLAY, PROFILE, SECRET])
def test_json_and_toml_resolve_to_the_same(tmp_path: Path, text: str) -> None:
    inputs = VariableInputs(environ={"CORTEXCTL_VAR_key": "k"})
    toml = stack_text(text, hosts=HOSTS if '"one"' in text else '[hosts.here]\nmodels_dir = "/models"\n')
    env = "staging" if "staging" in text else ""
    first = desired_from(written(tmp_path, toml), env=env, inputs=inputs)
    as_json = json.dumps(tomllib.loads(toml))
    second = desired_from(written(tmp_path, as_json, "stack.json"), env=env, inputs=inputs)
    assert first.instances == second.instances
    assert (first.hosts, first.owner) == (second.hosts, second.owner)
