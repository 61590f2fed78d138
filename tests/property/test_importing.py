"""A container -> a block -> the spec that the stack makes of the block: the same for every spelling."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cortexctl.engines.vllm.catalogue.catalogue import release
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.engines.vllm.command.json_values import LISTS
from cortexctl.engines.vllm.command.read_command import command_line, in_our_form
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.values import takes_several
from cortexctl.instance.spec import Mount, Publish, SecretRef, Spec
from cortexctl.observed.inspected import ImageDefaults, parse_inspected
from cortexctl.plan.adopt.imported import imported_differences
from cortexctl.plan.adopt.normalise import read_back
from cortexctl.stack.importing.possible_secrets import is_left_out
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.imports import HOST, MODELS_DIR, ByHand, spec_of
from tests.specs import change_spec, new_spec

modest = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
RELEASE = "0.32.0"
_plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_word = st.from_regex(r"[A-Za-z][A-Za-z0-9_.:/=-]{0,8}", fullmatch=True)
_name = st.from_regex(r"[A-Za-z][a-z0-9]{0,4}", fullmatch=True)
_json = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1e-7]) | _plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abk. ", max_size=3), inner, max_size=3),
)
_OF_THE_TASK_AND_GPUS = {"runner", "convert", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"}
_WITH_COMPANIONS = {"enable_log_outputs", "enable_per_request_metrics", "sse_keep_alive_interval"}
_SUBJECT = {
    o.name: o
    for o in release(RELEASE).options.values()
    if not (o.positional or o.name in RESERVED or o.entry == "api_server" or is_left_out(o.name, "x"))
    and o.name not in _OF_THE_TASK_AND_GPUS | _WITH_COMPANIONS
}
"""Arguments of the release, but those that make others or need them, and those that may hold a secret."""
_CONFIGS: dict[str, list[dict[str, Any]]] = {
    "compilation_config": [{}, {"mode": 3}, {"cudagraph_capture_sizes": [1, 2], "backend": "eager"}],
    "kv_transfer_config": [{}, {"kv_connector": "NixlConnector", "kv_role": "kv_both"}],
    "speculative_config": [{}, {"method": "ngram", "num_speculative_tokens": 2}],
}
"""Of tables whose keys the release knows: any other key is refused."""


def _value_of(option: Option) -> st.SearchStrategy[Any]:
    one = _one_of(option)
    if not takes_several(option):
        return one
    fixed = option.nargs if isinstance(option.nargs, int) else None
    return st.lists(one, min_size=fixed or 1, max_size=fixed or 3)


def _one_of(option: Option) -> st.SearchStrategy[Any]:
    if option.choices:
        return st.sampled_from([c for c in option.choices if c not in {None, "None"}])
    if option.config:
        return st.sampled_from(_CONFIGS.get(option.name, [{}]))
    bounds = dict(option.bounds)
    low = int(bounds.get("ge", bounds.get("gt", -1) + 1))
    if option.name in LISTS:
        return st.lists(_word, max_size=3)
    match option.kind:
        case "pair":
            return st.booleans()
        case "switch":
            return st.just(value=True)
        case "int" | "size" | "size_or_auto":
            return st.integers(max(low, 1), int(bounds.get("le", 99999)))
        case "float":
            return st.sampled_from([0.25, 0.9, *([] if bounds.get("lt", 2) <= 1 else [1.0])])
        case "lora":
            return st.builds("{}={}".format, _name, _word)
        case "json" | "json_or_text":
            return st.dictionaries(st.text("abk_", min_size=1, max_size=3), _json, max_size=3)
        case "items":
            return st.just([0, 1])
        case "lower":
            return _name.map(str.lower)
        case _:
            return st.sampled_from(option.soft_choices) if option.soft_choices else _word


_args = st.dictionaries(st.sampled_from(sorted(_SUBJECT)), st.none(), max_size=5).flatmap(
    lambda chosen: st.fixed_dictionaries({name: _value_of(_SUBJECT[name]) for name in chosen})
)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """The specs that a stack can declare on a host with a models_dir."""
    secrets = draw(st.sets(st.sampled_from(["HF_TOKEN", "VLLM_API_KEY", "MY_PASSWORD"])))
    args = draw(_args)
    if args.get("enable_auto_tool_choice"):
        args["tool_call_parser"] = "hermes"
    optimized = () if "optimization_level" in args else ("-O3",)  # no option is given twice
    return new_spec(
        image="vllm/vllm-openai:v0.32.0",
        version=RELEASE,
        model=draw(st.sampled_from(["/models/llama", "/models/a/b", "org/name"])),
        served_names=draw(st.sampled_from([("llama",), ("a", "b c")])),
        args=args,
        extra_args=draw(
            st.sampled_from([(), ("--foo",), ("--foo", "a", "{{ b"), optimized, ("--bar=x", "--baz", "-1")])
        ),
        env=draw(st.dictionaries(st.sampled_from(["VLLM_X", "OMP_NUM_THREADS", "HF_HOME"]), _plain, max_size=2))
        | draw(st.sampled_from([{}, {"HF_HUB_OFFLINE": "1"}])),
        secrets=tuple(SecretRef(name, "env", name, "") for name in sorted(secrets)),
        gpus=draw(st.sampled_from([(), (0,), (3,)])),
        mounts=(
            Mount("cache", "/cache", read_only=False),
            *draw(st.sampled_from([(), (Mount("/data", "/data"),)])),
            Mount(MODELS_DIR, "/models"),
        ),
        publish=draw(st.sampled_from([None, Publish("127.0.0.1"), Publish("127.0.0.1", 9000), Publish("::", 1)])),
        network="bridge",
        ipc=draw(st.sampled_from(["private", "host"])),
        shm_size=draw(st.sampled_from([2**31, 2**26, 2**26 + 1])),
        drain=draw(st.sampled_from([5, 30, 3600])),
        restart=draw(st.sampled_from(["no", "always", "unless-stopped"])),
        memory=draw(st.sampled_from([None, 2**30, 10**9 + 7])),
        cpus=draw(st.sampled_from([None, 0.5, 3.0, 0.33])),
    )


def as_the_stack_has_it(spec: Spec) -> Spec:
    """The network is the host's, and the size of an unused memory is left out."""
    shm = spec.container.shm_size if spec.container.ipc == "private" else 2**31
    return change_spec(spec, network="cortex_default", shm_size=shm)


@modest
@given(specs())
def test_a_container_that_a_stack_could_create_is_imported_unchanged(spec: Spec) -> None:
    values = {s.name: f"planted-{s.name}" for s in spec.container.secrets}
    assert spec_of(ByHand(spec, secrets=values).draft()) == as_the_stack_has_it(spec)


@st.composite
def spelled(draw: st.DrawFn) -> tuple[Spec, list[str]]:
    """A spec, and its arguments as a user might write them: in any order, short, with = and underscores."""
    spec = change_spec(draw(specs()), extra_args=())
    either = st.booleans()
    options: list[list[str]] = []
    for word in arguments(spec.server)[1:]:
        if word.startswith("--"):
            options.append([word])
        else:
            options[-1].append(word)
    short = {o.name: flag for o in _SUBJECT.values() for flag in o.flags if not flag.startswith("--")}
    written: list[list[str]] = []
    in_turn = [option for option in options if [option[0] for option in options].count(option[0]) > 1]
    shuffled = draw(st.permutations([option for option in options if option not in in_turn]))
    for flag, *values in [*shuffled, *in_turn]:  # the uses of a repeated option keep their order
        name = flag.removeprefix("--").replace("-", "_")
        if name in {"host", "port"} and draw(either):
            continue  # vLLM's default
        flag_ = draw(st.sampled_from([flag, short.get(name, flag), "--" + name]))
        if name in _SUBJECT and values[:1] and values[0].startswith("{") and draw(either):
            values = [json.dumps(json.loads(values[0]), indent=1)]  # noqa: PLW2901
        if len(values) == 1 and draw(either):
            written.append([f"{flag_}={values[0]}"])
        else:
            written.append([flag_, *values])
    several = [w for w in written if len(w) > 2]
    written = [w for w in written if len(w) <= 2] + several
    argv = [w for option in written for w in option]
    return spec, [spec.server.model, *argv] if bool(several) or draw(either) else [
        *argv,
        "--model",
        spec.server.model,
    ]


@modest
@given(spelled())
def test_every_spelling_is_adopted_unchanged(pair: tuple[Spec, list[str]]) -> None:
    spec, argv = pair
    changes = {"Config": {"Entrypoint": entrypoint(spec.server), "Cmd": argv}}
    values = {s.name: f"planted-{s.name}" for s in spec.container.secrets}
    by_hand = ByHand(spec, secrets=values, changes=changes)
    wanted = spec_of(by_hand.draft())
    assert wanted == as_the_stack_has_it(spec)
    raw = inspection(spec, values, changes)
    inspected = parse_inspected(raw, wanted, ImageDefaults(IMAGE_ENV), "demo")
    assert imported_differences(wanted, inspected) == ()
    assert imported_differences(wanted, read_back(wanted, inspected)) == ()


_any_argv = st.lists(
    _plain
    | st.sampled_from(["--model", "-tp", "2", "--max-model-len", "8k", "--no-enforce-eager", "--hf-overrides", "{}"])
    | st.sampled_from(["--hf-overrides.a.b", "-cc.x=1", "--foo", "--foo=bar", "true", "-O", "--", "-", "--=", "org/m"]),
    max_size=12,
)


@modest
@given(_any_argv, st.sampled_from(["0.32.0", "0.10.0", None]))
@example(["-cc.x=1", "-cc", "{}"], None)
def test_any_arguments_can_be_read_and_mean_the_same_in_our_form(argv: list[str], version: str | None) -> None:
    line = command_line(["vllm", "serve", *argv])
    assert line is not None
    if "" in {o.name for o in line.extra} or any(o.values[1:] for o in line.extra) or line.unread or not line.model:
        return  # a surplus argument may become a value of another option
    again = command_line(["vllm", "serve", *in_our_form(line, version)])
    assert again is not None
    assert (again.model, again.served_names, again.args) == (
        line.model,
        line.served_names,
        _rendered_args(line.args, version),
    )
    assert [o.argv for o in again.extra] == [o.argv for o in line.extra]


def _rendered_args(args: Any, version: str | None) -> dict[str, Any]:
    """The arguments without the switches that are off, if the release has no option for off."""
    return {n: v for n, v in args.items() if v is not False or f"--no-{n.replace('_', '-')}" in _off_argv(n, version)}


def _off_argv(name: str, version: str | None) -> list[str]:
    return arguments(new_spec("", "m", ("m",), version, args={name: False}).server)


@modest
@given(_plain, st.sampled_from(["sh", "/bin/bash"]))
def test_no_script_makes_the_reader_of_scripts_raise(script: str, shell: str) -> None:
    command_line([shell, "-c", script])
    command_line([shell, "-c", f"vllm serve m {script}"])


def test_the_host_of_these_tests_is_the_one_that_the_specs_are_for() -> None:
    assert MODELS_DIR in HOST
