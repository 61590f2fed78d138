"""The user's cache folder of cortexctl. Nothing depends on its content: it can be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """By the XDG base directory specification, which has relative paths ignored. Raises RuntimeError without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "cortexctl"
