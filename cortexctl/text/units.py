"""Parses and formats durations and sizes as people write them, as plain integers."""

from __future__ import annotations

import re
from functools import lru_cache

GIB = 2**30
"""Bytes."""
LONGEST, LARGEST = 7 * 24 * 3600, 2.0**50
"""Seconds and bytes beyond which a value is a typing error."""
_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)?", re.IGNORECASE | re.ASCII)
_BINARY = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": GIB, "TIB": 2**40}
_DECIMAL = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def seconds(text: str) -> int:
    """'90s', '20m', '1h30m' -> whole seconds. Raises ValueError."""
    total = _milliseconds(text, 'write for example "90s", "20m" or "1h30m"')
    if total % 1000:
        raise ValueError(f'"{text}" must be whole seconds here; write for example "90s"')
    return total // 1000


def short_seconds(text: str) -> float:
    """'500ms', '2s', '1s500ms' -> seconds, to the millisecond. Raises ValueError."""
    return _milliseconds(text, 'write for example "500ms", "2s" or "1s500ms"') / 1000


@lru_cache(maxsize=256)
def _milliseconds(text: str, advice: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f'"{text}" is not a duration; {advice}')
    hours, minutes, secs, milliseconds = (int(g or 0) for g in match.groups())
    total = (hours * 3600 + minutes * 60 + secs) * 1000 + milliseconds
    if total > LONGEST * 1000:
        raise ValueError(f'"{text}" is longer than a week')
    return total


def size_in_bytes(text: str) -> int:
    """'2 GiB', '512MiB', '2GB' (10^9) -> bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f'"{text}" is not a size; write for example "2 GiB" or "512 MiB"')
    number, unit = match.group(1), (match.group(2) or "").upper()
    size = float(number) * {**_BINARY, **_DECIMAL}[unit]
    if size > LARGEST:
        raise ValueError(f'"{text}" is larger than the memory of any machine')
    return int(size)


def show_seconds(total: float) -> str:
    """42 -> '42s', 250 -> '4m10s', 1200 -> '20m', 3720 -> '1h02m'."""
    whole = round(total)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m" + (f"{whole % 60:02d}s" if whole % 60 else "")
    return f"{whole // 3600}h" + (f"{whole % 3600 // 60:02d}m" if whole % 3600 >= 60 else "")


def about(seconds: float) -> str:
    """Rounded as an estimate deserves: 47 -> '50s', 134 -> '2m10s', 700 -> '12m'."""
    unit = 5 if seconds < 60 else 10 if seconds < 600 else 60
    return show_seconds(max(round(seconds / unit) * unit, unit))


def about_range(low: float, high: float) -> str:
    """Both ends rounded in the same way: '40s to 2m20s', or one of them if they are equal then."""
    shortest, longest = about(low), about(high)
    return shortest if shortest == longest else f"{shortest} to {longest}"


def show_short(total: float) -> str:
    """0.0284 -> '28ms', 1.5 -> '1.50s', 75 -> '1m15s': for durations where fractions of a second matter."""
    milliseconds = round(total * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    return f"{total:.2f}s" if milliseconds < 60_000 else show_seconds(total)


def show_bytes(number: int) -> str:
    """2147483648 -> '2 GiB'; a number that is not a whole unit keeps one decimal."""
    for unit, factor in (("TiB", 2**40), ("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= factor:
            return f"{number / factor:.4g} {unit}"
    return f"{number} B"
