"""Models' files on the hub, or a mirror of it: a few small requests, and only where somebody asks for them.

The token goes to the hub alone: not to where it redirects, and never in clear over a network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from cortexctl.health.whole_deadline import Connections, Overdue
from cortexctl.model_files.files import ModelFiles, ModelSource, read_folder

if TYPE_CHECKING:
    import httpx

HUB = "https://huggingface.co"
TIMEOUT = 5.0
"""Seconds without a word of the hub."""
WITHIN = 60.0
"""Seconds for each file, from the connection to its last byte; an index may have megabytes."""
_FORBIDDEN, _NOT_FOUND = {401, 403}, 404


def files_from_hub(source: ModelSource, environ: Mapping[str, str]) -> ModelFiles:
    """Of a repository. HF_ENDPOINT and HF_TOKEN of `environ` count, as for the hub's own client."""
    import httpx

    hub = (environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    base = f"{hub}/{source.repo}/resolve/{quote(source.revision, safe='')}"
    token = environ.get("HF_TOKEN", "") if _is_private(hub) else ""
    headers = {"User-Agent": "cortexctl"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with (
            Connections() as connections,
            httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client,
        ):
            return read_folder(lambda path, most: _first(client, connections, f"{base}/{path}", most), "")
    except Overdue:
        return ModelFiles(problem=f"the hub does not give a whole file within {WITHIN:.0f} s")
    except httpx.HTTPStatusError as cause:
        said = "does not give it without a token" if cause.response.status_code in _FORBIDDEN else "does not give it"
        return ModelFiles(problem=f"the hub {said} (status {cause.response.status_code})")
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        return ModelFiles(problem=f"the hub does not answer ({type(cause).__name__})")


def _first(client: httpx.Client, connections: Connections, url: str, most: int) -> bytes | None:
    """The first bytes of a file; the rest is not fetched. None when there is none."""
    with connections.within(WITHIN), client.stream("GET", url, extensions=connections.extensions) as answer:
        if answer.status_code == _NOT_FOUND:
            return None
        answer.raise_for_status()
        got = bytearray()
        for piece in answer.iter_bytes():
            got += piece
            if len(got) >= most:
                break
        return bytes(got[:most])


def _is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https" or parts.hostname == "localhost":
            return True
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
