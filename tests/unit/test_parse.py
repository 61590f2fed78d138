"""Words read as each release's own parser reads them: against the verdicts that those parsers gave."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortexctl.engines.vllm.catalogue.catalogue import Release, release, releases
from cortexctl.engines.vllm.command.parse import Parsed, parse
from cortexctl.engines.vllm.command.verdict import judge

VERDICTS = Path(__file__).parent.parent / "cases" / "catalogue" / "verdicts.json.xz"
CLASSES = "a value inside a config that its class refuses, of which the catalogue has no type"
SWALLOWED = "keys that the release swallows, which is worse than a refusal"
OTHERWISE = {
    ("m", "-O9"): "a number that the config's class refuses in some releases",
    ("m", "--guided-decoding-backend", "outlines"): "choices that the release draws by lot in every process",
    ("m", "--guided-decoding-backend", "lm-format-enforcer"): "choices that the release draws by lot in every process",
    ("m", "--compilation-config", '{"cudagraph_mode": "NONSENSE"}'): CLASSES,
    ("m", "--compilation-config", '{"cudagraph_capture_sizes": "1"}'): CLASSES,
    ("m", "--compilation-config.cudagraph_capture_sizes", "[1, 2]"): CLASSES,
    ("m", "--kv-transfer-config", '{"kv_connector": "X"}'): "a companion key is missing, which is checked apart",
    ("m", "--kv-transfer-config", '{"kv_connector": "X", "kv_role": "kv_both"}'): CLASSES,
    ("m", "--kv-transfer-config", '{"kv_role": "nonsense"}'): CLASSES,
    ("m", "--pooler-config", '{"pooling_type": "nonsense"}'): CLASSES,
    ("m", "--structured-outputs-config", '{"backend": "nonsense"}'): CLASSES,
    ("m", "--eplb-config", '{"window_size": "ten"}'): CLASSES,
    ("m", "--compilation-config", '{"mode": 3}'): SWALLOWED,
    ("m", "--compilation-config", '{"cudagraph_mode": "FULL"}'): SWALLOWED,
    ("m", "--compilation-config", '{"nonsense": 1}'): SWALLOWED,
    ("m", "--kv-transfer-config", '{"nonsense": 1}'): SWALLOWED,
    ("m", "--override-pooler-config", '{"nonsense": 1}'): SWALLOWED,
    ("m", "--compilation-config", "3"): "a level, as the config that it stands for",
    ("m", "--compilation-config", "1"): "a level, as the config that it stands for",
    ("m", "--compilation-config=1"): "a level, as the config that it stands for",
    ("m", "-O0"): "a level that is the default, as the config that it stands for",
    ("m", "--config=1"): "files are not read",
}
"""The differences from some release, with reasons. The checks of a stack are stricter than this parser."""
SPELLED_OUT = {"lora_modules", "prompt_adapters"}
"""vLLM makes objects of these, with fields of its own."""


def verdicts() -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
    """(argv, release, the verdict of its parser), for the first and the last release of each verdict."""
    data = json.loads(lzma.decompress(VERDICTS.read_bytes()))
    for argv, row in zip(data["lists"], data["rows"], strict=True):
        begins, last = row[::2], len(data["releases"]) - 1
        for first, outcome, until in zip(begins, row[1::2], [*begins[1:], last + 1], strict=True):
            for number in sorted({first, until - 1}):
                yield tuple(argv), data["releases"][number], data["outcomes"][outcome]


def by_dest(parsed: Parsed, of: Release) -> dict[str, Any]:
    """The values as the parser's namespace has them, without those that are the default."""
    values = {}
    for name, value in parsed.options.items():
        option = of.option(name)
        assert option is not None
        values[option.dest] = value
    return values | ({"model_tag": parsed.model} if parsed.model else {})


def same(ours: Any, theirs: Any) -> bool:
    """A config object has its class's name and what it fills in beside the keys that were given."""
    if isinstance(theirs, dict) and "object" in theirs and isinstance(ours, dict):
        return ours.keys() <= theirs.keys()
    return json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)


def test_every_verdict_is_the_parsers_own() -> None:
    wrong, seen = [], 0
    for argv, version, theirs in verdicts():
        if argv in OTHERWISE or "--config" in argv:
            continue
        seen += 1
        ours = judge(argv, version).verdict
        expected = {"value", "required"} if theirs["verdict"] in {"exception", "exit"} else {theirs["verdict"]}
        if ours not in expected:
            wrong.append((argv, version, theirs, ours))
    assert seen > 5000
    assert wrong == []


def test_every_value_is_the_parsers_own() -> None:
    wrong, seen = [], 0
    for argv, version, theirs in verdicts():
        if "values" not in theirs or argv in OTHERWISE or "--config" in argv:
            continue
        of = release(version)
        ours = by_dest(parse(argv, of), of)
        for dest, value in theirs["values"].items():
            seen += 1
            if dest not in SPELLED_OUT and not same(ours.get(dest), value):
                wrong.append((argv, version, dest, ours.get(dest), value))
    assert seen > 1000
    assert wrong == []


@pytest.mark.parametrize("version", releases())
def test_one_meaning_in_every_spelling(version: str) -> None:
    of = release(version)
    spellings = [
        ["m", "--tensor-parallel-size", "2"],
        ["m", "--tensor-parallel-size=2"],
        ["m", "--tensor_parallel_size", "2"],
        ["m", "-tp", "2"],
        ["m", "-tp=2"],
        ["-tp", "2", "m"],
        ["m", "-tp", "4", "-tp", "2"],
    ]
    parsed = [parse(argv, of) for argv in spellings]
    assert [p.options for p in parsed] == [{"tensor_parallel_size": 2}] * len(spellings)
    assert [p.model for p in parsed] == ["m"] * len(spellings)


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ("--max-model-len 8k", {"max_model_len": 8000}),
        ("--max_model_len=8K", {"max_model_len": 8192}),
        ("--max-model-len auto", {"max_model_len": -1}),
        ("-O3", {"optimization_level": "3"}),
        ("-O 3", {"optimization_level": "3"}),
        ("-cc.mode 3 --compilation-config.backend eager", {"compilation_config": {"mode": 3, "backend": "eager"}}),
        ("-cc.cudagraph_capture_sizes+ 1 -cc.cudagraph_capture_sizes+=2", {"compilation_config": {"cudagraph_capture_sizes": [1, 2]}}),
        ("-Ofast", {"optimization_level": "fast"}),
        ("-O.mode=3", {"optimization_level": ".mode=3"}),
        ("--hf-overrides.a+ 1,x --hf-overrides.a+=[2]", {"hf_overrides": {"a": ["1", "x", "[2]"]}}),
        ("--watermark=-2.5", {"watermark": -2.5}),
        ("--eplb-config.log_balancedness yes", {"eplb_config": {"log_balancedness": "yes"}}),
        ("--pooler-config.pooling_type LAST", {"pooler_config": {"pooling_type": "LAST"}}),
        ("--kv-transfer-config.kv_role null", {"kv_transfer_config": {"kv_role": None}}),
        ("--no-enable-prefix-caching", {"enable_prefix_caching": False}),
        ("--disable-prefix-caching", {"enable_prefix_caching": False}),
        ("--gpu-mem 0.5", {"gpu_memory_utilization": 0.5}),
    ],
)  # fmt: skip
def test_spellings_of_the_newest_release(argv: str, options: dict[str, Any]) -> None:
    parsed = parse(["m", *argv.split()], release("0.33.0"))
    assert parsed.accepted
    assert parsed.options == options


@pytest.mark.parametrize(
    "argv",
    [
        "--watermark -2.5",
        "-O.mode 3",
        "-O 12",
        "--hf-overrides.a",
        '--compilation-config.cudagraph_mode "1"',
        "--eplb-config.log_balancedness 2",
        "--eplb-config.step_interval 0",
        "--eplb-config.communicator pynccl",
        "--profiler-config.profiler torch",
        "--profiler-config.torch_profiler_dir /d",
        "--structured-outputs-config.disable_any_whitespace true",
        "--pooler-config.pooling_type LAST --pooler-config.seq_pooling_type MEAN",
        "--engram-config.cpu_offload false --engram-config.dp_shared_memory true",
    ],
)
def test_arguments_that_the_newest_release_refuses(argv: str) -> None:
    """The parser of the release refuses each of them."""
    assert not parse(["m", *argv.split()], release("0.33.0")).accepted


def test_options_without_a_model_are_refused_if_the_release_needs_it() -> None:
    argv = ["--port", "1", "--served-model-name", "n"]
    assert not parse(argv, release("0.32.0")).accepted
    assert parse(["m", *argv], release("0.32.0")).accepted
    assert parse([*argv, "--model", "m"], release("0.32.0")).model == "m"
    assert parse(argv, release("0.16.0")).accepted


def test_all_errors_are_reported_at_once() -> None:
    argv = [
        "m",
        "--max-model-len",
        "many",
        "--dtype",
        "float8",
        "--bogus",
        "x",
        "--compilation-config",
        '{"nonsense": 1}',
    ]
    parsed = parse(argv, release("0.33.0"))
    assert parsed.unknown == ("--bogus", "x")
    assert [t.option for t in parsed.errors] == ["max_model_len", "dtype", "compilation_config"]
    assert parsed.errors[1].text == '--dtype: "float8" is not one of auto, bfloat16, float, float16, float32, half'


def test_a_missing_value_and_an_ambiguous_beginning_are_sentences() -> None:
    assert parse(["m", "--max-model-len"], release("0.33.0")).errors[0].option == "max_model_len"
    assert "ambiguous" in parse(["m", "--max-num", "1"], release("0.33.0")).errors[0].text
