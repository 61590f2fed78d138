"""What the planning code of eight releases made of the same caches: windows, states, latents, unequal pages.

The cases were drawn by giving both the same caches (bench/memory/against_vllm.py), with each release's own source.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.memory import CASES, budget_of

PLANNED = [json.loads(line) for line in (CASES / "planned.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("case", PLANNED, ids=[f"{c['version']}-{c['config']}" for c in PLANNED])
def test_blocks_tokens_concurrency_and_needs_are_those_of_the_release(case: dict[str, Any]) -> None:
    result = budget_of(case["config"], None, case["version"], available=case["available_gib"], **case["args"])
    pool = result.tightest.pool
    assert result.blocks.value == case["blocks"]
    assert result.tokens.value == case["tokens"]
    assert result.concurrency.value == pytest.approx(case["concurrency"], abs=1e-6)
    assert pool.needed(result.length) == case["needed"]
    assert pool.longest(case["available_gib"] * 2**30, result.length) == case["longest"]
