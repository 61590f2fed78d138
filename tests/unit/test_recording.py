"""Changes of one host that are recorded at the same time share the writes of its record."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cortexctl.apply.recording import Recording
from cortexctl.observed.record import HostRecord
from tests.applying import stack
from tests.fakes.world import World
from tests.reading import model_text
from tests.waiting import AT_MOST, wait_until


def test_changes_that_wait_for_a_write_share_the_next_one(tmp_path: Path) -> None:
    """Each call returns when its own entry is written: the first one alone, and then all others at once."""
    world = World("demo", "here")
    names = [f"m{n}" for n in range(8)]
    plan = world.plan(stack(tmp_path, *map(model_text, names)))
    daemon = world.daemon()
    recording = Recording(daemon, plan, daemon.observed(), "run1")
    recording.open()
    write, first_writes, all_noted = daemon.write_record, threading.Event(), threading.Event()
    written: list[set[str]] = []

    def slow(owner: str, new: HostRecord) -> None:
        first_writes.set()
        assert all_noted.wait(AT_MOST)
        write(owner, new)
        written.append({applied.model for applied in new.applied.values()})

    daemon.write_record = slow  # type: ignore[method-assign]

    def prove(number: int) -> set[str]:
        recording.proven(plan.effective[number])
        return written[-1]

    with ThreadPoolExecutor(len(names)) as pool:
        first = pool.submit(prove, 0)
        assert first_writes.wait(AT_MOST)
        others = [pool.submit(prove, number) for number in range(1, len(names))]
        wait_until(lambda: recording._noted == len(names))
        all_noted.set()
        for number, proven in enumerate([first, *others]):
            assert plan.effective[number].model in proven.result(AT_MOST)
    assert written == [{plan.effective[0].model}, set(names)]
