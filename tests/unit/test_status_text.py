"""The last lines of `status`: how many instances serve, and the command that continues."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cortexctl.cli import status
from cortexctl.cli.main import cli
from cortexctl.operations.status_results import UNREACHABLE, FleetStatus, InstanceStatus
from cortexctl.render.status import status_text
from cortexctl.render.style import Ink
from tests.reading import model_text, stack_text

SERVES = InstanceStatus("gpu-1/chat", "healthy")
STOPPED = InstanceStatus("gpu-1/embed", "stopped")


def unread(host: str) -> InstanceStatus:
    return InstanceStatus(host, UNREACHABLE, detail="no ssh connection")


@pytest.mark.parametrize(
    ("instances", "summary"),
    [
        ((SERVES,), "1 of 1 instances of stack demo serve."),
        ((SERVES, STOPPED), "1 of 2 instances of stack demo serve."),
        ((SERVES, unread("gpu-2")), "1 of 1 instances of stack demo serve; 1 host cannot be read."),
        ((unread("gpu-1"), unread("gpu-2")), "0 of 0 instances of stack demo serve; 2 hosts cannot be read."),
    ],
)
def test_a_host_that_cannot_be_read_is_no_instance(instances: tuple[InstanceStatus, ...], summary: str) -> None:
    assert summary in status_text(FleetStatus("demo", instances), Ink(enabled=False)).splitlines()


@pytest.mark.parametrize(("instance", "end"), [(SERVES, "serve.\n"), (STOPPED, "\nNext   cortexctl drift {}\n")])
def test_the_next_step_is_the_report_of_what_does_not_serve(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instance: InstanceStatus, end: str
) -> None:
    monkeypatch.setattr(status, "fleet_status", lambda *_: FleetStatus("demo", (instance,)))
    stack = tmp_path / "stack.toml"
    stack.write_text(stack_text(model_text()))
    done = CliRunner().invoke(cli, ["status", str(stack)], standalone_mode=False)
    assert done.output.endswith(end.format(stack))
    assert done.return_value == (0 if instance is SERVES else 1)
