"""Every connection that a command opens is closed, also when the command refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.hosts.fleet import Connections
from tests.reading import model_text, stack_text

COMMANDS = ["plan", "apply --auto-approve", "destroy --auto-approve", "drift", "status", "observe", "history",
            "lock status", "lock release", "rollback here/tiny --auto-approve", "logs here/tiny", "diagnose here/tiny",
            "fit --hosts", "doctor", "doctor --probe"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_hosts_are_closed_when_a_command_refuses(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No daemon answers here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stack.toml").write_text(
        stack_text(model_text(), hosts=f'[hosts.here]\ndocker = "unix://{tmp_path}/none.sock"\nmodels_dir = "/m"\n')
    )
    opened: list[Connections] = []
    closed: list[Connections] = []
    start, close = Connections.__init__, Connections.close

    def started(self: Connections, *args: object) -> None:
        opened.append(self)
        start(self, *args)  # type: ignore[arg-type]

    def ended(self: Connections) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(Connections, "__init__", started)
    monkeypatch.setattr(Connections, "close", ended)
    run(command.split())
    capsys.readouterr()
    assert opened
    assert closed == opened
