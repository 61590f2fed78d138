"""The short form of the attacks that need no daemon: files, snapshots, labels, answers, and secrets in a stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.corpus import FILES, TRIES, try_find
from tests.attack.documents import attack_plans, attack_snapshots, attack_stacks
from tests.attack.finds import Row
from tests.attack.hostlabels import attack_answers, attack_labels, attack_lists
from tests.attack.planted import attack_stacks as attack_places
from tests.attack.table import report
from tests.attack.texts import attack_lines, attack_logs

SHORT: dict[str, Callable[[], Row]] = {
    "stack files": lambda: attack_stacks(600, 1),
    "plan files": lambda: attack_plans(500, 1),
    "snapshots": lambda: attack_snapshots(400, 1),
    "labels": lambda: attack_labels(80, 1),
    "lists": lambda: attack_lists(40, 1),
    "answers": lambda: attack_answers(25, 1),
    "logs": lambda: attack_logs(60, 1),
    "argument lines": lambda: attack_lines(400, 1),
    "secrets in a stack": lambda: attack_places(25, 1),
}


@pytest.mark.parametrize("attack", SHORT.values(), ids=SHORT)
def test_foreign_input_is_read_or_refused_with_a_message(attack: Callable[[], Row]) -> None:
    row = attack()
    assert not row.finds, report(row)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_that_an_earlier_version_did_not_survive(path: Path) -> None:
    find = try_find(path)
    assert find is None, f"{find.kind}\n{find.detail}"


def test_every_kind_of_input_has_such_a_file() -> None:
    assert {path.parent.name for path in FILES} == set(TRIES)
