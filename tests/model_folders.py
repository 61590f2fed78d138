"""Folders and caches with the files of a model."""

from __future__ import annotations

import json
from pathlib import Path

CONFIG = {"model_type": "qwen3"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub_cache(root: Path, *, ref: str = "main") -> Path:
    """As the hub's client lays it out: snapshots of links to blobs."""
    base = root / "hub" / "models--org--name"
    (base / "blobs").mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / ref).write_text(COMMIT)
    (base / "blobs" / "aa").write_text(json.dumps(CONFIG))
    snapshot = base / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/aa")
    return root
