from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.engines.vllm.command.check import check_args
from cortexctl.engines.vllm.command.check_raw import check_extra_args
from cortexctl.engines.vllm.command.reserved import ALIASES, RESERVED
from cortexctl.engines.vllm.command.reserved_words import without_reserved
from cortexctl.engines.vllm.version import NEWEST_KNOWN, parse_release, release_from_image
from cortexctl.instance.spec import Spec
from tests.specs import new_spec


def _spec(release: str | None = "0.32.0", **fields: Any) -> Spec:
    return new_spec(version=release, **fields)


def _name_parts(release: str, **args: Any) -> list[str]:
    """The rendered arguments for `args`, without those of every launch."""
    plain = arguments(_spec(release, drain=0).server)
    argv = arguments(_spec(release, drain=0, args=args).server)
    assert argv[: len(plain)] == plain
    return argv[len(plain) :]


# releases


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("vllm/vllm-openai:v0.32.0", "0.32.0"),
        ("vllm/vllm-openai:0.9.2-cu129", "0.9.2"),
        ("vllm/vllm-openai:v0.21.0-x86_64", "0.21.0"),
        ("vllm/vllm-openai:v0.20.0-cu129-ubuntu2404", "0.20.0"),
        ("vllm/vllm-openai:v0.6.1.post2", "0.6.1.post2"),
        ("vllm/vllm-openai:v0.8.5.post1-cu124", "0.8.5.post1"),
        ("registry.example:5000/vllm/vllm-openai:v0.32.0", "0.32.0"),
        ("registry.example/docker-hub/vllm/vllm-openai:v0.32.0", "0.32.0"),
        ("registry.example/vllm-openai:v0.32.0", "0.32.0"),
        ("docker.io/vllm/vllm-openai-cpu:v0.32.0", "0.32.0"),
        ("public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.10.2", "0.10.2"),
        ("mirror.example/ecr/q9t5s3a7/vllm-release-repo:v0.10.2", "0.10.2"),
        ("vllm-openai:v9.9.9", "9.9.9"),
        ("local-name:v0.32.0", "0.32.0"),
        ("local-name:v9.9.9", None),
        ("local-name:v0.3.12", None),
        ("lmcache/vllm-openai:v0.3.12", None),
        ("lmcache/vllm-openai:v0.9.2", None),
        ("registry.example:5000/team/vllm-openai:v0.32.0", None),
        ("registry.example:5000/vllm:v0.32.0", None),
        ("ghcr.io/substratusai/vllm:v0.6.2", None),
        ("quay.io/ascend/vllm-ascend:v0.11.0", None),
        ("vllm/vllm-omni:v0.12.0", None),
        ("rocm/vllm:0.9.1", None),
        ("vllm-openai/other:v0.9.1", None),
        ("vllm/vllm-openai:v0.32.0@sha256:" + "ab" * 32, "0.32.0"),
        ("vllm/vllm-openai-rocm:v0.14.0-base", "0.14.0"),
        ("vllm/vllm-openai:latest", None),
        ("vllm/vllm-openai:latest-x86_64", None),
        ("vllm/vllm-openai:nightly", None),
        ("vllm/vllm-openai:nightly-0123456789abcdef0123456789abcdef01234567", None),
        ("vllm/vllm-openai:cu129-nightly", None),
        ("vllm/vllm-openai:glm45", None),
        ("vllm/vllm-openai:v0.32", None),
        ("vllm/vllm-openai", None),
        ("registry.example:5000/team/vllm-openai", None),
        ("vllm/vllm-openai@sha256:" + "ab" * 32, None),
    ],
)
def test_the_release_is_read_from_the_tag_and_nothing_is_guessed(image: str, release: str | None) -> None:
    assert release_from_image(image) == release


@pytest.mark.parametrize("text", ["", "0.32", "latest", "0.32.0rc1", "v0.32.0-cu129", "0.32.0.1.2", "0.32.x"])
def test_an_invalid_release_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a vLLM release"):
        parse_release(text)


def test_releases_sort_by_age() -> None:
    by_age = [
        "0.6.0",
        "0.6.1",
        "0.6.1.post1",
        "0.6.1.post2",
        "0.6.2",
        "0.8.5",
        "0.8.5.post1",
        "0.9.2",
        "0.10.0",
        "v0.32.0",
        "1.0.0",
    ]
    newest_first = list(reversed(by_age))
    assert sorted(newest_first, key=parse_release) == by_age


def test_the_names_of_other_tools_lead_to_names_that_exist() -> None:
    known = set(catalogue.option_names())
    assert {new for new in ALIASES.values() if not new.startswith("source.")} <= known
    assert not set(ALIASES) & known
    assert set(RESERVED) <= known


def test_the_newest_release_is_the_catalogues() -> None:
    assert catalogue.releases()[-1] == NEWEST_KNOWN


# argv


@pytest.mark.parametrize("release", ["0.6.0", "0.9.2", "0.10.0", "0.11.0"])
def test_before_0_11_1_the_api_server_module_takes_the_model_as_an_option(release: str) -> None:
    """0.10 accepts a positional model silently and serves another one."""
    spec = _spec(release)
    assert entrypoint(spec.server) == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    assert arguments(spec.server)[:2] == ["--model", "/models/tiny"]


@pytest.mark.parametrize("release", ["0.11.1", "0.11.2", "0.32.0", NEWEST_KNOWN, None])
def test_from_0_11_1_vllm_serve_takes_the_model_first(release: str | None) -> None:
    """First: after an option that takes several values it would be swallowed."""
    spec = _spec(release, served_names=("a", "b"), args={"cudagraph_capture_sizes": [1, 2]})
    assert entrypoint(spec.server) == ["vllm", "serve"]
    assert arguments(spec.server)[0] == "/models/tiny"
    assert "--model" not in arguments(spec.server)


def test_the_whole_line_of_a_release() -> None:
    spec = _spec(
        served_names=("tiny", "alias"),
        args={"tensor_parallel_size": 2, "dtype": "half", "revision": "main"},
        extra_args=("--quux", "1"),
        drain=60,
    )
    assert arguments(spec.server) == [
        "/models/tiny",
        *("--served-model-name", "tiny", "alias"),
        *("--host", "0.0.0.0"),
        *("--port", "8000"),
        *("--shutdown-timeout", "60"),
        *("--dtype", "half"),
        *("--revision", "main"),
        *("--tensor-parallel-size", "2"),
        *("--quux", "1"),
    ]


@pytest.mark.parametrize(("release", "has"), [("0.11.1", False), ("0.17.1", False), ("0.18.0", True), ("0.32.0", True)])
def test_the_shutdown_timeout_is_given_only_to_releases_that_have_it(release: str, has: bool) -> None:
    argv = arguments(_spec(release, drain=45).server)
    assert ("--shutdown-timeout" in argv) is has
    if has:
        assert argv[argv.index("--shutdown-timeout") + 1] == "45"


def test_no_drain_gives_no_shutdown_timeout() -> None:
    assert "--shutdown-timeout" not in arguments(_spec("0.32.0", drain=0).server)


@pytest.mark.parametrize(
    ("release", "on", "argv"),
    [
        ("0.6.0", True, ["--enable-chunked-prefill=true"]),
        ("0.8.4", True, ["--enable-chunked-prefill=true"]),
        ("0.8.4", False, ["--enable-chunked-prefill=false"]),
        ("0.8.5", True, ["--enable-chunked-prefill"]),
        ("0.8.5", False, ["--no-enable-chunked-prefill"]),
        ("0.32.0", False, ["--no-enable-chunked-prefill"]),
    ],
)
def test_chunked_prefill_takes_a_value_up_to_0_8_4_and_is_a_pair_after(release: str, on: bool, argv: list[str]) -> None:
    assert _name_parts(release, enable_chunked_prefill=on) == argv


@pytest.mark.parametrize(
    ("name", "before", "since"),
    [
        ("enforce_eager", "0.8.5.post1", "0.9.0"),
        ("trust_remote_code", "0.8.5.post1", "0.9.0"),
        ("enable_prefix_caching", "0.6.4.post1", "0.6.5"),
        ("enable_sleep_mode", "0.8.5.post1", "0.9.0"),
        ("enable_expert_parallel", "0.8.4", "0.8.5"),
    ],
)
def test_a_switch_is_turned_off_only_if_the_release_has_an_off_form(name: str, before: str, since: str) -> None:
    flag = name.replace("_", "-")
    assert _name_parts(before, **{name: True}) == [f"--{flag}"]
    assert _name_parts(before, **{name: False}) == []
    assert _name_parts(since, **{name: True}) == [f"--{flag}"]
    assert _name_parts(since, **{name: False}) == [f"--no-{flag}"]


@pytest.mark.parametrize(
    ("args", "argv"),
    [
        ({"cudagraph_capture_sizes": [1, 2, 4]}, ["--cudagraph-capture-sizes", "1", "2", "4"]),
        ({"lora_modules": ["sql=/models/sql", "x=/models/x"]}, ["--lora-modules", "sql=/models/sql", "x=/models/x"]),
        (
            {"hf_overrides": {"b": [1, {"z": None, "a": True}], "a": 1.5}},
            ["--hf-overrides", '{"a":1.5,"b":[1,{"a":true,"z":null}]}'],
        ),
        ({"gpu_memory_utilization": 0.92}, ["--gpu-memory-utilization", "0.92"]),
        ({"gpu_memory_utilization": 1.0}, ["--gpu-memory-utilization", "1"]),
        ({"cpu_offload_gb": 0.1}, ["--cpu-offload-gb", "0.1"]),
        ({"cpu_offload_gb": 1e-07}, ["--cpu-offload-gb", "1e-07"]),
        ({"max_model_len": 8192}, ["--max-model-len", "8192"]),
        ({"max_model_len": "auto"}, ["--max-model-len", "auto"]),
        ({"seed": 0}, ["--seed", "0"]),
        ({"chat_template": "a b.jinja"}, ["--chat-template", "a b.jinja"]),
        ({"revision": "main"}, ["--revision", "main"]),
    ],
)
def test_a_value_is_rendered_as_command_line_arguments(args: dict[str, Any], argv: list[str]) -> None:
    assert _name_parts("0.32.0", **args) == argv


def test_the_order_of_the_arguments_does_not_depend_on_the_order_of_the_mappings() -> None:
    args: Mapping[str, Any] = {
        "tensor_parallel_size": 2,
        "hf_overrides": {"b": 1, "a": 2},
        "dtype": "half",
        "enforce_eager": True,
    }
    turned = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(list(args.items()))}
    assert list(turned) != list(args)
    assert arguments(_spec(args=turned).server) == arguments(_spec(args=args).server)


def test_extra_args_come_last_and_unchanged() -> None:
    argv = arguments(_spec(args={"seed": 1}, extra_args=("--z", "a b", "--a")).server)
    assert argv[-3:] == ["--z", "a b", "--a"]


# which release takes which arguments


def _rules(args: dict[str, Any], release: str | None) -> list[str]:
    return [f.rule for f in check_args(args, release)]


@pytest.mark.parametrize(
    ("args", "takes", "refuses", "rule", "bounds"),
    [
        # gone
        ({"swap_space": 4.0}, "0.7.3", "0.18.0", "CX301", "last in 0.17.1"),
        ({"cuda_graph_sizes": [1]}, "0.12.0", "0.13.0", "CX301", "last in 0.12.0"),
        ({"task": "embed"}, "0.12.0", "0.13.0", "CX301", "last in 0.12.0"),
        # not yet there
        ({"task": "embed"}, "0.6.5", "0.6.3.post1", "CX301", "since 0.6.4"),
        ({"cuda_graph_sizes": [1]}, "0.9.0", "0.8.5.post1", "CX301", "since 0.9.0"),
        ({"cudagraph_capture_sizes": [1]}, "0.11.1", "0.11.0", "CX301", "since 0.11.1"),
        ({"runner": "pooling"}, "0.10.1", "0.10.0", "CX301", "since 0.10.1"),
        ({"convert": "embed"}, "0.10.1", "0.10.0", "CX301", "since 0.10.1"),
        ({"hf_config_path": "/models/c"}, "0.8.0", "0.7.3", "CX301", "since 0.8.0"),
        # values not yet there
        ({"kv_cache_dtype": "fp8_inc"}, "0.10.0", "0.9.2", "CX302", "since 0.10.0"),
        ({"kv_cache_dtype": "bfloat16"}, "0.11.0", "0.10.2", "CX302", "since 0.11.0"),
        ({"kv_cache_dtype": "fp8_ds_mla"}, "0.11.1", "0.11.0", "CX302", "since 0.11.1"),
        ({"kv_cache_dtype": "float16"}, "0.18.0", "0.17.1", "CX302", "since 0.18.0"),
        ({"kv_cache_dtype": "nvfp4"}, "0.20.0", "0.19.1", "CX302", "since 0.20.0"),
        ({"prefix_caching_hash_algo": "sha256_cbor"}, "0.10.2", "0.10.1", "CX302", "since 0.10.2"),
        ({"prefix_caching_hash_algo": "sha256_cbor_64bit"}, "0.10.0", "0.9.2", "CX302", "0.10.0 to 0.10.1.1"),
        ({"prefix_caching_hash_algo": "xxhash"}, "0.13.0", "0.12.0", "CX302", "since 0.13.0"),
        ({"prefix_caching_hash_algo": "xxhash_cbor"}, "0.13.0", "0.12.0", "CX302", "since 0.13.0"),
        # values that are gone
        ({"prefix_caching_hash_algo": "builtin"}, "0.10.1", "0.10.2", "CX302", "to 0.10.1"),
        ({"prefix_caching_hash_algo": "sha256_cbor_64bit"}, "0.10.1", "0.10.2", "CX302", "to 0.10.1"),
        ({"quantization": "gguf"}, "0.23.0", "0.24.0", "CX302", "to 0.23.0"),
        ({"quantization": "bitsandbytes"}, "0.27.1", "0.28.0", "CX302", "to 0.27.1"),
        ({"quantization": "aqlm"}, "0.10.0", "0.10.1", "CX302", "to 0.10.0"),
        ({"quantization": "marlin"}, "0.10.1", "0.10.2", "CX302", "to 0.10.1"),
        ({"quantization": "hqq"}, "0.14.1", "0.15.0", "CX302", "to 0.14.1"),
        ({"quantization": "rtn"}, "0.14.1", "0.15.0", "CX302", "to 0.14.1"),
    ],
)
def test_a_parameter_is_refused_on_the_other_side_of_its_boundary(
    args: dict[str, Any], takes: str, refuses: str, rule: str, bounds: str
) -> None:
    assert [f for f in check_args(args, takes) if f.fatal] == []
    (finding,) = check_args(args, refuses)
    assert finding.rule == rule
    assert finding.fatal
    assert finding.argument == next(iter(args))
    assert refuses in finding.summary
    assert bounds in finding.summary


def test_a_choice_is_refused_as_a_whole_before_its_first_release() -> None:
    assert check_args({"prefix_caching_hash_algo": "sha256"}, "0.8.3") == []
    first = check_args({"prefix_caching_hash_algo": "sha256"}, "0.8.2")[0]
    assert (first.rule, first.summary) == ("CX301", "prefix_caching_hash_algo is not yet in vLLM 0.8.2 (since 0.8.3)")


@pytest.mark.parametrize("value", ["auto", "fp8", "fp8_e4m3", "fp8_e5m2"])
@pytest.mark.parametrize("release", ["0.6.0", "0.9.2", NEWEST_KNOWN])
def test_the_old_kv_cache_types_are_taken_by_every_release(value: str, release: str) -> None:
    assert check_args({"kv_cache_dtype": value}, release) == []


@pytest.mark.parametrize(
    ("args", "release", "successor"),
    [
        ({"swap_space": 4.0}, "0.18.0", "kv_offloading_size"),
        ({"cuda_graph_sizes": [1]}, "0.32.0", "args.cudagraph_capture_sizes"),
        ({"cudagraph_capture_sizes": [1]}, "0.10.2", "args.cuda_graph_sizes"),
        ({"task": "embed"}, "0.32.0", 'args.runner = "pooling"'),
        ({"runner": "pooling"}, "0.9.2", "set task"),
        ({"convert": "embed"}, "0.9.2", "set task"),
        ({"attention_backend": "FLASHINFER"}, "0.12.0", "VLLM_ATTENTION_BACKEND"),
    ],
)
def test_a_refused_parameter_names_its_successor(args: dict[str, Any], release: str, successor: str) -> None:
    (finding,) = check_args(args, release)
    assert successor in finding.help


def test_a_refused_value_names_those_that_the_release_takes() -> None:
    (finding,) = check_args({"prefix_caching_hash_algo": "xxhash"}, "0.10.2")
    assert finding.help == "one of: sha256, sha256_cbor"
    (finding,) = check_args({"prefix_caching_hash_algo": "builtin"}, "0.10.2")
    assert "sha256 is the default" in finding.help


@pytest.mark.parametrize("release", ["0.8.0", "0.11.0", "0.17.1"])
def test_swap_space_is_taken_without_effect_from_0_8_0(release: str) -> None:
    (finding,) = check_args({"swap_space": 4.0}, release)
    assert finding.rule == "CX303"
    assert not finding.fatal
    assert f"no effect in vLLM {release}" in finding.summary
    assert "the V1 engine does not swap" in finding.help


def test_a_value_that_no_release_has_is_refused_whatever_the_release() -> None:
    for release in (None, "0.10.2", "0.32.0"):
        (finding,) = check_args({"dtype": "int8"}, release)
        assert (finding.rule, finding.fatal) == ("CX302", True)
        assert "bfloat16" in finding.help


def test_a_value_that_the_parser_does_not_check_is_a_warning() -> None:
    """A plugin may add it."""
    assert check_args({"quantization": "compressed-tensors"}, "0.32.0") == []
    (finding,) = check_args({"quantization": "mine"}, "0.32.0")
    assert (finding.rule, finding.fatal) == ("CX302", False)
    assert "does not know" in finding.summary


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("gpu_memory_utilization", [0.05, 0.92, 1.0], [0.0, -0.5, 1.5, 92.0]),
        ("tensor_parallel_size", [1, 8], [0, -1]),
        ("max_num_seqs", [1, 1024], [0]),
        ("max_model_len", [1, "auto"], [-5]),
    ],
)
@pytest.mark.parametrize("release", [None, "0.32.0"])
def test_a_number_out_of_range_is_refused(name: str, good: list[Any], bad: list[Any], release: str | None) -> None:
    """vLLM takes some of them without a word and fails minutes later."""
    for value in good:
        assert check_args({name: value}, release) == []
    for value in bad:
        (finding,) = check_args({name: value}, release)
        assert (finding.rule, finding.fatal) == ("CX302", True)
        assert str(value) in finding.summary


def test_without_a_release_no_range_is_judged() -> None:
    assert check_args({"swap_space": 4.0, "task": "embed", "runner": "pooling", "quantization": "gguf"}, None) == []


def test_auto_tool_choice_needs_a_parser() -> None:
    assert _rules({"enable_auto_tool_choice": True}, "0.32.0") == ["CX305"]
    assert _rules({"enable_auto_tool_choice": True, "tool_call_parser": "hermes"}, "0.32.0") == []
    assert _rules({"enable_auto_tool_choice": False}, "0.32.0") == []


def test_all_findings_come_at_once_in_the_order_of_the_names() -> None:
    args = {
        "task": "embed",
        "swap_space": 4.0,
        "kv_cache_dtype": "fp8",
        "quantization": "gguf",
        "enable_auto_tool_choice": True,
    }
    assert [(f.argument, f.rule) for f in check_args(args, "0.32.0")] == [
        ("quantization", "CX302"),
        ("swap_space", "CX301"),
        ("task", "CX301"),
        ("enable_auto_tool_choice", "CX305"),
    ]


@pytest.mark.parametrize(
    ("word", "name", "advice"),
    [
        ("--api-key", "api_key", "never on a command line"),
        ("--api-key=abc", "api_key", "never on a command line"),
        ("--port", "port", "`publish`"),
        ("--host=0.0.0.0", "host", "`publish`"),
        ("--served-model-name", "served_model_name", "`served_names`"),
        ("--served_model_name", "served_model_name", "`served_names`"),
        ("--model", "model", "`source`"),
        ("--shutdown-timeout", "shutdown_timeout", "`rollout.drain`"),
    ],
)
def test_extra_args_must_not_set_an_option_that_has_its_own_key(word: str, name: str, advice: str) -> None:
    (finding,) = check_extra_args((word,), "0.32.0", {})
    assert (finding.argument, finding.rule, finding.fatal) == (name, "CX304", True)
    assert advice in finding.help
    assert "abc" not in finding.summary + finding.help


def test_known_extra_args_are_valid_unless_they_are_given_twice() -> None:
    argv = ("-O3", "--dtype", "half", "--compilation-config.backend", "eager")
    assert check_extra_args(argv, "0.32.0", {"max_model_len": 1}) == []
    (finding,) = check_extra_args(argv, "0.32.0", {"dtype": "auto"})
    assert (finding.argument, finding.rule, finding.summary) == ("dtype", "CX304", "--dtype is in args, too")


def test_every_extra_argument_is_checked() -> None:
    argv = ("--port", "1", "--quux", "--dtype", "int8", "--swap-space", "4")
    findings = check_extra_args(argv, "0.32.0", {})
    assert [(f.argument, f.rule, f.fatal) for f in findings] == [
        ("port", "CX304", True),
        ("dtype", "CX301", True),
        ("quux", "CX310", False),
        ("swap_space", "CX301", True),
    ]
    assert "last in" not in findings[1].summary
    assert "0.6.0 to 0.17.1" in findings[3].summary


def test_a_finding_on_a_release_newer_than_the_catalogue_is_not_fatal() -> None:
    (finding,) = check_args({"swap_space": 4.0}, "0.99.0")
    assert not finding.fatal
    assert f"According to vLLM {NEWEST_KNOWN}, the newest that cortexctl knows" in finding.help


def test_nested_keys_that_vllm_would_ignore_are_checked() -> None:
    (finding,) = check_args({"kv_transfer_config": {"kv_ip": "h", "kv_connector": "X", "kv_role": "kv_both"}}, "0.33.0")
    assert (finding.rule, finding.argument) == ("CX302", "kv_transfer_config")
    assert "kv_ip" in finding.summary
    assert check_args({"compilation_config": {"mode": 3, "pass_config": {"fuse_norm_quant": True}}}, "0.32.0") == []


def test_sleep_mode_and_expandable_segments() -> None:
    env = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    (finding,) = check_args({"enable_sleep_mode": True}, "0.20.0", env)
    assert finding.rule == "CX305"
    assert check_args({"enable_sleep_mode": True}, "0.20.1", env) == []


def test_a_finding_is_fatal_by_default() -> None:
    assert ArgumentIssue("x", "CX301", "gone").fatal


@pytest.mark.parametrize(
    ("argv", "summary", "advice"),
    [
        (("--guided-decoding-backend", "xgrammar"), "has no --guided-decoding-backend (", '.backend = "xgrammar":'),
        (("--num-redundant-experts=2",), "has no --num-redundant-experts (", ".num_redundant_experts = 2:"),
        (("--no-such-option=sk-1",), "no vLLM release has --no-such-option", "plugin"),
    ],
)
def test_advice_on_extra_args_keeps_their_value(argv: tuple[str, ...], summary: str, advice: str) -> None:
    (finding,) = check_extra_args(argv, "0.33.0", {})
    assert summary in finding.summary
    assert advice in finding.help
    assert "sk-1" not in finding.summary + finding.help


@pytest.mark.parametrize(
    ("argv", "rest"),
    [
        (["--port=8001", "next", "--quux"], ["next", "--quux"]),
        (["--api-k=sk-1", "next"], ["next"]),
        (["--port", "8001", "--quux", "1"], ["--quux", "1"]),
        (["--served-model-name", "a", "b", "--quux"], ["--quux"]),
        (["--api-k", "sk-1", "--quux", "1"], ["--quux", "1"]),
    ],
)
def test_only_the_values_of_a_reserved_option_are_removed_with_it(argv: list[str], rest: list[str]) -> None:
    """With `=` the value is part of the argument, and the next argument is checked like any other."""
    assert without_reserved(argv)[0] == rest
