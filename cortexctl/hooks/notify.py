"""Sends a report or a hook's event as a signed HTTP POST. A receiver with the secret can verify the sender, the content
and the age.

Of the URL only the scheme and host are ever shown: chat services put their secret into its path.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from cortexctl.dataclass import dataclass
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
"""Seconds: the upper limit for a pause that a server requests with Retry-After."""
_TOO_MANY, _SERVER = 429, 500
_AGAIN = {307, 308}
"""Redirects that keep the POST method; only those to the same host are followed."""
_MOST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Destination:
    """The receiver of the report. `url` is never shown; `origin` is."""

    url: str = field(repr=False)
    origin: str
    is_plain: bool
    """Whether others can read the report in transit: HTTP to another machine."""
    is_local: bool


def destination(url: str, option: str = "--notify") -> Destination:
    """The destination for the URL that `option` gives. Raises UsageError for a URL that cannot receive a POST."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(f"{option} is not a URL", next_step="write https://HOST/PATH") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{option} takes an http or https URL", next_step="write https://HOST/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    is_local = _is_loopback(parts.hostname)
    return Destination(url, origin, parts.scheme == "http" and not is_local, is_local)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 of "TIMESTAMP.BODY". The time is signed too, so that an old report cannot be replayed."""
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
    """POST the JSON, with retries as long as `within` seconds last. Without a secret it is not signed. Raises
    NotifyFailed.
    """
    import httpx

    until = time.monotonic() + within
    headers = {"Content-Type": "application/json", "User-Agent": "cortexctl", TIMESTAMP: str(timestamp)}
    if secret:
        headers[SIGNATURE] = signature(secret, timestamp, body)
    failure, tries = "", 0
    # The environment's proxies are for other machines only.
    with (
        Connections() as connections,
        httpx.Client(timeout=min(TIMEOUT, within), trust_env=not to.is_local, follow_redirects=False) as client,
    ):
        for pause in (*PAUSES, None):
            requested: float | None = None
            tries += 1
            seconds = min(TIMEOUT, until - time.monotonic())
            try:
                with connections.within(seconds):
                    status, requested = _post(client, connections, to, body, headers)
            except (Overdue, httpx.TimeoutException):
                failure = f"no answer within {min(TIMEOUT, within):.0f} s"
            except httpx.HTTPError as cause:
                failure = f"no answer ({type(cause).__name__})"  # its text may contain the URL
            except (httpx.InvalidURL, UnicodeError):
                raise _failed(to, "its URL is not valid") from None
            else:
                if httpx.codes.is_success(status):
                    return
                failure = f"it answered {status}"
                if status != _TOO_MANY and status < _SERVER:
                    raise _failed(to, failure)
            rest = min(max(pause or 0, requested or 0), LONGEST_PAUSE)
            if pause is None or time.monotonic() + rest >= until:
                break
            sleep(rest)
    raise _failed(to, f"{failure}, {tries} {'time' if tries == 1 else 'times'}")


def _post(
    client: httpx.Client, connections: Connections, to: Destination, body: bytes, headers: dict[str, str]
) -> tuple[int, float | None]:
    """(status, seconds to wait if the server requests a pause). The answer's body is not read."""
    url = urlsplit(to.url)
    for _ in range(_MOST_REDIRECTS + 1):
        marks = connections.extensions
        with client.stream("POST", url.geturl(), content=body, headers=headers, extensions=marks) as answer:
            if answer.status_code not in _AGAIN or answer.next_request is None:
                break
            new = urlsplit(str(answer.next_request.url))
        if _origin(new) != _origin(url):
            raise NotifyFailed(
                f"the report was not delivered to {to.origin}: it redirects to another host",
                next_step="if the other host is right, give its URL instead",
            )
        url = new
    return answer.status_code, _retry_after(answer.headers.get("Retry-After", ""))


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _failed(to: Destination, failure: str) -> NotifyFailed:
    return NotifyFailed(
        f"the report was not delivered to {to.origin}: {failure}",
        next_step="check that the receiver runs; the next drift run sends a new report",
    )


def _retry_after(text: str) -> float | None:
    """Seconds. The header's other form, a date, is ignored: our own pauses apply."""
    return float(text) if text.isascii() and text.isdigit() else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
