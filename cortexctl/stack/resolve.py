"""From the file's tables to Desired: one Instance per host and model, with all default values filled in."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from functools import partial
from pathlib import Path

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, GatePolicy, Instance, Policy, Smoke
from cortexctl.diagnostics import Diagnostic, SourceSpan, error
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.engines.vllm.command.check import POOLING_TASKS, RUNNER_SINCE
from cortexctl.engines.vllm.version import parse_release
from cortexctl.files.checkout import Checkout
from cortexctl.instance.spec import Container, Mount, Publish, SecretRef, Server, Spec
from cortexctl.model_files.files import HF_HOME
from cortexctl.stack.checkpoint_checks import check_folder, check_launch, check_present
from cortexctl.stack.checks import check_addresses, check_gpus, check_model, check_references, check_version
from cortexctl.stack.document import Document
from cortexctl.stack.hooks import audit_log, hooks_of
from cortexctl.stack.hosts import check_hosts, host_of, hosts_of_model, is_here
from cortexctl.stack.lint import lint_model
from cortexctl.stack.model_release import Releases
from cortexctl.stack.overlay import profile_names
from cortexctl.stack.places import Loc
from cortexctl.stack.schema import ModelTable, StackFile
from cortexctl.stack.schema_hosts import HostTable
from cortexctl.text.units import seconds, short_seconds, size_in_bytes

Fingerprint = Callable[[SecretRef], str]
"""The keyed fingerprint of a secret's current value. Raises UnresolvedSecret."""

MODELS = "/models"


class UnresolvedSecret(Exception):
    """A secret's reference has no value. The text gives the reason and never contains a value."""


@dataclass(frozen=True)
class Surroundings:
    """Facts that are not in the file; the caller passes them in."""

    default_docker: str
    fingerprint: Fingerprint
    folder: Path
    """The stack file's folder; its relative paths start there."""
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
        folders={name: work.folders_of(table) for name, table in sorted(stack.hosts.items())},
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
        hosts, wrong_hosts = hosts_of_model(name, self.stack, self.document)
        self.diagnostics += wrong_hosts
        for host_name in hosts:
            host = self.stack.hosts[host_name]
            self.diagnostics += check_gpus(model, host_name, host, partial(self._at, name))
            spec = self._spec(name, model, host_name, host, release, secrets)
            if host.models_dir and model.source.path and is_here(host, self.around.default_docker):
                models_dir, at = Path(self._on_host(host.models_dir)), partial(self._at, name)
                folder = models_dir / model.source.path
                self.diagnostics += check_present(models_dir, model.source.path, at, self.around.within)
                self.diagnostics += check_folder(folder, release, at, self.around.within)
                if not model.gpus or host.gpus is None:
                    self.diagnostics += check_launch(folder, spec, at, self.around.within)
            for ordinal in range(1, model.replicas + 1):
                yield Instance(
                    host=host_name,
                    model=name,
                    spec=_replica(spec, model, ordinal),
                    ordinal=ordinal,
                    policy=_policy(model),
                    strategy=model.rollout.strategy,
                    max_unavailable=model.rollout.max_unavailable,
                    max_surge=model.rollout.max_surge,
                    canary=model.rollout.canary,
                    wait=seconds(model.rollout.wait),
                    gpu_count=model.gpus if isinstance(model.gpus, int) else None,
                    named_by_default=model.served_names is None,
                    adopt=model.adopt or "",
                    after=tuple(model.after),
                    ignore=tuple(model.ignore),
                    ignore_drift=tuple(model.ignore_drift),
                    where=self._places(name),
                )

    def _at(self, name: str, *path: str | int, key: bool = False) -> SourceSpan | None:
        loc: Loc = ("models", name, *path)
        return self.document.place(loc, key=key)

    def _places(self, name: str) -> _Places:
        return _Places(self.document, name)

    def _secrets(self, name: str, model: ModelTable) -> Iterator[SecretRef]:
        for variable in sorted(model.secrets):
            span = self._at(name, "secrets", variable)
            reference = model.secrets[variable].reference(variable)
            if reference is None:
                summary = f"the secret {variable} needs one of env, file, var and command"
                self.diagnostics.append(error("CX204", summary, span))
                continue
            try:
                print_of_value = self.around.fingerprint(reference)
            except UnresolvedSecret as cause:
                self.diagnostics.append(
                    error("CX204", f"the secret {variable} has no value: {cause}", span,
                          help="set it where cortexctl runs; its value is never stored")
                )  # fmt: skip
                continue
            yield SecretRef(variable, reference.source, reference.key, print_of_value)

    def _spec(
        self,
        name: str,
        model: ModelTable,
        host_name: str,
        host: HostTable,
        release: str | None,
        secrets: tuple[SecretRef, ...],
    ) -> Spec:
        source = model.source
        below = source.path or source.gguf
        mounts = self._mounts(name, model, host_name, host)
        offline = model.offline if model.offline is not None else source.repo is None
        env = dict(model.env) | ({"HF_HUB_OFFLINE": "1"} if offline else {})
        args = dict(model.args)
        args |= {
            key: value
            for key, value in (
                ("revision", source.revision),
                ("tokenizer", source.tokenizer),
                ("hf_config_path", source.hf_config_path),
            )
            if value
        }
        if model.task in POOLING_TASKS and not {"runner", "task"} & args.keys():
            old = release is not None and parse_release(release) < RUNNER_SINCE
            args |= {"task": model.task} if old else {"runner": "pooling"}
        engine = engine_named(DEFAULT)
        container = Container(
            image=model.image,
            port=engine.contract.port,
            env=env,
            secrets=secrets,
            gpus=tuple(model.gpus) if isinstance(model.gpus, list) else (),
            mounts=mounts,
            publish=_publish(model.publish),
            network=host.network,
            ipc=model.ipc,
            shm_size=size_in_bytes(model.shm_size),
            restart=model.restart,
            memory=size_in_bytes(model.memory) if model.memory else None,
            cpus=model.cpus,
        )
        server = Server(
            engine=DEFAULT,
            model=posixpath.normpath(f"{MODELS}/{below}") if below else source.repo or "",
            served_names=tuple(model.served_names or [name]),
            version=release,
            args=args,
            drain=seconds(model.rollout.drain),
        )
        return Spec(container, replace(engine.canonical(server), extra_args=tuple(model.extra_args)))

    def _mounts(self, name: str, model: ModelTable, host_name: str, host: HostTable) -> tuple[Mount, ...]:
        mounts: dict[str, Mount] = {}
        if host.models_dir:
            mounts[MODELS] = Mount(self._on_host(host.models_dir), MODELS)
        elif model.source.path or model.source.gguf:
            self.diagnostics.append(
                error("CX203", f'the host "{host_name}" has no models_dir, but the model is in it',
                      self.document.place(("hosts", host_name), key=True),
                      help='add models_dir = "/var/cortex/models" to the host')
            )  # fmt: skip
        if host.hf_cache:
            mounts[HF_HOME] = Mount(self._on_host(host.hf_cache), HF_HOME, read_only=False)
        for index, text in enumerate(model.volumes):
            source, target, *mode = text.split(":")
            if target in mounts:
                self.diagnostics.append(self._mounted_twice(target, self._at(name, "volumes", index)))
            source = self._on_host(source) if "/" in source else source
            mounts[target] = Mount(source, target, read_only=mode == ["ro"])
        return tuple(mounts[target] for target in sorted(mounts))

    def _mounted_twice(self, target: str, place: SourceSpan | None) -> Diagnostic:
        key = {MODELS: "models_dir", HF_HOME: "hf_cache"}.get(target, "")
        first = f"{key} of the host is mounted there" if key else "another volume of the model is mounted there"
        return error("CX212", f"{target} is mounted twice", place, help=f"{first}: remove one of the two")

    def folders_of(self, host: HostTable) -> dict[str, str]:
        """The declared folders of a host, by their keys."""
        declared = {"models_dir": host.models_dir, "hf_cache": host.hf_cache}
        return {key: self._on_host(path) for key, path in declared.items() if path}

    def _on_host(self, path: str) -> str:
        """A relative path starts at the stack file, which works if the daemon is on this machine."""
        here = self.around.folder / Path(path).expanduser()
        return posixpath.normpath(path) if path.startswith("/") else str(here.resolve())


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


class _Places(dict[str, SourceSpan]):
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


def _replica(spec: Spec, model: ModelTable, ordinal: int) -> Spec:
    """The spec of one of several replicas on a host: its share of the GPUs, and its port."""
    gpus, publish = spec.container.gpus, spec.container.publish
    share = len(gpus) // model.replicas
    if publish and publish.port:
        publish = replace(publish, port=publish.port + ordinal - 1)
    its_share = gpus[share * (ordinal - 1) : share * ordinal]
    return replace(spec, container=replace(spec.container, gpus=its_share, publish=publish))


def _publish(text: str | None) -> Publish | None:
    if text is None:
        return None
    if text.endswith("]") or ":" not in text:
        return Publish(text.strip("[]"))
    address, _, port = text.rpartition(":")
    return Publish(address.strip("[]"), int(port))


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
