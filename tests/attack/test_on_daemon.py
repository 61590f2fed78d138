"""The short form of the attacks on a real daemon: kills, a lying daemon, and a server that logs its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.kills import attack_kills
from tests.attack.planted import attack_servers
from tests.attack.proxy import attack_proxy
from tests.attack.table import report

pytestmark = pytest.mark.engine


def test_the_next_run_continues_commands_that_were_killed_at_random_moments(tmp_path: Path) -> None:
    row = attack_kills(12, 1, tmp_path)
    assert not row.finds, report(row)


def test_commands_behind_a_daemon_that_lies_end_with_a_message_and_the_next_run_continues(tmp_path: Path) -> None:
    row = attack_proxy(10, 1, tmp_path, longest=1)
    assert not row.finds, report(row)


def test_a_secret_that_a_server_logs_is_hidden_from_all_readers(tmp_path: Path) -> None:
    row = attack_servers(20, 1, tmp_path)
    assert not row.finds, report(row)
