"""cortexctl status: every instance of the stack, as it is now."""

from __future__ import annotations

from dataclasses import replace

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.lock import lock_in_words
from cortexctl.cli.wiring import look, open_stack
from cortexctl.cli.writing import out, out_json
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.errors import DaemonError, PathFailed
from cortexctl.hosts.fleet import DockerDaemons
from cortexctl.instance.spec import Spec
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance, left_alone, why_left_alone
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.adopt.adopt import is_adopted
from cortexctl.plan.decide import fields_to_change, state_in_words
from cortexctl.plan.drift.servers import found_on
from cortexctl.plan.placement import placed
from cortexctl.render.status import Row, status_text


@click.command("status")
@options.stack_argument
@options.text_or_json
@options.stack_choice
def command(stack: str, *, choice: StackChoice, output_format: str) -> int:
    """Show every instance: its state, health, generation and endpoint. Exits 1 when one does not serve."""
    desired, daemons = open_stack(stack, choice, with_secrets=False)
    try:
        observed = look(desired, daemons)
        rows = _rows(desired, observed, daemons)
        notes = [*_busy(desired, daemons), *_left_alone(desired, observed)]
    finally:
        daemons.close()
    if output_format == "json":
        out_json([row.as_dict() for row in rows])
    else:
        out(status_text(desired.owner, rows, notes, ink()))
    return 0 if all(row.serves for row in rows) else 1


def _with_measured(rows: list[tuple[Row, Host, Spec | None]]) -> list[Row]:
    """What starts like these said, from what this machine has learnt: no log is read."""
    from cortexctl.engines.vllm.memory.reuse import same_start
    from cortexctl.operations.learn import started_as
    from cortexctl.store.measurements import read_all

    known = read_all()
    if not known:
        return [row for row, _, _ in rows]
    return [replace(r, measured=same_start(known, started_as(host, spec)) if spec else None) for r, host, spec in rows]


def _busy(desired: Desired, daemons: DockerDaemons) -> list[str]:
    """Who is applying the stack at this moment, host by host."""
    lines = []
    for host in desired.hosts:
        try:
            daemon = daemons.daemon(host.name)
            holder = daemon.read_lock(desired.owner)
            if holder is not None:
                lines.append(f"{host.name}: {lock_in_words(holder, int(daemon.now()))}")
        except DaemonError:
            continue  # its row says so
    return lines


def _left_alone(desired: Desired, observed: Observed) -> list[str]:
    """Containers with the stack's labels that are none of its own."""
    return [
        f"{seen.name}: {why_left_alone(other)}; it is left alone"
        for seen in observed.hosts
        for other in left_alone(seen, desired.owner, desired.moved)
    ]


def _rows(desired: Desired, observed: Observed, daemons: DockerDaemons) -> list[Row]:
    desired, _ = placed(desired, observed)
    wanted_on = desired.by_host()
    rows: list[tuple[Row, Host, Spec | None]] = []
    for seen in observed.hosts:
        host = desired.host(seen.name)
        if not seen.is_reachable:
            rows.append((Row(seen.name, "unreachable", detail=seen.problem), host, None))
            continue
        wanted = wanted_on[seen.name]
        found = found_on(seen, desired, wanted, observed)
        for address in sorted(wanted.keys() | found.keys()):
            instance = found.get(address)
            serving = instance.serving if instance else None
            if instance is None or serving is None:
                rows.append((Row(address, "missing", detail=_others(instance)), host, None))
                continue
            detail = _beside(wanted[address], serving) if address in wanted else "no longer in the stack"
            rows.append((_row(address, instance, daemons, detail), host, serving.spec))
    return _with_measured(rows)


def _beside(wanted: Instance, serving: Owned) -> str:
    """What is to be said beside its state."""
    if serving.imported and not is_adopted(serving):
        return f"to be adopted: {serving.container.name} is not applied yet"
    if serving.imported:
        differs = bool(fields_to_change(wanted, serving, Observed(())))
        return "differs from the stack" if differs else "adopted; it has labels once it is replaced"
    same = serving.spec is not None and serving.spec == _without_prints(wanted.spec, serving.spec)
    return "" if same else "differs from the stack"


def _row(address: str, instance: OwnedInstance, daemons: DockerDaemons, detail: str) -> Row:
    from cortexctl.health.prober import HttpProber

    serving = instance.serving
    if serving is None:
        return Row(address, "missing", detail=detail)
    state, endpoint = state_in_words(serving.container), ""
    if serving.container.is_running:
        try:
            endpoint = daemons.daemon(instance.host).state(serving.container.id).endpoint
            heard = HttpProber().health(daemons.reach(instance.host, serving.container.id))
            state = f"running, {heard}" if heard else "healthy"
        except PathFailed as cause:
            state, detail = "running, cannot be asked", cause.message
        except DaemonError as cause:
            detail = cause.message
    spec = serving.spec
    return Row(
        address,
        state,
        generation=serving.generation,
        vllm=spec.server.version or "" if spec else "",
        serves_names=spec.server.served_names if spec else (),
        endpoint=endpoint,
        detail=detail,
    )


def _others(instance: OwnedInstance | None) -> str:
    names = [f"{o.container.name} is {o.container.state}" for o in instance.others] if instance else []
    return "; ".join(names)


def _without_prints(wanted: Spec, recorded: Spec) -> Spec:
    """Status does not need secrets, so it takes their recorded fingerprints for granted."""
    import dataclasses

    known = {s.name: s.fingerprint for s in recorded.container.secrets}
    secrets = tuple(dataclasses.replace(s, fingerprint=known.get(s.name, "")) for s in wanted.container.secrets)
    return dataclasses.replace(wanted, container=dataclasses.replace(wanted.container, secrets=secrets))
