"""The best figures so far: no change may make one of them worse. `python -m bench.memory --record` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.memory.errors import Error
from bench.memory.terms import MEASURED, REPORTED, Term, by_term

REACHED = Path(__file__).with_name("reached.json")
DIGITS = 4


def write(errors: Iterable[Error]) -> None:
    lines = (f"  {json.dumps(term)}: {json.dumps(numbers)}" for term, numbers in _reached(errors).items())
    REACHED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def worse(errors: Iterable[Error]) -> Iterator[str]:
    """Each figure that is worse than the recorded one, as a sentence. Fewer cases with an answer are worse, too."""
    reached = _reached(errors)
    for term, before in json.loads(REACHED.read_text(encoding="utf-8")).items():
        for name, value in before.items():
            now = reached.get(term, {}).get(name, 0.0)
            if now < value if name in {"n", "right"} else now > value:
                yield f"{term}: {name} {now}, it was {value}"


def _reached(errors: Iterable[Error]) -> dict[str, dict[str, float]]:
    terms = {term.name: term for term in (*MEASURED, *REPORTED)}
    figures = by_term(errors, list(terms.values()))
    return {name: {n: round(getattr(of, n), DIGITS) for n in _names(terms[name])} for name, of in figures.items()}


def _names(term: Term) -> tuple[str, ...]:
    return ("n", "median", "p90", "max") if term.unit else ("n", "right")
