"""Model files on the Hugging Face Hub or a mirror: a few small requests, and only if the user allows them.

The token goes to the Hub only: never to the target of a redirect, and never unencrypted over a network.
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

HUB_URL = "https://huggingface.co"
TIMEOUT = 5.0
"""Seconds without any data from the Hub."""
WITHIN = 60.0
"""Seconds for each file, from the connection to its last byte; an index may have megabytes."""
_FORBIDDEN, _NOT_FOUND = {401, 403}, 404


def files_from_hub(source: ModelSource, environ: Mapping[str, str]) -> ModelFiles:
    """The files of a repository. HF_ENDPOINT and HF_TOKEN of `environ` apply, as in the Hub's own client."""
    import httpx

    endpoint = (environ.get("HF_ENDPOINT") or HUB_URL).rstrip("/")
    base = f"{endpoint}/{source.repo}/resolve/{quote(source.revision, safe='')}"
    token = environ.get("HF_TOKEN", "") if _is_private(endpoint) else ""
    headers = {"User-Agent": "cortexctl"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with (
            Connections() as connections,
            httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client,
        ):
            return read_folder(lambda path, most: _first(client, connections, f"{base}/{path}", most), "")
    except Overdue:
        return ModelFiles(problem=f"the Hub did not deliver a whole file within {WITHIN:.0f} s")
    except httpx.HTTPStatusError as cause:
        refusal = "requires a token for it" if cause.response.status_code in _FORBIDDEN else "did not return it"
        return ModelFiles(problem=f"the Hub {refusal} (status {cause.response.status_code})")
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        return ModelFiles(problem=f"the Hub does not answer ({type(cause).__name__})")


def _first(client: httpx.Client, connections: Connections, url: str, most: int) -> bytes | None:
    """The first bytes of a file; the rest is not fetched. None if the file does not exist."""
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
    """Whether nobody in between can read the request."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https" or parts.hostname == "localhost":
            return True
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
