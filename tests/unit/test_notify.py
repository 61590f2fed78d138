"""Reports to a receiver: signed, repeated if that may help, and with no part of the URL but its host."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from cortexctl.errors import NotifyFailed, UsageError
from cortexctl.hooks.notify import PAUSES, destination, notify, signature
from tests.fakes.ports import reserved_port
from tests.fakes.receiver import receiver

SECRET = "notify-secret-planted"


def sent(url: str, *, secret: str = "", slept: list[float] | None = None) -> None:
    pauses = slept if slept is not None else []
    notify(destination(url), b'{"a": 1}', secret=secret, timestamp=1_700_000_000, sleep=pauses.append)


def test_a_report_is_one_post_of_the_json() -> None:
    with receiver() as at:
        sent(f"{at.url}/hook?token=x")
    assert [(g.method, g.path, g.body) for g in at.got] == [("POST", "/hook?token=x", b'{"a": 1}')]
    headers = at.got[0].headers
    assert headers["content-type"] == "application/json"
    assert headers["x-cortexctl-timestamp"] == "1700000000"
    assert "x-cortexctl-signature" not in headers, "there is no secret"


def test_it_is_signed_with_its_time() -> None:
    with receiver() as at:
        sent(at.url, secret=SECRET)
    expected = hmac.new(SECRET.encode(), b'1700000000.{"a": 1}', hashlib.sha256).hexdigest()
    assert (
        at.got[0].headers["x-cortexctl-signature"]
        == f"sha256={expected}"
        == signature(SECRET, 1_700_000_000, b'{"a": 1}')
    )
    assert SECRET not in str(at.got[0].headers)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_temporary_error_is_tried_again(status: int) -> None:
    slept: list[float] = []
    with receiver([(status, {}), (status, {}), (204, {})]) as at:
        sent(at.url, slept=slept)
    assert len(at.got) == 3
    assert slept == list(PAUSES[:2])


@pytest.mark.parametrize(
    ("retry_after", "paused"), [("7", 7.0), ("900", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("-1", 1.0)]
)
def test_the_pause_that_a_receiver_requests_is_bounded(retry_after: str, paused: float) -> None:
    slept: list[float] = []
    with receiver([(429, {"Retry-After": retry_after}), (200, {})]) as at:
        sent(at.url, slept=slept)
    assert slept == [paused]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 301, 302, 303])
def test_a_permanent_error_is_not_tried_again(status: int) -> None:
    with receiver([(status, {"Location": "/other"})]) as at, pytest.raises(NotifyFailed) as failed:
        sent(at.url)
    assert len(at.got) == 1
    assert failed.value.message == f"the report was not delivered to {at.url}: it answered {status}"


def test_the_number_of_attempts_is_bounded() -> None:
    slept: list[float] = []
    with receiver([(503, {})]) as at, pytest.raises(NotifyFailed, match="it answered 503, 4 times"):
        sent(at.url, slept=slept)
    assert len(at.got) == 4
    assert slept == list(PAUSES)


def test_an_unreachable_receiver_is_an_error_without_the_url() -> None:
    with reserved_port() as port, pytest.raises(NotifyFailed) as failed:
        sent(f"http://user:planted@127.0.0.1:{port}/services/planted?token=planted")
    assert failed.value.message == (
        f"the report was not delivered to http://127.0.0.1:{port}: no answer (ConnectError), 4 times"
    )
    assert "planted" not in failed.value.message + failed.value.next_step


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_is_followed_only_on_its_host(status: int) -> None:
    with receiver([(status, {"Location": "/moved"}), (204, {})]) as at:
        sent(f"{at.url}/hook", secret=SECRET)
    assert [(g.method, g.path) for g in at.got] == [("POST", "/hook"), ("POST", "/moved")]
    with (
        receiver() as elsewhere,
        receiver([(status, {"Location": f"{elsewhere.url}/planted"})]) as at,
        pytest.raises(NotifyFailed, match="it redirects to another host"),
    ):
        sent(at.url)
    assert elsewhere.got == []


def test_a_circle_of_redirects_ends() -> None:
    with receiver([(307, {"Location": "/again"})]) as at, pytest.raises(NotifyFailed, match="it answered 307"):
        sent(at.url)
    assert len(at.got) == 4


@pytest.mark.parametrize(
    ("url", "where", "is_plain", "is_local"),
    [
        ("https://hooks.example/T0/secret", "https://hooks.example", False, False),
        ("https://u:p@hooks.example:8443/x", "https://hooks.example:8443", False, False),
        ("http://alerts.lan/x", "http://alerts.lan", True, False),
        ("http://localhost:9/x", "http://localhost:9", False, True),
        ("http://[::1]:9/x", "http://[::1]:9", False, True),
        ("http://127.8.9.1", "http://127.8.9.1", False, True),
    ],
)
def test_only_the_host_of_a_url_is_reported(url: str, where: str, is_plain: bool, is_local: bool) -> None:
    to = destination(url)
    assert (to.origin, to.is_plain, to.is_local) == (where, is_plain, is_local)
    assert "secret" not in repr(to)
    assert "u:p" not in repr(to)


@pytest.mark.parametrize(
    "url",
    ["ftp://planted", "planted", "https://", "http://x:planted", "file:///planted", "//planted", "http://[planted"],
)
def test_an_invalid_url_is_refused_before_a_report(url: str) -> None:
    with pytest.raises(UsageError) as failed:
        destination(url)
    assert "planted" not in failed.value.message


def test_a_host_name_that_cannot_be_is_a_sentence() -> None:
    with pytest.raises(NotifyFailed, match="its URL is not valid"):
        sent("http://xn--\udcff.localhost/planted")
