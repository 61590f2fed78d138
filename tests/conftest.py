from __future__ import annotations

from pathlib import Path

import pytest

from tests.reading import desired_from

REPO = Path(__file__).parent.parent


@pytest.fixture
def repo() -> Path:
    return REPO


__all__ = ["desired_from"]
