"""What another vLLM release means for a stack: before the edits that are certain, the edits, and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cortexctl.diagnostics import Diagnostic, Kind
from cortexctl.engines.vllm.catalogue.changes import between
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.version import parse_release
from cortexctl.errors import UsageError
from cortexctl.files.atomic import write_atomic
from cortexctl.files.reading import NotRead, read_text
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.results import Upgrade
from cortexctl.operations.stack_choice import StackChoice

SILENT = {"log_config_file"}
"""Options whose default is the parser's own marker for "not set"."""


def plan_upgrade(stack: str, choice: StackChoice, to: str) -> Upgrade:
    """Nothing is written. Raises UsageError for a stack that cannot be read."""
    from cortexctl.stack.document import UnreadableDocument
    from cortexctl.stack.edit.upgrade import upgraded
    from cortexctl.stack.load import environments

    reader = StackReader(stack, choice, SecretMode.SKIP)
    ahead = StackReader(stack, choice, SecretMode.SKIP, release=to)
    today = reader.read().desired
    before = ahead.read()
    now = {i.model: i.spec.server.version or "" for i in today.instances} if today else {}
    try:
        text = read_text(stack)
    except NotRead as cause:
        sentence = f"{stack} cannot be read: No such file or directory" if cause.missing else str(cause)
        raise UsageError(sentence, next_step="cortexctl init" if cause.missing else "") from None
    known = environments(stack)
    if choice.env and choice.env not in known:
        raise UsageError(f'{stack} has no environment "{choice.env}"; known: {", ".join(known) or "none"}')
    try:
        edited = upgraded(stack, text, choice.env, to, now)
    except UnreadableDocument as cause:
        raise UsageError(f"{stack}: {cause}", next_step=choice.invocation(stack).command("validate")) from None
    after = ahead.read(text=edited.text)
    set_ = {name for i in today.instances for name in i.spec.server.args} if today else set()
    return Upgrade(
        stack,
        to,
        now,
        [d for d in before.diagnostics if _is_about_the_release(d)],
        text,
        edited.text,
        edited.by_hand,
        [d for d in after.diagnostics if _is_about_the_release(d)],
        list(_defaults(min(filter(None, now.values()), default="", key=parse_release), to, set_)),
        [name for name in known if name != choice.env],
    )


def write_upgrade(upgrade: Upgrade) -> None:
    """Write the edits to the stack file. Raises UsageError."""
    if upgrade.has_edits:
        write_atomic(upgrade.stack, upgrade.new_text)


def _is_about_the_release(d: Diagnostic) -> bool:
    return d.is_error or d.kind in {Kind.ENGINE, Kind.MEMORY}


def _defaults(was: str, to: str, set_: set[str]) -> Iterator[tuple[str, Any, Any]]:
    if not was or was == to:
        return
    for change in between(was, to).changed:
        if "default" in change.facts and change.name not in set_ | SILENT | RESERVED.keys():
            before, after = change.facts["default"]
            if {} not in (before, after):
                yield change.name, _shown(before), _shown(after)


def _shown(default: Any) -> Any:
    return "not set, or decided at start-up" if default is None else default
