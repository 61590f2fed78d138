"""Hosts on which a text is applied."""

from __future__ import annotations

import copy

from cortexctl.instance import labels
from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request
from tests.edits.edit import Touched
from tests.edits.text import (
    HOSTS,
    IMAGES,
    Text,
)
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import FakeDaemon
from tests.fakes.world import World


def world_of(text: Text) -> World:
    """Hosts on which others have containers, too."""
    desired = text.desired
    world = World(desired.owner, *sorted({*HOSTS, "spare"}), images=IMAGES)
    world.secrets.values = dict(text.secrets)
    for daemon in daemons_of(world):
        daemon.add("postgres", state="running", labels={"com.example": "x"})
    return world


def daemons_of(world: World) -> list[FakeDaemon]:
    return list(world.daemons.by_host.values())


def containers_of(world: World, *, ours: bool) -> dict[str, FakeContainer]:
    containers = (c for e in daemons_of(world) for c in e.containers.values())
    return {c.id: copy.deepcopy(c) for c in containers if (labels.owner_of(c.labels) == world.stack) == ours}


def apply_text(world: World, text: Text, request: Request = Request()) -> Plan:  # noqa: B008 - frozen
    world.secrets.values = dict(text.secrets)
    planned = world.plan(text.desired, request)
    assert [d for d in planned.diagnostics if d.is_error] == []
    result = world.apply(planned)
    assert result.exit_code == 0, result
    return planned


def touched_by(planned: Plan) -> Touched:
    """What the plan does, in the words of an edit. What is made or goes is not compared with anything."""
    return {
        c.address: (c.action, tuple(f.path for f in c.fields)) for c in planned.changes if c.action is not Action.NO_OP
    }


def unprotecting(touched: Touched) -> Request:
    """Lifts every protection that blocks a removal; other tests check that it does block it."""
    return Request(unprotect=tuple(a for a, (action, _) in touched.items() if action is Action.REMOVE))


def address_of(container: FakeContainer) -> str:
    marks = container.labels
    return labels.address(marks[labels.HOST], marks[labels.MODEL], int(marks[labels.ORDINAL]))


def is_serving(container: FakeContainer) -> bool:
    return not labels.is_generation_name(container.name)
