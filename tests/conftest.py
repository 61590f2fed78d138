from __future__ import annotations

from pathlib import Path

import pytest

from tests.reading import desired_from

REPO = Path(__file__).parent.parent


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, one of them has all that share the lab's engine: they count what is there."""
    for item in items:
        if item.get_closest_marker("engine") or item.get_closest_marker("vllm"):
            item.add_marker(pytest.mark.xdist_group("engine"))


@pytest.fixture
def repo() -> Path:
    return REPO


__all__ = ["desired_from"]
