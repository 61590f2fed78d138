"""The differences of Podman's Docker API, as Podman 4.3.1 answers."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.errors import DaemonRefused
from cortexctl.hosts.daemon_api import Refusal
from cortexctl.hosts.podman import has_policy, is_taken, policy_of_new, refusal_of_update
from cortexctl.observed.daemon_product import is_podman
from tests.build import make_spec


def refusal(status: int, message: str = "") -> Refusal:
    return Refusal(status, message)


@pytest.mark.parametrize(
    "message",
    [
        'creating container storage: the container name "m" is already in use by e042: that name is already in use',
        "network name nx already used: network already exists",
        "adding volume to state: name lockx is in use: volume already exists",
    ],
)
def test_a_taken_name_has_a_status_of_its_own(message: str) -> None:
    assert is_taken(refusal(500, message))
    assert is_taken(refusal(409))
    assert not is_taken(refusal(404, message))
    assert not is_taken(refusal(500, "no space left on device"))


def container(policy: str) -> dict[str, Any]:
    return {"HostConfig": {"RestartPolicy": {"Name": policy}}}


@pytest.mark.parametrize(
    ("current", "wanted", "enough"),
    [
        ("unless-stopped", "unless-stopped", True),
        ("unless-stopped", "no", True),
        ("no", "no", True),
        ("always", "no", False),
        ("no", "unless-stopped", False),
    ],
)
def test_a_policy_is_enough_if_a_stopped_container_stays_stopped(current: str, wanted: str, enough: bool) -> None:
    assert has_policy(container(current), wanted) is enough


def test_a_policy_that_would_start_old_generations_is_refused_before_anything_changes() -> None:
    assert policy_of_new("gpu-1", make_spec()) == "unless-stopped"
    with pytest.raises(DaemonRefused, match="Podman cannot change a restart policy"):
        policy_of_new("gpu-1", make_spec(restart="always"))


def test_only_a_missing_request_is_explained() -> None:
    explained = refusal_of_update("gpu-1", "m", refusal(404, "Not Found"))
    assert explained is not None
    assert "replace it: cortexctl apply --replace ADDRESS" in explained.message
    assert refusal_of_update("gpu-1", "m", refusal(500, "no space left on device")) is None


def test_podman_is_recognised_by_its_header() -> None:
    assert is_podman("Libpod/4.3.1 (linux)")
    assert is_podman("Podman Engine")
    assert not is_podman("Docker/28.2.2 (linux)")
