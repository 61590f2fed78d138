"""The verdicts that the tests compare with: what every release's own parser says to argument lists."""

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
WORDS = ("1", "abc", "true", "{}")
UNASKED = "null"


def lists(catalogue: dict[str, Any]) -> list[list[str]]:
    """The written ones, and for every flag that any release had: alone, with words, with every choice it had."""
    written = [shlex.split(line) for line in LISTS.read_text().splitlines() if line and not line.startswith("#")]
    return [*written, *(["m", *words] for words in _of_every_flag(catalogue))]


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
                given = facts.get("choices", [])
                new_choices = given.get("+", []) if isinstance(given, dict) else given
                choices += [str(c) for c in new_choices if c is not None and str(c) not in choices]
        for flag in flags:
            yield [flag]
            yield from ([flag, word] for word in WORDS)
            yield [f"{flag}=1"]
        yield from ([flags[0], choice] for choice in choices)


def write(releases: dict[str, list[dict[str, Any]]]) -> None:
    """Asks these releases. Of the others what is known is kept; they are not asked about flags that came later."""
    kept, answers = read() if VERDICTS.exists() else ([], {})
    asked = [*kept, *(words for words in lists(merge.current()) if words not in kept)]
    for version, files in releases.items():
        archive, _ = sources.fetch(version, files)
        with sources.unpacked(archive) as root:
            given = "".join(json.dumps(words) + "\n" for words in asked)
            said = extract.run("oracle", root, version, "serve", given).splitlines()
        answers[version] = [_short(json.loads(line)) for line in said]
        sys.stderr.write(f"{version}: {len(asked)} lists\n")
    order = sorted(answers, key=sources.age)
    outcomes: dict[str, int] = {}
    rows = []
    for i in range(len(asked)):
        row: list[int] = []
        for j, version in enumerate(order):
            known = answers[version]
            number = outcomes.setdefault(known[i] if i < len(known) else UNASKED, len(outcomes))
            if not row or row[-1] != number:
                row += [j, number]
        rows.append(row)
    found = {"releases": order, "lists": asked, "outcomes": [json.loads(o) for o in outcomes], "rows": rows}
    text = json.dumps(found, separators=(",", ":"))
    VERDICTS.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def _short(answer: dict[str, Any]) -> str:
    """Without the message; the model is the same in almost all."""
    values = answer.get("values", {})
    values.pop("config", None)
    return json.dumps({k: v for k, v in answer.items() if k != "text"}, sort_keys=True)


def read() -> tuple[list[list[str]], dict[str, list[str]]]:
    """The lists, and release -> the outcome of each."""
    kept = json.loads(lzma.decompress(VERDICTS.read_bytes()))
    texts = [json.dumps(o, sort_keys=True) for o in kept["outcomes"]]
    found: dict[str, list[str]] = {version: [] for version in kept["releases"]}
    for row in kept["rows"]:
        changes = dict(zip(row[::2], row[1::2], strict=True))
        now = 0
        for j, version in enumerate(kept["releases"]):
            now = changes.get(j, now)
            found[version].append(texts[now])
    return kept["lists"], found
