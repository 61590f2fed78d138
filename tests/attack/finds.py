"""The result of an attack: each fault with everything to reproduce it, and a line of the table."""

from __future__ import annotations

import re
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

KEPT_OF_A_KIND = 5
"""The number of finds of one kind that are written to files. All of them are counted."""

CPU_SECONDS = 5
"""For one input: hundreds of times the processor time of the slowest valid one."""

MORE_MEMORY = 1 << 30
"""For all inputs of a run together."""


@dataclass(frozen=True)
class Find:
    """A fault. `kind` is the same for finds that seem to have the same cause. `files`: name -> content."""

    kind: str
    name: str
    detail: str
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A line of the table: the attack, the tries, the tries that passed, and the faults."""

    what: str
    tried: str
    passed: str
    finds: tuple[Find, ...] = ()

    @property
    def result(self) -> str:
        if not self.finds:
            return f"{self.passed}; no fault"
        kinds = Counter(f.kind for f in self.finds)
        listed = "; ".join(f"{n} x {kind}" for kind, n in kinds.most_common())
        return f"{self.passed}; **{len(self.finds)} faults of {len(kinds)} kinds**: {listed}"


def save(folder: Path, driver: str, finds: Sequence[Find]) -> list[Path]:
    """Write a folder for each of the first finds of every kind. Returns the folders."""
    seen: Counter[str] = Counter()
    written = []
    for find in finds:
        seen[find.kind] += 1
        if seen[find.kind] > KEPT_OF_A_KIND:
            continue
        slug = re.sub(r"[^A-Za-z0-9_.]+", "-", find.kind)[:80].strip("-")
        place = folder / driver / slug / find.name
        place.mkdir(parents=True, exist_ok=True)
        (place / "find.txt").write_text(f"{find.kind}\n\n{find.detail}\n", encoding="utf-8", errors="backslashreplace")
        for name, content in find.files.items():
            (place / name).write_bytes(content)
        written.append(place)
    return written


class TooSlow(Exception):
    """An input took more processor time than the limit."""


_allowed = [float(CPU_SECONDS)]


@contextmanager
def bounded(cpu_seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Inside, an input of `attempt` raises TooSlow if it takes too long, and MemoryError if it takes too much memory."""

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {cpu_seconds} s of processor time")

    _allowed.append(cpu_seconds)

    before = signal.signal(signal.SIGVTALRM, too_slow)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MORE_MEMORY, limit[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limit)
        signal.signal(signal.SIGVTALRM, before)
        _allowed.pop()


def attempt(name: str, files: Mapping[str, bytes], do: Callable[[], None]) -> Find | None:
    """Call `do`. Returns a find if it raises an exception. Use it inside `bounded`."""
    signal.setitimer(signal.ITIMER_VIRTUAL, _allowed[-1])
    try:
        do()
    except Exception as cause:  # noqa: BLE001 - every exception is a find
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        detail = "".join(traceback.format_exception(cause, limit=-12))
        return Find(kind_of(cause), name, detail[-6000:], files)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


def kind_of(cause: BaseException) -> str:
    """The kind of a find: the exception and its last place in the package, or the message of a failed assertion."""
    if isinstance(cause, AssertionError):
        return str(cause).partition("\n")[0].partition(": ")[0][:120] or "AssertionError"
    return f"{type(cause).__name__} in {_place(cause.__traceback__)}"


def _place(trace: TracebackType | None) -> str:
    place = "outside the package"
    while trace is not None:
        code = trace.tb_frame.f_code
        _, inside, file = code.co_filename.rpartition("/cortexctl/")
        if inside and "/tests/" not in code.co_filename:
            place = f"{file}:{code.co_name}"
        trace = trace.tb_next
    return place


EFFECTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that have an effect on a terminal or on the direction of text, and halves of characters."""


def check_shown(what: str, text: str) -> None:
    """Nothing in the text moves a cursor or turns letters round, and it can be written."""
    bad = EFFECTS.search(text)
    assert bad is None, (
        f"{what} shows a raw control character: {bad[0]!r} in {text[max(0, bad.start() - 60) :][:150]!r}"
    )
