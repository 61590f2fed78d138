"""load_stack: from a path to Desired and everything that is wrong with the file, in one go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from cortexctl.diagnostics import Diagnostic, in_reading_order
from cortexctl.spec.container import SecretRef
from cortexctl.spec.desired import Desired
from cortexctl.spec.secret import fingerprint
from cortexctl.stack.document import Document, UnreadableDocument, read_document
from cortexctl.stack.problems import explain
from cortexctl.stack.resolve import Surroundings, UnresolvedSecret, resolve
from cortexctl.stack.schema import StackFile

SecretValue = Callable[[str, str], str]
"""(source, key) -> the value. Raises UnresolvedSecret."""

__all__ = ["SecretValue", "UnresolvedSecret", "load_stack"]


def load_stack(
    path: str, *, default_docker: str, secret_value: SecretValue | None
) -> tuple[Desired | None, list[Diagnostic]]:
    """Desired is None when something is wrong that leaves nothing to plan.

    `secret_value` None: secrets are not looked at (offline validation), and their fingerprints stay empty.
    """
    try:
        document = read_document(path)
    except UnreadableDocument as cause:
        return None, [cause.diagnostic]
    try:
        stack = StackFile.model_validate(document.data)
    except ValidationError as failure:
        return None, in_reading_order(explain(document, failure))
    return _resolve(document, stack, default_docker, secret_value)


def _resolve(
    document: Document, stack: StackFile, default_docker: str, secret_value: SecretValue | None
) -> tuple[Desired | None, list[Diagnostic]]:
    prints: dict[tuple[str, str, str], str] = {}

    def fingerprint_of(reference: SecretRef) -> str:
        if secret_value is None:
            return ""
        known = (reference.name, reference.source, reference.key)
        if known not in prints:
            value = secret_value(reference.source, reference.key)
            prints[known] = fingerprint(stack.stack, reference.name, value)
        return prints[known]

    around = Surroundings(default_docker, fingerprint_of, Path(document.path).resolve().parent)
    digest = hashlib.sha256(document.text.encode()).hexdigest()[:16]
    desired, found = resolve(stack, document, around, digest)
    found = in_reading_order(found)
    return (None if any(d.is_error for d in found) else desired), found
