"""What the head of a safetensors file says of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name -> (type, shape), as the file has them."""


def tensors_in(head: Mapping[str, Any]) -> Tensors:
    """Of the JSON that the file begins with; what is no tensor is passed over."""
    found = {}
    for name, said in head.items():
        shape = said.get("shape") if name != "__metadata__" and isinstance(said, Mapping) else None
        if _is_shape(shape):
            found[name] = (str(said.get("dtype")), tuple(shape))
    return found


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(isinstance(n, int) and n >= 0 for n in value)
