"""Check a stack file alone: no host, no secret, and no network except the hub on request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Acknowledgement, Diagnostic, in_reading_order, unacknowledged
from cortexctl.operations.adapters import model_readers
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.validation import Validation
from cortexctl.plan.guards import check_desired
from cortexctl.plan.placement import placed

if TYPE_CHECKING:
    from cortexctl.plan.capacity.capacity import Room
    from cortexctl.plan.capacity.forecast import InstanceForecast


def validate(stack: str, choice: StackChoice, *, allow_hub: bool) -> Validation:
    """The stack in the chosen environment; without one, on its own and in each of its environments."""
    from cortexctl.stack.acknowledge import without_effect
    from cortexctl.stack.load import environments

    diagnostics: list[Diagnostic] = []
    desired: Desired | None = None
    unknown: dict[str, InstanceForecast] = {}
    accepted: list[Acknowledgement] = []
    acknowledged: dict[Diagnostic, None] = {}
    for env in [choice.env] if choice.env else ["", *environments(stack, review=True)]:
        reading = StackReader(stack, replace(choice, env=env), SecretMode.REVIEW).read()
        diagnostics += reading.diagnostics
        if reading.desired is not None:
            here, unplaced = placed(reading.desired)
            problems = [*unplaced, *check_desired(here)]
            room = _memory(here, allow_hub=allow_hub)
            forecasts = room.forecasts if room else ()
            every = [*reading.desired.acknowledged, *problems, *(room.diagnostics if room else ())]
            accepted += reading.desired.acknowledgements
            shown = unacknowledged(every, reading.desired.acknowledgements)
            acknowledged |= dict.fromkeys(d for d in every if d not in shown)
            diagnostics += shown
            unknown = {f.address: f for f in forecasts if f.after is None or f.after.uncounted} | unknown
            desired = desired or here
    if not choice.env and not any(d.is_error for d in diagnostics):
        diagnostics += without_effect(accepted, acknowledged)
    by_address = tuple(unknown[address] for address in sorted(unknown))
    return Validation(desired, tuple(in_reading_order(diagnostics)), by_address, len(acknowledged))


def _memory(desired: Desired, *, allow_hub: bool) -> Room | None:
    """The forecast of the models' memory. None if no model has a GPU."""
    if not any(i.spec.container.gpus for i in desired.instances):
        return None
    from cortexctl.files.checkout import checkout_of
    from cortexctl.observe.model_reading import read_models
    from cortexctl.plan.capacity.capacity import room_in_stack
    from cortexctl.plan.needs import every_model

    files = read_models(
        every_model(desired), model_readers(desired, allow_hub=allow_hub, within=checkout_of(desired.path))
    )
    return room_in_stack(desired, files)
