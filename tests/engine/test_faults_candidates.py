"""A bad new instance, with each kind of fault: the old one serves again, and a good one replaces it later."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.engine.lanes import Lane, Lanes, lanes

pytestmark = pytest.mark.engine
__all__ = ["lanes"]


@dataclass(frozen=True)
class Bad:
    """A fault of a new server: its settings, the limits of its gate, and apply's text about it."""

    what: str
    text: str
    env: dict[str, str]
    limits: dict[str, str] = field(default_factory=dict)
    strategy: str = "stop_first"

    def __str__(self) -> str:
        return f"{self.what}, {self.strategy}"


CANDIDATES = [
    Bad("exits after 5 s, with code 0", "it exited with code 0",
        {"START_SECONDS": "60", "CRASH_AFTER_SECONDS": "5", "EXIT_CODE": "0"}),
    Bad("accepts connections and never answers", "its log showed no progress for 2s", {"HANG": "1"}, {"startup_timeout": "2s"}),
    Bad("passes the gate and dies within stable_for", "it exited with code 1", {"CRASH_AFTER_SECONDS": "3"}, {"stable_for": "5s"}),
    Bad("exits at once", "it exited with code 1", {"CRASH_AFTER_SECONDS": "0"}),
    Bad("exits at once", "it exited with code 1", {"CRASH_AFTER_SECONDS": "0"}, strategy="start_first"),
    Bad("hangs in start-up", "its log showed no progress for 2s", {"START_SECONDS": "600"}, {"startup_timeout": "2s"}),
    Bad("answers 503 for ever", "status 503", {"HEALTH_STATUS": "503"}, {"startup_timeout": "6s"}),
    Bad("answers 503 for ever", "status 503", {"HEALTH_STATUS": "503"}, {"startup_timeout": "6s"}, "start_first"),
    Bad("lists a wrong model name", "it does not serve tiny; /v1/models lists other", {"MODELS": "other"}),
    Bad("refuses its first request", "its first request failed", {"COMPLETION_STATUS": "500"}),
]  # fmt: skip


def test_a_bad_candidate_goes_and_the_old_one_is_back(lanes: Lanes) -> None:
    def fail(here: Lane, bad: Bad) -> None:
        before, others, began = here.containers(), here.foreign(), here.began(here.serving)
        here.want(bad.strategy, **bad.limits, **bad.env)
        code, output = here.apply(here.plan())
        assert code == 1, output
        assert bad.text in output
        assert "serves again" in output
        assert here.containers() == before
        assert here.serves() == before[here.serving].id
        if bad.strategy == "start_first":
            assert here.began(here.serving) == began, "the old one was stopped"
        assert here.lock_holder_is_gone() is None
        assert here.foreign() == others
        here.want(bad.strategy)
        here.converge(before)

    lanes.run(CANDIDATES, fail)


@pytest.mark.parametrize(
    ("refuses", "text"),
    [("the daemon", "bind source path does not exist"), ("its server", "it exited before it passed its gate")],
)
def test_a_rollback_whose_old_instance_no_longer_starts_is_reported_first(
    lanes: Lanes, tmp_path: Path, refuses: str, text: str
) -> None:
    def fail(here: Lane, refuses: str) -> None:
        for name in ("old", "new"):
            (tmp_path / name / "tiny").mkdir(parents=True)
            (tmp_path / name / "tiny" / "config.json").write_text("{}")
        first = here.containers()
        here.want(models_dir=str(tmp_path / "old"), source='{ path = "tiny" }')
        here.converge(first)
        before = here.containers()
        here.want(models_dir=str(tmp_path / "new"), source='{ path = "tiny" }', CRASH_AFTER_SECONDS="0")
        plan = here.plan()
        (tmp_path / "old" / "tiny" / "config.json").unlink()
        (tmp_path / "old" / "tiny").rmdir()
        if refuses == "the daemon":
            (tmp_path / "old").rmdir()
        code, output = here.apply(plan)
        assert code == 5, output
        _, _, report = output.partition("\n\nError ")
        assert report.startswith(f"THE ROLLBACK FAILED and here/{here.live.stack}-m does not serve: "), output
        worst, _, rest = report.partition("\n")
        assert text in worst
        assert "it exited with code 1" in rest, "the cause of the new one's failure is missing"
        left = here.containers()
        assert {s.id for s in left.values()} == {s.id for s in before.values()}, "a retained container is gone"
        assert left[here.serving].id == before[here.serving].id
        if refuses == "the daemon":
            assert left[here.serving].state == "exited"
        assert here.lock_holder_is_gone() is None
        here.want()
        here.converge(before)

    lanes.run([refuses], fail)
