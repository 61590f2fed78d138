"""A network is removed also while a busy daemon still counts removed containers as its users."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.hosts import network
from cortexctl.hosts.daemon_api import Missing, Refusal
from cortexctl.instance.labels import owner_labels


class Api:
    """A daemon with one network of ours and no container. It answers `answers` to the attempts to remove it."""

    def __init__(self, *answers: Refusal | None) -> None:
        self._answers = list(answers)
        self.attempts = 0

    def networks(self, name: str) -> list[dict[str, Any]]:
        return [{"Name": name, "Id": "1", "Created": "", "Labels": owner_labels("demo")}]

    def containers_on(self, _network: str) -> list[str]:
        return []

    def remove_network(self, _id: str) -> None:
        self.attempts += 1
        if answer := self._answers[min(self.attempts, len(self._answers)) - 1]:
            raise answer


COUNTED = Refusal(403, "network net has active endpoints")


@pytest.mark.parametrize(
    ("answers", "is_gone", "attempts"),
    [
        ((None,), True, 1),
        ((COUNTED, COUNTED, None), True, 3),
        ((COUNTED, Missing(404, "no such network")), True, 2),
        ((COUNTED,), False, network.TRIES),
    ],
)
def test_it_is_tried_again_while_the_daemon_counts_users(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[Refusal | None, ...], is_gone: bool, attempts: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    api: Any = Api(*answers)
    assert network.remove(api, "net", "demo") is is_gone
    assert api.attempts == attempts


def test_another_refusal_is_an_error_at_once() -> None:
    api: Any = Api(Refusal(500, "no space left on device"))
    with pytest.raises(Refusal, match="no space"):
        network.remove(api, "net", "demo")
    assert api.attempts == 1
