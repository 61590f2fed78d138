from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cortexctl.spec.container import ContainerSpec
from cortexctl.vllm import catalogue, diagnosis
from cortexctl.vllm.argv import arguments, entrypoint
from cortexctl.vllm.check import Finding, check_args, check_extra_args
from cortexctl.vllm.diagnosis import diagnose, last_error_line, strip_prefix, without_frames
from cortexctl.vllm.owned import ALIASES, OWNED
from cortexctl.vllm.progress import stage
from cortexctl.vllm.version import NEWEST_KNOWN, parse_release, release_from_image


def _spec(release: str | None = "0.32.0", **fields: Any) -> ContainerSpec:
    known: dict[str, Any] = {
        "image": "vllm/vllm-openai:v0.32.0",
        "model": "/models/tiny",
        "served_names": ("tiny",),
        "vllm_version": release,
    }
    return ContainerSpec(**known | fields)


def _words_of(release: str, **args: Any) -> list[str]:
    """What is rendered for `args`, without what every launch has."""
    plain = arguments(_spec(release, drain=0))
    words = arguments(_spec(release, drain=0, args=args))
    assert words[: len(plain)] == plain
    return words[len(plain) :]


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
        ("registry.example:5000/team/vllm-openai:v0.32.0", "0.32.0"),
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
def test_what_is_no_release_is_refused(text: str) -> None:
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
    assert set(OWNED) <= known


def test_the_newest_release_is_the_catalogues() -> None:
    assert catalogue.releases()[-1] == NEWEST_KNOWN


# argv


@pytest.mark.parametrize("release", ["0.6.0", "0.9.2", "0.10.0", "0.11.0"])
def test_before_0_11_1_the_api_server_module_takes_the_model_as_an_option(release: str) -> None:
    """0.10 takes a positional model without a word and serves another one."""
    spec = _spec(release)
    assert entrypoint(spec) == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    assert arguments(spec)[:2] == ["--model", "/models/tiny"]


@pytest.mark.parametrize("release", ["0.11.1", "0.11.2", "0.32.0", NEWEST_KNOWN, None])
def test_from_0_11_1_vllm_serve_takes_the_model_first(release: str | None) -> None:
    """First: after an option that takes several values it would be swallowed."""
    spec = _spec(release, served_names=("a", "b"), args={"cudagraph_capture_sizes": [1, 2]})
    assert entrypoint(spec) == ["vllm", "serve"]
    assert arguments(spec)[0] == "/models/tiny"
    assert "--model" not in arguments(spec)


def test_the_whole_line_of_a_release() -> None:
    spec = _spec(
        served_names=("tiny", "alias"),
        args={"tensor_parallel_size": 2, "dtype": "half", "revision": "main"},
        extra_args=("--quux", "1"),
        drain=60,
    )
    assert arguments(spec) == [
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
    words = arguments(_spec(release, drain=45))
    assert ("--shutdown-timeout" in words) is has
    if has:
        assert words[words.index("--shutdown-timeout") + 1] == "45"


def test_no_drain_gives_no_shutdown_timeout() -> None:
    assert "--shutdown-timeout" not in arguments(_spec("0.32.0", drain=0))


@pytest.mark.parametrize(
    ("release", "on", "words"),
    [
        ("0.6.0", True, ["--enable-chunked-prefill=true"]),
        ("0.8.4", True, ["--enable-chunked-prefill=true"]),
        ("0.8.4", False, ["--enable-chunked-prefill=false"]),
        ("0.8.5", True, ["--enable-chunked-prefill"]),
        ("0.8.5", False, ["--no-enable-chunked-prefill"]),
        ("0.32.0", False, ["--no-enable-chunked-prefill"]),
    ],
)
def test_chunked_prefill_takes_a_word_up_to_0_8_4_and_is_a_pair_after(release: str, on: bool, words: list[str]) -> None:
    assert _words_of(release, enable_chunked_prefill=on) == words


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
def test_a_switch_is_turned_off_only_where_its_off_form_exists(name: str, before: str, since: str) -> None:
    flag = name.replace("_", "-")
    assert _words_of(before, **{name: True}) == [f"--{flag}"]
    assert _words_of(before, **{name: False}) == []
    assert _words_of(since, **{name: True}) == [f"--{flag}"]
    assert _words_of(since, **{name: False}) == [f"--no-{flag}"]


@pytest.mark.parametrize(
    ("args", "words"),
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
def test_a_value_is_rendered_in_the_words_of_the_command_line(args: dict[str, Any], words: list[str]) -> None:
    assert _words_of("0.32.0", **args) == words


def test_the_order_of_the_words_does_not_depend_on_the_order_of_the_mappings() -> None:
    args: Mapping[str, Any] = {
        "tensor_parallel_size": 2,
        "hf_overrides": {"b": 1, "a": 2},
        "dtype": "half",
        "enforce_eager": True,
    }
    turned = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(list(args.items()))}
    assert list(turned) != list(args)
    assert arguments(_spec(args=turned)) == arguments(_spec(args=args))


def test_extra_words_come_last_and_as_they_are() -> None:
    words = arguments(_spec(args={"seed": 1}, extra_args=("--z", "a b", "--a")))
    assert words[-3:] == ["--z", "a b", "--a"]


# which release takes which arguments


def _rules(args: dict[str, Any], release: str | None) -> list[str]:
    return [f.rule for f in check_args(args, release)]


@pytest.mark.parametrize(
    ("args", "takes", "refuses", "rule", "said"),
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
    args: dict[str, Any], takes: str, refuses: str, rule: str, said: str
) -> None:
    assert [f for f in check_args(args, takes) if f.fatal] == []
    (finding,) = check_args(args, refuses)
    assert finding.rule == rule
    assert finding.fatal
    assert finding.argument == next(iter(args))
    assert refuses in finding.summary
    assert said in finding.summary


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
    assert "the V1 engine swaps nothing" in finding.help


def test_a_value_that_no_release_has_is_refused_whatever_the_release() -> None:
    for release in (None, "0.10.2", "0.32.0"):
        (finding,) = check_args({"dtype": "int8"}, release)
        assert (finding.rule, finding.fatal) == ("CX302", True)
        assert "bfloat16" in finding.help


def test_a_value_that_the_parser_does_not_look_at_is_a_warning() -> None:
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
def test_a_raw_word_must_not_say_what_has_a_name_of_its_own(word: str, name: str, advice: str) -> None:
    (finding,) = check_extra_args((word,), "0.32.0", {})
    assert (finding.argument, finding.rule, finding.fatal) == (name, "CX304", True)
    assert advice in finding.help
    assert "abc" not in finding.summary + finding.help


def test_raw_words_that_the_release_knows_are_good_unless_they_are_said_twice() -> None:
    words = ("-O3", "--dtype", "half", "--compilation-config.backend", "eager")
    assert check_extra_args(words, "0.32.0", {"max_model_len": 1}) == []
    (found,) = check_extra_args(words, "0.32.0", {"dtype": "auto"})
    assert (found.argument, found.rule, found.summary) == ("dtype", "CX304", "--dtype is in args, too")


def test_every_raw_word_is_judged() -> None:
    words = ("--port", "1", "--quux", "--dtype", "int8", "--swap-space", "4")
    found = check_extra_args(words, "0.32.0", {})
    assert [(f.argument, f.rule, f.fatal) for f in found] == [
        ("port", "CX304", True),
        ("dtype", "CX301", True),
        ("quux", "CX310", False),
        ("swap_space", "CX301", True),
    ]
    assert "last in" not in found[1].summary
    assert "0.6.0 to 0.17.1" in found[3].summary


def test_what_is_newer_than_the_catalogue_is_only_likely() -> None:
    (found,) = check_args({"swap_space": 4.0}, "0.99.0")
    assert not found.fatal
    assert f"by vLLM {NEWEST_KNOWN}, the newest that cortexctl knows" in found.help


def test_nested_keys_are_judged_where_vllm_would_pass_over_them() -> None:
    (found,) = check_args({"kv_transfer_config": {"kv_ip": "h", "kv_connector": "X", "kv_role": "kv_both"}}, "0.33.0")
    assert (found.rule, found.argument) == ("CX302", "kv_transfer_config")
    assert "kv_ip" in found.summary
    assert check_args({"compilation_config": {"mode": 3, "pass_config": {"fuse_norm_quant": True}}}, "0.32.0") == []


def test_sleep_mode_and_expandable_segments() -> None:
    env = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    (found,) = check_args({"enable_sleep_mode": True}, "0.20.0", env)
    assert found.rule == "CX305"
    assert check_args({"enable_sleep_mode": True}, "0.20.1", env) == []


def test_a_finding_is_fatal_unless_it_says_otherwise() -> None:
    assert Finding("x", "CX301", "gone").fatal


# diagnosis of a log

CORE = "(EngineCore_DP0 pid=268) ERROR 10-21 00:35:03 [core.py:708] "

SAMPLES = {
    "no such repository": (
        "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1-6)",
        "there is no such repository, or it is private and the token is missing",
        "check `source.repo`",
    ),
    "architecture dropped": (
        (
            "ValueError: Model architecture MllamaForConditionalGeneration was supported in vLLM until v0.10.2, and is "
            "not supported anymore."
        ),
        "this vLLM release no longer supports the architecture MllamaForConditionalGeneration (last in 0.10.2)",
        "pin an image of vLLM 0.10.2 or older",
    ),
    "unknown argument": (
        "vllm: error: unrecognized arguments: --no-such-flag --other 3",
        "this vLLM release does not know: --no-such-flag --other 3",
        "extra_args",
    ),
    "bad value for the parser": (
        "vllm serve: error: argument --max-model-len: invalid human_readable_int_or_auto value: 'abc'",
        "vLLM's parser refuses --max-model-len: invalid human_readable_int_or_auto value: 'abc'",
        "`args`",
    ),
    "bad choice for the parser": (
        "vllm serve: error: argument --dtype: invalid choice: 'fp64' (choose from auto, bfloat16, float, float16, float32, half)",
        "vLLM's parser refuses --dtype: invalid choice: 'fp64' (choose from auto, bfloat16, float, float16, float32, half)",
        "`args`",
    ),
    "no such folder": (
        (
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': "
            "'/models/nope'. Use `repo_type` argument if needed."
        ),
        "there is no model at /models/nope in the container",
        "models_dir",
    ),
    "offline and not in the cache": (
        (
            "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the "
            "specified revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and "
            "downloads online, set 'HF_HUB_OFFLINE=0' as environment variable."
        ),
        "the container is offline",
        "`hf_cache`",
    ),
    "gated": (
        "OSError: You are trying to access a gated repo.",
        "gated",
        "HF_TOKEN",
    ),
    "no access": (
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-0a1b2c3d)",
        "gated",
        "HF_TOKEN",
    ),
    "longer than the model": (
        (
            "(APIServer pid=53)   Value error, User-specified max_model_len (65536) is greater than the derived max_model_len "
            "(max_position_embeddings=32768.0 or model_max_length=None in model's config.json). To allow overriding this "
            "maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. [type=value_error, "
            "input_value=ArgsKwargs((), {'model': ...nderer_num_workers': 1}), input_type=ArgsKwargs]"
        ),
        "max_model_len 65536 is beyond what the model was made for (32768)",
        "args.max_model_len to 32768 or less",
    ),
    "longer than an old release's model": (
        (
            "ValueError: User-specified max_model_len (25000) is greater than the derived max_model_len (None=4096 in model's "
            "config.json). This may lead to incorrect model outputs or CUDA errors."
        ),
        "max_model_len 25000 is beyond what the model was made for (4096)",
        "args.max_model_len to 4096 or less",
    ),
    "longer than the model, in other words": (
        "ValueError: max_model_len (32768) is greater than the derived max_model_len (16384)",
        "max_model_len is beyond what the model was made for",
        "args.max_model_len",
    ),
    "cache too small for one request": (
        CORE
        + "ValueError: To serve at least one request with the models's max seq len (262144), (24.00 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (8.04 GiB). Based on the available memory, the "
        "estimated maximum model length is 87840. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` "
        "when initializing the engine.",
        "the KV cache is too small for one request of max_model_len; 87840 tokens would fit",
        "args.max_model_len = 87840 or less",
    ),
    "no cache at all": (
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing "
            "the engine."
        ),
        "nothing is left for the KV cache after the weights",
        "args.gpu_memory_utilization",
    ),
    "GPU in use": (
        (
            "(EngineCore pid=17635) ValueError: Free memory on device cuda:0 (7.34/15.49 GiB) on startup is less than desired "
            "GPU memory utilization (0.8, 12.39 GiB). Decrease GPU memory utilization or reduce GPU memory used by other "
            "processes."
        ),
        "only 7.34 of 15.49 GiB of GPU memory are free, and the model asks for a share of 0.8",
        "args.gpu_memory_utilization below 0.8",
    ),
    "GPU in use, older words": (
        (
            "ValueError: Free memory on device (10.47/79.44 GiB) on startup is less than desired GPU memory utilization "
            "(0.96, 76.26 GiB)."
        ),
        "only 10.47 of 79.44 GiB of GPU memory are free, and the model asks for a share of 0.96",
        "args.gpu_memory_utilization below 0.96",
    ),
    "out of GPU memory": (
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 266.00 MiB. GPU 0 has a total capacity of 79.10 GiB "
            "of which 17.88 MiB is free."
        ),
        "the GPU's memory ran out",
        "args.gpu_memory_utilization",
    ),
    "host memory": (
        (
            "ValueError: Available memory on node 0 (0.06/0.88 GiB) on kv cache allocation is less than requested memory for "
            "kv (1.0 GiB)"
        ),
        "the KV cache asks for 1.0 GiB and only 0.06 of 0.88 GiB of memory are available",
        "VLLM_CPU_KVCACHE_SPACE",
    ),
    "shared memory": (
        (
            "RuntimeError: Insufficient space in /dev/shm: 160 MiB required, 64 MiB free. Increase /dev/shm (e.g. --shm-size "
            "or --ipc=host)"
        ),
        "/dev/shm in the container is too small",
        'shm_size = "2 GiB"',
    ),
    "attention heads": (
        "ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (3).",
        "40 attention heads cannot be split over tensor_parallel_size 3",
        "divides 40",
    ),
    "architecture": (
        (
            "(APIServer pid=352089)   Value error, Model architectures ['DeepseekOCRForCausalLM'] are not supported for now. "
            "Supported architectures: dict_keys(['ApertusForCausalLM', 'AquilaModel'])"
        ),
        "this vLLM release does not support the architecture 'DeepseekOCRForCausalLM'",
        "newer image",
    ),
    "code of its own": (
        "Please pass the argument `trust_remote_code=True` to allow custom code to be run.",
        "the model brings code of its own",
        "args.trust_remote_code = true",
    ),
    "bfloat16": (
        (
            "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has "
            "compute capability 7.5. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for example: "
            "--dtype=half."
        ),
        "this GPU has no bfloat16",
        'args.dtype = "half"',
    ),
    "no GPU driver": (
        'Error response from daemon: could not select device driver "" with capabilities: [[gpu]]',
        "the engine cannot hand out GPUs on this host",
        "NVIDIA container toolkit",
    ),
    "no GPU library": (
        (
            "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object "
            "file: no such file or directory"
        ),
        "the engine cannot hand out GPUs on this host",
        'gpus = "none"',
    ),
    "port": (
        "OSError: [Errno 98] Address already in use",
        "the server's port is taken",
        "`publish`",
    ),
    "published port": (
        (
            "driver failed programming external connectivity on endpoint vllm-model-tiny: Bind for 127.0.0.1:8801 failed: "
            "port is already allocated"
        ),
        "the server's port is taken",
        "`publish`",
    ),
    "mounted folder": (
        'invalid mount config for type "bind": bind source path does not exist: /var/cortex/models',
        "the folder /var/cortex/models does not exist on the host",
        "models_dir",
    ),
}

NOISE = [
    "INFO 10-21 00:34:40 [__init__.py:216] Automatically detected platform cuda.",
    "(APIServer pid=1) INFO 10-21 00:34:43 [api_server.py:1839] vLLM API server version 0.11.0",
    "(EngineCore_DP0 pid=268) INFO 10-21 00:34:55 [gpu_model_runner.py:2653] Model loading took 3.0 GiB",
]
AFTER = [
    "(EngineCore_DP0 pid=268) Traceback (most recent call last):",
    '(EngineCore_DP0 pid=268)   File "/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/core.py", line 699, in run',
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}",
]


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_line_of_vllm_gives_its_cause_and_the_edit_that_mends_it(name: str) -> None:
    line, cause, mend = SAMPLES[name]
    found = diagnose([*NOISE, line, *AFTER])
    assert found is not None
    assert cause in found.cause
    assert mend in found.mend
    assert found.evidence == strip_prefix(line)


def test_every_known_pattern_has_a_sample() -> None:
    patterns = [p.regex for p in diagnosis._PATTERNS]
    hit = {next(r.pattern for r in patterns if r.search(line)) for line, _, _ in SAMPLES.values()}
    assert [r.pattern for r in patterns if r.pattern not in hit] == []


@pytest.mark.parametrize(
    "log",
    [
        [],
        [""],
        NOISE,
        [*NOISE, *AFTER],
        ["RuntimeError: something that nobody has seen before"],
        ['INFO:     10.0.0.3:51224 - "POST /v1/completions HTTP/1.1" 401 Unauthorized'],
    ],
    ids=["nothing", "an empty line", "a good start", "no known cause", "an unknown cause", "an access log"],
)
def test_a_log_without_a_known_cause_gives_none(log: list[str]) -> None:
    assert diagnose(log) is None


def test_the_more_precise_cause_wins_wherever_it_stands() -> None:
    precise = SAMPLES["GPU in use"][0]
    vague = SAMPLES["out of GPU memory"][0]
    for log in ([precise, vague], [vague, precise]):
        found = diagnose(log)
        assert found is not None
        assert found.evidence == strip_prefix(precise)


def test_of_two_lines_with_the_same_cause_the_last_is_the_evidence() -> None:
    first = "ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (3)."
    last = "ValueError: Total number of attention heads (32) must be divisible by tensor parallel size (5)."
    found = diagnose([first, last])
    assert found is not None
    assert found.evidence == last
    assert "32 attention heads" in found.cause


# the last word about an error


@pytest.mark.parametrize("logger", ["(APIServer pid=53) ", CORE])
def test_the_last_error_line_passes_over_help_links(logger: str) -> None:
    log = [
        f"{logger}ValueError: `foo` is not a quantization method",
        f"{logger}    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
    ]
    assert last_error_line(log) == "ValueError: `foo` is not a quantization method"


def test_the_last_error_line_passes_over_the_pointer_upwards() -> None:
    log = [
        CORE + "ValueError: No available memory for the cache blocks.",
        "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        "",
    ]
    assert last_error_line(log) == "ValueError: No available memory for the cache blocks."


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ([], ""),
        (["", "  "], ""),
        (["starting", "  still starting", ""], "still starting"),
        (["vllm: error: unrecognized arguments: --x", "bye"], "vllm: error: unrecognized arguments: --x"),
        (["KeyError: 'a'", "ValueError: b", "done"], "ValueError: b"),
        (["bash: line 1: exec: nvidia-smi: cannot execute", "exit"], "bash: line 1: exec: nvidia-smi: cannot execute"),
    ],
)
def test_the_last_error_line_is_the_last_that_speaks_of_one(log: list[str], line: str) -> None:
    assert last_error_line(log) == line


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("(EngineCore pid=7) ERROR 11-24 06:00:00 [core.py:1] ValueError: x", "ValueError: x"),
        ("(EngineCore_DP0 pid=268) ERROR 10-21 00:35:03 [core.py:708] ValueError: x", "ValueError: x"),
        ("(APIServer pid=1) ValueError: x", "ValueError: x"),
        ("WARNING 10-21 00:35:03 [utils.py:1] careful", "careful"),
        ("INFO 10-21 00:35:03 [v1/engine/core.py:12] hello", "hello"),
        ("ERROR without a time", "ERROR without a time"),
        ("  plain  ", "plain"),
        ("(not a prefix) text", "(not a prefix) text"),
    ],
)
def test_the_prefix_of_the_logger_is_stripped_and_nothing_else(line: str, text: str) -> None:
    assert strip_prefix(line) == text


def test_a_log_without_the_frames_of_tracebacks_keeps_what_was_said() -> None:
    said = [NOISE[1], CORE + "ValueError: x", "(APIServer pid=1) RuntimeError: y"]
    frames = [
        "Traceback (most recent call last):",
        '  File "/usr/lib/python3.12/runpy.py", line 198, in _run_module_as_main',
        "    return _run_code(code, main_globals, None,",
        "",
        CORE + '  File "/vllm/v1/engine/core.py", line 699, in run_engine_core',
    ]
    assert without_frames([said[0], *frames, said[1], *frames, said[2]]) == said


# stages of a start

STAGES = [
    ("INFO 10-21 00:34:49 [model.py:547] Resolved architecture: LlamaForCausalLM", "engine starting"),
    (
        "(EngineCore pid=7) INFO 10-21 00:34:50 [core.py:77] Initializing a V1 LLM engine (v0.32.0) with config: x",
        "engine starting",
    ),
    ("Fetching 12 files:   8%|8         | 1/12 [00:00<00:05,  2.00it/s]", "downloading the model"),
    ("Downloading shards: 10%", "downloading the model"),
    ("INFO 10-21 00:34:54 [gpu_model_runner.py:2602] Starting to load model /models/tiny...", "loading weights"),
    ("Loading safetensors checkpoint shards:  45% Completed | 5/11 [00:03<00:04,  1.50it/s]", "loading weights 45%"),
    ("Loading pt checkpoint shards: 100% Completed | 1/1 [00:00<00:00,  1.50it/s]", "loading weights 100%"),
    ("INFO 10-21 00:35:00 [default_loader.py:267] Loading weights took 3.21 seconds", "weights loaded"),
    ("INFO 10-21 00:35:01 [gpu_model_runner.py:2653] Model loading took 3.0 GiB and 4.5 seconds", "weights loaded"),
    ("INFO 10-21 00:35:05 [backends.py:559] Dynamo bytecode transform time: 5.20 s", "compiling"),
    ("INFO 10-21 00:35:09 [backends.py:215] Compiling a graph for dynamic shape takes 12.5 s", "compiling"),
    ("INFO 10-21 00:35:10 [monitor.py:34] torch.compile takes 17.7 s in total", "compiling"),
    ("INFO 10-21 00:35:12 [kv_cache_utils.py:1087] GPU KV cache size: 75,680 tokens", "KV cache allocated"),
    ("INFO 10-21 00:35:12 [cpu_worker.py:1] CPU KV cache size: 1,048,576 tokens", "KV cache allocated"),
    ("INFO 02-21 00:35:12 [executor_base.py:110] # CUDA blocks: 1, # CPU blocks: 2048", "KV cache allocated"),
    (
        "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  57%|#####7    | 38/67 [00:02<00:01, 20.0it/s]",
        "capturing graphs 57%",
    ),
    (
        "INFO 02-21 00:35:13 [model_runner.py:1442] Capturing cudagraphs for decoding. This may lead to unexpected",
        "capturing graphs",
    ),
    (
        "INFO 10-21 00:35:20 [gpu_model_runner.py:3480] Graph capturing finished in 5 secs, took 0.53 GiB",
        "engine ready",
    ),
    (
        "INFO 10-21 00:35:21 [core.py:210] init engine (profile, create kv cache, warmup model) took 19.5 seconds",
        "engine ready",
    ),
    ("INFO 10-21 00:35:25 [launcher.py:34] Available routes are:", "server up"),
    ("INFO:     Application startup complete.", "server up"),
]


@pytest.mark.parametrize(("line", "expected"), STAGES)
def test_a_line_of_a_start_tells_its_stage(line: str, expected: str) -> None:
    assert stage([line]) == expected


def test_the_latest_stage_counts() -> None:
    assert stage([line for line, _ in STAGES]) == "server up"
    assert stage([STAGES[3][0], STAGES[5][0], "something that says nothing", ""]) == "loading weights 45%"


def test_before_the_first_stage_nothing_is_said() -> None:
    assert stage([]) == ""
    assert stage(["INFO 10-21 00:34:40 [__init__.py:216] Automatically detected platform cuda."]) == ""


def test_a_line_with_braces_is_only_text() -> None:
    assert stage(["Starting to load model {0} {x}"]) == "loading weights"
