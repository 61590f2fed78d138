"""Logs and argument lines that were changed at random: each has a diagnosis or a verdict, or is refused with a message."""

from __future__ import annotations

import random
import shlex
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from tests.attack.commands import command, in_one_process
from tests.attack.finds import Find, Row, attempt, bounded
from tests.attack.mutators import CONTROLS, DIGITS, TOML_VALUES, as_file, by_byte, by_line, by_token
from tests.conftest import REPO

LOG_TOKENS = [
    "ERROR", "WARNING", "INFO", "Traceback (most recent call last):", "ValueError:", "RuntimeError:", "(EngineCore pid=1)", "[rank0]:",
    "2026-03-01T12:00:00.000Z ", "chat-1  | ", "{", "}", '{"log":"', "\\n", '  File "x.py", line 1, in f', "GiB", "CUDA out of memory", DIGITS,
    "x" * 50_000, "(" * 3000, "\\" * 3000, " " * 3000, "\r", "\u2028",
]  # fmt: skip
LINE_TOKENS = [
    "--", "-", "=", "--max-model-len", "--tp", "-tp", "--compilation-config", "-O3", "-O.level=3", "'", '"', "\\", "{", "}", "[1,2]", "null", "1e400",
    "--no-enable-prefix-caching", "--served-model-name", "--lora-modules", '{"name":"a","path":"b"}', "\u2014max-model-len", "\u201cx\u201d", DIGITS, "", " ",
]  # fmt: skip
RELEASES = ("0.6.0", "0.8.5", "0.10.2", "0.23.0", "0.32.0", "0.33.0")
_SHORT, _LONG = 40, 4000


@cache
def logs() -> list[str]:
    """Those of the diagnosis: with a known cause, and healthy ones."""
    folder = REPO / "tests/cases/diagnosis"
    cases = [case for path in sorted(folder.glob("*.toml")) for case in tomllib.loads(path.read_text())["case"]]
    whole = [path.read_text() for path in sorted(folder.rglob("*.log"))]
    return [case["log"] for case in cases if "log" in case] + whole * 10


def log_file(seed: str) -> bytes:
    choose = random.Random(seed)
    text = choose.choice(logs())
    for _ in range(choose.choice([1, 1, 2, 3])):
        other = choose.choice(logs())
        match choose.randrange(5):
            case 0:
                text = by_line(choose, text, other)
            case 1 if len(text) < 20_000:
                text = by_token(choose, text, LOG_TOKENS)
            case 2:
                start = choose.choice([*LOG_TOKENS, *CONTROLS])
                text = "".join(f"{start}{line}" for line in text.splitlines(keepends=True))
            case 3:
                text = text * choose.choice([1, 2, _SHORT]) + other
            case _:
                text = text.replace("\n", choose.choice(["\r\n", "\\n", " ", "\n\n"]))
    if choose.random() < 0.02:
        text = f"{text}\n" * _LONG
    raw = text[: 8 << 20].encode("utf-8", "surrogatepass")
    if choose.random() < 0.15:
        raw = by_byte(choose, raw)
    return as_file(choose, raw) if choose.random() < 0.05 else raw


def attack_logs(count: int, seed: int) -> Row:
    """Each is diagnosed, as text or as JSON."""

    def one(name: str, folder: Path) -> tuple[bytes, Callable[[], int]]:
        content = log_file(name)
        (folder / "log").write_bytes(content)
        formats = () if name[-1] in "02468" else ("--format", "json")
        return content, lambda: command("diagnose", "--log", str(folder / "log"), *formats, quotes=True).code

    finds, codes = _each("logs", count, seed, one)
    what = "logs of vLLM, changed by line, token, prefix and byte, and joined"
    return Row(what, f"{count:,}", f"{codes.count(0):,} healthy or with a cause", tuple(finds))


@cache
def lines() -> list[str]:
    """The lines of the documentation, the rules and the field, as users write them."""
    texts = [path.read_text(encoding="utf-8") for path in sorted([*REPO.glob("docs/**/*.md"), REPO / "README.md"])]
    shown = [line.strip().partition(" -- ")[2] for text in texts for line in text.splitlines() if "args check" in line]
    return [line for line in shown if line] + [
        "meta-llama/Llama-3.1-8B --tensor-parallel-size 2 --max-model-len 8192 --gpu-memory-utilization 0.9",
        'm --speculative-config \'{"method": "ngram", "num_speculative_tokens": 3}\' --enable-auto-tool-choice',
        'm -tp 2 -O3 --served-model-name a b --lora-modules x=/p \'{"name": "y", "path": "/q"}\' --no-enable-prefix-caching',
        "serve m --compilation-config.level=3 --cuda-graph-sizes 1 2 4 --limit-mm-per-prompt image=2 --swap-space 4 --api-key x",
    ]


def argument_line(seed: str) -> list[str]:
    choose = random.Random(seed)
    line = choose.choice(lines())
    for _ in range(choose.choice([1, 2, 2, 3])):
        line = by_token(choose, line, [*LINE_TOKENS, *TOML_VALUES[:30]])
    try:
        return [word for word in shlex.split(line, posix=choose.random() < 0.8) if "\x00" not in word]
    except ValueError:
        return line.replace("\x00", "").split(" ")


def attack_lines(count: int, seed: int) -> Row:
    """Each has a verdict of a release, as text or as JSON."""

    def one(name: str, folder: Path) -> tuple[bytes, Callable[[], int]]:
        argv = argument_line(name)
        release = random.Random(f"release {name}").choice(RELEASES)
        formats = () if name[-1] in "02468" else ("--format", "json")
        command_line = ["args", "check", "--vllm-version", release, *formats, "--", *argv]
        return shlex.join(command_line).encode("utf-8", "surrogatepass"), lambda: command(*command_line).code

    finds, codes = _each("lines", count, seed, one)
    what = "argument lines of `vllm serve`, changed by token, checked against releases"
    return Row(what, f"{count:,}", f"{codes.count(0):,} accepted", tuple(finds))


Case = Callable[[str, Path], tuple[bytes, Callable[[], int]]]
"""A seed and a folder -> the input, and a command with it, which returns its exit code."""


def _each(kind: str, count: int, seed: int, one: Case) -> tuple[Sequence[Find], list[int]]:
    """The finds, and the exit codes of the others."""
    finds: list[Find] = []
    codes: list[int] = []
    with tempfile.TemporaryDirectory() as name, in_one_process():
        for number in range(count):
            case = f"{kind}-{seed}-{number}"
            content, do = one(case, Path(name))
            with bounded():
                find = attempt(case, {kind: content}, lambda do=do: codes.append(do()))  # type: ignore[misc]
            finds += [find] if find else []
    return finds, codes
