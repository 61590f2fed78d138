"""Docker's contexts: files that the docker command writes, with a daemon's URL and its TLS files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import TlsFiles
from cortexctl.errors import DaemonUnreachable

DEFAULT = "default"
"""The context that stands for the daemon of this machine; it has no files."""
DEFAULT_DOCKER = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`tls` is None if the context has no files for it."""

    url: str
    tls: TlsFiles | None = None


def read_context(name: str, environ: Mapping[str, str]) -> Endpoint:
    """Raises DaemonUnreachable if there is no such context, or if it cannot be read."""
    if name == DEFAULT:
        return Endpoint(environ.get("DOCKER_HOST") or DEFAULT_DOCKER)
    import hashlib

    key = hashlib.sha256(name.encode()).hexdigest()
    folder = config_folder(environ) / "contexts"
    try:
        text = (folder / "meta" / key / "meta.json").read_text(encoding="utf-8")
        url = json.loads(text)["Endpoints"]["docker"]["Host"]
    except FileNotFoundError:
        raise DaemonUnreachable(
            f'there is no Docker context "{name}" on this machine', next_step="docker context ls"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as cause:
        raise DaemonUnreachable(
            f'the Docker context "{name}" cannot be read', next_step=f"docker context inspect {name}"
        ) from cause
    if not isinstance(url, str) or url.startswith("context:"):
        raise DaemonUnreachable(
            f'the Docker context "{name}" names no daemon', next_step=f"docker context inspect {name}"
        )
    files = folder / "tls" / key / "docker"
    names = ("ca.pem", "cert.pem", "key.pem")
    has_files = all((files / n).is_file() for n in names)
    return Endpoint(url, TlsFiles(*(str(files / n) for n in names)) if has_files else None)


def default_docker(environ: Mapping[str, str]) -> str:
    """The daemon of a host that declares none, as the docker command chooses it."""
    if url := environ.get("DOCKER_HOST"):
        return url
    name = environ.get("DOCKER_CONTEXT") or _current(environ)
    if not name or name == DEFAULT:
        return DEFAULT_DOCKER
    try:
        url = read_context(name, environ).url
    except DaemonUnreachable:  # the first request reports it
        url = ""
    return url if url.startswith("unix://") else f"context:{name}"


def config_folder(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser())


def _current(environ: Mapping[str, str]) -> str:
    try:
        current = json.loads((config_folder(environ) / "config.json").read_text(encoding="utf-8"))["currentContext"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return current if isinstance(current, str) else ""
