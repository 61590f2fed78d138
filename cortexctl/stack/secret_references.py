"""From a secret's table to a reference: the place of its value, never the value."""

from __future__ import annotations

from cortexctl.instance.spec import SecretRef
from cortexctl.stack.schema import SecretTable


def reference_of(name: str, table: SecretTable) -> SecretRef | None:
    """Without a fingerprint; None unless the table names exactly one place."""
    references = [SecretRef(name, source, key, "") for source, key in table.places() if key]
    return references[0] if len(references) == 1 else None
