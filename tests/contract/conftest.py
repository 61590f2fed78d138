from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.podman import Podman, own_podman


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with own_podman() as service:
        yield service
