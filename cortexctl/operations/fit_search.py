"""`fit --auto`: the search for arguments that reach a target, and the resulting patch of the stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.autofit import Fitted, Target, fit
from cortexctl.errors import UsageError
from cortexctl.files.atomic import write_atomic
from cortexctl.files.reading import NotRead, read_text
from cortexctl.operations.fit import FitModel
from cortexctl.stack.document import UnreadableDocument
from cortexctl.stack.edit.change import CannotEdit
from cortexctl.stack.edit.edits import with_arguments
from cortexctl.text.toml_text import toml_value


@dataclass(frozen=True, slots=True)
class StackPatch:
    """A stack's text before and after an edit."""

    path: str
    before: str
    after: str


def search(model: FitModel, target: Target) -> Fitted:
    gpus = len(model.gpus) or model.gpu_count
    return fit(model.facts, model.launch, target, gpus=gpus)


def stack_patch(stack: str, model: str, changes: Mapping[str, Any]) -> StackPatch:
    """The stack with these arguments of a model. Nothing is written. Raises UsageError."""
    try:
        before = read_text(stack)
        return StackPatch(stack, before, with_arguments(stack, before, model, changes))
    except NotRead as cause:
        raise UsageError(str(cause)) from None
    except (CannotEdit, UnreadableDocument) as cause:
        wanted = ", ".join(f"{name} = {toml_value(value)}" for name, value in changes.items())
        raise UsageError(f"{cause}: {wanted}") from None


def write_patch(patch: StackPatch) -> None:
    """Write the new text to the stack file. Raises UsageError."""
    write_atomic(patch.path, patch.after)
