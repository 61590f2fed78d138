"""Commands that tests run in processes of their own: every one has its own exit code, whatever other threads do."""

from __future__ import annotations

import threading
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from tests.forks import ran

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_an_exit_code_is_read_once_though_another_thread_starts_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = forkserver.read_signed
    reads_of_the_first = iter(("its process id", "its exit code"))
    codes: dict[str, int] = {}
    is_read = threading.Event()

    def run(name: str) -> None:
        codes[name] = ran("--version", cwd=tmp_path).returncode
        is_read.set()

    second = threading.Thread(target=run, args=("second",))

    def read_late(fd: int) -> int:
        if threading.current_thread() is not second and next(reads_of_the_first) == "its exit code":
            second.start()
            is_read.wait(0.5)  # it must not be, as long as this read lasts
        return int(read(fd))

    monkeypatch.setattr(forkserver, "read_signed", read_late)
    run("first")
    second.join()
    assert codes == {"first": 0, "second": 0}
