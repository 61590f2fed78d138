"""The common parts of all views of a plan: its counts, and the texts about one change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cortexctl.desired.hook import Point
from cortexctl.engines.registry import engine_of
from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange, fields_of
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.pace import paces
from cortexctl.plan.planfile import plan_to_dict
from cortexctl.plan.steps import Step
from cortexctl.render.plan.folding import READING_ORDER, Block, cut, listed
from cortexctl.render.plan.phrases import (
    PAST_TENSE,
    batch_text,
    host_cost_text,
    rollout_text,
    starts_text,
    value_text,
)


def counts(plan: Plan) -> list[tuple[Action, int, str]]:
    """(action, number, "3 to replace") for each action of the plan, in reading order."""
    numbers = []
    for action in (*READING_ORDER, Action.NO_OP):
        number = sum(c.action is action for c in plan.changes)
        if number:
            label = f"to {action.value}" if action.does_something else PAST_TENSE[action]
            numbers.append((action, number, f"{number} {label}"))
    return numbers


def down_addresses(blocks: Iterable[Block]) -> list[str]:
    """The addresses that do not serve during their change, or are removed, in the order of the blocks."""
    return [address for b in blocks if b.first.cost.down for address in b.addresses]


def availability_lines(plan: Plan) -> list[str]:
    """For each model with more than one instance: the lowest number that serves during the apply."""
    return [line for r in plan.rollouts if (line := rollout_text(r))]


def batch_lines(plan: Plan) -> list[str]:
    """For each model that is changed in several batches: their order."""
    return [line for r in plan.rollouts if (line := batch_text(r))]


def host_lines(plan: Plan) -> list[str]:
    """For each host with changes: their longest duration, and its GPUs before and after. Hosts with the same text share
    a line.
    """
    effective: dict[str, list[Change]] = {}
    for change in plan.effective:
        effective.setdefault(change.host, []).append(change)
    of_host = paces(plan)
    return _by_host(
        (h.host.name, host_cost_text(h, effective.get(h.host.name, []), of_host.get(h.host.name))) for h in plan.hosts
    )


def start_lines(plan: Plan) -> list[str]:
    """For each host with more than one start: those that start together. Hosts with the same text share a line."""
    return _by_host((host, starts_text(host, pace)) for host, pace in paces(plan).items())


def _by_host(texts: Iterable[tuple[str, str]]) -> list[str]:
    """Lines from pairs of host and text. Empty texts are left out."""
    same: dict[str, list[str]] = {}
    for name, text in texts:
        same.setdefault(text, []).append(name)
    same.pop("", None)
    return [f"{listed(names, 3)}: {text}" for text, names in same.items()]


def hook_lines(plan: Plan) -> list[str]:
    """For each hook point: its hooks, as in "pre_stop: drain (./drain.sh) for llama-*"."""
    by_point: dict[str, list[str]] = {}
    for hook in plan.hooks:
        models = "" if hook.models == ("*",) else f" for {listed(hook.models, 3)}"
        unless = "" if hook.required or not hook.on.may_refuse else ", may fail"
        by_point.setdefault(hook.on.value, []).append(f"{hook.name} ({hook.description}{unless}){models}")
    return [f"{point}: {'; '.join(by_point[point])}" for point in Point if point in by_point]


def secrets_text(plan: Plan) -> str:
    """The secrets that were not compared; empty if all were."""
    names = plan.uncompared
    return f"not compared, because no secret was read: {listed(names, 8)}" if names else ""


def plan_digest(plan: Plan) -> str:
    """The digest in the plan's JSON: only the plan that was reviewed can be applied."""
    return str(plan_to_dict(plan)["digest"])


def steps_by_change(plan: Plan) -> Mapping[tuple[str, str], list[Step]]:
    """(host, address) -> its steps in order; (host, "") has the steps of the host itself."""
    by_change: dict[tuple[str, str], list[Step]] = {}
    for step in plan.steps:
        by_change.setdefault(step.place, []).append(step)
    return by_change


def hidden_text(f: FieldChange) -> str:
    """The text that replaces the values of a secret."""
    was, now = f.before is not None, f.after is not None
    return "(changed, value hidden)" if was and now else "(added, value hidden)" if now else "(removed)"


def launch_rows(block: Block) -> list[tuple[str, str]]:
    """The new launch in a few lines: the fields that a reviewer needs."""
    spec = block.first.detail.after
    if spec is None:
        return []
    flat = fields_of(spec)
    args = [f"{p.removeprefix('args.')} {value_text(p, flat[p])}" for p in flat if p.startswith("args.")]
    rows = [
        ("model", f"{spec.server.model}, served as {', '.join(spec.server.served_names)}"),
        ("args", ", ".join(args) or f"{engine_of(spec.server).contract.title}'s defaults"),
        ("extra", " ".join(spec.server.extra_args)),
        ("gpus", _gpus_of(block)),
        ("port", flat.get("publish", "not published")),
        ("env", ", ".join(f"{k}={v}" for k, v in spec.container.env.items())),
        ("secrets", ", ".join(f"{s.name} from {s.origin}" for s in spec.container.secrets)),
        (
            "mounts",
            ", ".join(f"{m.source} on {m.target}" + (" ro" if m.read_only else "") for m in spec.container.mounts),
        ),
    ]
    return [(name, text) for name, text in rows if text]


def _gpus_of(block: Block) -> str:
    """The indices of the GPUs; per host if they differ."""
    by_host = {c.host: ", ".join(map(str, c.detail.after.container.gpus)) for c in block.changes if c.detail.after}
    if len(set(by_host.values())) > 1:
        shown, more = cut([f"{gpus} on {host}" for host, gpus in by_host.items()], 4)
        return "; ".join([*shown, *([f"and {more} more"] if more else [])])
    return next(iter(by_host.values()), "") or "none"


def image_text(change: Change) -> str:
    image = change.detail.image
    if image is None:
        return ""
    if image.pull:
        return f"image {image.reference} is pulled first ({image.digest[:19]})"
    return f"image {image.reference}" + (f" is on the host ({image.id[7:19]})" if image.id else "")
