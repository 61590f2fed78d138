"""The hub, as a server on this machine: the requests, who receives the token, and the effect of a refusal."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cortexctl.health.hub import files_from_hub
from cortexctl.model_files.files import ModelFiles, ModelSource

SOURCE = ModelSource("gpu-1", "", "", "org/name", "refs/pr/1")
CONFIG = {"model_type": "qwen3"}


class FakeHub:
    """`answers`: path -> (status, body or target of the redirect)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.requests: list[tuple[str, str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.requests.append((self.path, self.headers.get("Authorization", "")))
                status, text = fake.answers.get(self.path, (404, ""))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", text)
                body = b"" if 300 <= status < 400 else text.encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def fake_hub() -> Iterator[FakeHub]:
    fake = FakeHub()
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


BASE = "/org/name/resolve/refs%2Fpr%2F1"


def test_config_and_size_are_read_with_the_token(fake_hub: FakeHub) -> None:
    fake_hub.answers[f"{BASE}/config.json"] = (200, json.dumps(CONFIG))
    fake_hub.answers[f"{BASE}/model.safetensors.index.json"] = (200, json.dumps({"metadata": {"total_size": 5}}))
    files = files_from_hub(SOURCE, {"HF_ENDPOINT": fake_hub.url + "/", "HF_TOKEN": "planted"})
    assert files == ModelFiles(CONFIG, total=5)
    assert {token for _, token in fake_hub.requests} == {"Bearer planted"}


def test_the_token_is_not_sent_to_the_target_of_a_redirect(fake_hub: FakeHub) -> None:
    other = FakeHub()
    thread = threading.Thread(target=other.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        other.answers["/blob"] = (200, json.dumps(CONFIG))
        fake_hub.answers[f"{BASE}/config.json"] = (307, f"{other.url}/blob")
        files = files_from_hub(SOURCE, {"HF_ENDPOINT": fake_hub.url, "HF_TOKEN": "planted"})
    finally:
        other.server.shutdown()
        other.server.server_close()
    assert files.config == CONFIG
    assert other.requests == [("/blob", "")]


@pytest.mark.parametrize(
    ("status", "why"),
    [(401, "requires a token for it (status 401)"), (403, "requires a token"), (500, "did not return it (status 500)")],
)
def test_a_refusal_is_reported_and_the_token_is_never_shown(fake_hub: FakeHub, status: int, why: str) -> None:
    fake_hub.answers[f"{BASE}/config.json"] = (status, "planted")
    files = files_from_hub(SOURCE, {"HF_ENDPOINT": fake_hub.url, "HF_TOKEN": "planted"})
    assert why in files.problem
    assert "planted" not in files.problem


def test_a_repository_without_a_config_is_a_problem(fake_hub: FakeHub) -> None:
    assert "no config.json" in files_from_hub(SOURCE, {"HF_ENDPOINT": fake_hub.url}).problem


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "nonsense://x", "http://[bad"])
def test_a_hub_that_does_not_answer_is_a_problem_and_no_exception(endpoint: str) -> None:
    assert "the Hub" in files_from_hub(SOURCE, {"HF_ENDPOINT": endpoint}).problem
