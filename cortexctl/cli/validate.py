"""cortexctl validate: the file alone. No host, no secret, and no network but for the hub with --hub."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.wiring import read_stack
from cortexctl.cli.writing import out, out_json, write
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic, in_reading_order
from cortexctl.operations.adapters import model_readers
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.capacity.forecast import InstanceForecast
from cortexctl.plan.guards import check_desired
from cortexctl.plan.placement import placed
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.plan.memory import unknown_words

if TYPE_CHECKING:
    from cortexctl.plan.capacity.capacity import Room


@click.command("validate")
@options.stack_argument
@options.output_format("text", "json", "sarif", text="Code hosts annotate lines from SARIF.")
@options.ask_hub
@options.stack_choice
def command(stack: str, *, choice: StackChoice, output_format: str, hub: bool) -> int:
    """Check the stack file alone: syntax, references, arguments; memory, where the models' files lie in its checkout.
    All problems at once.
    """
    desired, found, unknown = _check(stack, choice, hub=hub)
    valid = not any(d.is_error for d in found)
    if output_format == "sarif":
        from cortexctl.render.sarif import sarif_json

        write(sarif_json(found, stack), output_format)
    elif output_format == "json":
        out_json(_as_json(found, unknown, valid=valid))
    elif valid and desired is not None:
        if found:
            out(diagnostics_text(found, ink()) + "\n")
        models, hosts = len({i.model for i in desired.instances}), len(desired.hosts)
        out(
            f"{stack} is valid: {models} {'model' if models == 1 else 'models'} on "
            f"{hosts} {'host' if hosts == 1 else 'hosts'}.\n"
        )
        out("".join(f"{line[:1].upper()}{line[1:]}.\n" for line in unknown_words(unknown)))
    else:
        errors = sum(d.is_error for d in found)
        out(diagnostics_text(found, ink()))
        out(f"\n{stack}: {errors} {'error' if errors == 1 else 'errors'}\n")
    return 0 if valid else 1


def _check(
    stack: str, choice: StackChoice, *, hub: bool
) -> tuple[Desired | None, list[Diagnostic], tuple[InstanceForecast, ...]]:
    """The stack in the chosen environment; without one, as it stands and in every environment that it has. And of whom
    memory is not known.
    """
    from cortexctl.stack.load import environments

    found: list[Diagnostic] = []
    desired: Desired | None = None
    unknown: dict[str, InstanceForecast] = {}
    for env in [choice.env] if choice.env else ["", *environments(stack, review=True)]:
        here, said = read_stack(stack, replace(choice, env=env), review=True)
        found += said
        if here is not None:
            here, unplaced = placed(here)
            said = [*unplaced, *check_desired(here)]
            room = _room(here, said, hub=hub)
            found += [*said, *room.diagnostics]
            unknown = {f.address: f for f in room.forecasts if f.after is None} | unknown
            desired = desired or here
    return desired, in_reading_order(found), tuple(unknown[address] for address in sorted(unknown))


def _room(desired: Desired, told: list[Diagnostic], *, hub: bool) -> Room:
    from cortexctl.files.checkout import checkout_of
    from cortexctl.observe.model_reading import read_models
    from cortexctl.plan.capacity.capacity import Room, room_in_stack
    from cortexctl.plan.needs import every_model

    if not any(i.spec.container.gpus for i in desired.instances):
        return Room()
    files = read_models(every_model(desired), model_readers(hub=hub, within=checkout_of(desired.path)))
    return room_in_stack(desired, files, told)


def _as_json(found: list[Diagnostic], unknown: tuple[InstanceForecast, ...], *, valid: bool) -> dict[str, Any]:
    import dataclasses

    return {
        "format_version": "1.0",
        "valid": valid,
        "error_count": sum(d.is_error for d in found),
        "warning_count": sum(not d.is_error for d in found),
        "diagnostics": [
            {
                "rule": d.rule,
                "severity": d.severity.value,
                "summary": d.summary,
                "detail": d.detail,
                "help": d.help,
                "range": dataclasses.asdict(d.span) if d.span else None,
            }
            for d in found
        ],
        "memory_unknown": [{"address": f.address, "why": f.why_unknown} for f in unknown],
    }
