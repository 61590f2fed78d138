"""docker-py's low-level client over a host's transport, for registries and probes. Its own transports are not used: its
ssh takes a handshake per request, and its TLS is overridden by variables of the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
import requests.exceptions
import urllib3.connection
import urllib3.connectionpool
from docker.transport.basehttpadapter import BaseHTTPAdapter

from cortexctl.errors import DaemonError
from cortexctl.hosts.daemon_api import Lost, Missing, Refusal
from cortexctl.hosts.http import NOT_FOUND, get
from cortexctl.hosts.transport import Transport
from cortexctl.observed.daemon_json import VERSION

PREFIX = "http+docker://"
"""The scheme of docker-py for a connection without a network address."""


def docker_client(transport: Transport, timeout: float) -> docker.APIClient:
    """A client that uses the daemon's own API version. `timeout`: seconds per request. Raises DaemonError."""
    version = get(transport, "/version", VERSION)
    api = docker.APIClient(base_url="unix:///unused", version=str(version.content["ApiVersion"]), timeout=int(timeout))
    api.mount(PREFIX, _Adapter(transport, timeout))
    api.trust_env = False  # no proxy leads to a daemon; to search the environment for one costs half of a request
    api.headers["Connection"] = "close"  # a connection that waited may be dead, and a change must not be sent twice
    return api


@contextmanager
def as_our_errors() -> Iterator[None]:
    """Raises Refusal, Missing and Lost for docker-py's errors inside the block."""
    try:
        yield
    except docker.errors.APIError as cause:
        status, text = cause.status_code or 0, str(cause.explanation or cause)
        raise (Missing if status == NOT_FOUND else Refusal)(status, text) from cause
    except (docker.errors.DockerException, requests.exceptions.RequestException) as cause:
        raise Lost from cause


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, *args: Any, transport: Transport, **more: Any) -> None:
        super().__init__(*args, **more)
        self._transport = transport

    def connect(self) -> None:
        seconds = self.timeout if isinstance(self.timeout, int | float) else 60.0
        try:
            self.sock = self._transport.connect(seconds)
        except DaemonError as cause:  # urllib3 and requests expect their own kind of error
            raise ConnectionError(cause.message) from cause


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(BaseHTTPAdapter):
    """`requests` sends everything through one pool of connections, whatever the URL."""

    def __init__(self, transport: Transport, timeout: float) -> None:
        self._pool = _Pool("docker", timeout=timeout, maxsize=10, transport=transport)
        super().__init__()

    def get_connection(self, *_: object, **__: object) -> _Pool:
        return self._pool

    def request_url(self, request: Any, _proxies: object) -> str:
        return str(request.path_url)

    def close(self) -> None:
        super().close()
        self._pool.close()
