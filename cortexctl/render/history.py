"""The audit log for people: one block per run, newest first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.plan.action import Reason, ReasonCode
from cortexctl.render.plan.phrases import SYMBOLS, reason_text
from cortexctl.render.sanitise import all_visible
from cortexctl.render.style import Ink
from cortexctl.text.units import show_seconds

Record = Mapping[str, Any]
_COLOURS = {"done": "green", "rolled back": "yellow", "failed": "red", "applied in part": "red"}
_SYMBOLS = {action.value: symbol for action, symbol in SYMBOLS.items()}


@dataclass
class Run:
    """The records of one run. `end` is None if the run is still active, or was killed."""

    id: str
    start: Record
    changes: list[Record] = field(default_factory=list)
    end: Record | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"run": self.id, "start": self.start, "changes": self.changes, "end": self.end}


def runs_of(records: Iterable[Record], env: str = "") -> list[Run]:
    """Newest first. `env`: only the runs of this environment. Records in another format are skipped."""
    by_id: dict[str, Run] = {}
    for record in records:
        run, kind = record.get("run"), record.get("record")
        if not isinstance(run, str) or not _is_whole(record) or (env and record.get("env") != env):
            continue
        if kind == "start":
            by_id[run] = Run(run, record)
        elif run in by_id and kind == "change":
            by_id[run].changes.append(record)
        elif run in by_id and kind == "end":
            by_id[run].end = record
    return list(reversed(by_id.values()))


def addresses_in(runs: Iterable[Run]) -> set[str]:
    """The addresses of all changes, planned and carried out."""
    return {c["address"] for run in runs for c in (*run.start.get("changes", ()), *run.changes) if c.get("address")}


def about(runs: Iterable[Run], addresses: Collection[str]) -> list[Run]:
    """The runs that planned or made changes of these addresses, reduced to those changes."""
    narrowed = (_about(run, addresses) for run in runs)
    return [run for run in narrowed if run.changes or run.start["changes"]]


def _is_whole(record: Record) -> bool:
    """Whether its parts have the types that we write: a log may be edited by hand."""
    parts = {"changes": list, "reasons": list, "who": dict, "generation": dict, "selection": list, "address": str}
    if not all(isinstance(record.get(name, kind()), kind) for name, kind in parts.items()):
        return False
    inner = [*record.get("changes", ()), *record.get("reasons", ())]
    return all(isinstance(i, dict) and isinstance(i.get("address", ""), str) for i in inner)


def _about(run: Run, addresses: Collection[str]) -> Run:
    planned = [c for c in run.start.get("changes", ()) if c.get("address") in addresses]
    changes = [c for c in run.changes if c.get("address") in addresses]
    return Run(run.id, {**run.start, "changes": planned}, changes, run.end)


def history_text(runs: Sequence[Run], ink: Ink) -> str:
    shown = (Run(run.id, all_visible(run.start), all_visible(run.changes), all_visible(run.end)) for run in runs)
    return "\n\n".join("\n".join(_block(run, ink)) for run in shown) + "\n"


def _block(run: Run, ink: Ink) -> Iterator[str]:
    start, end = run.start, run.end
    when = str(start.get("time", ""))[:19].replace("T", " ") + " UTC"
    what = " ".join([str(start.get("command", "apply")), *map(str, start.get("selection", ()))])
    env = f" ({start['env']})" if start.get("env") else ""
    ended = _ended(end, ink) if end else ink("no end is recorded: it is still running, or was killed", "yellow")
    yield f"{ink(when, 'bold')}   {what} {start.get('stack', '')!s}{env}   {ended}"
    whose = start.get("who", {})
    actor = f"{whose['actor']}, as " if whose.get("actor") else ""
    facts = [f"{actor}{whose.get('user', '?')} on {whose.get('machine', '?')}", f"run {run.id}"]
    facts += [_revision(str(start["revision"]))] if start.get("revision") else []
    facts += [whose["job"]] if whose.get("job") else []
    yield f"  {ink('   '.join(map(str, facts)), 'dim')}"
    done = {c.get("address") for c in run.changes}
    for change in run.changes:
        yield from _change(change, ink)
    for planned in start.get("changes", ()):
        if planned.get("address") not in done:
            symbol = _SYMBOLS.get(str(planned.get("action")), "?")
            yield f"  {symbol:<3} {planned.get('address')!s}   {planned.get('action')}   was planned"
    if end and end.get("failure") and not run.changes:
        yield f"      {end['failure']!s}"


def _ended(end: Record, ink: Ink) -> str:
    outcome = str(end.get("outcome", ""))
    duration = f" in {show_seconds(end['seconds'])}" if isinstance(end.get("seconds"), int | float) else ""
    code = f", exit code {end['exit_code']}" if end.get("exit_code") else ""
    return ink(outcome, _COLOURS.get(outcome, "yellow")) + duration + code


def _change(change: Record, ink: Ink) -> Iterator[str]:
    generation = change.get("generation", {})
    before, after = generation.get("before"), generation.get("after")
    generations = " -> ".join(str(number) for number in (before, after) if number)
    moved = f"   generation {generations}" if before != after else ""
    duration = f" in {show_seconds(change['seconds'])}" if isinstance(change.get("seconds"), int | float) else ""
    outcome = str(change.get("outcome", ""))
    reasons = "; ".join(_reason(r) for r in change.get("reasons", ()))
    symbol = _SYMBOLS.get(str(change.get("action")), "?")
    shown = ink(outcome, _COLOURS.get(outcome, "yellow"))
    yield f"  {symbol:<3} {change.get('address')!s}   {change.get('action')}{moved}   {shown}{duration}"
    if reasons:
        yield f"      {reasons}"
    for key in ("failure", "rollback_problem"):
        if change.get(key):
            yield f"      {ink(key.replace('_', ' '), 'red')}: {change[key]!s}"


def _reason(reason: Record) -> str:
    code, detail = str(reason.get("code", "")), str(reason.get("detail", ""))
    try:
        known = ReasonCode(code)
    except ValueError:  # written by a newer release, or edited by hand
        return f"{code.replace('_', ' ')} {detail}".strip()
    return (
        f"{detail} changed"
        if known is ReasonCode.CHANGED
        else reason_text(Reason(known, detail)).removeprefix("because ")
    )


def _revision(text: str) -> str:
    commit, dirty, _ = text.partition("-dirty")
    return f"revision {commit[:12]}" + (" with uncommitted changes" if dirty else "")


def labels_text(rows: Sequence[Mapping[str, str]], ink: Ink) -> str:
    """The history in the labels of the containers, if there is no log: the run that created each of them."""
    lines = []
    for row in map(all_visible, rows):
        who = f"   by {row['author']}" if row["author"] else ""
        at = f"   {_revision(row['revision'])}" if row["revision"] else ""
        state = ink(row["state"], "green" if row["state"] == "running" else "dim")
        lines.append(
            f"  {row['address']}   generation {row['generation']}   {state}   run {row['run'] or '?'}{who}{at}"
        )
    return "".join(f"{line}\n" for line in lines)
