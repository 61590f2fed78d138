"""A report, or what a hook is told, as a signed HTTP POST. Whoever has the secret can tell that it is ours, unchanged,
and how old.

Of the URL no more than scheme and host is ever said: chat services put their secret into its path.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from cortexctl.errors import NotifyFailed, UsageError
from cortexctl.health.whole_deadline import Connections, Overdue

if TYPE_CHECKING:
    import httpx

SECRET = "CORTEXCTL_NOTIFY_SECRET"  # noqa: S105 - the variable's name
SIGNATURE, TIMESTAMP = "X-Cortexctl-Signature", "X-Cortexctl-Timestamp"
TIMEOUT = 10.0
"""Seconds for each attempt, from the connection to the answer."""
PAUSES = (1.0, 3.0, 9.0)
"""Seconds before the second, third and fourth attempt."""
LONGEST_PAUSE = 30.0
"""Of what a server asks for with Retry-After."""
_TOO_MANY, _SERVER = 429, 500
_AGAIN = {307, 308}
"""Redirects that keep the POST; they are followed to the same host only."""
_MOST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the report goes. Its text is never shown; `where` is."""

    url: str = field(repr=False)
    where: str
    is_plain: bool
    """Whether what is sent can be read on the way: HTTP to another machine."""
    is_here: bool


def destination(url: str, option: str = "--notify") -> Destination:
    """Of the URL that `option` gives. Raises UsageError for what no report can be posted to."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(f"{option} is not a URL", next_step="write https://HOST/PATH") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{option} takes an http or https URL", next_step="write https://HOST/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    here = _is_loopback(parts.hostname)
    return Destination(url, where, parts.scheme == "http" and not here, here)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 of "TIMESTAMP.BODY": the time is signed, too, so that an old report cannot be sent again."""
    signed = str(timestamp).encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def notify(
    to: Destination,
    body: bytes,
    *,
    secret: str = "",
    timestamp: int,
    sleep: Callable[[float], None] = time.sleep,
    within: float = math.inf,
) -> None:
    """POST the JSON, a few times if need be and as long as `within` seconds last. Without a secret it is not signed.
    Raises NotifyFailed.
    """
    import httpx

    until = time.monotonic() + within
    headers = {"Content-Type": "application/json", "User-Agent": "cortexctl", TIMESTAMP: str(timestamp)}
    if secret:
        headers[SIGNATURE] = signature(secret, timestamp, body)
    heard, tries = "", 0
    # Proxies of the environment are for what is elsewhere.
    with (
        Connections() as connections,
        httpx.Client(timeout=min(TIMEOUT, within), trust_env=not to.is_here, follow_redirects=False) as client,
    ):
        for pause in (*PAUSES, None):
            asked: float | None = None
            tries += 1
            seconds = min(TIMEOUT, until - time.monotonic())
            try:
                with connections.within(seconds):
                    status, asked = _post(client, connections, to, body, headers)
            except (Overdue, httpx.TimeoutException):
                heard = f"no answer within {min(TIMEOUT, within):.0f} s"
            except httpx.HTTPError as cause:
                heard = f"no answer ({type(cause).__name__})"  # its text may hold the URL
            except (httpx.InvalidURL, UnicodeError):
                raise _failed(to, "its URL cannot be used") from None
            else:
                if httpx.codes.is_success(status):
                    return
                heard = f"it answered {status}"
                if status != _TOO_MANY and status < _SERVER:
                    raise _failed(to, heard)
            rest = min(max(pause or 0, asked or 0), LONGEST_PAUSE)
            if pause is None or time.monotonic() + rest >= until:
                break
            sleep(rest)
    raise _failed(to, f"{heard}, {tries} {'time' if tries == 1 else 'times'}")


def _post(
    client: httpx.Client, connections: Connections, to: Destination, body: bytes, headers: dict[str, str]
) -> tuple[int, float | None]:
    """(status, seconds to wait if it says so). What it answers beyond that is not read."""
    url = urlsplit(to.url)
    for _ in range(_MOST_REDIRECTS + 1):
        marks = connections.extensions
        with client.stream("POST", url.geturl(), content=body, headers=headers, extensions=marks) as answer:
            if answer.status_code not in _AGAIN or answer.next_request is None:
                break
            new = urlsplit(str(answer.next_request.url))
        if _origin(new) != _origin(url):
            raise NotifyFailed(
                f"the report was not delivered to {to.where}: it leads to another host",
                next_step="if that one is right, give its URL instead",
            )
        url = new
    return answer.status_code, _retry_after(answer.headers.get("Retry-After", ""))


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _failed(to: Destination, heard: str) -> NotifyFailed:
    return NotifyFailed(
        f"the report was not delivered to {to.where}: {heard}",
        next_step="see that its receiver runs; drift looks anew each time",
    )


def _retry_after(text: str) -> float | None:
    """Seconds; its other form, a date, is left to our own pauses."""
    return float(text) if text.isascii() and text.isdigit() else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
