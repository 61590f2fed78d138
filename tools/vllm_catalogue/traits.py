"""How a release's parser class changes arguments before argparse reads them, from its verdicts on `BEHAVIOUR`."""

from __future__ import annotations

from typing import Any


class Unseen(SystemExit):
    """A behaviour that no release had before. Read the parser class, and add the behaviour here."""


def of(record: dict[str, Any]) -> dict[str, Any]:
    """Trait -> value. `cortexctl.engines.vllm.catalogue.catalogue.ParserTraits` explains each one."""
    seen = {name: _Seen(**verdict) for name, verdict in record["behaviour"].items()}
    for name in (
        "underscores",
        "underscores=",
        "prefix",
        "-tp=2",
        "twice",
        "model after --",
        "file",
        "file after",
        "file=",
    ):
        if seen[name].verdict != "ok":
            raise Unseen(f"{record['version']}: {name} is no longer accepted: {seen[name]}")
    for name in ("-tp2", "-- after"):
        if seen[name].verdict != "unrecognized":
            raise Unseen(f"{record['version']}: {name} is no longer refused: {seen[name]}")
    return {
        "abbreviations": bool(record["allow_abbrev"]),
        "model": "required" if seen["no model"].verdict == "required" else "optional",
        "model_flag": _model_flag(seen),
        "model_flag_equals": _model_flag_equals(seen),
        "names_first": seen["names first"].verdict != "exception",
        "dotted": _dotted(seen["dotted free"]),
        "dotted_short": any(seen[n].verdict == "ok" for n in ("dotted -O", "dotted short")),
        "dotted_sizes": isinstance(seen["dotted size"].values.get("hf_overrides", {}).get("a"), int),
        "dotted_append": seen["dotted append"].verdict == "ok" and "a" in seen["dotted append"].values["hf_overrides"],
        "json_sizes": seen["json size"].verdict == "ok",
        "o": _o(seen),
        "file_model": seen["file, model in it"].verdict == "ok",
        "file_lists": seen["file with list"].values.get("served_model_name") == ["a", "b"],
        "file_keys": seen["file with keys"].verdict == "ok",
        "file_booleans": seen["file with true"].verdict == "ok",
        "help_topics": seen["--help="].verdict == "exit",
        "lora_json": seen["lora json"].verdict == "ok",
        "lora_equals": seen["lora two ="].verdict == "ok",
    }


class _Seen:
    def __init__(self, verdict: str, values: dict[str, Any] | None = None) -> None:
        self.verdict = verdict
        self.values = values or {}

    def __repr__(self) -> str:
        return f"{self.verdict} {self.values}"


def _model_flag(seen: dict[str, _Seen]) -> str:
    """`vllm serve --model M`: the positional is still required, a traceback, or M becomes the positional."""
    match seen["--model"].verdict, seen["--model"].values:
        case "required", _:
            return "unused"
        case "exception", _:
            return "error"
        case "ok", {"model_tag": "m"}:
            return "moved"
    raise Unseen(f"--model: {seen['--model']}")


def _model_flag_equals(seen: dict[str, _Seen]) -> str:
    """`--model=M`, which the check for `--model M` does not detect."""
    match seen["--model="].verdict, seen["--model="].values:
        case "required", _:
            return "unused"
        case "ok", {"model": "m"}:
            return "works"
        case "ok", {"model_tag": "m"}:
            return "moved"
        case "ambiguous" | "unrecognized", _:
            return "unknown"
    raise Unseen(f"--model=: {seen['--model=']}")


def _dotted(seen: _Seen) -> str:
    match seen.values.get("hf_overrides"):
        case None:
            return ""
        case {"a-b": "1"}:
            return "dashes"
        case {"a_b": "1"}:
            return "text"
        case {"a_b": 1}:
            return "json"
    raise Unseen(f"dotted: {seen}")


def _o(seen: dict[str, _Seen]) -> str:
    """The field that -O3 sets. All three spellings set the same."""
    effects = set()
    for name in ("-O3", "-O 3", "-O=3"):
        values = {k: v for k, v in seen[name].values.items() if k != "model_tag"}
        match values:
            case {"optimization_level": _}:
                effects.add("optimization_level")
            case {"compilation_config": {"level": 3}}:
                effects.add("compilation_config.level")
            case {"compilation_config": {"mode": _}}:
                effects.add("compilation_config.mode")
            case {} if not values:
                effects.add("")
            case _:
                raise Unseen(f"{name}: {seen[name]}")
    if len(effects) != 1:
        raise Unseen(f"-O3, -O 3 and -O=3 differ: {effects}")
    return effects.pop()
