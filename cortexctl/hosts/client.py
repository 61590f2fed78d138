"""docker-py's low-level client over a host's transport. Its own transports are not used: its ssh takes a handshake per
request, and its TLS is overridden by variables of the environment.
"""

from __future__ import annotations

from typing import Any

import docker
import urllib3.connection
import urllib3.connectionpool
from docker.transport.basehttpadapter import BaseHTTPAdapter

from cortexctl.errors import DaemonError
from cortexctl.hosts.http import get
from cortexctl.hosts.transport import Transport
from cortexctl.observed.daemon_json import VERSION

PREFIX = "http+docker://"
"""The scheme of docker-py for a connection without a network address."""


class DockerClient(docker.APIClient):
    """`server`: the Server header of the daemon's answers."""

    server: str = ""


def docker_client(transport: Transport, timeout: float) -> DockerClient:
    """A client that uses the daemon's own API version. `timeout`: seconds per request. Raises DaemonError."""
    version = get(transport, "/version", VERSION)
    api = DockerClient(base_url="unix:///unused", version=str(version.content["ApiVersion"]), timeout=int(timeout))
    api.server = version.daemon
    api.mount(PREFIX, _Adapter(transport, timeout))
    api.trust_env = False  # no proxy leads to a daemon; to search the environment for one costs half of a request
    api.headers["Connection"] = "close"  # a connection that waited may be dead, and a change must not be sent twice
    return api


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
