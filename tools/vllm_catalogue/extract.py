"""Sources of a release -> a record of facts. Refused if it contains stubs, or if the two ways of reading disagree."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tools.vllm_catalogue import reading, sources

Record = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent

EXPLAINED = {
    ("action", "--lora-modules"): "vLLM's code sets the action after the field was read",
    ("action", "--middleware"): "vLLM's code sets the action after the field was read",
    ("choices", "--all2all-backend"): "one value of the type is for internal use, and code removes it (since 0.32.0)",
    ("read only", "--model"): "0.9.0 and 0.9.0.1 register it only when `serve` is not in argv",
}
"""Reviewed disagreements between the running parser and the text -> cause. The running parser is always right."""


class Refused(SystemExit):
    """These facts must not be written."""


def run(mode: str, root: Path, version: str, entry: str, stdin: str = "") -> str:
    """The output of the stub process. It has its own packages, and no variables of this machine's environment."""
    done = subprocess.run(
        [sources.python(), "-m", "tools.vllm_catalogue.inside", mode, root, version, entry],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "VLLM_CONFIGURE_LOGGING": "0", "PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise Refused(f"{version} ({entry}): the parser could not be built over stubs:\n{done.stderr[-3000:]}")
    return done.stdout


def extract(root: Path, version: str, day: str) -> Record:
    """All facts of the release whose sources are in this folder."""
    facts = json.loads(run("facts", root, version, "serve"))
    module = json.loads(run("facts", root, version, "api_server"))
    helps = json.loads(run("facts", root, version, "help"))
    record = {
        "version": version,
        "date": day,
        **_image(root),
        **_requirements(root),
        **facts,
        "api_server": _differences(facts["options"], module["options"]),
        "deprecated": _deprecated(facts["options"], helps),
    }
    record["reading"] = compare(root, record)
    return record


def _image(root: Path) -> dict[str, str]:
    """The entry point and base of the official CUDA image; '' if the sources contain no Dockerfile."""
    path = next((p for p in (root / "docker/Dockerfile", root / "Dockerfile") if p.exists()), None)
    text = path.read_text() if path else ""
    stage = re.search(r"^FROM \S+ AS vllm-openai *$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    entry = re.search(r"^ENTRYPOINT (\[.*\])", stage[1] if stage else "", re.MULTILINE)
    cuda = re.search(r"^ARG CUDA_VERSION=(\S+)", text, re.MULTILINE)
    inside = re.search(r"^ARG PYTHON_VERSION=(\S+)", text, re.MULTILINE)
    argv = json.loads(entry[1]) if entry else []
    return {
        "entry": {"vllm": "serve", "python3": "api_server"}[argv[0]] if argv else "",
        "cuda": cuda[1] if cuda else "",
        "image_python": inside[1] if inside else "",
    }


def _requirements(root: Path) -> dict[str, str]:
    metadata = next(iter(root.glob("*.dist-info/METADATA")), root / "PKG-INFO").read_text()

    def wanted(name: str) -> str:
        match = re.search(rf"^Requires-Dist: {name}(?=[ <>=!~(])([^;\n]*)", metadata, re.MULTILINE)
        return re.sub(r"[ ()]", "", match[1]) if match else ""

    python = re.search(r"^Requires-Python: (.*)", metadata, re.MULTILINE)
    return {
        "requires_python": python[1].replace(" ", "") if python else "",
        "torch": wanted("torch").removeprefix("=="),
        "transformers": wanted("transformers"),
    }


def _differences(serve: list[Record], module: list[Record]) -> Record:
    """The differences of the module's parser from the command's: the options that it lacks, and its own."""
    mine, others = {o["dest"]: o for o in serve}, {o["dest"]: o for o in module}
    return {
        "lacks": sorted(mine.keys() - others.keys()),
        "own": [o for dest, o in others.items() if mine.get(dest) != o],
    }


_MARKS = (
    r"\[DEPRECATED\]|\(DEPRECATED|\(Deprecated\)|^\s*Deprecated\b|Deprecated:|"
    r"\bis deprecated\b|will be removed in (?:v|a future)"
)


def _deprecated(options: list[Record], helps: dict[str, str]) -> dict[str, str]:
    """Destination -> the release that was announced to remove it, '' if none was. Announcements are often wrong."""
    announcements = {}
    for option in options:
        text = " ".join(helps.get(option["dest"], "").split())
        if option.pop("deprecated", False) or re.search(_MARKS, text) or option["action"].startswith("Deprecated"):
            announced = re.search(r"removed in v?(\d+\.\d+(?:\.\d+)?)", text)
            announcements[option["dest"]] = announced[1] if announced else ""
    return announcements


_ACTIONS = {
    "store_true": "_StoreTrueAction",
    "append": "_AppendAction",
    None: "_StoreAction",
    "EnableDisableAction": "BooleanOptionalAction",
}


def compare(root: Path, record: Record) -> Record:
    """Compare the running parser with the text. Returns how much they agree on.

    Raises:
        Refused: a disagreement is not in EXPLAINED

    """
    read_options = reading.Sources(root).options()
    ran = {next((f for f in o.get("flags", ()) if f.startswith("--")), o["dest"]): o for o in record["options"]}
    agreed = {"names": 0, "choices": 0, "defaults": 0, "actions": 0, "nargs": 0}
    odd: list[tuple[str, str]] = [("run only", n) for n in ran.keys() - read_options.keys()]
    odd += [("read only", n) for n in read_options.keys() - ran.keys()]
    for name in ran.keys() & read_options.keys():
        text, option = read_options[name], ran[name]
        agreed["names"] += 1
        default = (option.get("default") or [None])[0]
        checks = {
            "choices": (
                sorted(map(str, text.get("choices", ()))),
                sorted(str(c) for c in option.get("choices") or () if c is not None),
            ),
            "defaults": (_as_json(text.get("default")), default),
            "nargs": (text.get("nargs"), option.get("nargs")),
            "actions": tuple(_ACTIONS.get(a, a) for a in (text.get("action"), option["action"])),
        }
        for what, (wanted, actual) in checks.items():
            if what == "actions" or what.removesuffix("s") in text or what in text:
                agreed[what] += wanted == actual
                odd += (
                    []
                    if wanted == actual
                    else [(what.removesuffix("s") if what in {"actions", "defaults"} else what, name)]
                )
    registries = record["registries"]
    groups = reading.architectures(root)
    whole = "_VLLM_MODELS" if "_VLLM_MODELS" in groups else "_MODELS"
    odd += [("architectures", whole)] if groups[whole] != registries["architectures"][whole] else []
    odd += [("environment", "")] if reading.environment(root) != registries["environment"] else []
    unexplained = [o for o in odd if o not in EXPLAINED]
    if unexplained:
        raise Refused(
            f"{record['version']}: the running parser and the sources' text disagree: {unexplained}\n"
            "Check each one. If the parser is right, add it to EXPLAINED with the reason; else fix stubs.py."
        )
    return {**agreed, "explained": sorted(f"{a} {b}" for a, b in odd)}


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | set) else value
