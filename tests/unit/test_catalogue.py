"""The catalogue against what was extracted from every release, and against the verdicts of the releases' own parsers.

tests/cases/catalogue holds both, written by tools/vllm_catalogue: records.json.xz (each release's options as argparse has
them, its registries, and the results of its `type=` functions for probing words) and verdicts.json.xz (argument lists and verdicts).
"""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cortexctl.engines.vllm.catalogue import catalogue, reviewed
from cortexctl.engines.vllm.catalogue.catalogue import Release, release, releases
from cortexctl.engines.vllm.catalogue.facts import Option, Span
from cortexctl.engines.vllm.catalogue.reviewed import VALUE, Instead, Ranged
from cortexctl.engines.vllm.catalogue.value_kinds import convert
from cortexctl.engines.vllm.version import NEWEST_KNOWN, parse_release
from tools.reviewed import GENERATED, WRITTEN, text_of

CASES = Path(__file__).parent.parent / "cases" / "catalogue"
FILE = Path(catalogue.__file__).with_name("catalogue.json")

Record = dict[str, Any]


@cache
def packed(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(lzma.decompress((CASES / name).read_bytes()))
    return content


def records() -> list[Record]:
    recorded: list[Record] = packed("records.json.xz")["releases"]
    return recorded


EACH = pytest.mark.parametrize("version", releases())


def record_of(version: str) -> Record:
    return next(r for r in records() if r["version"] == version)


# everything that was extracted is in the catalogue, and nothing else


def test_the_releases_are_those_that_were_extracted() -> None:
    assert list(releases()) == [r["version"] for r in records()]
    assert releases()[-1] == NEWEST_KNOWN
    assert sorted(releases(), key=parse_release) == list(releases())
    for record in records():
        known = release(record["version"])
        for name in ("date", "torch", "transformers", "requires_python"):
            assert getattr(known, name) == record[name]
        for name in ("entry", "cuda", "image_python"):
            assert getattr(known, name) == record[name] or not record[name]


def raw_options(record: Record) -> dict[str, Record]:
    """Name -> option of either entry point."""
    both = [*record["options"], *record["api_server"]["own"]]
    return {next((f[2:].replace("-", "_") for f in o["flags"] if f[:2] == "--"), o["dest"]): o for o in both}


@EACH
def test_every_option_of_every_release_comes_back(version: str) -> None:
    record, known = record_of(version), release(version).options
    raw = raw_options(record)
    assert set(known) == set(raw)
    for name, option in raw.items():
        assert_same(known[name], option, record)


def assert_same(known: Option, raw: Record, record: Record) -> None:
    off = [f for f, value in raw.get("sets", {}).items() if value is False]
    assert sorted(known.flags) == sorted(f for f in raw["flags"] if f not in off), known
    assert sorted(known.off_flags) == sorted(off), known
    assert known.dest == raw["dest"]
    if raw["action"] == "StoreBoolean":
        assert (known.kind, raw["nargs"], raw["const"]) == ("word", "?", "True")
    else:
        assert known.nargs == (raw.get("nargs") or None), known
        assert known.bare == (raw["const"] if raw.get("nargs") == "?" and "const" in raw else None), known
    wanted = None if raw.get("choices") is None else set(raw["choices"])
    assert wanted == (None if known.choices is None else set(known.choices)), known
    default = (raw.get("default") or [None])[0]
    assert known.default == ({} if isinstance(default, dict) and "object" in default else default), known
    assert known.repeats == (raw["action"] == "_AppendAction")
    assert known.required == raw.get("required", False)
    assert known.config == raw.get("config", "")
    assert known.strict == ("keys" in raw and raw["keys"]["zz_unknown"] == "")
    assert dict(known.bounds) == raw.get("bounds", {})
    assert known.unsteady == raw.get("unsteady", False)
    assert known.group == ("" if raw.get("group") in {"options", "positional arguments"} else raw.get("group", ""))
    assert known.deprecated == (raw["dest"] in record["deprecated"])
    assert known.removal == record["deprecated"].get(raw["dest"], "")
    if isinstance(raw.get("metavar"), list) and wanted is None and known.name not in {"quantization", "load_format"}:
        assert set(known.soft_choices) == {str(m) for m in raw["metavar"] if m is not None}
    lacks = raw["dest"] in record["api_server"]["lacks"]
    own = raw in record["api_server"]["own"]
    assert known.entry == ("serve" if lacks else "api_server" if own else None)


ACTIONS = {
    "BooleanOptionalAction": "pair",
    "EnableDisableAction": "pair",
    "_StoreTrueAction": "switch",
    "StoreBoolean": "word",
    "LoRAParserAction": "lora",
    "PromptAdapterParserAction": "adapters",
}


@EACH
def test_every_kind_does_what_the_release_does(version: str) -> None:
    """Each probing word gives the same value as the release's own function, or both refuse it."""
    record, known = record_of(version), release(version).options
    for name, raw in raw_options(record).items():
        option = known[name]
        if raw["action"] in ACTIONS:
            assert option.kind == ACTIONS[raw["action"]]
        else:
            assert_reads_alike(option.kind, raw.get("type", ""), record, unset=option.unset)


@cache
def _reads(kind: str, number: int, *, unset: bool) -> str:
    """The first word that we read differently from the release. Empty if there is none."""
    for word, theirs in packed("records.json.xz")["types"][number].items():
        try:
            ours: Any = [convert(kind, word, unset=unset)]
        except ValueError:
            ours = "!"
        if ours == [float("inf")]:
            ours = ["inf"]
        if kind == "json_or_text" and word == " {} ":
            continue  # text to 0.9.2
        refused = isinstance(theirs, str)  # a traceback is a refusal too
        if not refused and isinstance(theirs[0], dict) and "object" in theirs[0]:
            alike = ours != "!"
        else:
            alike = ours == ("!" if refused else theirs)
        if not alike and not (word == '{"a":1}' and kind.startswith(("config", "literal"))):
            return f"{word!r}: {ours} instead of {theirs}"
    return ""


def assert_reads_alike(kind: str, described: str, record: Record, *, unset: bool) -> None:
    differences = _reads(kind, record["types"][described], unset=unset)
    assert not differences, f"{record['version']} {kind} {described}: {differences}"


SAMPLES = {"b": True, "i": 7, "f": 1.5, "s": "zz", "d": "7", "l": [], "L": ["zz"], "I": [7], "o": {}, "n": None}
"""The values that every key was tried with."""


@EACH
def test_every_nested_key_comes_back(version: str) -> None:
    record, known = record_of(version), release(version)
    taken = {o["config"]: o["keys"] for o in record["options"] if "keys" in o}
    for config, keys in record["configs"].items():
        assert set(known.keys(config)) == set(keys)
        for name, hint in keys.items():
            key = known.keys(config)[name]
            assert set(key.choices) == {h[1:] for h in hint if h[0] in "=~"}
            assert set(key.types) == {"object" if h.endswith("{}") else h for h in hint if h[0] not in "=~"}
            assert key.config == next((h[:-2] for h in hint if h.endswith("{}")), "")
            for letter, sample in SAMPLES.items() if name in taken.get(config, {}) else ():
                assert key.allows(sample) == (letter in taken[config][name]), f"{version} {config}.{name} {sample!r}"
    for config in json.loads(FILE.read_text())["configs"]:
        assert config in record["configs"] or not known.keys(config)


@EACH
def test_every_registry_comes_back(version: str) -> None:
    record, known = record_of(version), release(version)
    registries = record["registries"]
    groups = registries["architectures"]
    whole = groups.get("_VLLM_MODELS") or groups["_MODELS"]
    assert {name for name in catalogue.architecture_names() if known.architecture(name)} == set(whole)
    for group, ours in (("_EMBEDDING_MODELS", "embedding"), ("_SPECULATIVE_DECODING_MODELS", "speculative")):
        alone = set(groups.get(group, ())) - set(groups.get("_TEXT_GENERATION_MODELS", ()))
        assert all(known.architecture(name) == ours for name in alone)
    assert known.environment == frozenset(registries["environment"])
    for name in ("quantization", "load_format", "attention_backend", "tool_parser", "reasoning_parser"):
        assert known.values(name) == tuple(registries[name])


@EACH
def test_the_traits_of_the_parser_match_its_recorded_behaviour(version: str) -> None:
    traits, did = release(version).parser, record_of(version)["behaviour"]
    ok = {name: seen.get("values", {}) for name, seen in did.items() if seen["verdict"] == "ok"}
    assert (traits.dotted == "") == ("dotted free" not in ok)
    assert traits.dotted_append == (ok.get("dotted append", {}).get("hf_overrides") == {"a": ["x", "y"]})
    assert traits.dotted_sizes == (ok.get("dotted size", {}).get("hf_overrides") == {"a": 80_000_000_000})
    assert traits.json_sizes == ("json size" in ok)
    assert (traits.model == "required") == ("no model" not in ok)
    assert (traits.model_flag == "moved") == (ok.get("--model", {}).get("model_tag") == "m")
    assert traits.names_first == (did["names first"]["verdict"] != "exception")
    assert (traits.o == "") == ("-O3" not in ok)
    assert (traits.o == "optimization_level") == ("optimization_level" in ok.get("-O3", {}))
    assert traits.o.startswith("compilation_config") == ("compilation_config" in ok.get("-O3", {}))
    assert traits.file_lists == (ok.get("file with list", {}).get("served_model_name") == ["a", "b"])
    assert traits.file_keys == ("file with keys" in ok)
    assert traits.lora_json == ("lora json" in ok)
    assert traits.abbreviations
    assert "prefix" in ok


# the verdicts of the releases' parsers


TRACEBACKS = {"cudagraph_mode"}
"""Keys whose unknown values end in a traceback instead of a refusal."""
SPECIAL = {"model", "model_tag", "served_model_name", "config"}
"""vLLM reads them before argparse does, or from a file."""


def predicted(known: Release, argv: list[str]) -> tuple[str, Any, Option | None]:
    """The verdict on one option, from its facts alone: verdict, value, option."""
    flags = known.flags()
    flag, equals, inline = argv[0].partition("=")
    values = [inline] if equals else argv[1:]
    if flag not in flags:
        begin = [f for f in (*flags, "--help") if f.startswith(flag)]
        if len(begin) != 1:
            return ("ambiguous" if begin else "unrecognized", None, None)
        flag = begin[0]
    option = flags[flag]
    if option.kind in {"pair", "switch"}:
        if values:
            return ("explicit" if equals else "unrecognized", None, option)
        return ("ok", flag not in option.off_flags, option)
    if not values:
        bare = True if option.kind == "word" else option.bare
        return ("ok", bare, option) if option.kind == "word" or option.nargs == "?" else ("value", None, option)
    try:
        value = convert(option.kind, values[0], unset=option.unset, sizes=known.parser.json_sizes)
    except ValueError as fault:
        traceback = option.kind == "word" or isinstance(fault.__cause__, SyntaxError)
        return ("exception" if traceback else "value", None, option)
    has_keys = option.kind.startswith(("config", "literal")) and isinstance(value, dict)
    if has_keys and not keys_are_right(known, option.config, value, strict=option.strict):
        return ("value", None, option)
    if option.choices is not None and value not in option.choices:
        return ("choice", None, option)
    return ("ok", [value] if option.nargs == "+" or option.repeats else value, option)


def keys_are_right(known: Release, config: str, value: dict[str, Any], *, strict: bool) -> bool:
    keys = known.keys(config)
    rules = [r for r in reviewed.key_rules() if r.config == config and r.holds_in(known.version)]
    for name, inner in value.items():
        key = keys.get(name)
        if key is None:
            if strict:
                return False
            continue
        if not key.allows(inner):
            return False
        if key.config and isinstance(inner, dict) and not keys_are_right(known, key.config, inner, strict=strict):
            return False
        if any(rule.is_broken_by(value, config, name, known.version) for rule in rules):
            return False
    return True


@cache
def verdicts() -> list[tuple[list[str], dict[int, int]]]:
    """Argument lists, each with its outcomes by the index of the first release."""
    recorded = packed("verdicts.json.xz")
    assert recorded["releases"] == list(releases())
    rows = [dict(zip(row[::2], row[1::2], strict=True)) for row in recorded["rows"]]
    return list(zip(recorded["lists"], rows, strict=True))


def single_options() -> Iterator[tuple[list[str], dict[int, int]]]:
    """The lists that set one option of the model m, with at most one value, in a spelling that argparse itself reads."""
    for argv, row in verdicts():
        rest = argv[1:]
        if (
            argv[:1] != ["m"]
            or not 1 <= len(rest) <= 2
            or len(rest[0]) < 3
            or rest[0].startswith(("-O", "-h", "--help", "---", "--model="))
            or rest[0] == "--model"
        ):
            continue
        if rest[0][0] != "-" or any(c in rest[0] for c in "_.") or (rest[0][1] != "-" and rest[0] not in SHORT):
            continue
        if len(rest) == 1 or (rest[1][:1] != "-" and "=" not in rest[0]):
            yield rest, row


SHORT = {flag for version in releases() for flag in release(version).flags() if not flag.startswith("--")}


@EACH
def test_single_options_are_judged_as_the_release_judged_them(version: str) -> None:
    at, known, outcomes = releases().index(version), release(version), packed("verdicts.json.xz")["outcomes"]
    judged = 0
    for argv, row in single_options():
        outcome = outcomes[row[max(j for j in row if j <= at)]]
        if outcome is None:
            continue  # a flag that came later: this release was not asked
        verdict, value, option = predicted(known, argv)
        if option is not None and (option.name in SPECIAL or option.kind in {"lora", "adapters"}):
            continue
        if option is not None and option.unsteady:
            continue
        judged += 1
        expected = outcome["verdict"]
        if expected == "exception" and any(name in argv[-1] for name in TRACEBACKS):
            expected = "value"
        assert verdict == expected, f"{version} {argv}: {outcome}"
        if verdict == "ok" and option is not None and not option.kind.startswith(("config", "literal")):
            parsed = outcome["values"].get(option.dest, option.default)
            assert parsed == value, f"{version} {argv}: {outcome}"
    assert judged > 3000


# what only people know


def test_the_program_reads_what_people_wrote() -> None:
    tables = tomllib.loads(WRITTEN.read_text(encoding="utf-8"))
    assert GENERATED.read_text(encoding="utf-8") == text_of(tables), "run make catalogue"
    assert json.loads(GENERATED.read_bytes()) == tables


def ranged() -> list[Any]:
    r = reviewed
    tables = (
        r.insteads(),
        r.no_effects(),
        r.refused_at_start(),
        r.decided_at_start(),
        r.variables(),
        r.metrics(),
        r.renderings(),
    )
    return [pytest.param(row, id=f"{type(row).__name__}-{i}") for table in tables for i, row in enumerate(table)]


@pytest.mark.parametrize("row", ranged())
def test_ranges_are_known_releases_in_order(row: Ranged) -> None:
    """A range contains every release from its first to its last."""
    known = list(releases())
    since, until = row.since or known[0], row.until or known[-1]
    assert {since, until} <= set(known)
    first, last = known.index(since), known.index(until)
    assert first <= last
    assert list(row.releases()) == known[first : last + 1]


def options_in(row: Ranged, name: str) -> list[Option]:
    options = [release(v).option(name) for v in row.releases()]
    assert all(options), f"{name} is not in {[v for v in row.releases() if not release(v).option(name)]}"
    return [o for o in options if o]


@pytest.mark.parametrize("row", reviewed.insteads(), ids=lambda r: f"{r.option}={r.value or '*'}@{r.since}")
def test_every_advised_replacement_exists(row: Instead) -> None:
    """In its whole range the option (or the value) is refused or discouraged, and every replacement exists."""
    assert catalogue.option_spans(row.option)
    assert row.text
    for version in row.releases():
        known = release(version)
        option = known.option(row.option)
        discouraged = option is None or option.deprecated or bool(reviewed.no_effect(row.option, version))
        if row.value and option is not None:
            discouraged |= row.value not in (option.choices or option.soft_choices)
        assert discouraged or better_in(row, known), f"{row.option} is plainly there in {version}"
        for target in row.set:
            assert_target(known, target, row.set[target])


def better_in(row: Instead, known: Release) -> bool:
    """Whether the release has the replacement beside the old option."""
    return bool(row.set) and all(known.option(t.partition(".")[0]) for t in row.set)


def assert_target(known: Release, target: str, value: Any) -> None:
    name, _, key = target.partition(".")
    if name == "env":
        assert key in known.environment, f"{target} in {known.version}"
        return
    option = known.option(name)
    assert option, f"{target} in {known.version}"
    assert not option.deprecated, f"{target} in {known.version}"
    if key:
        assert key in known.keys(option.config), f"{target} in {known.version}"
    elif value != VALUE and isinstance(value, str):
        enforced = option.choices or option.soft_choices
        assert not enforced or value in enforced, f"{target} = {value} in {known.version}"


@pytest.mark.parametrize(
    "row",
    [*reviewed.no_effects(), *reviewed.decided_at_start()],
    ids=lambda r: f"{r.option}@{r.since}",
)
def test_the_options_are_there_in_the_whole_range(row: Any) -> None:
    options = options_in(row, row.option)
    if isinstance(row, reviewed.DecidedAtStart):
        assert all(o.default is None for o in options)


@pytest.mark.parametrize("row", reviewed.refused_at_start(), ids=lambda r: f"{r.option}@{r.since}")
def test_the_parser_accepts_the_values_that_start_up_refuses(row: reviewed.RefusedAtStart) -> None:
    options = options_in(row, row.option)
    for companion in (row.needs, row.excludes):
        if companion:
            options_in(row, companion)
    if row.unknown:
        assert all(
            o.choices is None or row.option == "reasoning_parser" or o.name == "tool_call_parser" for o in options
        )


def test_rules_of_keys_name_keys() -> None:
    for row in reviewed.key_rules():
        for version in row.releases():
            named = {row.key, row.needs.partition("=")[0], row.excludes.partition("=")[0]} - {""}
            assert named <= set(release(version).keys(row.config)), (row, version)


def test_variables_end_with_the_release_of_the_reviewed_table() -> None:
    for row in reviewed.variables():
        spans = catalogue.environment_spans(row.name)
        if row.until:
            assert spans[-1].until == row.until
        if row.option:
            assert catalogue.option_spans(row.option)[0].since < releases()[-1]
    assert not catalogue.environment_spans("HF_HUB_TOKEN")


def test_metrics_name_their_successors() -> None:
    names = {m.name: m for m in reviewed.metrics()}
    for metric in names.values():
        if metric.instead:
            assert not names[metric.instead].until


@pytest.mark.parametrize("row", reviewed.renderings(), ids=lambda r: f"{r.field}@{r.since}")
def test_renderings_are_flags_of_their_releases(row: reviewed.Rendering) -> None:
    for version in row.releases():
        known = release(version)
        flag = row.argv[0].partition("=")[0].replace(VALUE, "")
        if flag.startswith("-"):
            option = known.flags(known.entry).get(flag)
            assert option, f"{flag} in {version}"
            if len(row.argv) > 1 and option.choices is not None and VALUE not in row.argv[1]:
                assert row.argv[1] in option.choices


def test_advice_on_a_value_goes_before_advice_on_its_option() -> None:
    advice = reviewed.instead_of("task", "0.13.0", "classify")
    assert advice
    assert advice.set == {"runner": "pooling", "convert": "classify"}
    plain = reviewed.instead_of("task", "0.13.0", "transcription")
    assert plain
    assert not plain.set
    assert reviewed.instead_of("task", "0.9.2", "embed") is None


# histories that are known from other sources


@pytest.mark.parametrize(
    ("option", "since", "until"),
    [
        ("swap_space", "0.6.0", "0.17.1"),
        ("task", "0.6.4", "0.12.0"),
        ("cuda_graph_sizes", "0.9.0", "0.12.0"),
        ("cudagraph_capture_sizes", "0.11.1", ""),
        ("max_seq_len_to_capture", "0.6.0", "0.10.2"),
        ("device", "0.6.0", "0.9.2"),
        ("engine_use_ray", "0.6.0", "0.6.1"),
        ("worker_use_ray", "0.6.0", "0.6.6.post1"),
        ("speculative_model", "0.6.0", "0.8.2"),
        ("speculative_config", "0.8.2", ""),
        ("enable_reasoning", "0.7.1", "0.9.2"),
        ("guided_decoding_backend", "0.6.0", "0.11.2"),
        ("structured_outputs_config", "0.11.0", ""),
        ("override_pooler_config", "0.6.4", "0.11.2"),
        ("chat_template_text_format", "0.6.4", "0.6.4.post1"),
        ("rope_scaling", "0.6.0", "0.11.0"),
        ("calculate_kv_scales", "0.7.0", "0.27.1"),
        ("disable_log_requests", "0.6.0", "0.16.0"),
        ("nnodes", "0.11.1", ""),
        ("async_scheduling", "0.10.0", ""),
        ("attention_backend", "0.13.0", ""),
        ("hf_config_path", "0.8.0", ""),
        ("data_parallel_size", "0.8.3", ""),
        ("max_num_partial_prefills", "0.7.3", "0.26.0"),
        ("kv_cache_memory_bytes", "0.10.2", ""),
        ("enable_sleep_mode", "0.7.0", ""),
        ("spec_model", "0.22.0", ""),
    ],
)
def test_options_come_and_go_as_known(option: str, since: str, until: str) -> None:
    assert catalogue.option_spans(option) == (Span(since, until),)


COUNTED = """
0.6.6.post1 128 106 71
0.7.3 137 120 87
0.8.5.post1 138 146 109
0.9.2 165 169 137
0.10.2 177 210 177
0.11.2 201 238 209
0.12.0 195 245 217
0.13.0 196 247 222
0.14.1 205 262 230
0.15.1 208 272 228
0.16.0 213 284 218
0.17.1 223 305 232
0.18.1 227 317 233
0.19.1 232 323 238
0.20.2 240 344 250
0.21.0 248 356 253
0.22.1 262 362 266
0.23.0 262 365 268
0.24.0 267 359 268
0.25.1 271 356 273
0.26.0 275 362 280
0.27.1 283 367 285
0.28.0 285 378 295
0.29.0 293 376 302
0.30.0 301 386 302
0.31.0 312 387 308
0.32.0 317 391 316
0.33.0 321 415 318
"""
"""Release, options of `vllm serve`, architectures, environment variables: counted by another tool."""


@pytest.mark.parametrize("row", COUNTED.strip().splitlines())
def test_there_is_as_much_as_was_counted(row: str) -> None:
    version, *counted = row.split()
    known = release(version)
    options = [o for o in known.options.values() if o.entry != "api_server"]
    architectures = [name for name in catalogue.architecture_names() if known.architecture(name)]
    assert [len(options), len(architectures), len(known.environment)] == [int(n) for n in counted]


def test_the_kinds_are_as_many_as_were_counted() -> None:
    kinds = [o.kind for o in release("0.28.0").options.values() if not o.positional]
    assert [kinds.count("pair"), kinds.count("switch"), len([k for k in kinds if k not in {"pair", "switch"}])] == [
        77,
        5,
        202,
    ]


@pytest.mark.parametrize(
    ("option", "releases_and_kinds"),
    [
        ("enable_chunked_prefill", {"0.6.0": "word", "0.8.4": "word", "0.8.5": "pair", "0.33.0": "pair"}),
        ("enable_prefix_caching", {"0.6.4": "switch", "0.6.5": "pair", "0.33.0": "pair"}),
        ("enforce_eager", {"0.8.5.post1": "switch", "0.9.0": "pair"}),
        ("max_model_len", {"0.8.3": "int", "0.8.4": "size", "0.13.0": "size", "0.14.0": "size_or_auto"}),
        ("max_num_batched_tokens", {"0.9.0": "int", "0.9.1": "size"}),
        (
            "limit_mm_per_prompt",
            {"0.8.4": "counts", "0.8.5": "counts_or_json", "0.9.2": "counts_or_json", "0.10.0": "json"},
        ),
        (
            "compilation_config",
            {"0.6.5": "literal_or_level", "0.8.5": "literal_or_level", "0.9.1": "config_or_level", "0.9.2": "config"},
        ),
        ("kv_transfer_config", {"0.6.5": "config", "0.33.0": "config"}),
        ("device_ids", {"0.24.0": "items"}),
        ("guided_decoding_disable_fallback", {"0.11.0": "truthy"}),
    ],
)
def test_kinds_change_when_known(option: str, releases_and_kinds: dict[str, str]) -> None:
    for version, kind in releases_and_kinds.items():
        known = release(version).option(option)
        assert known
        assert known.kind == kind, version


def choices(version: str, option: str) -> set[Any] | None:
    known = release(version).option(option)
    assert known
    return None if known.choices is None else set(known.choices)


def test_choices_change_when_known() -> None:
    assert choices("0.9.2", "kv_cache_dtype") == {"auto", "fp8", "fp8_e4m3", "fp8_e5m2"}
    assert "fp8_inc" in (choices("0.10.0", "kv_cache_dtype") or ())
    assert "bfloat16" in (choices("0.11.0", "kv_cache_dtype") or ())
    assert choices("0.33.0", "kv_cache_dtype") is None
    assert choices("0.6.0", "block_size") == {8, 16, 32}
    assert choices("0.6.4", "block_size") == {8, 16, 32, 64, 128}
    assert choices("0.6.5", "block_size") == {8, 16, 32}
    assert 1 not in (choices("0.8.4", "block_size") or ())
    assert 1 in (choices("0.8.5", "block_size") or ())
    assert choices("0.18.0", "block_size") is None
    assert choices("0.6.4", "task") == {"auto", "generate", "embedding"}
    assert choices("0.10.1.1", "prefix_caching_hash_algo") == {"builtin", "sha256", "sha256_cbor_64bit"}
    assert choices("0.10.2", "prefix_caching_hash_algo") == {"sha256", "sha256_cbor"}
    assert choices("0.9.1", "quantization")
    assert choices("0.9.2", "quantization") is None
    assert choices("0.11.1", "max_lora_rank") == {1, 8, 16, 32, 64, 128, 256, 320, 512}


def test_defaults_change_when_known() -> None:
    def default(version: str, option: str) -> Any:
        known = release(version).option(option)
        assert known
        return known.default

    assert [default(v, "gpu_memory_utilization") for v in ("0.19.1", "0.20.0")] == [0.9, 0.92]
    assert [default(v, "max_num_seqs") for v in ("0.6.4", "0.6.5")] == [256, None]
    assert [default(v, "seed") for v in ("0.7.3", "0.8.0", "0.11.2", "0.12.0")] == [0, None, None, 0]
    assert [default(v, "generation_config") for v in ("0.7.3", "0.8.0")] == [None, "auto"]
    assert default("0.33.0", "enforce_eager") is False
    assert default("0.33.0", "enable_prefix_caching") is None
    assert default("0.33.0", "compilation_config") == {}


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("GptOssForCausalLM", "0.10.1", ""),
        ("Qwen3ForCausalLM", "0.8.4", ""),
        ("Qwen3NextForCausalLM", "0.10.2", ""),
        ("Qwen3_5ForConditionalGeneration", "0.17.0", ""),
        ("Gemma3ForConditionalGeneration", "0.8.0", ""),
        ("DeepseekV3ForCausalLM", "0.6.6", ""),
        ("DeepseekV32ForCausalLM", "0.11.0", ""),
        ("Llama4ForConditionalGeneration", "0.8.3", ""),
        ("MllamaForConditionalGeneration", "0.6.2", "0.10.2"),
        ("BertModel", "0.6.4", ""),
        ("Phi3SmallForCausalLM", "0.6.0", "0.9.2"),
        ("QWenLMHeadModel", "0.6.0", "0.23.0"),
        ("ArcticForCausalLM", "0.6.0", "0.28.0"),
    ],
)
def test_architectures_come_and_go_as_known(name: str, since: str, until: str) -> None:
    architecture = catalogue.architecture(name)
    assert architecture
    assert (architecture.spans[0].since, architecture.spans[-1].until) == (since, until)
    assert all(
        not span.until or span.until < span.since or parse_release(span.since) <= parse_release(span.until)
        for span in architecture.spans
    )


def test_architectures_that_went_say_where() -> None:
    bart = catalogue.architecture("BartForConditionalGeneration")
    assert bart
    assert "plugin" in bart.plugin
    mpt = catalogue.architecture("MPTForCausalLM")
    assert mpt
    assert mpt.gone_after == "0.28.0"
    assert catalogue.architecture("NobodyForCausalLM") is None


def test_the_entry_point_and_libraries_of_images_are_known() -> None:
    assert {release(v).entry for v in releases()} == {"api_server", "serve"}
    assert next(v for v in releases() if release(v).entry == "serve") == "0.11.1"
    assert release("0.19.1").cuda.startswith("12.9")
    assert release("0.20.0").cuda.startswith("13.0")
    assert [release(v).torch for v in ("0.19.1", "0.20.0", "0.26.0", "0.27.0")] == [
        "2.10.0",
        "2.11.0",
        "2.11.0",
        "2.13.0",
    ]


def test_values_come_and_go_as_known() -> None:
    assert catalogue.value_spans("quantization", "gguf") == (Span("0.6.0", "0.23.0"),)
    assert catalogue.value_spans("quantization", "bitsandbytes") == (Span("0.6.0", "0.27.1"),)
    assert catalogue.value_spans("load_format", "gguf")[-1].until == "0.23.0"
    assert catalogue.key_spans("SpeculativeConfig", "disable_by_batch_size")[-1].until == "0.16.0"
    assert catalogue.key_spans("KVTransferConfig", "kv_ip")[-1].until == "0.31.0"
    assert catalogue.environment_spans("VLLM_USE_V1")[-1].until == "0.11.0"


# the reader and the file


def test_an_option_is_found_by_any_of_its_spellings() -> None:
    newest = release("0.33.0")
    for spelling in ("tensor_parallel_size", "--tensor-parallel-size", "-tp"):
        known = newest.option(spelling)
        assert known
        assert known.name == "tensor_parallel_size"
    off = newest.option("--disable-prefix-caching")
    assert off
    assert off.name == "enable_prefix_caching"
    assert "--disable-prefix-caching" in off.off_flags
    assert newest.option("swap_space") is None
    assert newest.option("--nonsense") is None
    tag = newest.option("model_tag")
    assert tag
    assert tag.positional
    assert tag.flag == ""


def test_entry_points_know_their_own_options() -> None:
    old = release("0.9.0")
    assert "--model" in old.flags("api_server")
    assert "--model" not in old.flags("serve")
    assert "--headless" in old.flags("serve")
    assert "--headless" not in old.flags("api_server")


def test_an_unknown_release_is_an_error_and_has_a_nearest_one() -> None:
    with pytest.raises(catalogue.UnknownRelease):
        release("0.34.0")
    assert catalogue.nearest("0.34.0") == "0.33.0"
    assert catalogue.nearest("0.10.1.2") == "0.10.1.1"
    assert catalogue.nearest("0.5.0") == "0.6.0"


def test_histories_are_spans_in_order() -> None:
    order = {version: i for i, version in enumerate(releases())}
    names = [catalogue.option_spans(n) for n in catalogue.option_names()]
    names += [a.spans for n in catalogue.architecture_names() if (a := catalogue.architecture(n))]
    for spans in names:
        ends = [(order[s.since], order[s.until or releases()[-1]]) for s in spans]
        assert all(a <= b for a, b in ends)
        assert all(
            before[1] < after[0] or spans[i].kind != spans[i + 1].kind
            for i, (before, after) in enumerate(pairwise(ends))
        )


def test_the_file_is_small_and_quickly_read() -> None:
    text = FILE.read_bytes()
    assert len(text) <= 200_000
    assert len(gzip.compress(text, 9)) <= 40_000
    spent = []
    for _ in range(5):
        began = time.process_time()
        json.loads(text)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.03


def test_the_file_is_the_one_that_the_stored_records_give(repo: Path) -> None:
    """The file is never edited by hand."""
    argv = [sys.executable, "-m", "tools.vllm_catalogue", "build", "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=repo)
    assert done.returncode == 0, done.stderr


def test_an_import_reads_no_data() -> None:
    code = (
        "import cortexctl.engines.vllm.catalogue.catalogue as c, cortexctl.engines.vllm.catalogue.reviewed as r\n"
        "print(c._data.cache_info().currsize, r._tables.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
