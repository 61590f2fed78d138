"""`fit --auto`: the search on one model, and the patch of the stack that it ends with."""

from __future__ import annotations

import difflib

from cortexctl.cli.fitting import Asked, Question
from cortexctl.cli.outfile import write_whole
from cortexctl.cli.writing import say, write
from cortexctl.engines.vllm.memory.autofit import Fitted, Target, fit
from cortexctl.errors import UsageError
from cortexctl.files.reading import NotRead, read_text
from cortexctl.stack.edit.argument_edits import CannotPatch, patched
from cortexctl.text.toml_text import toml_value


def search(asked: Asked, model: str | None, length: int, concurrency: float) -> tuple[Question, Fitted]:
    """Of the one model, or the named one. Raises UsageError."""
    question = asked.only(model, "--auto")
    target = Target(length, concurrency)
    gpus = len(question.gpus) or question.gpu_count
    return question, fit(question.facts, question.ask, target, gpus=gpus)


def show_patch(stack: str, at: Question, found: Fitted, *, write_it: bool, quiet: bool) -> int:
    """The difference to the stack, or the arguments where there is no stack. Exit 1 when the target is not reached."""
    if not found.reached:
        return 1
    if not at.model:
        if not quiet:
            write("".join(f"--arg {name}={value}\n" for name, value in found.changes.items()), "text")
        return 0
    try:
        before = read_text(stack)
        after = patched(stack, before, at.model, found.changes)
    except NotRead as cause:
        raise UsageError(str(cause)) from None
    except CannotPatch as cause:
        wanted = ", ".join(f"{name} = {toml_value(value)}" for name, value in found.changes.items())
        raise UsageError(f"{cause}: {wanted}") from None
    if write_it:
        write_whole(stack, after)
        say(f"wrote {stack}\n")
    if not quiet:
        lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), stack, stack)
        write("".join(lines), "diff")
    return 0
