"""What a run that was killed at its very end leaves: a lock, and nothing else to do."""

from __future__ import annotations

from contextlib import suppress

from cortexctl.engine.engines import DockerEngines
from cortexctl.engine.look import dead_locks
from cortexctl.errors import EngineError
from cortexctl.plan.model import Plan


def release_dead_locks(made: Plan, engines: DockerEngines) -> None:
    """Of the plan's hosts. Only where the holder is provably gone, as a run with something to do would take it over."""
    hosts = [planned.host for planned in made.hosts if not planned.problem]
    for host, holder in dead_locks(hosts, made.owner).items():
        with suppress(EngineError):
            engine = engines.engine(host)
            if engine.read_lock(made.owner) == holder:  # nobody has taken it over meanwhile
                engine.release_lock(made.owner)
