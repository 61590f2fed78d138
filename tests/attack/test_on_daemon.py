"""The short form of the attacks on commands that act on a real daemon: killed, lied to, and a server that tells secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.kills import attack_kills
from tests.attack.planted import attack_servers
from tests.attack.proxy import attack_proxy
from tests.attack.table import report

pytestmark = pytest.mark.engine


def test_commands_killed_at_random_moments_are_gone_on_with(tmp_path: Path) -> None:
    row = attack_kills(12, 1, tmp_path)
    assert not row.finds, report(row)


def test_commands_behind_a_daemon_that_lies_end_in_words_and_are_gone_on_with(tmp_path: Path) -> None:
    row = attack_proxy(10, 1, tmp_path, longest=1)
    assert not row.finds, report(row)


def test_what_a_server_writes_of_its_secret_is_hidden_from_all_readers(tmp_path: Path) -> None:
    row = attack_servers(20, 1, tmp_path)
    assert not row.finds, report(row)
