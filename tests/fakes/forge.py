"""A code host on loopback: GitHub's and GitLab's API as far as a plan under a pull request needs it, in memory."""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

GITHUB_BOT = {"login": "github-actions[bot]", "type": "Bot", "id": 41898282}
GITLAB_BOT = {"username": "project_7_bot", "id": 70}


@dataclass
class Fault:
    """A wrong answer, `times` times. `done`: the request is carried out all the same."""

    method: str
    path: str
    status: int
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    done: bool = False


@dataclass
class Request:
    method: str
    path: str
    token: str
    content: Any


@dataclass
class Forge:
    """`comments`: the comments of the only pull request. A page has at most `page` of them."""

    url: str = ""
    token: str = "token-of-the-job"
    viewer: str = "github-actions[bot]"
    page: int = 100
    comments: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def add(self, body: str, **author: Any) -> dict[str, Any]:
        """A comment of `author`. Default: ours."""
        number = len(self.comments) + 1
        comment = {"id": number, "body": body, "user": author or GITHUB_BOT, "author": author or GITLAB_BOT}
        comment["html_url"] = f"https://forge.example/o/r/pull/7#issuecomment-{number}"
        self.comments.append(comment)
        return comment

    @property
    def bodies(self) -> list[str]:
        return [str(c["body"]) for c in self.comments]

    @property
    def writes(self) -> list[str]:
        """The requests that change comments."""
        of_comments = re.compile(r"/(comments|notes)(/\d+)?$")
        return [f"{r.method} {r.path}" for r in self.requests if r.method != "GET" and of_comments.search(r.path)]

    @property
    def sarifs(self) -> list[dict[str, Any]]:
        """The uploaded SARIF reports, with the document unpacked."""
        sent = [r.content for r in self.requests if r.path.endswith("/code-scanning/sarifs")]
        return [{**c, "sarif": json.loads(gzip.decompress(base64.b64decode(c["sarif"])))} for c in sent]

    def answer(self, method: str, target: str, content: Any) -> tuple[int, dict[str, str], Any]:
        path = urlsplit(target).path
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                if fault.done:
                    self._right(method, target, path, content)
                return fault.status, fault.headers, {"message": fault.message}
        return self._right(method, target, path, content)

    def _right(self, method: str, target: str, path: str, content: Any) -> tuple[int, dict[str, str], Any]:
        known = re.search(r"/(?:comments|notes)/(\d+)$", path)
        match (method, path.rsplit("/", maxsplit=1)[-1]):
            case ("POST", "graphql"):
                return 200, {}, {"data": {"viewer": {"login": self.viewer}}}
            case ("GET", "user"):
                return 200, {}, GITLAB_BOT
            case ("GET", "comments" | "notes"):
                return self._list(target)
            case ("POST", "comments" | "notes"):
                return 201, {}, self.add(content["body"])
            case ("PATCH" | "PUT", _) if known:
                comment = self.comments[int(known[1]) - 1]
                comment["body"] = content["body"]
                return 200, {}, comment
            case ("POST", "sarifs"):
                return 202, {}, {"id": "1"}
        return 404, {}, {"message": "Not Found"}

    def _list(self, target: str) -> tuple[int, dict[str, str], Any]:
        query = parse_qs(urlsplit(target).query)
        size = min(self.page, int(query["per_page"][0]))
        end = size * int(query.get("page", ["1"])[0])
        more = (
            {"Link": f'<{self.url}/next>; rel="next", <{self.url}/last>; rel="last"'}
            if end < len(self.comments)
            else {}
        )
        return 200, more, self.comments[end - size : end]


@contextmanager
def serving() -> Iterator[Forge]:
    forge = Forge()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("PRIVATE-TOKEN", "") or self.headers.get("Authorization", "").removeprefix(
                "Bearer "
            )
            forge.requests.append(Request(self.command, urlsplit(self.path).path, token, content))
            if token == forge.token:
                status, headers, answer = forge.answer(self.command, self.path, content)
            else:
                status, headers, answer = 401, {}, {"message": "Bad credentials"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = _any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
