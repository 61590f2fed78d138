"""The details of a plan's blocks in Markdown, the most dangerous first, as many as fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cortexctl.plan.action import Action
from cortexctl.plan.capacity.forecast import InstanceForecast
from cortexctl.plan.diff import FieldChange
from cortexctl.render.markdown_text import clip, code, fenced, text
from cortexctl.render.plan.content import hidden_text, image_text, launch_rows
from cortexctl.render.plan.folding import Block
from cortexctl.render.plan.memory import memory_lines
from cortexctl.render.plan.outcome import counted
from cortexctl.render.plan.phrases import change_text, reason_lines, value_text

VALUE = 200
"""Characters of a value."""
LINES_SHARE = 3
"""A third of the room is reserved for lines of blocks whose details do not fit."""
LISTED = 100
"""Addresses, or containers, of a block."""


def details(blocks: Sequence[Block], room: int, forecasts: Mapping[str, InstanceForecast]) -> str:
    """At most `room` bytes: for each block its details, or a line; at the end, the number of the others."""
    parts: list[str] = []
    lines = [_line(b) for b in blocks]
    remaining = sum(_size(line) for line in lines)
    for_lines = room // LINES_SHARE
    for number, (block, line) in enumerate(zip(blocks, lines, strict=True)):
        last = _rest(sum(len(b.changes) for b in blocks[number:]))
        remaining -= _size(line)
        reserved = min(remaining, for_lines) + _size(last)
        for part in (_detail(block, forecasts), line):
            if _size(part) + (reserved if part is not line else _size(last)) <= room:
                parts.append(part)
                room -= _size(part)
                break
        else:
            if _size(last) <= room:
                parts.append(last)
            break
    return _joined(parts)


def _size(part: str) -> int:
    """With the separator between two parts."""
    return len(part.encode("utf-8")) + 2


def _joined(parts: Sequence[str]) -> str:
    """Consecutive lines form one list; other parts are separated by an empty line."""
    out = ""
    for before, part in zip(["", *parts], parts, strict=False):
        between = "" if not before else "\n" if before.startswith("- ") and part.startswith("- ") else "\n\n"
        out += between + part
    return out


def _rest(number: int) -> str:
    return f"- and {counted(number, 'change')} more that {'does' if number == 1 else 'do'} not fit here"


def _line(block: Block) -> str:
    number = len(block.first.fields)
    what = f"{counted(number, 'field')} changed" if number else "details"
    return f"- {code(block.name)} on {_where(block)}: {change_text(block.first)}, {what} in the job's output"


def _where(block: Block) -> str:
    return code(block.hosts[0]) if len(block.hosts) == 1 else counted(len(block.hosts), "host")


def _detail(block: Block, forecasts: Mapping[str, InstanceForecast]) -> str:
    """A block of HTML around a block of code. Markdown needs the empty lines between them."""
    title = f"<code>{text(block.name, 120)}</code> on {text(', '.join(block.hosts[:3]), 200)}"
    title += f" and {len(block.hosts) - 3} more" if len(block.hosts) > 3 else ""
    parts = [f"<details><summary>{title}: {change_text(block.first)}</summary>"]
    if len(block.changes) > 1:
        shown = [code(address) for address in block.addresses[:LISTED]]
        more = f" and {len(block.changes) - LISTED} more" if len(block.changes) > LISTED else ""
        parts.append(f"The same on each of {', '.join(shown)}{more}.")
    parts.append(fenced(_diff_lines(block, forecasts), "diff"))
    parts.append("</details>")
    return "\n\n".join(parts)


def _diff_lines(block: Block, forecasts: Mapping[str, InstanceForecast]) -> Iterator[str]:
    change = block.first
    for reason in reason_lines(change):
        yield f"# {clip(reason, VALUE)}"
    width = min(max((len(f.path) for f in change.fields), default=0), 60)
    for f in change.fields:
        yield _field_line(f, width)
    if change.action is Action.CREATE:
        for name, value in launch_rows(block):
            yield f"+ {name:<8}{clip(value, VALUE)}"
    if change.action is Action.MOVE and change.detail.serving:
        yield f"! {clip(change.detail.serving.name, VALUE)} -> {clip(change.detail.rename, VALUE)}"
    if change.action in {Action.REMOVE, Action.FORGET, Action.RESTART, Action.START}:
        sign = "-" if change.action is Action.REMOVE else "!"
        containers = [(c.host, ref) for c in block.changes for ref in c.detail.touched]
        for host, ref in containers[:LISTED]:
            yield f"{sign} {clip(ref.name, VALUE)} on {clip(host, VALUE)}: {ref.state}, generation {ref.generation}"
        if len(containers) > LISTED:
            yield f"# and {len(containers) - LISTED} containers more"
    for line in memory_lines(block, forecasts):
        yield f"# memory  {clip(line, VALUE)}"
    if change.detail.image:
        yield f"# {clip(image_text(change), VALUE)}"


def _field_line(f: FieldChange, width: int) -> str:
    path = clip(f.path, VALUE)
    if f.sensitive:
        return f"! {path:<{width}}   {hidden_text(f)}"
    sign = "+" if f.before is None else "-" if f.after is None else "!"
    before, after = (clip(value_text(f.path, v), VALUE) for v in (f.before, f.after))
    return f"{sign} {path:<{width}}   {before} -> {after}"
