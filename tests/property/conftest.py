from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from cortexctl.apply import perform
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.stack import load


@pytest.fixture(scope="module")
def fingerprints_once() -> Iterator[None]:
    """They are slow on purpose, and here the same few are computed thousands of times."""
    known = functools.cache(fingerprint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "fingerprint", known)
        patch.setattr(perform, "fingerprint", known)
        yield
