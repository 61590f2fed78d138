"""Lines at the bottom of a terminal that change, and never stay: other output is written above them, and in the end
nothing is left of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from cortexctl.render.columns import columns_of, cut_to

EVERY = 0.25
"""Seconds between two drawings."""
MARGIN = 3
"""Columns at the end of a line that stay free: for the ^C of an interrupt, and so that no terminal wraps it."""
_USUAL = os.terminal_size((80, 24))

Picture = Callable[[os.terminal_size], Sequence[str]]
"""The present lines, for the free columns and the lines of the terminal. Called by several threads, one at a time."""


class LiveLines:
    """Draws pictures on a terminal, below each other. Safe to use from several threads. A terminal that is gone does no
    harm.
    """

    def __init__(self, out: TextIO, filtered: Callable[[str], str], size: Callable[[], os.terminal_size]) -> None:
        self._out = out
        self._filtered = filtered
        """Without what must not reach a terminal."""
        self._size = size
        self._pictures: list[Picture] = []
        self._drawn: list[str] = []
        self._is_line_open = False
        """Whether the last other output, a prompt, did not end its line."""
        self._guard = threading.RLock()

    @contextmanager
    def showing(self, picture: Picture) -> Iterator[None]:
        """Draws the picture again and again until the end of the block."""
        ended = threading.Event()
        with self._guard:
            self._pictures.append(picture)
        drawer = threading.Thread(target=self._draw_until, args=(ended,), daemon=True)
        drawer.start()
        try:
            yield
        finally:
            ended.set()
            drawer.join()
            with self._guard:
                self._pictures.remove(picture)
                self.draw()

    def draw(self) -> None:
        """Draws the present lines, if they are others than before."""
        with self._guard:
            if self._is_line_open:
                return
            size = self._free()
            lines = [self._filtered(line) for picture in self._pictures for line in picture(size)]
            lines = [cut_to(line, size.columns) for line in lines[-size.lines :]]
            if lines != self._drawn:
                self._write(self.erasure() + "\n".join(lines))
                self._drawn = lines

    @contextmanager
    def aside(self, text: str) -> Iterator[None]:
        """Erased while this text is written to the terminal."""
        with self._guard:
            if self._drawn:
                self._write(self.erasure())
            try:
                yield
            finally:
                self._is_line_open = not text.endswith("\n") if text else self._is_line_open
                if self._pictures:
                    self.draw()

    def erasure(self) -> str:
        """The codes that erase the lines, also if they were wrapped since, because the window is narrower. They count
        as written.
        """
        columns = self._free().columns + MARGIN
        rows = sum(max(1, -(-columns_of(line) // columns)) for line in self._drawn)
        self._drawn = []
        return "\r" + "\x1b[A" * (rows - 1) + "\x1b[J" if rows else ""

    def _draw_until(self, ended: threading.Event) -> None:
        while not ended.wait(EVERY):
            self.draw()

    def _free(self) -> os.terminal_size:
        """What lines may take: one row stays free for other output."""
        size = self._size()
        columns, lines = size.columns or _USUAL.columns, size.lines or _USUAL.lines
        return os.terminal_size((max(columns - MARGIN, 1), max(lines - 1, 1)))

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        with suppress(OSError, ValueError):  # the terminal is gone: the command continues
            self._out.write(text.encode(encoding, "replace").decode(encoding))
            self._out.flush()


def size_of(stream: TextIO) -> os.terminal_size:
    """Its size, or the usual one if it has none."""
    try:
        return os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return _USUAL
