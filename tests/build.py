"""Builders of the inputs of a plan. By default they have one host and one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.desired.stack import Desired, Host, Instance, Policy
from cortexctl.diagnostics import SourceSpan
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from tests.specs import change_spec, new_spec

IMAGE = "image:v0.32.0"
SPEC = new_spec(IMAGE, "/models/tiny", ("tiny",), "0.32.0", drain=45)
LOCAL = ImageFacts(IMAGE, "local", id="sha256:" + "1" * 64)
HERE = Host("here", "unix:///var/run/docker.sock")
SPAN = SourceSpan("stack.toml", 7, 1, 5, "gpus = [0]")


def make_spec(**fields: Any) -> Spec:
    return change_spec(SPEC, **fields)


def make_instance(
    model: str = "tiny", *, host: str = "here", keep: int = 2, protect: bool = False, **fields: Any
) -> Instance:
    spec = make_spec(**{"served_names": (model,), "model": f"/models/{model}", **fields})
    return Instance(host, model, spec, policy=Policy(keep=keep, protect=protect), where={"": SPAN})


def make_container(
    name: str,
    *,
    model: str = "tiny",
    generation: int = 1,
    state: str = "running",
    spec: Spec | None = SPEC,
    stack: str = "demo",
    **fields: Any,
) -> ObservedContainer:
    container_labels = {
        labels.STACK: stack,
        labels.MODEL: model,
        labels.ORDINAL: "1",
        labels.GENERATION: str(generation),
        labels.SPEC: spec_to_label(spec) if spec else "nonsense",
        labels.PROTECT: "true" if fields.pop("protect", False) else "false",
        labels.RUN: fields.pop("run", "run1"),
    }
    exit_code = 0 if state == "exited" else None
    fields.setdefault("networks", ("cortex_default",))
    return ObservedContainer(
        f"id-{name}", name, IMAGE, "sha256:" + "1" * 64, state, exit_code, container_labels, **fields
    )


def serving_container(generation: int = 1, *, model: str = "tiny", **fields: Any) -> ObservedContainer:
    return make_container(serving_name(model), model=model, generation=generation, **fields)


def generation_container(generation: int, *, model: str = "tiny", **fields: Any) -> ObservedContainer:
    return make_container(generation_name(model, 1, generation), model=model, generation=generation, **fields)


def foreign_container(name: str, **fields: Any) -> ObservedContainer:
    return ObservedContainer(f"id-{name}", name, "postgres:16", "sha256:" + "9" * 64, "running", **fields)


def make_desired(*instances: Instance, hosts: tuple[Host, ...] = (HERE,)) -> Desired:
    return Desired("demo", "stack.toml", hosts, instances)


def make_observed(
    *containers: ObservedContainer, images: Mapping[tuple[str, str], ImageFacts] | None = None
) -> Observed:
    return Observed((ObservedHost("here", containers),), {("here", IMAGE): LOCAL} if images is None else images)


def make_plan(*instances: Instance, containers: tuple[ObservedContainer, ...] = (), **request: Any) -> Plan:
    return plan(make_desired(*instances), make_observed(*containers), Request(**request))


def changes_of(wanted: Instance, *containers: ObservedContainer, **request: Any) -> list[Change]:
    """The changes of one instance: what an interrupted apply left first, then its own."""
    return sorted(
        make_plan(wanted, containers=containers, **request).changes, key=lambda c: c.address == wanted.address
    )


def removal_of(*containers: ObservedContainer, destroy: bool = False) -> Change:
    """The change of a model that is not in the stack any more."""
    (change,) = make_plan(containers=containers, destroy=destroy).changes
    return change


def rules_of(plan_: Plan) -> list[str]:
    return [d.rule for d in plan_.diagnostics]


def change_of(wanted: Instance, *containers: ObservedContainer) -> Change:
    """The change of an instance itself."""
    return changes_of(wanted, *containers)[-1]


def replacement_plan(*others: ObservedContainer) -> Plan:
    """A plan that replaces the serving container."""
    return make_plan(make_instance(), containers=(serving_container(spec=make_spec(drain=1)), *others))
