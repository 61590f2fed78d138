"""What the head of a safetensors file says of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name -> (type, shape), as the file has them."""


def tensors_in(head: Mapping[str, Any]) -> Tensors:
    """Of the JSON that the file begins with; what is no tensor is passed over."""
    tensors = {}
    for name, entry in head.items():
        shape = entry.get("shape") if name != "__metadata__" and isinstance(entry, Mapping) else None
        if _is_shape(shape):
            tensors[name] = (str(entry.get("dtype")), tuple(shape))
    return tensors


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(isinstance(n, int) and n >= 0 for n in value)
