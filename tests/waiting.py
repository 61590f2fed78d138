"""Waits for what a test asks for, and gives up only after a time that no machine needs."""

from __future__ import annotations

import time
from collections.abc import Callable

AT_MOST = 600.0
"""Seconds. A machine with a load of 50 and a slow disk needs minutes for what usually takes a second."""


def wait_until(holds: Callable[[], bool]) -> None:
    """Asks again and again until it holds."""
    end = time.monotonic() + AT_MOST
    while not holds():
        assert time.monotonic() < end, f"it did not hold within {AT_MOST:.0f} s"
        time.sleep(0.05)
