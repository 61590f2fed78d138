"""The hosts that a selection reads: those that can have a selected instance, and no others."""

from __future__ import annotations

import pytest

from cortexctl.plan.selection import Selection

HOSTS = ("gpu-1", "gpu-2", "lab")


@pytest.mark.parametrize(
    ("selection", "hosts"),
    [
        (Selection(), HOSTS),
        (Selection(host=("gpu-*",)), ("gpu-1", "gpu-2")),
        (Selection(host=("nobody",)), HOSTS),
        (Selection(target=("gpu-1/chat",)), ("gpu-1",)),
        (Selection(target=("gpu-1/*", "l?b/chat.2")), ("gpu-1", "lab")),
        (Selection(target=("*/chat",)), HOSTS),
        (Selection(target=("gpu-[12]/chat",)), HOSTS),  # a slash may be in the brackets
        (Selection(target=("chat",)), HOSTS),  # the model may have been on any host
        (Selection(target=("gpu-1/chat", "ch*")), HOSTS),
        (Selection(target=("nobody/chat",)), HOSTS),
        (Selection(host=("gpu-*",), target=("*-1/chat", "lab/chat")), ("gpu-1",)),
        (Selection(host=("gpu-*",), target=("lab/chat",)), ("gpu-1", "gpu-2")),
        (Selection(exclude=("gpu-1/*",)), HOSTS),
    ],
)
def test_a_selection_reads_the_hosts_that_it_can_concern(selection: Selection, hosts: tuple[str, ...]) -> None:
    assert tuple(selection.hosts_to_read(HOSTS)) == hosts
