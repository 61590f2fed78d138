"""Turns a container that no stack created into a model's table, as far as a stack can describe it.

Properties that a stack cannot describe are not in the table: its plan shows them, and `ignore` accepts them until the
replacement. A property that makes the import impossible is a reason; all reasons are reported at once. No draft
contains a value that may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cortexctl.engines.vllm.command.read_command import CommandLine, command_line
from cortexctl.engines.vllm.command.shells import STARTS_VLLM, why_unread
from cortexctl.instance.labels import serving_name
from cortexctl.observed.foreign import Running
from cortexctl.stack.importing.draft import Draft, Place
from cortexctl.stack.importing.model_table import fill
from cortexctl.stack.value_forms import name_form

_PREFIX = serving_name("")


def runs_vllm(running: Running) -> bool:
    """By its arguments, or by the name of its image."""
    named = any("vllm" in name.lower() for name in (running.image, *running.tags))
    return named or command_line(running.argv) is not None or any(STARTS_VLLM.search(w) for w in running.argv)


def draft_of(running: Running, place: Place) -> Draft:
    line = command_line(running.argv)
    draft = Draft(place.name or _name_of(running, line))
    draft.reasons += _refused(running, line, draft.name, place)
    if line is None:
        return draft
    fill(running, place, line, draft)
    draft.table = {key: value for key, value in draft.table.items() if value not in ({}, [], None)}
    return draft


def _refused(running: Running, line: CommandLine | None, name: str, place: Place) -> Iterator[str]:
    if line is None:
        yield f"{why_unread(running.argv)}, so its arguments cannot be read"
    elif not line.model and line.reserved.get("config"):
        yield (
            "its command line does not name the model that it serves: it is in the file "
            f"{line.reserved['config'][0]} inside the container (--config), which cannot be read from here; declare "
            "the model with the options of that file, without `adopt`"
        )
    elif not line.model:
        yield "its command line does not name the model that it serves"
    try:
        name_form(name)
    except ValueError as cause:
        yield f"{cause}; choose one with --model"
    if name in place.taken:
        yield f'the stack already has a model "{name}"; choose another name with --model'
    if running.removes_itself:
        yield "it was started with --rm: the daemon removes it as soon as it stops, so it could not be restored"


def _name_of(running: Running, line: CommandLine | None) -> str:
    """The container's name if it follows our pattern, so that it can stay; otherwise derived from the served model."""
    own = running.name.removeprefix(_PREFIX)
    served = line.served_names[0] if line and line.served_names else running.name
    for text in (own if own != running.name else "", served.rstrip("/").rpartition("/")[2], running.name):
        name = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_.-]+", "-", text.lower())).strip("-_.")[:63].rstrip("-")
        if name and (text != own or name == text):
            return name
    return running.name
