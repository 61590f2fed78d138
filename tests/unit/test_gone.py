"""A container is gone where two answers of its engine agree; one may be wrong."""

from __future__ import annotations

from collections.abc import Iterator

import docker.errors
import pytest

from cortexctl.hosts.act import DockerEngine

THERE = {"Id": "a"}


@pytest.mark.parametrize(("answers", "found"), [([THERE], THERE), ([None, THERE], THERE), ([None, None, THERE], None)])
def test_gone_is_what_two_answers_agree_on(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, str] | None], found: dict[str, str] | None
) -> None:
    coming: Iterator[dict[str, str] | None] = iter(answers)

    def answer(_engine: DockerEngine, _container: str) -> dict[str, str]:
        if (one := next(coming)) is None:
            raise docker.errors.NotFound("no such container")
        return one

    monkeypatch.setattr(DockerEngine, "_ours", answer)
    assert DockerEngine.__new__(DockerEngine)._unless_gone("a") == found
