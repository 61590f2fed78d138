"""The differences of Podman's Docker API where cortexctl changes something. Measured with Podman 4.3.1.

Its volumes give the same guarantee as Docker's: one of several simultaneous requests creates a volume, and the others
get its labels or a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.errors import DaemonRefused
from cortexctl.hosts.daemon_api import DaemonApi, Refusal
from cortexctl.hosts.http import NOT_FOUND
from cortexctl.instance.spec import Spec
from cortexctl.observed.daemon_json import TOUCHED

CONFLICT, SERVER_ERROR = 409, 500
NO_RESTART = "no"
_TAKEN = ("already in use", "already used", "already exists")
"""Podman's messages for the name of a container, of a network and of a volume."""


def is_taken(cause: Refusal) -> bool:
    """Whether a name is taken: Docker answers with status 409, Podman with 500."""
    if cause.status == SERVER_ERROR:
        return any(text in cause.explanation for text in _TAKEN)
    return cause.status == CONFLICT


def policy_of_new(host: str, spec: Spec) -> str:
    """The restart policy of a new container: the one of the stack, because it cannot be changed after the gate. Raises
    DaemonRefused for a policy that has to be changed later.
    """
    if spec.container.restart == "always":
        raise DaemonRefused(
            f'{host}: Podman cannot change a restart policy, so restart = "always" would also start old generations '
            "again after a restart of the host",
            next_step='set restart = "unless-stopped"',
        )
    return spec.container.restart


def refuse_without_gpus(api: DaemonApi, host: str, container: str, spec: Spec) -> None:
    """Raises DaemonRefused, and removes the new container, if the daemon dropped the request for GPUs. Raises
    Refusal.
    """
    if not spec.container.gpus:
        return
    inspected = TOUCHED(api.inspect_container(container))
    if not inspected["HostConfig"].get("DeviceRequests"):
        api.remove_container(container, volumes=True)
        raise DaemonRefused(
            f"{host}: Podman accepted the request for GPUs and dropped it: the container would have none",
            next_step="run models with GPUs on a host with Docker",
        )


def has_policy(inspected: Mapping[str, Any], policy: str) -> bool:
    """Whether a container of Podman needs no change of its restart policy: it has this one already, or it must not
    restart, and does not because Podman starts no container again that was stopped by a request.
    """
    current = (inspected["HostConfig"].get("RestartPolicy") or {}).get("Name") or NO_RESTART
    return policy == current or (policy == NO_RESTART and current == "unless-stopped")


def refusal_of_update(host: str, container: str, cause: Refusal) -> DaemonRefused | None:
    """The error for a daemon without the request that changes a container in place; None for another cause."""
    if cause.status != NOT_FOUND:
        return None
    return DaemonRefused(
        f"{host}: Podman cannot change the limits or the restart policy of {container}; replace it: "
        "cortexctl apply --replace ADDRESS",
        status=NOT_FOUND,
    )
