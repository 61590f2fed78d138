"""Plain English: texts and names avoid the words that CONTRIBUTING.md rules out.

`python -m tests.unit.test_plain_english FOLDER...` lists the banned words of these folders.
"""

from __future__ import annotations

import ast
import functools
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent.parent

PHRASES = {
    r"(?:is|are|was|were|be|been|being) told\b": "receives; is reported",
    r"\btold\b": "reported, given",
    r"\b(?:does|do|did|can) not tell\b": "does not name, does not show",
    r"\btells? (?:of|which|what|whether|how|that|it|them|us|nothing)\b": "reports, names, shows",
    r"\b(?:is|are|be|was|were) said\b": "is reported",
    r"\bsays? (?:nothing )?of\b": "describes; does not mention",
    r"\bsaid of\b": "reported about",
    r"\bas said\b": "as shown",
    r"\bhears? (?:of|from|nothing)\b": "receives, learns",
    r"\bheard\b": "received",
    r"\bwhat is there\b": "the existing containers",
    r"\bwhat (?:there is|there was|runs|serves|is left)\b": "a noun: the running containers",
    r"\b(?:gets?|getting|got) on\b": "progresses, continues",
    r"\bgoes? on with\b": "continues with",
    r"\b(?:goes?|went|going) back\b": "returns, rolls back",
    r"\bas (?:it|they) (?:was|were)\b": "unchanged, restored",
    r"\bby hand of\b": "by",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bstands? still\b": "stalls",
    r"\bstands? against\b": "blocks, objects to",
    r"\bto be had\b": "available",
    r"\bbegun\b": "started",
    r"\banew\b": "again",
    r"\bbrought to (?:its|their) end\b": "finished",
    r"\bcomes? to (?:its|their|an) end\b": "finishes",
    r"\blook(?:s|ed|ing)? (?:at|into|again|after)\b": "read, inspect, check",
    r"\ba (?:second |first |last |closer )?look\b": "a reading, a check",
    r"\blooked for\b": "searched",
    r"\bleft out:": "Default:",
    r"\bso (?:many|long)(?! as\b)\b": "N; this long",
    r"\btaken for (?!granted)": "treated as, mistaken for",
    r"\bis no (?!longer\b|smaller\b)(?=[a-z])": "is not a",
    r"\bdealt out\b": "distributed",
    r"\bspoken to\b": "supported, connected to",
    r"\bspeaks? to\b": "connects to",
    r"\bbetween two states\b": "partially applied",
    r"\bof nobody\b": "unowned",
    r"\b(?:lies?|lay) (?:in|beside|below|under|here|there|where|at|outside|within)\b": "is in",
    r", for (?:it|its|he|his|they|their|nobody|there|nothing|that|this|what)\b": "because",
    r"\bgoes with no\b": "cannot be combined with",
    r"\bwho we are\b": "the lock holder",
    r"\bthe way out\b": "the fix, the release",
    r"\bmade (?:new|anew)\b": "created again",
    r"\bin (?:its|their) stead\b": "instead",
    r"\bwherever\b": "if; in every place",
    r"\bwhosoever\b|\bwhoever\b": "the user who",
    r"\bonly so far as\b": "as far as",
    r"\brubbish\b": "leftover",
}
"""Pattern -> what to write instead. Case does not matter, nor does a line break."""

NAMES = {
    **dict.fromkeys(("told", "tell", "tells", "telling"), "reporter, notify, reported"),
    **dict.fromkeys(("said", "says", "saying"), "text, message"),
    **dict.fromkeys(("words", "wording"), "text, describe_*; argv"),
    **dict.fromkeys(("heard", "hears"), "status, outcome"),
    **dict.fromkeys(("look", "looks", "looked", "looking"), "read, reading, recheck"),
    **dict.fromkeys(("asked", "asking", "asks"), "request, query"),
    **dict.fromkeys(("mend", "mends", "mended", "mending"), "fix"),
    **dict.fromkeys(("trouble", "troubles"), "error, problem"),
    **dict.fromkeys(("twin", "twins"), "duplicate"),
    **dict.fromkeys(("stranger", "strangers", "strange"), "foreign, misplaced, other"),
    **dict.fromkeys(("rubbish",), "leftover"),
    **dict.fromkeys(("begun",), "unfinished, started"),
    **dict.fromkeys(("nobody", "somebody", "whoever"), "none, other, user"),
    **dict.fromkeys(("anew",), "again, recreated"),
    **dict.fromkeys(("heed", "heeds"), "respect"),
}
"""Part of an identifier (between underscores or capitals) -> what to write instead."""

WHOLE_NAMES = {
    "found": "diagnostics, owned, instance: what it is",
    "made": "plan, created: what it is",
    "ask": "request, query, prompt",
    "say": "print_progress, warn",
    "doer": "performer",
    "how": "options, mode",
    "given": "inputs",
    "back": "target, restored",
    "took": "duration",
    "kept": "retained",
    "held": "deferred",
    "goes_back": "is_rollback",
    "gets_on": "progresses",
    "who_we_are": "lock_identity",
    "nobody_reads": "discard_stdout",
    "write_whole": "write_atomic",
    "as_it_was": "restored",
    "tone": "test_audio",
    "form": "output_format",
    "hub": "allow_hub",
    "thing": "what it is",
    "things": "what they are",
}
"""A whole identifier, leading underscores aside -> what to write instead."""

SAMPLES = (
    "tests/cases",  # inputs, and texts that the code wrote
    "tests/fixtures",
    "cortexctl/engines/vllm/catalogue/catalogue.json",
    "tests/unit/test_plain_english.py",
)
"""Files that hold texts of other programs, or texts that are held elsewhere."""

TEXTS = {".py", ".md", ".toml", ".json", ".sh", ".yml", ".yaml", ""}


@dataclass(frozen=True, slots=True)
class Use:
    """One banned word: where it is, and what to write instead."""

    file: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text!r} -> {self.instead}"


@functools.cache
def files() -> tuple[str, ...]:
    """Every text of the repository, as a path from its root."""
    roots = ["cortexctl", "docs", "tests", "tools", "stacks", "bench", ".github"]
    paths = [p for root in roots for p in (REPO / root).rglob("*")]
    paths += [REPO / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")]
    names = [str(p.relative_to(REPO)) for p in sorted(paths) if p.is_file() and p.suffix in TEXTS]
    return tuple(n for n in names if "__pycache__" not in n and not any(matching(n, s) for s in SAMPLES))


def matching(name: str, entry: str) -> bool:
    """Whether a file is this one, or in this folder."""
    return name == entry or name.startswith(f"{entry}/")


def texts(name: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every piece of prose in a file."""
    content = (REPO / name).read_text(errors="replace")
    if name.endswith(".py"):
        yield from python_texts(content)
    elif name.endswith(".md"):
        yield from markdown_texts(content)
    elif name.endswith(".json"):
        yield from enumerate(json_texts(json.loads(content)), 1)
    else:
        yield 1, content


def python_texts(content: str) -> Iterator[tuple[int, str]]:
    """Comments, and strings: docstrings and messages. Consecutive comments are one text."""
    comment: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            start = start if comment else token.start[0]
            comment.append(token.string)
        elif token.type not in {tokenize.NL, tokenize.NEWLINE}:
            if comment:
                yield start, " ".join(comment)
                comment = []
            if token.type == tokenize.STRING:
                yield token.start[0], token.string


def markdown_texts(content: str) -> Iterator[tuple[int, str]]:
    """All but samples of output (```text, ```json), which other tests check, and what is quoted."""
    blank = re.sub(r"```(?:text|json)\n.*?```", lambda m: "\n" * m[0].count("\n"), content, flags=re.DOTALL)
    yield 1, re.sub(r"`[^`\n]*`|\"[^\"\n]*\"|(?<!\*)\*(?!\*)[^*\n]+\*(?!\*)", "", blank)


def json_texts(value: object) -> Iterator[str]:
    """The descriptions of a schema."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"description", "title"} and isinstance(inner, str):
                yield inner
            yield from json_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from json_texts(inner)


def phrases_in(text: str) -> Iterator[tuple[int, str, str]]:
    """(lines before it, the words, what to write instead)."""
    for pattern, instead in PHRASES.items():
        for match in re.finditer(pattern.replace(" ", r"\s+(?:#\s+)?"), text, re.IGNORECASE):
            if not re.search(r"(?i)\bthere\s+$", text[: match.start()]):  # "there is no ..."
                yield text[: match.start()].count("\n"), " ".join(match[0].split()), instead


def identifiers(content: str) -> Iterator[tuple[int, str]]:
    """(line, name) of everything that a module names itself: not what it imports or reads from others."""
    for node in ast.walk(ast.parse(content)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.ExceptHandler(name=str()) | ast.alias(asname=str()):
                yield node.lineno, str(getattr(node, "name" if isinstance(node, ast.ExceptHandler) else "asname"))
            case ast.MatchAs(name=str()) | ast.MatchStar(name=str()):
                yield node.lineno, str(node.name)
            case _:
                pass


def replacement(name: str) -> str:
    """What to write instead of an identifier; empty if it is a good one."""
    plain = name.strip("_")
    if plain.lower() in WHOLE_NAMES:
        return WHOLE_NAMES[plain.lower()]
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", plain)
    return next((NAMES[part.lower()] for part in parts if part.lower() in NAMES), "")


@functools.cache
def uses(name: str) -> list[Use]:
    """Every banned word of a file."""
    banned = [
        Use(name, start + before, phrase, instead)
        for start, text in texts(name)
        for before, phrase, instead in phrases_in(text)
    ]
    if name.endswith(".py"):
        named = identifiers((REPO / name).read_text())
        banned += [Use(name, line, each, replacement(each)) for line, each in named if replacement(each)]
    return sorted(banned, key=lambda use: use.line)


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ("The image is not found.", 0),
        ("it says so", 0),
        ("there is no container", 0),
        ("it is no container", 1),
        ("it is no longer there", 0),
        ("A start that gets on is waited for", 1),
        ("what is\n    there", 1),
        ("The hook is told, and it mends the stack.", 3),
        ("# what is\n# there", 1),
        ("as soon as it was created", 1),
        ("The recommended value is amended.", 0),
    ],
)
def test_phrases_are_seen_and_honest_words_pass(text: str, banned: int) -> None:
    assert len(list(phrases_in(text))) == banned, list(phrases_in(text))


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("found", False),
        ("not_found", True),
        ("NotFound", True),
        ("_made", False),
        ("reason_words", False),
        ("WordCount", True),
        ("lookup", True),
        ("look_again", False),
        ("DriftLooking", False),
        ("who_we_are", False),
        ("keyword", True),
    ],
)
def test_names_are_seen_and_honest_ones_pass(name: str, good: bool) -> None:
    assert (replacement(name) == "") is good


def test_every_text_and_name_is_plain() -> None:
    dirty = [use for name in files() for use in uses(name)]
    assert not dirty, "\n".join(map(str, dirty))


if __name__ == "__main__":
    wanted = sys.argv[1:] or [""]
    left = [use for name in files() if any(name.startswith(w) for w in wanted) for use in uses(name)]
    sys.stdout.write("".join(f"{use}\n" for use in left) + f"{len(left)} left\n")
