"""The findings of one instance: its container against its record and against the stack.

One cause gives one finding: if a container is down, its missing port is not reported as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Instance
from cortexctl.engines.base import HIDDEN
from cortexctl.instance import labels
from cortexctl.instance.image import local_name
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.daemon_product import is_podman
from cortexctl.observed.health import HealthOutcome
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.owned import Owned, OwnedInstance, SpecLabels
from cortexctl.observed.record import Applied
from cortexctl.observed.roles import Roles, roles_of
from cortexctl.plan.adopt.imported import imported_differences
from cortexctl.plan.conflicts import ANY_ADDRESS
from cortexctl.plan.decide import state_text
from cortexctl.plan.diff import IN_PLACE, NETWORK, FieldChange
from cortexctl.plan.differing import differing_fields
from cortexctl.plan.drift.finding import Code, Facts, Finding, Kind, Note
from cortexctl.plan.inspected_diff import Difference, differences


@dataclass(frozen=True, slots=True)
class OneInstance:
    """An instance of the stack. `applied` is the host's record of it; `daemon` is the version of the host's daemon."""

    wanted: Instance
    existing: OwnedInstance | None
    applied: Applied | None
    facts: Facts
    daemon: str
    spec_labels: SpecLabels

    def findings(self) -> Iterator[Finding]:
        """All findings, unsorted."""
        if self.existing is None:
            yield from self._nothing_there()
            return
        roles = roles_of(self.existing, self.applied)
        if roles.serving is not None and roles.serving.imported and not self._is_recorded(roles.serving):
            yield from self._to_adopt(roles.serving)
            return
        yield from self._beside(roles)
        if roles.candidate is not None:
            yield self._of(roles.candidate, Code.UNFINISHED, "state", None, state_text(roles.candidate.container))
        if roles.serving is None:
            if roles.candidate is None:
                yield from self._nothing_there()
            return
        yield from self._serving(roles.serving, unfinished=roles.candidate is not None)

    def notes(self) -> Iterator[Note]:
        """Settings that another release of cortexctl would choose differently, without any change by a user."""
        serving = serving_of(self.existing, self.applied)
        if serving is not None and self._is_of_another_release(serving):
            paths = [d.path for d in self._differences(serving) if d.of_a_release]
            if paths:
                release = serving.container.labels.get(labels.VERSION) or "another release"
                yield Note(
                    self.wanted.address,
                    f"it was created by cortexctl {release}; this release ({self.facts.version}) would create it "
                    f"differently: {', '.join(paths)}",
                )

    def _nothing_there(self) -> Iterator[Finding]:
        if self.applied is None:
            yield self._finding(Kind.PENDING, Code.NEW, "container")
            return
        name = labels.serving_name(self.wanted.model, self.wanted.ordinal)
        yield self._finding(Kind.DRIFT, Code.REMOVED, "container", name, None, detail=self.applied.run)
        yield from self._edited(self.applied.spec, None, self.wanted.spec)

    def _is_recorded(self, serving: Owned) -> bool:
        return self.applied is not None and self.applied.generation == serving.generation

    def _to_adopt(self, serving: Owned) -> Iterator[Finding]:
        """Before the first apply, no difference is drift; a container that has its name already needs no apply."""
        name = labels.serving_name(self.wanted.model, self.wanted.ordinal)
        if serving.container.name != name:
            to_adopt = self._of(serving, Code.TO_ADOPT, "name", name, serving.container.name)
            yield replace(to_adopt, kind=Kind.PENDING)
        else:
            yield from self._state(serving, unfinished=False)
            yield from self._health(serving)
        yield from self._pending(differing_fields(self.wanted, serving, self.spec_labels))

    def _beside(self, roles: Roles) -> Iterator[Finding]:
        for owned in roles.leftovers:
            yield self._of(owned, Code.LEFTOVER, "state", None, state_text(owned.container))
        for owned in roles.retained:
            if owned.container.state in {"running", "restarting", "paused"}:
                yield self._of(owned, Code.RETAINED_RUNS, "state", "exited", owned.container.state)
        for owned in roles.duplicates:
            yield self._of(owned, Code.DUPLICATE, "name", None, owned.container.name)

    def _serving(self, serving: Owned, *, unfinished: bool) -> Iterator[Finding]:
        if serving.imported and self.applied is not None:  # it has no label: the record has the applied spec
            serving = replace(serving, spec=self.applied.spec)
        container, spec = serving.container, serving.spec
        yield from self._name(serving)
        yield from self._generation(serving)
        if spec is None:
            yield self._of(serving, Code.UNREADABLE_SPEC, "label", detail=serving.problem)
            return
        yield from self._state(serving, unfinished=unfinished)
        if spec.container.network not in container.networks and not self._lets_be(serving, NETWORK):
            networks = ", ".join(container.networks) or None
            yield self._of(serving, Code.DISCONNECTED, "network", spec.container.network, networks)
        elif container.is_running:
            yield from self._port(serving, spec)
            yield from self._health(serving)
        yield from self._image(serving, spec)
        yield from self._changed(serving)
        actual = self._in_place(serving)
        yield from self._updated(serving, spec, actual)
        newer = self.applied if self.applied and self.applied.generation > serving.generation else None
        yield from self._edited(newer.spec if newer else self._applied_spec(serving, spec), actual, self.wanted.spec)

    def _state(self, serving: Owned, *, unfinished: bool) -> Iterator[Finding]:
        container = serving.container
        if container.state == "restarting":
            restarting = self._of(serving, Code.RESTARTING, "state", "running", self._restarts(container))
            yield replace(restarting, kind=Kind.UNHEALTHY)
        elif not container.is_running and not unfinished:
            yield self._of(serving, Code.STOPPED, "state", "running", state_text(container))

    def _lets_be(self, serving: Owned, path: str) -> bool:
        """For an adopted container, fields in `ignore` never count as different."""
        return serving.imported is not None and is_ignored(path, self.wanted.ignore)

    def _name(self, serving: Owned) -> Iterator[Finding]:
        name = labels.serving_name(self.wanted.model, self.wanted.ordinal)
        actual = serving.container.name
        if actual == name:
            return
        if serving.has_serving_name:
            was = serving.container.labels[labels.MODEL]
            yield replace(self._of(serving, Code.MOVED, "name", name, actual, detail=was), kind=Kind.PENDING)
        else:
            yield self._of(serving, Code.RENAMED, "name", name, actual)

    def _generation(self, serving: Owned) -> Iterator[Finding]:
        """A retained container that was put in place of the applied one by hand."""
        if self.applied is not None and serving.generation < self.applied.generation:
            actual, expected = serving.generation, self.applied.generation
            yield self._of(serving, Code.ROLLED_BACK, "generation", expected, actual, detail=self.applied.run)

    def _port(self, serving: Owned, spec: Spec) -> Iterator[Finding]:
        """A port that the daemon picks can be any; a port on all addresses is listed once per address family."""
        publish = spec.container.publish
        if publish is None or self._lets_be(serving, "publish"):
            return
        bound = serving.container.ports
        same = {publish.address} | (ANY_ADDRESS if publish.address in ANY_ADDRESS else set())
        if not any(b.address in same and publish.port in {None, b.port} for b in bound):
            actual = ", ".join(f"{b.address}:{b.port}" for b in bound) or None
            yield self._of(serving, Code.NOT_PUBLISHED, "publish", str(publish), actual)

    def _health(self, serving: Owned) -> Iterator[Finding]:
        answer = self.facts.health.get((self.wanted.host, serving.container.id))
        if answer is not None and answer.outcome is not HealthOutcome.HEALTHY:
            outcome = f"status {answer.status}" if answer.outcome is HealthOutcome.STATUS else answer.outcome.value
            detail = self._restarts(serving.container) if self._inspected(serving) else ""
            finding = self._of(serving, Code.NOT_SERVING, "health", "status 200", outcome, detail=detail)
            yield replace(finding, kind=Kind.UNHEALTHY)

    def _restarts(self, container: ObservedContainer) -> str:
        inspected = self.facts.inspected.get((self.wanted.host, container.id))
        return f"restarted {inspected.restarts} times" if inspected and inspected.restarts else container.state

    def _image(self, serving: Owned, spec: Spec) -> Iterator[Finding]:
        """A tag that is not on the host is not evidence: images are pulled by digest."""
        now = self.facts.images.get(self.wanted.host, {}).get(local_name(spec.container.image))
        if now is not None and serving.container.image_id and now != serving.container.image_id:
            yield self._of(
                serving, Code.RETAGGED, "image", serving.container.image_id, now, detail=spec.container.image
            )

    def _changed(self, serving: Owned) -> Iterator[Finding]:
        if serving.spec is None:
            return
        other_release = self._is_of_another_release(serving)
        published = {f.path for f in self._port(serving, serving.spec)} if serving.container.is_running else set()
        for d in self._differences(serving):
            if d.path not in published and not (other_release and d.of_a_release):
                yield self._of(serving, Code.CHANGED, d.path, d.expected, d.actual)

    def _differences(self, serving: Owned) -> tuple[Difference, ...]:
        inspected = self._inspected(serving)
        if inspected is None or serving.spec is None:
            return ()
        on_podman = is_podman(self.daemon)
        if not serving.imported:
            return differences(serving.spec, inspected, on_podman=on_podman)
        different = imported_differences(serving.spec, inspected, on_podman=on_podman)
        return tuple(d for d in different if not self._lets_be(serving, d.path))  # otherwise it would not be adopted

    def _inspected(self, serving: Owned) -> Inspected | None:
        return self.facts.inspected.get((self.wanted.host, serving.container.id))

    def _is_of_another_release(self, serving: Owned) -> bool:
        release = serving.container.labels.get(labels.VERSION, "")
        return bool(self.facts.version) and release not in {"", self.facts.version}

    def _in_place(self, serving: Owned) -> InPlace | None:
        inspected = self._inspected(serving) or serving.imported
        known = self.facts.in_place.get((self.wanted.host, serving.container.id))
        return inspected.in_place if inspected else known

    def _applied_spec(self, serving: Owned, spec: Spec) -> Spec:
        """The spec at creation, with the updates in place since. The record has them, the label does not."""
        if self.applied is None or self.applied.generation != serving.generation:
            return spec
        return spec.with_in_place(self.applied.spec.container.in_place)

    def _updated(self, serving: Owned, spec: Spec, actual: InPlace | None) -> Iterator[Finding]:
        """Changes by `docker update`. A value that the stack wants was set by us, or does no harm."""
        if actual is None:
            return
        applied = self._applied_spec(serving, spec).container.in_place
        for path in IN_PLACE:
            was, now, wanted = (getattr(x, path) for x in (applied, actual, self.wanted.spec.container.in_place))
            if now not in (was, wanted):
                yield self._of(serving, Code.UPDATED, path, was, now)

    def _edited(self, applied: Spec, actual: InPlace | None, wanted: Spec) -> Iterator[Finding]:
        """The stack against what was applied; `actual` takes precedence if it is already the value in the stack."""
        fields = differing_fields(self.wanted, _expected_container(self.wanted, applied), self.spec_labels)
        updated = {p for p in IN_PLACE if actual is not None and getattr(actual, p) == getattr(wanted.container, p)}
        yield from self._pending([f for f in fields if f.path not in updated])

    def _pending(self, fields: Iterable[FieldChange]) -> Iterator[Finding]:
        for field in fields:
            was, now = (HIDDEN if v is not None and field.sensitive else v for v in (field.before, field.after))
            yield self._finding(Kind.PENDING, Code.EDITED, field.path, was, now)

    def _of(
        self, owned: Owned, code: Code, path: str, expected: Any = None, actual: Any = None, *, detail: str = ""
    ) -> Finding:
        """A finding about a container; for a container that a run left behind, with the run."""
        text = detail or (owned.run if code in {Code.UNFINISHED, Code.LEFTOVER} else "")
        return replace(
            self._finding(Kind.DRIFT, code, path, expected, actual, detail=text), container=owned.container.name
        )

    def _finding(
        self, kind: Kind, code: Code, path: str, expected: Any = None, actual: Any = None, *, detail: str = ""
    ) -> Finding:
        w = self.wanted
        return Finding(kind, code, w.host, w.address, w.model, "", path, expected, actual, detail)


def serving_of(existing: OwnedInstance | None, applied: Applied | None) -> Owned | None:
    """The container that serves, under any name."""
    return roles_of(existing, applied).serving if existing else None


def _expected_container(wanted: Instance, spec: Spec) -> Owned:
    """A container of this spec, in the expected state."""
    name = labels.serving_name(wanted.model, wanted.ordinal)
    container = ObservedContainer(
        wanted.address,
        name,
        spec.container.image,
        "",
        "running",
        labels={labels.MODEL: wanted.model},
        networks=(spec.container.network,),
    )
    return Owned(container, wanted.model, wanted.ordinal, 1, protect=False, forget=False, run="", spec=spec)


def is_ignored(path: str, patterns: Iterable[str]) -> bool:
    """By a glob over paths, or because it is part of an ignored path."""
    return any(fnmatchcase(path, p) or path.startswith(p + ".") for p in patterns)
