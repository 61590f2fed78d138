"""Measured starts and published reports: no figure of the memory forecast becomes worse than the one it has reached."""

from __future__ import annotations

from bench.memory import reached
from bench.memory.__main__ import all_errors
from bench.memory.starts import read_starts


def test_no_figure_is_worse_than_it_was() -> None:
    """After an improvement `python -m bench.memory --record` writes bench/memory/reached.json."""
    assert not list(reached.worse(all_errors()))


def test_the_tables_need_no_case_of_their_own() -> None:
    """Every start of a card's file names its model, and the config of that model is there."""
    names = [start.name for start in read_starts()]
    assert len(names) == len(set(names))
    assert all(start.config and start.family for start in read_starts())
