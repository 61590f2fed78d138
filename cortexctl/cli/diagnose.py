"""cortexctl diagnose: why an instance does not serve, and the stack edit that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import click

from cortexctl.apply.protocols import Daemon, Secrets
from cortexctl.cli import options
from cortexctl.cli.addresses import full_address
from cortexctl.cli.colour import ink
from cortexctl.cli.logs import choose, find_instance, values_of
from cortexctl.cli.wiring import need_stack
from cortexctl.cli.writing import out, out_json
from cortexctl.engines.vllm.diagnosis.diagnose import diagnose, diagnose_end
from cortexctl.engines.vllm.diagnosis.lines import last_error_line
from cortexctl.engines.vllm.log_bounds import MOST_LINES
from cortexctl.engines.vllm.progress import stage
from cortexctl.errors import UsageError
from cortexctl.health.health_check import query_health
from cortexctl.hosts.fleet import open_hosts
from cortexctl.hosts.log import last_lines
from cortexctl.instance.labels import is_undone_name
from cortexctl.instance.secret import hidden
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.operations.adapters import secret_reader
from cortexctl.operations.log_file import pieces_of
from cortexctl.operations.stack_choice import StackChoice, as_argument, as_option
from cortexctl.reach import Reach
from cortexctl.render.diagnosis import Diagnosed, diagnosed_json, diagnosed_text

TAIL = 5000
"""Lines of a log that are read; a start has some hundreds."""
PATIENCE = 5.0
"""Seconds that /health may take."""


@click.command("diagnose")
@click.argument("address", required=False, metavar="[HOST/MODEL]")
@click.option("--log", "log", metavar="FILE", help="A log instead of an instance; - for stdin.")
@options.stack_option
@click.option("--generation", type=int, help="This generation instead of the newest container.")
@options.text_or_json
@options.stack_choice
def command(
    address: str | None,
    *,
    choice: StackChoice,
    log: str | None,
    stack: str,
    generation: int | None,
    output_format: str,
) -> int:
    """Say why an instance does not serve: cause, evidence, and the stack edit that fixes it.

    Exits 0 when a cause is named or the instance is healthy, 1 when no known cause is found.
    """
    if (address is None) == (log is None):
        raise UsageError("give either an address, as in HOST/MODEL, or --log FILE")
    seen = of_log(log) if log is not None else _of_instance(address or "", stack, choice, generation)
    if output_format == "json":
        out_json(diagnosed_json(seen))
    else:
        out(diagnosed_text(seen, ink()))
    return seen.exit_code


def of_log(path: str) -> Diagnosed:
    """What a file tells, or stdin for "-". Raises UsageError when it cannot be read."""
    try:
        lines = [hidden(line) for line in last_lines(pieces_of(path), MOST_LINES)]
    except OSError as cause:
        raise UsageError(f"{path} cannot be read: {cause.strerror}") from None
    name = "stdin" if path == "-" else path
    found = diagnose(lines)
    after = "edit the stack as said, then: cortexctl plan" if found else f"the whole log is in {name}"
    return Diagnosed(name, found, last_error_line(lines), after, stage=stage(lines))


def _of_instance(address: str, stack: str, choice: StackChoice, generation: int | None) -> Diagnosed:
    desired = need_stack(stack, choice, with_secrets=False)
    address = full_address(desired, address)
    choice = choice.knowing(desired.secret_variables)
    with open_hosts(desired.hosts, desired.owner) as daemons:
        instance = find_instance(desired, address, daemons)
        owned = choose(instance, generation) if generation is not None else newest(instance)
        seen = examine(instance, owned, daemons.daemon(instance.host), secret_reader(stack, choice), query_health)
    chosen = as_option(stack) + choice.as_flags()
    if seen.found:
        where = as_argument(stack)
        step = f"edit {desired.path} as said, then: cortexctl plan{where} --target {address}{choice.as_flags()}"
    else:
        step = f"the whole log: cortexctl logs {address} --generation {owned.generation} --tail 100000{chosen}"
    return replace(seen, next_step=step)


def newest(instance: OwnedInstance) -> Owned:
    """Of candidate, serving and kept ones the last that was made: the one that somebody asks about. One that was rolled
    back is behind those that came back.
    """
    return max(instance.all, key=lambda owned: (not is_undone_name(owned.container.name), owned.generation))


def examine(
    instance: OwnedInstance, owned: Owned, daemon: Daemon, secrets: Secrets, ask: Callable[[Reach, float], Answer]
) -> Diagnosed:
    """State, log and health of a container, and what they mean together. `ask` is `health.ask.query_health`."""
    state = daemon.state(owned.container.id)
    # of one that is started again and again, the cause is in an earlier run
    log = daemon.logs(owned.container.id, TAIL, this_run=not state.restarts)
    values = values_of(owned, secrets)
    lines = [hidden(line, values) for line in log]
    health = _health(daemon.reach(owned.container.id), ask) if state.running else ""
    found = None
    if health != HealthOutcome.HEALTHY:
        said = [*lines, hidden(state.error, values)] if state.error else lines
        found = diagnose_end(said, None if state.running else state.exit_code, oom_killed=state.oom_killed)
    return Diagnosed(
        instance.address,
        found,
        last_error_line(lines),
        "",
        container=owned.container.name,
        role=_role(instance, owned),
        generation=owned.generation,
        state=replace(state, error=hidden(state.error, values)),
        health=health,
        stage=stage(lines),
    )


def _health(reach: Reach, ask: Callable[[Reach, float], Answer]) -> str:
    answer = ask(reach, PATIENCE)
    return f"status {answer.status}" if answer.outcome is HealthOutcome.STATUS else answer.outcome.value


def _role(instance: OwnedInstance, owned: Owned) -> str:
    if owned is instance.serving:
        return "serving"
    return "candidate" if instance.serving is None or owned.generation > instance.serving.generation else "kept"
