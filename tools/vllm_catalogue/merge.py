"""The records of all releases -> the compact catalogue of the package. Also reads and writes the records."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cortexctl.engines.vllm.catalogue.facts import LETTERS
from tools.vllm_catalogue import kinds, sources, traits

ROOT = Path(__file__).parent.parent.parent
CATALOGUE = ROOT / "cortexctl/engines/vllm/catalogue/catalogue.json"
RECORDS = ROOT / "tests/cases/catalogue/records.json.xz"
"""The extracted facts of every release. A build needs only the sources of new ones."""

FORMAT = 1
GROUPS = {
    "_GENERATION_MODELS": "text",
    "_TEXT_GENERATION_MODELS": "text",
    "_EMBEDDING_MODELS": "embedding",
    "_LATE_INTERACTION_MODELS": "late_interaction",
    "_REWARD_MODELS": "reward",
    "_TOKEN_CLASSIFICATION_MODELS": "token_classification",
    "_SEQUENCE_CLASSIFICATION_MODELS": "sequence_classification",
    "_CROSS_ENCODER_MODELS": "cross_encoder",
    "_MULTIMODAL_MODELS": "multimodal",
    "_CONDITIONAL_GENERATION_MODELS": "multimodal",
    "_SPECULATIVE_DECODING_MODELS": "speculative",
    "_TRANSFORMERS_MODELS": "transformers",
    "_TRANSFORMERS_SUPPORTED_MODELS": "transformers",
    "_TRANSFORMERS_BACKEND_MODELS": "transformers",
}
"""Dictionary of the registry -> its name in the catalogue. If a name is in two, the first one of the file wins."""
VALUES = ("quantization", "load_format", "attention_backend", "tool_parser", "reasoning_parser")


def load() -> list[dict[str, Any]]:
    """Read the records, oldest first."""
    if not RECORDS.exists():
        return []
    content = json.loads(lzma.decompress(RECORDS.read_bytes()))
    return [_with_types(record, content["types"]) for record in content["releases"]]


def save(records: Iterable[dict[str, Any]]) -> None:
    """Write the records. The answers to the probes are the same in most releases, and are stored once."""
    known: list[dict[str, Any]] = []
    releases = []
    for record in records:
        numbered = {}
        for name, answers in record["types"].items():
            if answers not in known:
                known.append(answers)
            numbered[name] = known.index(answers)
        releases.append({**record, "types": numbered})
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"types": known, "releases": releases}, sort_keys=True, separators=(",", ":"))
    RECORDS.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def _with_types(record: dict[str, Any], known: list[dict[str, Any]]) -> dict[str, Any]:
    return {**record, "types": {name: known[number] for name, number in record["types"].items()}}


def build(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The catalogue of these releases."""
    versions = [r["version"] for r in records]
    if versions != sorted(versions, key=sources.age):
        raise ValueError("records are out of order")
    facts = [_options(r) for r in records]
    keys = [_keys(r) for r in records]
    classes = sorted({c for each in keys for c in each})
    return {
        "format": FORMAT,
        "releases": {r["version"]: row for r, row in zip(records, _rows(records), strict=True)},
        "parser": _merged(versions, [traits.of(r) for r in records], whole=True),
        "options": _merged(versions, facts),
        "configs": {c: _merged(versions, [each.get(c, {}) for each in keys], whole=True) for c in classes},
        "architectures": _ranged(versions, [_architectures(r) for r in records]),
        "gone_architectures": _last(records, "_PREVIOUSLY_SUPPORTED_MODELS"),
        "plugin_architectures": _last(records, "_OOT_SUPPORTED_MODELS"),
        "environment": _ranged(versions, [dict.fromkeys(r["registries"]["environment"], "") for r in records]),
        "values": {v: _ranged(versions, [dict.fromkeys(r["registries"][v], "") for r in records]) for v in VALUES},
    }


def _rows(records: list[dict[str, Any]]) -> Iterator[list[str]]:
    """The facts of each release. Without a Dockerfile in its sources, the facts of its image are its neighbour's."""
    fields = ("date", "entry", "cuda", "image_python", "torch", "transformers", "requires_python")
    with_image = [r for r in records if r["entry"]]
    for record in records:
        older = [r for r in with_image if sources.age(r["version"]) <= sources.age(record["version"])]
        neighbour = older[-1] if older else with_image[0]
        image = {f: record[f] or neighbour[f] for f in ("entry", "cuda", "image_python")}
        yield [str({**record, **image}[f]) for f in fields]


def _options(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> facts, of the options of both entry points."""
    options: dict[str, dict[str, Any]] = {}
    lacks = set(record["api_server"]["lacks"])
    for option in record["options"]:
        only = {"entry": "serve"} if option["dest"] in lacks else {}
        options[kinds.name_of(option)] = kinds.facts(option, record) | only
    for option in record["api_server"]["own"]:
        name = kinds.name_of(option)
        if name in options:
            raise ValueError(f"{record['version']}: {name} differs by entry point")
        options[name] = kinds.facts(option, record) | {"entry": "api_server"}
    return options


def _keys(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Class -> key -> its possible values."""
    taken = {o["config"]: o["keys"] for o in record["options"] if "keys" in o}
    return {
        c: {k: _key(hint, taken.get(c, {}).get(k), record) for k, hint in keys.items()}
        for c, keys in record["configs"].items()
    }


def _key(hint: list[str], taken: str | None, record: dict[str, Any]) -> str:
    """The alternatives of a key as one text. Followed by the letters that the parser accepts, if they are unusual."""
    choices = [h[1:] for h in hint if h.startswith("=")]
    members = [h[1:] for h in hint if h.startswith("~")]
    plain = [h for h in hint if h[:1] not in "=~"]
    for name in VALUES:
        registered = record["registries"][name]
        choices = ["@" + name] if registered and choices == sorted(registered) else choices
        members = ["@" + name] if registered and members == sorted(registered) else members
    text = "|".join([*plain, *("=" + c for c in choices), *("~" + m for m in members)])
    usual = usual_letters(hint)
    return text if taken is None or taken == usual else f"{text} {taken or '-'}"


def usual_letters(hint: list[str]) -> str:
    """The letters of `configs.JSON_SAMPLES` that a key of these types usually accepts."""
    letters = {letter for h in hint for letter in LETTERS.get("object" if h.endswith("{}") else h, "")}
    return "".join(c for c in "bifsdlLIon" if c in letters)


def _architectures(record: dict[str, Any]) -> dict[str, str]:
    groups = record["registries"]["architectures"]
    whole = set(groups.get("_VLLM_MODELS") or groups["_MODELS"])
    names = {name: group for key, group in reversed(GROUPS.items()) for name in groups.get(key, ())}
    fallback = dict.fromkeys(whole - names.keys(), "transformers")  # TransformersModel of 0.7.2 to 0.8.2 is in no group
    return {name: group for name, group in (fallback | names).items() if name in whole}


def _last(records: list[dict[str, Any]], group: str) -> dict[str, str]:
    """The newest release's texts about removed architectures. Sorted, because its own order has no meaning."""
    table: dict[str, str] = records[-1]["registries"]["architectures"].get(group, {})
    return dict(sorted(table.items()))


def _merged(versions: list[str], each: list[dict[str, Any]], *, whole: bool = False) -> dict[str, list[Any]]:
    """Name -> change points [version, facts]. After the first one only the changes; null if the name is gone."""
    merged = {}
    for name in sorted({n for e in each for n in e}):
        states = [e.get(name) for e in each]
        changes: list[Any] = []
        before: Any = None
        for version, state in zip(versions, states, strict=True):
            if state != before:
                changes.append([version, state if whole or not (state and before) else delta(before, state)])
            before = state
        merged[name] = changes
    return merged


def delta(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The fields to set, and under "-" the fields to remove, to get from one to the other. Of long lists only the
    difference.
    """
    changes: dict[str, Any] = {}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if key not in after:
            changes["-"] = [*changes.get("-", []), key]
        elif key not in before or old != new:
            if key in {"choices", "soft"} and isinstance(old, list) and isinstance(new, list):
                plus, minus = [v for v in new if v not in old], [v for v in old if v not in new]
                changes[key] = (
                    {"+": plus} | ({"-": minus} if minus else {}) if len(plus) + len(minus) < len(new) else new
                )
            else:
                changes[key] = new
    return changes


def _ranged(versions: list[str], each: list[dict[str, str]]) -> dict[str, str]:
    """Name -> the releases that have it: "0.6.0-0.9.2 0.11.0"; with a kind, "text:0.6.0-…"."""
    ranges = {}
    for name in sorted({n for e in each for n in e}):
        parts: list[str] = []
        since, kind = "", ""
        for i, states in enumerate([*each, {}]):
            now = states.get(name)
            if since and now != kind:
                until = "" if i == len(versions) else versions[i - 1]
                parts.append(f"{kind}:{since}-{until}".removeprefix(":"))
                since = ""
            if now is not None and not since and i < len(versions):
                since, kind = versions[i], now
        ranges[name] = " ".join(parts)
    return ranges


def text_of(catalogue: dict[str, Any]) -> str:
    """The catalogue as JSON with one line per entry, so that the changes of a release can be reviewed."""

    def compact(value: Any) -> str:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def lines(table: dict[str, Any], then: Callable[[Any], str]) -> str:
        return "{\n" + ",\n".join(f"{compact(k)}:{then(v)}" for k, v in table.items()) + "\n}"

    nested = {"configs", "values"}
    parts = {
        k: lines(v, lambda inner: lines(inner, compact))
        if k in nested
        else lines(v, compact)
        if isinstance(v, dict)
        else compact(v)
        for k, v in catalogue.items()
    }
    return "{\n" + ",\n".join(f"{compact(k)}:{v}" for k, v in parts.items()) + "\n}\n"


def current() -> dict[str, Any]:
    """The catalogue of the package."""
    catalogue: dict[str, Any] = json.loads(CATALOGUE.read_text())
    return catalogue


def differences(catalogue: dict[str, Any], old: str, new: str) -> Iterator[str]:
    """The entries that a release adds to an older one, changes and removes, as lines of text."""
    order = list(catalogue["releases"])
    before, after = order.index(old), order.index(new)
    for name, changes in catalogue["options"].items():
        between = [(v, facts) for v, facts in changes if before < order.index(v) <= after]
        had = [facts for v, facts in changes if order.index(v) <= before]
        for version, facts in between:
            what = "gone" if facts is None else "new" if not had or had[-1] is None else "changed"
            details = "" if facts is None else json.dumps(facts, sort_keys=True)
            yield f"{version} option {name}: {what} {details}".rstrip()
            had.append(facts)
    tables = {"architecture": catalogue["architectures"], "variable": catalogue["environment"], **catalogue["values"]}
    for table, entries in tables.items():
        for name, text in entries.items():
            for part in text.split():
                since, _, until = part.rpartition(":")[2].partition("-")
                if before < order.index(since) <= after:
                    yield f"{since} {table} {name}: new"
                if until and before <= order.index(until) < after:
                    yield f"{order[order.index(until) + 1]} {table} {name}: gone"
    for name, keys in catalogue["configs"].items():
        for key, changes in keys.items():
            for version, text in changes:
                if before < order.index(version) <= after:
                    yield f"{version} key {name}.{key}: {'gone' if text is None else text}"
