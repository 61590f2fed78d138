"""`import`: read a container, draft a model for it, and plan with it until the plan shows an adoption."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cortexctl.concurrently import at_once_watched
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.errors import CortexctlError, DaemonUnreachable, UsageError
from cortexctl.hosts.read import Inspection
from cortexctl.instance import labels
from cortexctl.instance.secret import may_be_secret
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import HF_HOME
from cortexctl.observed.foreign import Running, parse_running
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import parse_image_defaults, parse_inspected
from cortexctl.observed.observation import Observed
from cortexctl.operations.connections import Connections, open_hosts
from cortexctl.operations.read_stack import BadStack, SecretMode, StackReader, read_other_stack
from cortexctl.operations.results import IgnoredField, ImportCandidate, Imported
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.action import Action
from cortexctl.plan.adopt.adopt import as_pattern, to_adopt
from cortexctl.plan.decide import state_text
from cortexctl.plan.diff import NETWORK, FieldChange
from cortexctl.plan.model import Change
from cortexctl.plan.planner import plan
from cortexctl.stack.importing.describe import draft_of, runs_vllm
from cortexctl.stack.importing.draft import Draft, Place
from cortexctl.stack.importing.imported_env import secret_values
from cortexctl.stack.importing.model_table import named_image
from cortexctl.stack.model_spec import MODELS
from cortexctl.text.invocation import Invocation

ROUNDS = 4
"""Maximum number of plans until no new field differs; one more than needed."""
_PROBE = "import-probe"
_ANY = {"image": "import:v0.32.0", "source": {"repo": "import/probe"}, "gpus": "none", "hosts": ["*"]}
"""A model that shows the settings that a host adds to every container; it replaces a stack's first model."""
_AS_IT_IS = {Action.ADOPT, Action.START, Action.NO_OP}


ModelText = Callable[[str, Mapping[str, Any]], str]
"""(name, table) -> the text of a model in the format of the stack, for the user to add to the file."""


@dataclass(frozen=True, slots=True)
class Import:
    """A host, its containers, and the stack that adopts one of them. `desired`: the stack on this host. `bare`: the
    settings that the host adds to every container.
    """

    stack: str
    choice: StackChoice
    text: str
    model_text: ModelText
    host: Host
    is_only_host: bool
    desired: Desired
    bare: Spec
    seen: ObservedHost
    inspections: Mapping[str, Inspection]

    @property
    def is_json(self) -> bool:
        return self.stack.endswith(".json")

    @property
    def invocation(self) -> Invocation:
        """The run, for the next commands."""
        return self.choice.invocation(self.stack)

    def candidates(self) -> list[ImportCandidate]:
        """Containers without a stack that run vLLM, in the order of their names."""
        return [self._candidate(id_) for id_ in self._running_vllm()]

    def find(self, wanted: str) -> str:
        """By name, or by the beginning of its id. Raises UsageError."""
        matching = [c for c in self.seen.containers if c.name == wanted] or [
            c for c in self.seen.containers if len(wanted) >= 4 and c.id.startswith(wanted)
        ]
        if len(matching) != 1:
            names = ", ".join(self._container(id_).name for id_ in self._running_vllm())
            raise UsageError(f"{self.host.name} has no container {wanted}; these run vLLM: {names or 'none'}")
        owner = labels.owner_of(matching[0].labels)
        if owner:
            raise UsageError(f'{wanted} is already a container of the stack "{owner}"')
        if matching[0].id not in self.inspections:
            raise UsageError(f"{wanted} was just removed")
        return matching[0].id

    def adopt(self, id_: str, name: str, gpus: tuple[int, ...] | None) -> Imported:
        """The container as a model `name` ("": from its served name) on `gpus` (None: from the container)."""
        running = self._running(id_)
        draft = draft_of(running, self._place(id_, running, name, gpus))
        draft.reasons += self._obstacles(id_)
        if draft.reasons:
            return Imported(running.name, draft.name, reasons=tuple(draft.reasons))
        return self._fitted(id_, draft)

    def _running_vllm(self) -> list[str]:
        return [c.id for c in self.seen.containers if c.id in self.inspections and runs_vllm(self._running(c.id))]

    def _candidate(self, id_: str) -> ImportCandidate:
        running, state = self._running(id_), state_text(self._container(id_))
        server = engine_named(DEFAULT).read_command(running.argv)
        model = server.model if server and not may_be_secret(server.model) else ""
        imported = self.adopt(id_, "", None)
        return ImportCandidate(running.name, running.image, model, state, imported.name, imported.reasons)

    def _running(self, id_: str) -> Running:
        at = self.inspections[id_]
        return parse_running(at.container, at.image or {})

    def _container(self, id_: str) -> ObservedContainer:
        return next(c for c in self.seen.containers if c.id == id_)

    def _place(self, id_: str, running: Running, name: str, gpus: tuple[int, ...] | None) -> Place:
        folders = {m.target: m.source for m in self.bare.container.mounts}
        named = engine_named(DEFAULT).release_of(named_image(running) or "none")
        release, release_from = ("", "") if named else self._release(id_)
        return Place(
            host=self.host.name,
            is_only_host=self.is_only_host,
            models_dir=folders.get(MODELS, ""),
            hf_cache=folders.get(HF_HOME, ""),
            taken=frozenset(i.model for i in self.desired.instances) | set(self.desired.disabled),
            name=name,
            release=release,
            release_from=release_from,
            gpus=gpus,
            other_secrets=tuple(self._secrets(c.id) for c in self.seen.containers if c.id != id_),
            shared=self._shared(id_),
        )

    def _secrets(self, id_: str) -> Mapping[str, str]:
        """The secrets of a container that runs vLLM; none for any other container."""
        if id_ not in self.inspections or not runs_vllm(running := self._running(id_)):
            return {}
        return secret_values(running)

    def _shared(self, id_: str) -> Mapping[str, tuple[str, ...]]:
        """The variables that other models of the stack read, unless this machine has the container's value in them."""
        values = self._secrets(id_)
        readers: dict[str, set[str]] = {}
        for instance in self.desired.instances:
            for secret in instance.spec.container.secrets:
                if secret.source == "env" and os.environ.get(secret.key) != values.get(secret.key):
                    readers.setdefault(secret.key, set()).add(instance.model)
        return {name: tuple(sorted(models)) for name, models in readers.items()}

    def _release(self, id_: str) -> tuple[str, str]:
        """The release and its origin: the labels of the image, else the running server, if it answers."""
        config = (self.inspections[id_].image or {}).get("Config") or {}
        labelled = engine_named(DEFAULT).release_in(config.get("Labels") or {}, config.get("Env") or ())
        if labelled or not self._container(id_).is_running:
            return labelled, "image"
        from cortexctl.health.prober import HttpProber

        with open_hosts(self.desired) as hosts, suppress(CortexctlError):
            return HttpProber(engine_named(DEFAULT).contract).version(hosts.reach(self.host.name, id_)), "server"
        return "", ""

    def _obstacles(self, id_: str) -> list[str]:
        reasons = [
            f'it is already adopted by the model "{i.model}"'
            for i in self.desired.instances
            if (taken := to_adopt(i, None, self.seen)) is not None and taken.id == id_
        ]
        if self.inspections[id_].image is None:
            reasons.append(
                "its image is not on the host any more, so its own environment cannot be separated from the image's: "
                "a new container must take its place"
            )
        return reasons

    def _fitted(self, id_: str, draft: Draft) -> Imported:
        """Everything that a plan would change goes to `ignore`, until it would change nothing."""
        before = {(d.rule, d.summary) for d in plan(self.desired, Observed((self.seen,))).diagnostics}
        ignored = {
            path: IgnoredField(FieldChange(path, None, None, sensitive=True), why=why)
            for path, why in draft.overruled.items()
        }
        for _ in range(ROUNDS):
            table = {**draft.table, **({"ignore": list(ignored)} if ignored else {})}
            instance, problems = self._read(draft.name, table)
            if instance is None:
                return self._refused(id_, draft, problems)
            change, diagnostics = self._planned(id_, instance)
            fresh = {
                as_pattern(f.path): self._ignored(id_, f) for f in change.fields if as_pattern(f.path) not in ignored
            }
            if not fresh:
                break
            ignored |= fresh
        problems = [d for d in diagnostics if d.is_error and (d.rule, d.summary) not in before]
        if problems or change.action not in _AS_IT_IS or change.fields:
            return self._refused(id_, draft, problems or [], [f.path for f in change.fields])
        return Imported(
            self._container(id_).name,
            draft.name,
            table,
            draft.notes,
            ignored,
            tuple(draft.comments),
            tuple(draft.needed),
            action=change.action.value,
        )

    def _refused(self, id_: str, draft: Draft, problems: list[Diagnostic], paths: list[str] | None = None) -> Imported:
        reasons = [d.summary + (f": {d.help}" if d.help else "") for d in problems if d.is_error]
        if not reasons:
            reasons = [
                f"no block describes it without a difference ({', '.join(paths or [])}); this is a bug in cortexctl"
            ]
        return Imported(self._container(id_).name, draft.name, reasons=tuple(reasons))

    def _read(self, name: str, table: Mapping[str, Any]) -> tuple[Instance | None, list[Diagnostic]]:
        """The model as the stack would declare it, read from the text of the whole stack."""
        whole = _with_model(self.stack, self.text, self.model_text(name, table))
        reading = StackReader(self.stack, self.choice, SecretMode.SKIP).read(text=whole)
        if reading.desired is None:
            return None, list(reading.diagnostics)
        return next(i for i in reading.desired.instances if i.model == name and i.host == self.host.name), []

    def _planned(self, id_: str, instance: Instance) -> tuple[Change, tuple[Diagnostic, ...]]:
        at, owner = self.inspections[id_], self.desired.owner
        inspected = parse_inspected(at.container, instance.spec, parse_image_defaults(at.image or {}), owner)
        observed = Observed((self.seen,), adoptable={(self.host.name, id_): inspected})
        desired = replace(self.desired, instances=(*self.desired.instances, instance))
        planned = plan(desired, observed)
        return next(c for c in planned.changes if c.address == instance.address), planned.diagnostics

    def _ignored(self, id_: str, change: FieldChange) -> IgnoredField:
        return IgnoredField(change, tuple(self._container(id_).networks) if change.path == NETWORK else ())


def open_import(
    host: str, stack: str, choice: StackChoice, model_text: ModelText, connections: Connections | None = None
) -> Import:
    """Read the stack and its host. A stack that has hosts and no models yet is enough. `connections`: of the run.
    Raises BadStack, UsageError and DaemonUnreachable.
    """
    text, probed = _with_probe(stack, choice, model_text)
    at = next((h for h in probed.hosts if h.name == host), None)
    if at is None:
        raise UsageError(f'there is no host "{host}" in {stack}; known: {", ".join(h.name for h in probed.hosts)}')
    here = [i for i in probed.instances if i.host == host]
    bare = next(i.spec for i in here if i.model == _PROBE)
    desired = replace(probed, hosts=(at,), instances=tuple(i for i in here if i.model != _PROBE))
    with open_hosts(desired, connections) as hosts:
        [seen] = at_once_watched(hosts.observe, [host], hosts.watch)
        if not seen.is_reachable:
            raise DaemonUnreachable(f"{host}: {seen.problem}", next_step=seen.next_step)
        inspections = hosts.inspect_all(host, [c for c in seen.containers if not labels.owner_of(c.labels)])
    return Import(
        stack,
        choice.knowing(probed.secret_variables),
        text,
        model_text,
        at,
        len(probed.hosts) == 1,
        desired,
        bare,
        seen,
        inspections,
    )


def _with_probe(stack: str, choice: StackChoice, model_text: ModelText) -> tuple[str, Desired]:
    """The stack's text, and the stack with one more model on every host."""
    from cortexctl.stack.document import UnreadableDocument, read_document

    reader = StackReader(stack, choice, SecretMode.SKIP)
    try:
        document = read_document(stack)
    except UnreadableDocument as cause:
        raise BadStack(stack, [cause.diagnostic]) from None
    whole = _with_model(stack, document.text, model_text(_PROBE, _ANY))
    probed = reader.read(text=whole).desired
    if probed is None and document.data.get("models"):
        _ = reader.read().usable  # raises BadStack, unless the stack is good without the probe
        raise UsageError(
            f"a block [models.NAME] cannot be added at the end of {stack}",
            next_step="write its models as tables, [models.NAME], instead of one table in braces",
        )
    return document.text, probed or read_other_stack(stack, choice, text=whole)


def _with_model(stack: str, text: str, model: str) -> str:
    """The stack's text with one more model in it."""
    if stack.endswith(".json"):
        data = json.loads(text)
        data["models"] = {**(data.get("models") or {}), **json.loads(model)}
        return json.dumps(data)
    return text.rstrip() + "\n\n" + model
