"""From a container that no stack made to a model's table that describes it, as far as a stack can say it.

What cannot be said is not in the table: the plan of it shows that, and `ignore` lets it be until the replacement.
What makes it impossible is a reason; all reasons are found in one go. No value that may be a secret is in a draft.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cortexctl.engines.vllm.command.read_command import CommandLine, command_line
from cortexctl.instance.labels import serving_name
from cortexctl.observed.foreign import Running
from cortexctl.stack.importing.draft import Draft, Place
from cortexctl.stack.importing.model_table import fill
from cortexctl.stack.value_forms import name_form

_PREFIX = serving_name("")
_STARTS_VLLM = re.compile(r"(^|[\s/;&|(])vllm\s+serve\b|\bvllm\.entrypoints\b")


def runs_vllm(running: Running) -> bool:
    """By its words, or by the name of its image."""
    named = any("vllm" in name.lower() for name in (running.image, *running.tags))
    return named or command_line(running.words) is not None or any(_STARTS_VLLM.search(w) for w in running.words)


def draft_of(running: Running, place: Place) -> Draft:
    line = command_line(running.words)
    draft = Draft(place.name or _name_of(running, line))
    draft.reasons += _refused(running, line, draft.name, place)
    if line is None:
        return draft
    fill(running, place, line, draft)
    draft.table = {key: value for key, value in draft.table.items() if value not in ({}, [], None)}
    return draft


def _refused(running: Running, line: CommandLine | None, name: str, place: Place) -> Iterator[str]:
    if line is None:
        program = (running.words or ("nothing",))[0]
        yield (
            f"its command ({program} …) is not `vllm serve` or vLLM's api_server, or a script that does more than "
            "to start one, so its arguments cannot be read"
        )
    elif not line.model:
        yield "its command line does not say which model it serves (a --config file?)"
    try:
        name_form(name)
    except ValueError as cause:
        yield f"{cause}; choose one with --model"
    if name in place.taken:
        yield f'there is a model "{name}" in the stack; choose another name with --model'
    if running.removes_itself:
        yield "it was started with --rm: the daemon removes it as soon as it stops, so nothing could bring it back"


def _name_of(running: Running, line: CommandLine | None) -> str:
    """That of the container where it is one of ours, so that its name can stay; else by what it serves."""
    own = running.name.removeprefix(_PREFIX)
    served = line.served_names[0] if line and line.served_names else running.name
    for text in (own if own != running.name else "", served.rstrip("/").rpartition("/")[2], running.name):
        name = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_.-]+", "-", text.lower())).strip("-_.")[:63].rstrip("-")
        if name and (text != own or name == text):
            return name
    return running.name
