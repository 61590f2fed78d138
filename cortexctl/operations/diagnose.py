"""Diagnoses an instance from the state, log and health of its container, or a log alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cortexctl.apply.protocols import Daemon, Secrets
from cortexctl.desired.stack import Desired
from cortexctl.engines.base import Diagnosis, End
from cortexctl.engines.log_bounds import MOST_LINES
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.errors import UsageError
from cortexctl.hosts.log import last_lines
from cortexctl.instance.secret import hidden, masked
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.observed.roles import role_of
from cortexctl.operations.adapters import secret_reader
from cortexctl.operations.addresses import full_address
from cortexctl.operations.connections import Connections, open_hosts
from cortexctl.operations.instances import choose, find_instance, newest, observe_host_of, secret_values
from cortexctl.operations.log_file import pieces_of
from cortexctl.operations.results import Diagnosed
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.reach import Reach

TAIL = 5000
"""Lines read from a log; a start has a few hundred."""
QueryHealth = Callable[[Reach, float, str], Answer]
"""(reach, seconds, path) -> the answer."""
HEALTH_TIMEOUT = 5.0
"""Seconds that the answer to a health check may take."""


def diagnose_log(path: str) -> Diagnosed:
    """The diagnosis of a log file, or of stdin for "-"; healthy if the log ends with a server that serves.

    Raises UsageError if it cannot be read.
    """
    try:
        lines = [hidden(line) for line in last_lines(pieces_of(path), MOST_LINES)]
    except OSError as cause:
        raise UsageError(f"{path} cannot be read: {cause.strerror}") from None
    name = "stdin" if path == "-" else path
    engine = engine_named(DEFAULT)
    diagnosis, now = engine.diagnose(lines, End()), engine.stage(lines)
    health = HealthOutcome.HEALTHY.value if diagnosis is None and engine.serves(lines) else ""
    next_step = "edit the stack as shown, then: cortexctl plan" if diagnosis else f"the whole log is in {name}"
    return Diagnosed(
        name,
        _without_secrets(diagnosis, ()),
        hidden(engine.last_error(lines)),
        next_step,
        health=health,
        stage=now.text if now else "",
    )


def diagnose_instance(
    desired: Desired,
    stack: str,
    choice: StackChoice,
    address: str,
    generation: int | None,
    connections: Connections | None = None,
) -> Diagnosed:
    """`address`: with its host or without. `generation` None: the newest container. `connections`: of the run. Raises
    UsageError, DaemonError.
    """
    from cortexctl.health.health_check import query_health

    address = full_address(desired, address)
    with open_hosts(desired, connections) as hosts:
        instance = find_instance(desired, address, observe_host_of(desired, address, hosts))
        owned = choose(instance, generation) if generation is not None else newest(instance)
        secrets = secret_reader(stack, choice)
        diagnosed = examine(instance, owned, hosts.daemon(instance.host), secrets, query_health)
    return _with_next_step(diagnosed, desired, stack, choice.knowing(desired.secret_variables), owned.generation)


def examine(
    instance: OwnedInstance,
    owned: Owned,
    daemon: Daemon,
    secrets: Secrets,
    query: QueryHealth,
) -> Diagnosed:
    """State, log and health of a container, and what they mean together. `query` is `health_check.query_health`."""
    engine = engine_named(owned.spec.server.engine if owned.spec else DEFAULT)
    state = daemon.state(owned.container.id)
    # if the container restarts repeatedly, the cause is in an earlier run
    log = daemon.logs(owned.container.id, TAIL, this_run=not state.restarts)
    values = secret_values(owned, secrets)
    lines = [hidden(line, values) for line in log]
    now = engine.stage(lines)
    health = _health(daemon.reach(owned.container.id), query, engine.contract.health) if state.running else ""
    cause = None
    if health != HealthOutcome.HEALTHY:
        evidence = [*lines, hidden(state.error, values)] if state.error else lines
        cause = engine.diagnose(evidence, End(None if state.running else state.exit_code, state.oom_killed))
    return Diagnosed(
        instance.address,
        _without_secrets(cause, values),
        hidden(engine.last_error(lines), values),
        "",
        container=owned.container.name,
        role=role_of(instance, owned),
        generation=owned.generation,
        state=replace(state, error=hidden(state.error, values)),
        health=health,
        stage=now.text if now else "",
    )


def _without_secrets(diagnosis: Diagnosis | None, values: Sequence[str]) -> Diagnosis | None:
    """A record in a log may encode a secret in a form that is only recognised once the record is read."""
    if diagnosis is None:
        return None
    return replace(
        diagnosis,
        cause=masked(diagnosis.cause, values),
        fix=masked(diagnosis.fix, values),
        evidence=tuple(hidden(line, values) for line in diagnosis.evidence),
    )


def _with_next_step(
    diagnosed: Diagnosed, desired: Desired, stack: str, choice: StackChoice, generation: int
) -> Diagnosed:
    """With the next command."""
    run = choice.invocation(stack)
    if diagnosed.diagnosis:
        plan = run.command("plan", options=(("--target", diagnosed.of),))
        return replace(diagnosed, next_step=f"edit {desired.path} as shown, then: {plan}")
    whole = (("--generation", str(generation)), ("--tail", "100000"))
    logs = run.command("logs", diagnosed.of, options=whole)
    return replace(diagnosed, next_step=f"the whole log: {logs}")


def _health(reach: Reach, query: QueryHealth, path: str) -> str:
    answer = query(reach, HEALTH_TIMEOUT, path)
    return f"status {answer.status}" if answer.outcome is HealthOutcome.STATUS else answer.outcome.value
