"""A container is gone if two answers of its daemon agree, because one answer may be wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cortexctl.hosts.act import DockerDaemon
from cortexctl.hosts.daemon_api import Missing

THERE = {"Id": "a"}


@pytest.mark.parametrize(
    ("answers", "expected"), [([THERE], THERE), ([None, THERE], THERE), ([None, None, THERE], None)]
)
def test_a_container_is_gone_if_two_answers_agree(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, str] | None], expected: dict[str, str] | None
) -> None:
    coming: Iterator[dict[str, str] | None] = iter(answers)

    def answer(_daemon: DockerDaemon, _container: str) -> dict[str, str]:
        if (one := next(coming)) is None:
            raise Missing(404, "no such container")
        return one

    monkeypatch.setattr(DockerDaemon, "_ours", answer)
    assert DockerDaemon.__new__(DockerDaemon)._unless_gone("a") == expected
