"""From the file's tables to Desired: one Instance per host and model, with all default values filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, GatePolicy, Instance, Policy, Smoke
from cortexctl.diagnostics import Diagnostic, SourceSpan, error
from cortexctl.files.checkout import Checkout
from cortexctl.files.consulted import Consulted
from cortexctl.instance.spec import SecretRef, Spec
from cortexctl.stack.checkpoint_checks import check_folder, check_launch, check_present
from cortexctl.stack.checks import check_addresses, check_gpus, check_model, check_references, check_version
from cortexctl.stack.document import Document
from cortexctl.stack.hooks import audit_log, hooks_of
from cortexctl.stack.hosts import check_hosts, host_of, hosts_in_use, hosts_of_model, is_here
from cortexctl.stack.lint import lint_model
from cortexctl.stack.model_release import Releases
from cortexctl.stack.model_spec import Home, check_volumes, on_host, replica, spec_of
from cortexctl.stack.overlay import profile_names
from cortexctl.stack.places import Loc
from cortexctl.stack.schema import ModelTable, StackFile
from cortexctl.stack.schema_hosts import HostTable
from cortexctl.text.units import seconds, short_seconds

Fingerprint = Callable[[SecretRef], str]
"""The keyed fingerprint of a secret's current value. Raises UnresolvedSecret."""


class UnresolvedSecret(Exception):
    """A secret's reference has no value. The text gives the reason and never contains a value."""


@dataclass(frozen=True)
class Surroundings:
    """Facts that are not in the file; the caller passes them in."""

    default_docker: str
    fingerprint: Fingerprint
    files: Consulted
    """Of this machine; relative paths start in the stack file's folder."""
    env: str = ""
    releases: Releases = field(default_factory=Releases)
    within: Checkout | None = None
    """The only folder in which models' files are read; None: any folder."""


def resolve(
    stack: StackFile, document: Document, around: Surroundings, digest: str
) -> tuple[Desired, list[Diagnostic]]:
    """Desired, as complete as possible, and every problem found."""
    work = _Resolution(stack, document, around)
    hooks, wrong_hooks = hooks_of(stack, document)
    instances = [i for name in sorted(stack.models) for i in work.instances_of(name)]
    hosts = tuple(host_of(name, table, around.default_docker) for name, table in sorted(stack.hosts.items()))
    desired = Desired(
        stack.stack,
        document.path,
        hosts,
        tuple(instances),
        digest,
        around.env,
        moved=_last_names({m.from_: m.to for m in stack.moved}),
        max_failures=stack.rollout.max_failures,
        max_destroy=stack.guards.max_destroy,
        parallel_starts=stack.rollout.parallel_starts,
        disabled=tuple(sorted(name for name, model in stack.models.items() if not model.enabled)),
        retired=tuple(sorted(name for name, host in stack.hosts.items() if host.retired)),
        ignore_drift=tuple(stack.drift.ignore),
        hooks=hooks,
        audit_log=audit_log(stack, document.path),
        secret_variables=tuple(sorted(name for name, table in stack.vars.items() if table.secret)),
        folders={name: work.folders[name] for name in sorted(stack.hosts)},
    )
    work.diagnostics += wrong_hooks
    work.diagnostics += check_version(stack, document)
    work.diagnostics += check_references(stack, document)
    work.diagnostics += check_hosts(stack, document, around.default_docker)
    work.diagnostics += check_addresses(instances, desired.moved)
    return desired, work.diagnostics


@dataclass
class _Resolution:
    stack: StackFile
    document: Document
    around: Surroundings
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def instances_of(self, name: str) -> Iterator[Instance]:
        model = self.stack.models[name]
        if not model.enabled:
            return
        release = self.around.releases.of(model)
        self.diagnostics += check_model(name, model, release, partial(self._at, name), profile_names(self.document))
        self.diagnostics += lint_model(model, release, partial(self._at, name))
        secrets = tuple(self._secrets(name, model))
        hosts, wrong_hosts = hosts_of_model(name, self._hosts, self.stack, self.document)
        self.diagnostics += wrong_hosts
        in_models_dir = model.source.path or model.source.gguf
        of_every_host = self._of_every_host(name, model)
        specs: dict[Home, list[Spec]] = {}
        for host_name in hosts:
            self.diagnostics += check_gpus(model, host_name, self.stack.hosts[host_name], partial(self._at, name))
            home = self._homes[host_name]
            if in_models_dir and not home.models_dir:
                self.diagnostics.append(self._without_models(host_name))
            if home not in specs:
                spec = spec_of(name, model, home, release, secrets, self.around.files)
                specs[home] = [replica(spec, model, ordinal) for ordinal in range(1, model.replicas + 1)]
                self._check_home(name, model, home, spec)
            for ordinal, spec in enumerate(specs[home], start=1):
                yield Instance(host_name, name, spec, ordinal, **of_every_host)

    @cached_property
    def _hosts(self) -> list[str]:
        return hosts_in_use(self.stack)

    @cached_property
    def folders(self) -> dict[str, dict[str, str]]:
        """Host -> its declared folders, by their keys."""
        return {name: self._folders_of(host) for name, host in self.stack.hosts.items()}

    def _folders_of(self, host: HostTable) -> dict[str, str]:
        declared = {"models_dir": host.models_dir, "hf_cache": host.hf_cache}
        return {key: on_host(path, self.around.files) for key, path in declared.items() if path}

    @cached_property
    def _homes(self) -> dict[str, Home]:
        return {name: self._home_of(name, host) for name, host in self.stack.hosts.items()}

    def _home_of(self, name: str, host: HostTable) -> Home:
        folders = self.folders[name]
        return Home(
            host.network,
            folders.get("models_dir", ""),
            folders.get("hf_cache", ""),
            is_here=is_here(host, self.around.default_docker),
            has_gpus=host.gpus is not None,
        )

    def _of_every_host(self, name: str, model: ModelTable) -> dict[str, Any]:
        """The fields of an instance that its host does not change."""
        return {
            "policy": _policy(model),
            "strategy": model.rollout.strategy,
            "max_unavailable": model.rollout.max_unavailable,
            "max_surge": model.rollout.max_surge,
            "canary": model.rollout.canary,
            "wait": seconds(model.rollout.wait),
            "gpu_count": model.gpus if isinstance(model.gpus, int) else None,
            "named_by_default": model.served_names is None,
            "adopt": model.adopt or "",
            "after": tuple(model.after),
            "ignore": tuple(model.ignore),
            "ignore_drift": tuple(model.ignore_drift),
            "where": Places(self.document, name),
        }

    def _check_home(self, name: str, model: ModelTable, home: Home, spec: Spec) -> None:
        """The mounts of a model on its hosts, and its files, as far as they are on this machine."""
        at = partial(self._at, name)
        self.diagnostics += check_volumes(model, home, at)
        if not (home.models_dir and model.source.path and home.is_here):
            return
        models_dir, files, within = Path(home.models_dir), self.around.files, self.around.within
        folder = models_dir / model.source.path
        self.diagnostics += check_present(models_dir, model.source.path, at, files, within)
        self.diagnostics += check_folder(folder, spec.server.version, at, files, within)
        if not model.gpus or not home.has_gpus:
            self.diagnostics += check_launch(folder, spec, at, files, within)

    def _without_models(self, host_name: str) -> Diagnostic:
        return error(
            "CX203",
            f'the host "{host_name}" has no models_dir, but the model is in it',
            self.document.place(("hosts", host_name), key=True),
            help='add models_dir = "/var/cortex/models" to the host',
        )

    def _at(self, name: str, *path: str | int, key: bool = False) -> SourceSpan | None:
        loc: Loc = ("models", name, *path)
        return self.document.place(loc, key=key)

    def _secrets(self, name: str, model: ModelTable) -> Iterator[SecretRef]:
        for variable in sorted(model.secrets):
            place = partial(self._at, name, "secrets", variable)
            reference = model.secrets[variable].reference(variable)
            if reference is None:
                summary = f"the secret {variable} needs one of env, file, var and command"
                self.diagnostics.append(error("CX204", summary, place()))
                continue
            try:
                print_of_value = self.around.fingerprint(reference)
            except UnresolvedSecret as cause:
                self.diagnostics.append(
                    error("CX204", f"the secret {variable} has no value: {cause}", place(),
                          help="set it where cortexctl runs; its value is never stored")
                )  # fmt: skip
                continue
            yield SecretRef(variable, reference.source, reference.key, print_of_value)


def _last_names(moved: dict[str, str]) -> dict[str, str]:
    """x -> y and y -> z: x is now called z. A cycle (refused elsewhere) ends the search."""
    names = {}
    for name, to in moved.items():
        last, seen = to, {name}
        while last in moved and last not in seen:
            seen.add(last)
            last = moved[last]
        names[name] = last
    return names


class Places(dict[str, SourceSpan]):
    """Field -> place, computed on demand: positions are expensive and rarely needed."""

    def __init__(self, document: Document, model: str) -> None:
        super().__init__()
        self._document = document
        self._model = model

    def get(self, key: str, default: SourceSpan | None = None) -> SourceSpan | None:  # type: ignore[override]
        loc: Loc = ("models", self._model, *(key.split(".") if key else ()))
        if not self._document.has(loc):
            return default
        return self._document.place(loc, key=not key)


def _policy(model: ModelTable) -> Policy:
    return Policy(
        task=model.task,
        gate=_gate(model),
        on_failure=model.rollout.on_failure,
        keep=model.rollout.keep,
        protect=model.protect,
        on_remove=model.on_remove,
    )


def _gate(model: ModelTable) -> GatePolicy:
    gate = model.gate
    smoke = gate.smoke
    return GatePolicy(
        seconds(gate.startup_timeout),
        seconds(gate.stable_for),
        Smoke(smoke.prompt, smoke.max_tokens, smoke.dimensions) if smoke.enabled else None,
        max_ttft=short_seconds(gate.max_ttft) if gate.max_ttft else None,
        min_tokens_per_second=gate.min_tokens_per_second,
        requests=gate.requests,
    )
