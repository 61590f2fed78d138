"""One deadline for a whole HTTP request. httpx's own time-outs count between two reads. So a server that sends its
handshake, head or body slowly, or repeats "100 Continue", would never end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

_CONNECTED = "connection.connect_tcp.complete"
_BEGINS = "connection.connect_tcp.started"


class Overdue(TimeoutError):
    """The answer did not arrive in time."""


class Connections:
    """The connections of one httpx client; they are cut when a request's time is over. `extensions` goes with every
    request.

    Each connection has its own handle: TLS detaches the socket object that httpx would show.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._open: list[socket.socket] = []
        self._over = threading.Event()

    @property
    def extensions(self) -> dict[str, Any]:
        return {"trace": self._trace}

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Requests made inside must be answered within this many seconds. Raises Overdue, whatever error httpx raises
        after the cut.
        """
        self._over = over = threading.Event()
        watch = threading.Timer(max(seconds, 0), self._cut, [over])
        watch.daemon = True
        watch.start()
        try:
            yield
        except Exception as cause:
            if over.is_set():
                raise Overdue from cause
            raise
        finally:
            watch.cancel()
        if over.is_set():
            raise Overdue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _cause: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._guard:
            self._forget()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == _BEGINS and self._over.is_set():
            raise Overdue
        if event == _CONNECTED:
            with self._guard:
                self._open.append(info["return_value"].get_extra_info("socket").dup())
                if self._over.is_set():
                    self._forget()

    def _cut(self, over: threading.Event) -> None:
        """Waiting reads end at once; closing the socket would leave them waiting."""
        with self._guard:
            over.set()
            self._forget()

    def _forget(self) -> None:
        for known in self._open:
            with suppress(OSError):
                known.shutdown(socket.SHUT_RDWR)
            known.close()
        self._open.clear()
