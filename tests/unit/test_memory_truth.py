"""Measured starts and published reports: no figure of the memory forecast becomes worse than the one it has reached."""

from __future__ import annotations

from dataclasses import replace

from bench.memory import reached
from bench.memory.__main__ import all_errors, errors
from bench.memory.starts import read_starts
from cortexctl.text.units import GIB


def test_no_figure_is_worse_than_it_was() -> None:
    """After an improvement `python -m bench.memory --record` writes bench/memory/reached.json."""
    assert not list(reached.worse(all_errors()))


def test_the_tables_need_no_case_of_their_own() -> None:
    """Every start of a card's file names its model, and the config of that model is there."""
    names = [start.name for start in read_starts()]
    assert len(names) == len(set(names))
    assert all(start.config and start.family for start in read_starts())


def test_weights_that_did_not_load_are_compared_by_kind_and_first_sentence() -> None:
    """What torch says after it depends on the moment at which memory ran out."""
    start = next(s for s in read_starts() if s.name == "llama-3.3-70b-refuse-bf16-eager")
    text = "CUDA out of memory. Tried to allocate 448.00 MiB. GPU 0 has a total capacity of 79.18 GiB"
    smaller = {"gpu_total_bytes": int(79.18 * GIB), "free_at_start_bytes": int(78.66 * GIB)}
    refusal = {"refusal": {"kind": "torch.OutOfMemoryError", "stage": "load_model", "text": text}}
    on_h100 = replace(start, measured={**start.measured, **smaller, **refusal})
    (error,) = [e for e in errors(on_h100) if e.term == "texts of refusals"]
    assert not error.value, error.reason
