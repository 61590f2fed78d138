"""Reads a file that somebody else may have placed: only a regular file, only up to a size limit, and not through links
that lead out of its checkout if the caller forbids that.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from cortexctl.files.checkout import checkout_of

LARGEST_STACK = 8 * 2**20
"""Bytes beyond which a file cannot be a stack: this size holds thousands of models."""
_BY_THE_KERNEL = ("/proc", "/sys")
"""Entries in these folders only look like files: each is generated when it is read, and may hold a whole environment.
"""


class NotRead(Exception):
    """The file was not read. The text is one sentence without any content of the file; `advice` says what to do."""

    def __init__(self, sentence: str, advice: str = "", *, missing: bool = False) -> None:
        super().__init__(sentence)
        self.advice = advice
        self.missing = missing


def read_regular(path: str, *, inside: bool = False, most: int = LARGEST_STACK) -> bytes:
    """The whole file. `inside`: the file itself must be in its checkout, not only a link to it. Raises NotRead."""
    checkout = checkout_of(path)
    if inside and not checkout.holds(path):
        raise NotRead(
            f"{path} is a link that leads out of {checkout.top}, so it is not read",
            "put the file itself into the checkout; a review reads no other file of this machine",
        )
    try:
        return _read(path, most)
    except FileNotFoundError:
        raise NotRead(f"there is no file {path}", "write one with: cortexctl init", missing=True) from None
    except OSError as cause:
        raise NotRead(f"{path} cannot be read: {cause.strerror}") from None


def read_text(path: str, *, inside: bool = False) -> str:
    """As UTF-8, without a byte order mark, and with line ends as in Python. Raises NotRead."""
    return as_text(path, read_regular(path, inside=inside))


def as_text(name: str, data: bytes) -> str:
    """The same as `read_text`, for bytes. Raises NotRead."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise NotRead(f"{name} is UTF-16 text", "save it as UTF-8") from None
        line = data.count(b"\n", 0, cause.start) + 1
        raise NotRead(
            f"{name} is not UTF-8 text: line {line}", "save it as UTF-8; a stack file is TOML or JSON"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(path: str, most: int) -> bytes:
    before = Path(path).stat()  # before opening: opening a pipe blocks, and opening a device may have effects
    _refuse_irregular(path, before)
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        now, real = os.fstat(file), os.path.realpath(path)
        _refuse_irregular(path, now)
        if any(Path(real).is_relative_to(folder) for folder in _BY_THE_KERNEL) or not _is_same(real, now):
            raise _irregular(path)
        data = opened.read(most + 1)
    if data and now.st_size == 0:
        raise _irregular(path)  # the kernel's files report a size of zero
    if len(data) > most:
        raise NotRead(f"{path} is larger than {most >> 20} MiB; no stack is that large", "name the stack file")
    return data


def _refuse_irregular(path: str, info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        inner = Path(path) / "stack.toml"
        raise NotRead(f"{path} is a folder", f"name the stack file in it: {inner}" if inner.exists() else "name a file")
    if not stat.S_ISREG(info.st_mode):
        raise _irregular(path)


def _irregular(path: str) -> NotRead:
    return NotRead(f"{path} is not a regular file, so it is not read", "write the stack into a regular file")


def _is_same(path: str, opened: os.stat_result) -> bool:
    try:
        return os.path.samestat(Path(path).stat(), opened)
    except OSError:
        return False
