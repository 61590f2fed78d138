"""A daemon on a socket that answers GETs from a table, and records the requests."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIST = "/containers/json?all=1"


@dataclass
class TalkingDaemon:
    """`answers`: path (with or without its query) -> JSON, or raw bytes; any other path gets a 404."""

    url: str
    answers: dict[str, Any]
    requests: list[str] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None
    """Called once a request has been read; the answer waits for it."""
    missing: str = ""
    """The message of a 404. Default: the path."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


@contextmanager
def talking_daemon(path: Path, answers: Mapping[str, Any]) -> Iterator[TalkingDaemon]:
    """Yields the daemon while it answers."""
    daemon = TalkingDaemon(f"unix://{path}", {LIST: [], "/_ping": "OK", **answers})

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            wanted = self.rfile.readline().split(b" ")[1].decode()
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.lower().partition(b":")
                length = int(value) if name == b"content-length" else length
            self.rfile.read(length)  # a socket that is closed with unread bytes is reset, and the answer may be lost
            daemon.requests.append(wanted)
            daemon.before_answer()
            answer = daemon.answers.get(wanted, daemon.answers.get(wanted.partition("?")[0]))
            status = "200 OK" if answer is not None else "404 Not Found"
            missing = {"message": daemon.missing or f"no such thing: {wanted}"}
            body = answer if isinstance(answer, bytes) else json.dumps(missing if answer is None else answer).encode()
            head = f"HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\n\r\n"
            try:
                self.wfile.write(head.encode() + body)
            except OSError:
                return

    server = _Server(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield daemon
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def row(spec_label: str, model: str = "tiny", *, stack: str = "demo", **more: Any) -> dict[str, Any]:
    """A running container of the stack, as the list shows it."""
    return {
        "Id": f"{model:0>64}",
        "Names": [f"/vllm-model-{model}"],
        "Image": "image:v0.32.0",
        "ImageID": "sha256:" + "1" * 64,
        "State": "running",
        "Status": "Up 2 hours",
        "Labels": {
            "cortexctl.stack": stack,
            "cortexctl.model": model,
            "cortexctl.host": "here",
            "cortexctl.generation": "1",
            "cortexctl.spec": spec_label,
        },
        "Ports": [],
        "NetworkSettings": {"Networks": {"cortex_default": {"IPAddress": "127.0.0.9"}}},
        **more,
    }
