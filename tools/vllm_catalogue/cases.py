"""The verdicts that the tests compare with: those of every release's own parser on argument lists."""

from __future__ import annotations

import json
import lzma
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from tools.vllm_catalogue import extract, merge, sources

FOLDER = merge.ROOT / "tests/cases/catalogue"
LISTS = FOLDER / "lists.txt"
VERDICTS = FOLDER / "verdicts.json.xz"
VALUES = ("1", "abc", "true", "{}")
UNASKED = "null"


def lists(catalogue: dict[str, Any]) -> list[list[str]]:
    """The written lists, and lists for every flag of any release: alone, with values, with each of its choices."""
    written = [shlex.split(line) for line in LISTS.read_text().splitlines() if line and not line.startswith("#")]
    return [*written, *(["m", *arguments] for arguments in _of_every_flag(catalogue))]


def _of_every_flag(catalogue: dict[str, Any]) -> Iterator[list[str]]:
    for name, changes in catalogue["options"].items():
        flags = ["--" + name.replace("_", "-")]
        choices: list[str] = []
        for _, facts in changes:
            if facts and not facts.get("positional"):
                new = [*facts.get("also", []), *facts.get("off", [])]
                new += [
                    "--no-" + f.removeprefix("--") for f in flags if f.startswith("--") and facts.get("kind") == "pair"
                ]
                flags += [f for f in new if f not in flags]
                declared = facts.get("choices", [])
                new_choices = declared.get("+", []) if isinstance(declared, dict) else declared
                choices += [str(c) for c in new_choices if c is not None and str(c) not in choices]
        for flag in flags:
            yield [flag]
            yield from ([flag, word] for word in VALUES)
            yield [f"{flag}=1"]
        yield from ([flags[0], choice] for choice in choices)


def write(releases: dict[str, list[dict[str, Any]]]) -> None:
    """Write the verdicts of these releases. Those of other releases stay, and lack the flags that were added later."""
    old, answers = read() if VERDICTS.exists() else ([], {})
    all_lists = [*old, *(arguments for arguments in lists(merge.current()) if arguments not in old)]
    for version, files in releases.items():
        archive, _ = sources.fetch(version, files)
        with sources.unpacked(archive) as root:
            stdin = "".join(json.dumps(arguments) + "\n" for arguments in all_lists)
            lines = extract.run("oracle", root, version, "serve", stdin).splitlines()
        answers[version] = [_short(json.loads(line)) for line in lines]
        sys.stderr.write(f"{version}: {len(all_lists)} lists\n")
    order = sorted(answers, key=sources.age)
    outcomes: dict[str, int] = {}
    rows = []
    for i in range(len(all_lists)):
        row: list[int] = []
        for j, version in enumerate(order):
            known = answers[version]
            number = outcomes.setdefault(known[i] if i < len(known) else UNASKED, len(outcomes))
            if not row or row[-1] != number:
                row += [j, number]
        rows.append(row)
    document = {"releases": order, "lists": all_lists, "outcomes": [json.loads(o) for o in outcomes], "rows": rows}
    text = json.dumps(document, separators=(",", ":"))
    VERDICTS.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def _short(answer: dict[str, Any]) -> str:
    """An answer without its message and its config file."""
    values = answer.get("values", {})
    values.pop("config", None)
    return json.dumps({k: v for k, v in answer.items() if k != "text"}, sort_keys=True)


def read() -> tuple[list[list[str]], dict[str, list[str]]]:
    """The lists, and release -> the outcome of each."""
    content = json.loads(lzma.decompress(VERDICTS.read_bytes()))
    texts = [json.dumps(o, sort_keys=True) for o in content["outcomes"]]
    outcomes: dict[str, list[str]] = {version: [] for version in content["releases"]}
    for row in content["rows"]:
        changes = dict(zip(row[::2], row[1::2], strict=True))
        now = 0
        for j, version in enumerate(content["releases"]):
            now = changes.get(j, now)
            outcomes[version].append(texts[now])
    return content["lists"], outcomes
