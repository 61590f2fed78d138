"""`python -m bench.memory`: the errors of the memory forecast, against measured starts and published reports.

It needs neither a GPU nor a network. README.md says how to read it, and how to add the starts of another card.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from bench.memory import before, reached, reports, rivals, tables
from bench.memory.errors import Error, errors_of, unread
from bench.memory.starts import Start, forecast, read_starts
from bench.memory.terms import MEASURED, REPORTED, Term


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--before", metavar="REF", help="another commit's figures beside them")
    parser.add_argument("--cases", metavar="TEXT", help="every term of the starts whose name or family has this text")
    parser.add_argument("--record", action="store_true", help="write reached.json, which no change may make worse")
    parser.add_argument("--rivals", action="store_true", help="other methods on the published reports")
    parser.add_argument("--json", action="store_true", help="every error as JSON")
    options = parser.parse_args(argv)
    if options.rivals:
        collected = list(rivals.errors())
        print(tables.by_term(collected, [Term(name, "%") for name in rivals.methods()]))
        return 0
    collected = all_errors()
    if options.json:
        json.dump([before.as_json(error) for error in collected], sys.stdout)
    elif options.cases:
        print(tables.cases(collected, MEASURED, options.cases))
    else:
        print(report(collected, before.errors(options.before) if options.before else []))
    if options.record:
        reached.write(collected)
    return 0


def all_errors() -> list[Error]:
    measured = [error for start in read_starts() for error in errors(start)]
    return measured + [error for case in reports.read_reports() for error in reports.errors_of(case)]


def errors(start: Start) -> Iterable[Error]:
    """Of one start; a model that cannot be read has wrong answers."""
    try:
        computed = forecast(start)
        truth = start.gib("available_kv") if start.has_cache else None
        exact = forecast(start, available=truth) if truth is not None else None
    except (ValueError, KeyError) as cause:
        return unread(start, cause)
    return errors_of(start, computed, exact)


def report(collected: Sequence[Error], earlier: Sequence[Error]) -> str:
    starts = len({e.case for e in collected if e.family})
    parts = (
        f"# {starts} measured starts\n",
        tables.by_term(collected, MEASURED, earlier),
        "\n## By family: median / largest, or how many are right\n",
        tables.by_family(collected, MEASURED, earlier),
        "\n## The worst three of each term\n",
        tables.worst(collected, MEASURED),
        "\n# Published reports\n",
        tables.by_term(collected, REPORTED, earlier),
        "\n## The worst three of each term\n",
        tables.worst(collected, REPORTED),
    )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
