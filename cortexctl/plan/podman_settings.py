"""Settings of a container that Podman's Docker API shows in another form than they were requested in, or not at all.
Measured with Podman 4.3.1. Pure.
"""

from __future__ import annotations

from typing import Any

_DEFAULT_CAPABILITIES = {
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
"""Podman replaces ALL by the names of all that a container has by default; distributions add some to these."""


def as_requested(expected: dict[str, Any], actual: dict[str, Any]) -> dict[str, Any]:
    """The actual settings, with the expected value where Podman's answer agrees with it. Paths are those of
    `inspected_diff`.
    """
    known = dict(actual)
    known["gpus"] = expected["gpus"]  # it stores no request for devices
    if (expected["ipc"], actual["ipc"]) == ("private", "shareable"):
        known["ipc"] = "private"
    if actual["log"] == expected["log"].partition(" ")[0]:  # it shows the driver alone
        known["log"] = expected["log"]
    if expected["cap_drop"] == ["ALL"] and set(actual["cap_drop"]) >= _DEFAULT_CAPABILITIES:
        known["cap_drop"] = ["ALL"]
    if _addresses(expected.get("publish", [])) == _addresses(actual.get("publish", [])) and _any_port(expected):
        known["publish"] = expected["publish"]
    return known


def _any_port(expected: dict[str, Any]) -> bool:
    """Whether Podman chose the port: it shows its choice like a request."""
    return bool(expected.get("publish")) and all(text.endswith(":") for text in expected["publish"])


def _addresses(published: list[str]) -> list[str]:
    return [text.rpartition(":")[0] for text in published]
