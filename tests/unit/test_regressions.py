"""Bugs that were found by trying to break things; each came with the smallest input that showed it."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.engines.vllm.command.check import check_args
from cortexctl.engines.vllm.command.check_raw import check_extra_args
from cortexctl.engines.vllm.diagnosis.diagnose import diagnose
from cortexctl.engines.vllm.diagnosis.lines import last_error_line
from cortexctl.engines.vllm.version import release_from_image
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label
from cortexctl.instance.image import parse_image
from cortexctl.instance.spec import Publish
from cortexctl.observed.host import BoundPort, ObservedContainer
from cortexctl.observed.owned import read_owned
from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange, diff
from cortexctl.plan.planfile import plan_to_json
from cortexctl.plan.recipes import tasks_of
from cortexctl.plan.steps import RemoveContainer, RemoveNetwork, StartContainer, StopContainer
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.style import Ink
from cortexctl.stack.json_schema import json_schema
from cortexctl.stack.starter import starter
from tests.build import changes_of, make_instance, make_plan, make_spec, serving_container
from tests.generated import HOSTS, STACK, Case
from tests.laws import Watch, apply_case, own_containers, plan_of, run_steps, two_hosts
from tests.reading import desired_from, read
from tests.specs import change_spec, new_spec

HEAD = 'stack = "s"\n[hosts.h]\nmodels_dir = "/m"\n[models.a]\nimage = "i:v0.32.0"\nsource = { path = "p" }\ngpus = "none"\n'


def errors_of(tmp_path: Path, more: str, head: str = HEAD, name: str = "stack.toml") -> str:
    """What a stack of these lines is refused with, as text."""
    p = tmp_path / name
    p.write_bytes((head + more).encode())
    return diagnostics_text(read(p)[1], Ink(enabled=False))


def text_at_caret(block: str) -> str:
    """The part of the source line that the caret line marks."""
    lines = block.split("\n")
    row = next(i for i, line in enumerate(lines) if re.fullmatch(r" +\| +\^+", line))
    return lines[row - 1][lines[row].index("^") : lines[row].rindex("^") + 1]


# ---- secrets shown
@pytest.mark.parametrize(
    "more",
    [
        '[models.a.secrets]\nHF_TOKEN = { value = "hf_SECRET" }\n',
        '[models.a.secrets]\nHF_TOKEN = { env = "hf-SECRET" }\n',
        '[models.a.secrets]\nPIN = ["SECRET"]\n',
        "[models.a.secrets]\nPIN = 987654321\n",
        'extra_args = ["--api-key", "sk-SECRET"]\n',
        'extra_args = ["--api-key=sk-SECRET"]\n',
        '[models.a.env]\nAPI_KEY = "top\\"SECRET"\n',
        "[models.a.env]\nAPI_KEY = sk-SECRET\n",
        '[models.a.env]\nAPI_KEY = "sk-SECRET\n',
    ],
    ids=[
        "value=",
        "env=value",
        "list",
        "number",
        "extra_args two words",
        "extra_args one word",
        "escaped",
        "syntax error unquoted",
        "syntax error unterminated",
    ],
)
def test_secret_not_shown(tmp_path: Path, more: str) -> None:
    out = errors_of(tmp_path, more)
    assert "SECRET" not in out
    assert "987654321" not in out


def test_multiline_secret_keeps_lines(tmp_path: Path) -> None:
    out = errors_of(
        tmp_path,
        '[models.a.env]\nAPI_KEY = """x\nyy"""\n[models.b]\nimage = "i:v0.32.0"\nsource = { path = "p" }\ngpus = "none"\nquux = 1\n',
    )
    assert "quux = 1" in out


def test_model_called_secrets(tmp_path: Path) -> None:
    out = errors_of(tmp_path, 'network = "x"\n', HEAD.replace("models.a", "models.secrets"))
    assert 'network = "x"' in out


# ---- carets


def test_place_inside_commented_inline_table(tmp_path: Path) -> None:
    assert (
        text_at_caret(errors_of(tmp_path, "", HEAD.replace('source = { path = "p" }', "source = { path = 1 } # c")))
        == "1"
    )


def test_caret_under_bad_variable_name(tmp_path: Path) -> None:
    assert text_at_caret(errors_of(tmp_path, '[models.a.env]\n"MY-FLAG" = "1"\n')) == '"MY-FLAG"'


def test_missing_top_has_file(tmp_path: Path) -> None:
    assert "stack.toml" in errors_of(tmp_path, "# x\n", "")


def test_bom(tmp_path: Path) -> None:
    assert "Invalid statement" not in errors_of(tmp_path, "", "\ufeff" + HEAD)


# ---- words
@pytest.mark.parametrize(
    ("more", "want"),
    [
        ('[models.a.secrets]\n"2FA" = { env = "X" }\n', "cannot be the name of an environment variable"),
    ],
)
def test_message(tmp_path: Path, more: str, want: str) -> None:
    assert want in errors_of(tmp_path, more)


@pytest.mark.parametrize(
    ("more", "bad"),
    [
        ("served_names = []\n", "after validation"),
        ("[models.a.gate.smoke]\nmax_tokens = 0\n", "input should be"),
        ('publish = "127.0.0.1:80:8000"\n', "does not begin with an IP address"),
        ('hosts = ["lab-*"]\n', "there is no such host"),
    ],
)
def test_no_unclear_message(tmp_path: Path, more: str, bad: str) -> None:
    assert bad not in errors_of(tmp_path, more)


def test_null(tmp_path: Path) -> None:
    data = {
        "stack": "s",
        "hosts": {"h": {"models_dir": "/m"}},
        "models": {"a": {"image": None, "source": {"path": "p"}, "gpus": [0]}},
    }
    assert "found null" in errors_of(tmp_path, json.dumps(data), "", "stack.json")


def test_odd_digit(tmp_path: Path) -> None:
    assert "invalid literal" not in errors_of(tmp_path, 'publish = "127.0.0.1:²"\n')


# ---- values that break laws
def test_nan_refused(tmp_path: Path) -> None:
    assert "CX104" in errors_of(tmp_path, "[models.a.args]\ngpu_memory_utilization = nan\n")


def test_date_in_json_argument(tmp_path: Path) -> None:
    assert "CX104" in errors_of(tmp_path, "[models.a.args]\nhf_overrides = { x = 1979-05-27 }\n")


def test_source_tokenizer_and_args_tokenizer(tmp_path: Path) -> None:
    assert "CX202" in errors_of(
        tmp_path,
        '[models.a.args]\ntokenizer = "x/y"\n',
        HEAD.replace('{ path = "p" }', '{ path = "p", tokenizer = "a/b" }'),
    )


def test_source_hf_config_path_checked(tmp_path: Path) -> None:
    assert "CX301" in errors_of(
        tmp_path,
        "",
        HEAD.replace('{ path = "p" }', '{ path = "p", hf_config_path = "/c" }').replace("v0.32.0", "v0.7.3"),
    )


def test_embed_before_0_6_5(tmp_path: Path) -> None:
    assert "CX301" in errors_of(tmp_path, 'task = "embed"\n', HEAD.replace("v0.32.0", "v0.6.3"))


def test_home_folder(tmp_path: Path) -> None:
    p = tmp_path / "stack.toml"
    p.write_text(HEAD.replace('"/m"', '"~/models"'))
    assert "~" not in desired_from(p).instances[0].spec.container.mounts[0].source


def test_starter_long(tmp_path: Path) -> None:
    p = tmp_path / "stack.toml"
    p.write_text(starter("cpu", "a" * 64))
    assert "CX104" not in [d.rule for d in read(p)[1]]


# ---- plan


def test_bool_is_not_int() -> None:
    assert diff(make_spec(args={"x": 1}), make_spec(args={"x": True})) == (FieldChange("args.x", 1, True),)


def test_bool_is_not_int_nested() -> None:
    assert FieldChange("args.x.k", 1, True) in diff(
        make_spec(args={"x": {"k": 1, "y": 1}}), make_spec(args={"x": {"k": True, "y": 2}})
    )


def test_tiny_difference_is_one() -> None:
    assert diff(make_spec(args={"x": {"k": 0.1}}), make_spec(args={"x": {"k": 0.1 + 1e-13}}))


def test_all_keys_replaced() -> None:
    assert [f.path for f in diff(make_spec(args={"x": {"a": 1}}), make_spec(args={"x": {"b": 1}}))] == [
        "args.x.a",
        "args.x.b",
    ]


def test_null_added_shows() -> None:
    (f,) = diff(make_spec(args={"x": {"a": 1}}), make_spec(args={"x": {"a": 1, "b": None}}))
    assert f.before != f.after


def test_equal_values_same_bytes() -> None:
    one, other = make_instance(args={"x": {"a": 1, "b": 2}}), make_instance(args={"x": {"b": 2, "a": 1}})
    assert one == other
    containers = (serving_container(),)
    assert plan_to_json(make_plan(one, containers=containers)) == plan_to_json(make_plan(other, containers=containers))


def test_port_swap_is_seen() -> None:
    a, b = Publish("127.0.0.1", 8001), Publish("127.0.0.1", 8002)
    containers = (
        serving_container(
            model="a",
            spec=make_spec(publish=a, served_names=("a",), model="/models/a"),
            ports=(BoundPort("127.0.0.1", 8001),),
        ),
        serving_container(
            model="b",
            spec=make_spec(publish=b, served_names=("b",), model="/models/b"),
            ports=(BoundPort("127.0.0.1", 8002),),
        ),
    )
    planned = make_plan(make_instance("a", publish=b), make_instance("b", publish=a), containers=containers)
    tasks = [s.task for s in planned.steps]
    first_start = next(i for i, t in enumerate(tasks) if isinstance(t, StartContainer))
    stopped = {t.container for t in tasks[:first_start] if isinstance(t, StopContainer)}
    assert planned.diagnostics or "id-vllm-model-b" in stopped


def test_keep_0() -> None:
    (change,) = changes_of(make_instance(keep=0), serving_container(spec=make_spec(drain=1)))
    assert RemoveContainer("id-vllm-model-tiny") in tasks_of(change)


# ---- labels
@pytest.mark.parametrize(
    "text",
    [
        '{"v":0}',
        '{"v":1}',
        '{"v":1,"image":"i","model":"m","served_names":"abc"}',
        '{"v":true,"image":"i","model":"m","served_names":["a"]}',
        '{"v":1,"image":"i","model":"m","served_names":["a"],"args":null}',
    ],
)
def test_spec_garbage_is_valueerror(text: str) -> None:
    with pytest.raises(ValueError):
        spec_from_label(text)


def test_v0_is_a_problem() -> None:
    c = ObservedContainer(
        "1", "x", "", "", "running", labels={labels.STACK: "s", labels.MODEL: "m", labels.SPEC: '{"v":0}'}
    )
    assert read_owned(c).problem


def test_superscript_generation() -> None:
    c = ObservedContainer(
        "1",
        "x",
        "",
        "",
        "running",
        labels={labels.STACK: "s", labels.MODEL: "m", labels.GENERATION: "²", labels.SPEC: "x"},
    )
    with pytest.raises(ValueError, match=r"cortexctl\.generation is not a number"):
        read_owned(c)


# ---- vllm
@pytest.mark.parametrize(("tag", "release"), [("v0.10.1.1", "0.10.1.1"), ("v0.9.0.1", "0.9.0.1")])
def test_four_part_releases(tag: str, release: str) -> None:
    assert release_from_image(f"vllm/vllm-openai:{tag}") == release


def test_one_finding() -> None:
    assert len(check_args({"prefix_caching_hash_algo": "sha256"}, "0.8.2")) == 1


def test_gone_quantization_has_help() -> None:
    (f,) = check_args({"quantization": "gguf"}, "0.32.0")
    assert f.help


def test_max_model_len_auto() -> None:
    assert check_args({"max_model_len": "auto"}, "0.13.0")


def test_off_form_in_extra_args() -> None:
    (issue,) = check_extra_args(("--no-enable-prefix-caching",), "0.32.0", {"enable_prefix_caching": True})
    assert issue.rule == "CX304"


def test_trust_remote_code_echo() -> None:
    assert (
        diagnose(
            [
                "INFO 11-24 06:00:00 [core.py:97] Initializing a V1 LLM daemon (v0.32.0) with config: model='/models/x', trust_remote_code=True, dtype=torch.bfloat16",
                "RuntimeError: something else",
            ]
        )
        is None
    )


def test_repo_not_found_is_not_gated() -> None:
    f = diagnose(
        [
            "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1-0a) Repository Not Found for url: https://huggingface.co/api/models/org/typo."
        ]
    )
    assert f is None or "gated" not in f.cause


def test_removed_architecture() -> None:
    assert diagnose(
        [
            "ValueError: Model architecture MllamaForConditionalGeneration was supported in vLLM until v0.10.2, and is not supported anymore."
        ]
    )


def test_pydantic_cause() -> None:
    log = [
        "(APIServer pid=53) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        "(APIServer pid=53)   Value error, Unknown quantization method: foo. Must be one of [...]. [type=value_error]",
        "(APIServer pid=53)     For further information visit https://errors.pydantic.dev/2.12/v/value_error",
    ]
    assert "Unknown quantization method" in last_error_line(log)


def test_image_with_empty_tag_or_two() -> None:
    for text in ("a:", "a:b:c", "a@"):
        with pytest.raises(ValueError):
            parse_image(text)


def test_secret_default_not_shown(tmp_path: Path) -> None:
    assert "hf_SECRET" not in errors_of(tmp_path, '[vars]\ntoken = { secret = true, default = "hf_SECRET" }\n')


def test_profile_fault_once(tmp_path: Path) -> None:
    out = errors_of(tmp_path, 'profile = "p"\n[profiles.p]\nshm_size = "big"\n')
    assert out.count("CX104") == 1


def test_schema_takes_variables() -> None:
    data = tomllib.loads(HEAD + '[models.a.args]\nmax_model_len = "{{ vars.n }}"\n[vars.n]\ndefault = 1\n')
    jsonschema.Draft202012Validator(json_schema()).validate(data)


def test_circle_once(tmp_path: Path) -> None:
    out = errors_of(
        tmp_path,
        'after = ["b"]\n[models.b]\nimage = "i:v0.32.0"\nsource = { path = "p" }\ngpus = "none"\nafter = ["a"]\n',
    )
    assert out.count("CX215") == 1


def test_not_secret_variable_is_reported(tmp_path: Path) -> None:
    out = errors_of(tmp_path, '[models.a.secrets]\nX = { var = "plain" }\n[vars.plain]\ndefault = "x"\n')
    assert " or not secret" not in out


def test_no_follow_up(tmp_path: Path) -> None:
    assert "sets no model" not in errors_of(tmp_path, "", HEAD.replace('{ path = "p" }', '{ repo = "https://x/y/z" }'))


# ---- laws


def one_model() -> Case:
    spec = new_spec(image="image:v0.32.0", version="0.32.0", model="/models/a", served_names=("a",))
    hosts = tuple(Host(h, f"unix:///{h}.sock") for h in HOSTS)
    return Case(Desired(STACK, "stack.toml", hosts, (Instance("east", "a", spec),)), {})


def test_killed_start() -> None:
    world = two_hosts()
    c = one_model()
    apply_case(world, c)
    (box,) = own_containers(world)
    box.state = "exited"
    planned = plan_of(world, c)
    w = Watch(world, gated={box.id})
    run_steps(world, planned, planned.steps[:2], w)  # killed after the start, before the gate
    rest = plan_of(world, c)
    run_steps(world, rest, rest.steps, w)
    assert box.restart == "unless-stopped"


def test_killed_destroy_network() -> None:
    world = two_hosts()
    c = one_model()
    apply_case(world, c)
    planned = world.plan(c.desired, destroy=True)
    run_steps(
        world,
        planned,
        [s for s in planned.steps if not isinstance(s.task, RemoveNetwork)],
        Watch(world, gated={b.id for b in own_containers(world)}),
    )
    world.apply(world.plan(c.desired, destroy=True))
    assert world.daemon("east").networks == {}


def test_nan_in_a_label_is_reported_and_left_alone() -> None:
    """No stack can say it (`test_nan_refused`), so no apply of ours wrote it."""
    c = one_model()
    world = two_hosts()
    apply_case(world, c)
    container = next(f for e in world.daemons.by_host.values() for f in e.all() if labels.SPEC in f.labels)
    written = container.labels[labels.SPEC].replace('"server":{', '"server":{"args":{"gpu_memory_utilization":NaN},')
    assert written != container.labels[labels.SPEC]
    container.labels[labels.SPEC] = written
    planned = world.plan(c.desired)
    assert [d.rule for d in planned.diagnostics if d.is_error] == ["CX402"]
    assert container.id not in {ref.id for change in planned.effective for ref in change.detail.touched}


def test_kept_not_leftover() -> None:
    """A -> B -> A killed between the renames: the first A is history and must be kept."""
    c = one_model()
    i = c.desired.instances[0]
    d = Case(
        dataclasses.replace(c.desired, instances=(dataclasses.replace(i, spec=change_spec(i.spec, drain=1)),)),
        {},
    )
    world = two_hosts()
    apply_case(world, c)
    apply_case(world, d)
    planned = plan_of(world, c)
    w = Watch(world, gated={b.id for b in own_containers(world)})
    run_steps(world, planned, planned.steps[:-1], w)
    assert [x.action for x in plan_of(world, c).effective] == [Action.CREATE]
