"""What the views of a plan have in common: its counts, and what is said of one change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cortexctl.desired.hook import Point
from cortexctl.engines.registry import engine_of
from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange, fields_of
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.planfile import plan_to_dict
from cortexctl.plan.steps import Step
from cortexctl.render.plan.folding import READING_ORDER, Block, cut, listed
from cortexctl.render.plan.phrases import PAST_TENSE, batch_text, host_cost_text, rollout_text, value_text


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def counts(plan: Plan) -> list[tuple[Action, int, str]]:
    """(action, how many, "3 to replace") for each action that there is, in reading order."""
    found = []
    for action in (*READING_ORDER, Action.NO_OP):
        number = sum(c.action is action for c in plan.changes)
        if number:
            word = f"to {action.value}" if action.does_something else PAST_TENSE[action]
            found.append((action, number, f"{number} {word}"))
    return found


def down_addresses(blocks: Iterable[Block]) -> list[str]:
    """What does not serve while it is changed, or goes away, in the blocks' order."""
    return [address for b in blocks if b.first.cost.down for address in b.addresses]


def availability_lines(plan: Plan) -> list[str]:
    """Of each model with more than one instance: how many serve at the least meanwhile."""
    return [words for r in plan.rollouts if (words := rollout_text(r))]


def batch_lines(plan: Plan) -> list[str]:
    """Of each model that is changed in several batches: which come when."""
    return [words for r in plan.rollouts if (words := batch_text(r))]


def host_lines(plan: Plan) -> list[str]:
    """Of the hosts on which something changes: for how long at most, and their GPUs before and after. Hosts of which
    the same is said share a line.
    """
    effective: dict[str, list[Change]] = {}
    for change in plan.effective:
        effective.setdefault(change.host, []).append(change)
    same: dict[str, list[str]] = {}
    for host in plan.hosts:
        same.setdefault(host_cost_text(host, effective.get(host.host.name, [])), []).append(host.host.name)
    same.pop("", None)
    return [f"{listed(names, 3)}: {words}" for words, names in same.items()]


def hook_lines(plan: Plan) -> list[str]:
    """Of each point at which hooks run: what they do. "pre_stop: drain (./drain.sh) for llama-*"."""
    found: dict[str, list[str]] = {}
    for hook in plan.hooks:
        whose = "" if hook.models == ("*",) else f" for {listed(hook.models, 3)}"
        unless = "" if hook.required or not hook.on.may_refuse else ", may fail"
        found.setdefault(hook.on.value, []).append(f"{hook.name} ({hook.description}{unless}){whose}")
    return [f"{point}: {'; '.join(found[point])}" for point in Point if point in found]


def secrets_text(plan: Plan) -> str:
    """Of the secrets that were not compared; empty when all were."""
    names = plan.uncompared
    return f"not compared, for no secret was read: {listed(names, 8)}" if names else ""


def nothing_to_do(plan: Plan) -> bool:
    """Whether the plan is the good news: all hosts read, nothing wrong, nothing to change."""
    return not plan.effective and not plan.unreachable and not plan.has_errors


def good_news(plan: Plan) -> tuple[str, str]:
    """The news and the rest of the sentence, of a plan with `nothing_to_do`."""
    if plan.destroy:
        return "Nothing to destroy.", f"No container of {plan.stack} is left."
    matching = sum(c.action is Action.NO_OP for c in plan.changes)
    total = counted(matching, "container")
    verb = "matches" if matching == 1 else "match"
    source = f" {verb} {plan.stack_path}" if plan.stack_path else ""
    deferred = ", ".join(address for r in plan.rollouts for address in r.deferred)
    waits = f" Held for another apply: {deferred}." if deferred else ""
    return "No changes.", f"{total} on {counted(len(plan.hosts), 'host')}{source}.{waits}"


def plan_digest(plan: Plan) -> str:
    """The digest that the plan's JSON carries: what a reviewer has seen is what is applied, or nothing is."""
    return str(plan_to_dict(plan)["digest"])


def steps_by_change(plan: Plan) -> Mapping[tuple[str, str], list[Step]]:
    """(host, address) -> its steps in order; (host, "") are the host's own."""
    found: dict[tuple[str, str], list[Step]] = {}
    for step in plan.steps:
        found.setdefault((step.host, step.address), []).append(step)
    return found


def hidden_text(f: FieldChange) -> str:
    """What is said of a secret instead of its values."""
    was, now = f.before is not None, f.after is not None
    return "(changed, value hidden)" if was and now else "(added, value hidden)" if now else "(removed)"


def launch_rows(block: Block) -> list[tuple[str, str]]:
    """What will run, in a few lines: the fields that a reviewer asks about."""
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
    """Their indices; host by host where they differ."""
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
