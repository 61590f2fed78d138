"""Converts specs of older versions to the next one. Labels never change, so their readers have to convert them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_SERVER_FIELDS = {
    "model": "model",
    "served_names": "served_names",
    "vllm_version": "version",
    "args": "args",
    "extra_args": "extra_args",
    "drain": "drain",
}
"""Field of version 1 -> field of the server in version 2."""
_CONTAINER_FIELDS = (
    *("image", "env", "secrets", "gpus", "mounts", "publish", "network"),
    *("ipc", "shm_size", "restart", "memory", "cpus"),
)


def _to_version_2(flat: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had all fields in one table, and knew no engine except vLLM, which listens at port 8000."""
    if unknown := flat.keys() - {*_SERVER_FIELDS, *_CONTAINER_FIELDS}:
        raise ValueError(f"unknown fields in a spec: {', '.join(sorted(unknown))}")
    server = {new: flat[old] for old, new in _SERVER_FIELDS.items() if old in flat}
    container = {name: flat[name] for name in _CONTAINER_FIELDS if name in flat}
    return {"container": {"port": 8000, **container}, "server": {"engine": "vllm", **server}}


UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _to_version_2}
"""From version n to n + 1."""
