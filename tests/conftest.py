from __future__ import annotations

import gc
import itertools
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.reading import desired_from

settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")  # the same examples in every run, however busy the machine is

REPO = Path(__file__).parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collected tests live until the end. Searching them for garbage, over and over, takes a third of the collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths of different folders that do not exist. Creating a folder for each test would take longer than many tests."""
    root = tmp_path_factory.mktemp("caches")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_user() -> Iterator[None]:
    """What several tests share keeps no stack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEXCTL_NO_CACHE", "1")
        yield


@pytest.fixture(autouse=True)
def cache_of_its_own(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another one, or the user, has measured or read."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(next(caches)))
    monkeypatch.delenv("CORTEXCTL_NO_CACHE", raising=False)


__all__ = ["desired_from"]
