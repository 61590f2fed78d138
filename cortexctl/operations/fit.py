"""`fit`: the memory of one model that options describe, or of every instance of a stack whose model can be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Instance
from cortexctl.engines.companions import companion_files, sources_of
from cortexctl.engines.measurement import Started, digest
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.memory.budget import NO_GPU, Budget, budget
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.drafts import Draft, read_draft
from cortexctl.engines.vllm.memory.headers import Headers, headers_of
from cortexctl.engines.vllm.memory.measured import started
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.prediction import stage_forecasts
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.engines.vllm.memory.reuse import reused
from cortexctl.engines.vllm.memory.settings import read_settings
from cortexctl.engines.vllm.memory.speculation import read_speculation
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.engines.vllm.start_time import measured_rate
from cortexctl.errors import UsageError
from cortexctl.model_files.files import ModelFiles, ModelSource, source_of
from cortexctl.observe.gather import observe_identity
from cortexctl.observe.model_reading import read_models
from cortexctl.operations.adapters import model_readers
from cortexctl.operations.connections import Connections, open_hosts
from cortexctl.operations.equal_starts import started_as
from cortexctl.operations.fit_arguments import (
    by_model,
    read_args,
    read_environ,
    read_gpu,
    refuse_more_gpus,
    refuse_what_vllm_refuses,
)
from cortexctl.operations.learn import learn_from_log
from cortexctl.operations.notes import Note, warning
from cortexctl.plan.capacity.forecast import GpuLine
from cortexctl.plan.capacity.gpu_ledger import Holder, gpu_lines, taken_by_stage
from cortexctl.plan.capacity.plan_memory import gpu_of_host
from cortexctl.plan.placement import placed
from cortexctl.stack.model_folder import UnreadableModel, files_here, read_config, read_headers
from cortexctl.store.measurements import read_all
from cortexctl.waiting import UNWATCHED


@dataclass(frozen=True, slots=True)
class FitInputs:
    """The options of the user. `free` and `available`: GiB. `hosts`, `allow_hub`: where else to read models."""

    config: Sequence[str] = ()
    weights: Sequence[str] = ()
    gpu: str | None = None
    version: str | None = None
    args: Sequence[str] = ()
    environ: Sequence[str] = ()
    free: float | None = None
    available: float | None = None
    hosts: bool = False
    allow_hub: bool = False

    def describe_a_model(self, stack: str) -> bool:
        """Whether the options describe one model, so that no stack is read. `--available-kv` alone does not: it may be
        for a model of a stack.
        """
        without_name = any("=" not in one for one in self.config)
        by_options = self.gpu or self.args or self.version or (self.available is not None and without_name)
        return bool(by_options) or (without_name and not Path(stack).exists())


@dataclass(frozen=True, slots=True)
class FitModel:
    """One model to compute: its facts, and the settings of the launch. `gpus`: indices on its host."""

    facts: Facts
    launch: BudgetInputs
    started: Started
    gpus: tuple[int, ...] = ()
    gpu_count: int = 1
    host: str = ""
    model: str = ""


@dataclass(slots=True)
class FitJob:
    """All models to compute, by address or architecture, and why others cannot be computed."""

    has_stack: bool
    models: dict[str, FitModel] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def only(self, model: str | None, option: str) -> FitModel:
        """The only model, or the named one: its first instance. Raises UsageError."""
        matching = {who: m for who, m in self.models.items() if model in {None, m.model, who}}
        if not matching:
            reasons = "; ".join(f"{who}: {why}" for who, why in self.unknown.items())
            raise UsageError(f"the memory of no such model can be computed{f': {reasons}' if reasons else ''}")
        names = sorted({m.model for m in matching.values()})
        if len(names) > 1:
            raise UsageError(f"{option} works on one model; name it with --model: {', '.join(names)}")
        return next(iter(matching.values()))

    def learn(self, file: str, model: str | None, now: float) -> None:
        """Save the measurements in a log as a start of the only model, or the named one. Raises UsageError."""
        m = self.only(model, "--learn")
        s = read_settings(m.facts, m.launch.args, m.launch.gpu or NO_GPU, m.launch.version, environ=m.launch.environ)
        launch = replace(m.launch, available_gib=None)
        learn_from_log(file, m.started, m.facts, launch, None if s.auto_length else s.max_model_len, m.host, now)

    def use_measurements(self) -> tuple[Note, ...]:
        """Use measurements of earlier starts on such GPUs, if they apply. Notes name damaged files."""
        notes: list[Note] = []
        known = read_all(lambda why: notes.append(warning(why)))
        for who, m in self.models.items():
            measured = reused(known, m.started, m.facts, m.launch.gpu)
            launch = replace(m.launch, measured=measured, disk_rate=measured_rate(known, m.host))
            self.models[who] = replace(m, launch=launch)
        return tuple(notes)

    def budgets(self) -> dict[str, Budget]:
        return {who: budget(m.facts, m.launch) for who, m in self.models.items()}

    def ledger(self, budgets: Mapping[str, Budget]) -> tuple[GpuLine, ...]:
        """The GPUs of every host whose instances have GPUs, by the rules of a plan."""
        holders: dict[str, list[Holder]] = {}
        totals: dict[str, float] = {}
        for who, m in self.models.items():
            if m.host and m.gpus and m.launch.gpu:
                holders.setdefault(m.host, []).append(_holder(who, m.gpus, budgets[who]))
                totals[m.host] = m.launch.gpu.total_gib
        return tuple(line for host in sorted(holders) for line in gpu_lines(host, totals[host], holders[host]))


def _holder(who: str, gpus: tuple[int, ...], computed: Budget) -> Holder:
    pinned, has_cache = bool(computed.settings.kv_bytes), bool(computed.tightest.needed.value)
    taken = taken_by_stage(stage_forecasts(computed), is_pinned=pinned, has_cache=has_cache)
    return Holder(who, gpus, taken)


def fit_options(inputs: FitInputs) -> FitJob:
    """One model, described by options alone. Raises UsageError."""
    if len(inputs.config) != 1:
        raise UsageError("without a stack, fit needs one --config FILE", next_step="cortexctl fit --help")
    if inputs.gpu is None and inputs.available is None:
        raise UsageError("without a stack, fit needs --gpu NAME:GIB, or --available-kv GIB")
    gpu, number = read_gpu(inputs.gpu)
    if inputs.version and not behaviour(inputs.version).known:
        raise UsageError(
            f'--vllm-version {inputs.version}: expected a release as in "0.32.0"',
            next_step="cortexctl catalog releases",
        )
    args = read_args(inputs.args, inputs.version)
    refuse_what_vllm_refuses(args, inputs.version)
    refuse_more_gpus(args, number)
    weights = Path(inputs.weights[0]) if inputs.weights else None
    facts, headers, config = _read_given_model(Path(inputs.config[0]), weights, args)
    launch = BudgetInputs(
        args,
        gpu,
        inputs.version,
        read_environ(inputs.environ),
        headers,
        _draft_here(args),
        free_gib=inputs.free,
        available_gib=inputs.available,
    )
    subject = f"{facts.architecture or facts.model_type} on {gpu.name or 'GPU'}" if gpu else facts.architecture
    known = behaviour(inputs.version)
    release = ".".join(map(str, known.version)) + ("" if known.known else ", the newest known")
    start = started("", config, (inputs.version or "").removeprefix("v"), gpu, args, launch.environ)
    job = FitJob(has_stack=False)
    job.models[facts.architecture] = FitModel(facts, launch, start, gpu_count=number)
    job.titles[facts.architecture] = f"{subject}, vLLM {release}"
    return job


def _draft_here(args: Mapping[str, Any]) -> Draft | None:
    """The draft that the arguments name, if it is a folder of this machine."""
    speculation = read_speculation(args)
    root = Path(speculation.model).absolute() if speculation.model else None
    files = {speculation.model: files_here(ModelSource("", str(root), ""))} if root else {}
    return read_draft(speculation, files)


def fit_stack(wanted: Desired, inputs: FitInputs, connections: Connections | None = None) -> FitJob:
    """Every instance; those that cannot be computed are named with the reason. `connections`: of the run. Raises
    UsageError.
    """
    configs, weights = by_model(inputs.config, "--config"), by_model(inputs.weights, "--weights")
    models = {i.model for i in wanted.instances}
    if unknown := sorted((configs.keys() | weights.keys()) - models):
        raise UsageError(f"{wanted.path} has no model {', '.join(unknown)}; known: {', '.join(sorted(models))}")
    desired, files = _read_models(wanted, configs, inputs, connections)
    return fit_models(desired, files, inputs)


def fit_models(desired: Desired, files: Mapping[tuple[str, str], ModelFiles], inputs: FitInputs) -> FitJob:
    """The same for a placed stack whose models' files were read."""
    configs, weights = by_model(inputs.config, "--config"), by_model(inputs.weights, "--weights")
    job = FitJob(has_stack=True)
    for instance in desired.instances:
        try:
            job.models[instance.address] = _of_instance(desired, instance, configs, weights, files, inputs)
            job.titles[instance.address] = (
                f"{instance.address}, vLLM {instance.spec.server.version or 'of an unknown release'}"
            )
        except (UsageError, ValueError) as cause:
            job.unknown[instance.address] = str(cause)
    return job


def _read_models(
    wanted: Desired, configured: Collection[str], inputs: FitInputs, connections: Connections | None
) -> tuple[Desired, Mapping[tuple[str, str], ModelFiles]]:
    """The placed stack, and the files of its models: from here, or from their hosts, or the hub."""
    if not inputs.hosts:
        desired, _ = placed(wanted)
        readers = model_readers(desired, allow_hub=inputs.allow_hub)
        watch = connections.watch if connections else UNWATCHED
        return desired, read_models(_sources(desired, configured), readers, watch=watch)
    with open_hosts(wanted, connections) as hosts:
        observed = observe_identity(wanted, hosts, hosts.watch)
        desired, _ = placed(wanted, observed)
        readers = model_readers(desired, host=hosts, allow_hub=inputs.allow_hub)
        return desired, read_models(_sources(desired, configured), readers, observed.by_name(), hosts.watch)


def _sources(desired: Desired, configured: Collection[str]) -> list[ModelSource]:
    """The models of the instances whose config is not among the options, and those that are loaded beside them."""
    sources: set[ModelSource] = set()
    for instance in desired.instances:
        if instance.spec.container.gpus:
            own = source_of(instance.host, instance.spec)
            known = own if instance.model in configured else None
            sources |= {s for s in sources_of(instance.host, instance.spec) if s != known}
    return sorted(sources)


def _of_instance(
    desired: Desired,
    instance: Instance,
    configs: Mapping[str, str],
    weights: Mapping[str, str],
    files: Mapping[tuple[str, str], ModelFiles],
    inputs: FitInputs,
) -> FitModel:
    host, spec = desired.host(instance.host), instance.spec
    args = effective(spec.server).args
    if not spec.container.gpus:
        raise UsageError("it has no GPU")
    gpu = gpu_of_host(host, spec.server.version)
    weights_file = Path(weights[instance.model]) if instance.model in weights else None
    if instance.model in configs:
        facts, headers, config = _read_given_model(Path(configs[instance.model]), weights_file, args)
    else:
        facts, headers, config = _read_model_of(instance, files, weights_file, inputs)
    beside = companion_files(instance.host, spec, files)
    launch = BudgetInputs(
        args,
        gpu,
        spec.server.version,
        spec.container.env,
        headers,
        read_draft(read_speculation(args, spec.server.model), beside),
        free_gib=inputs.free,
        available_gib=inputs.available,
    )
    start = started_as(host, spec, config)
    return FitModel(
        facts, launch, start, spec.container.gpus, host.gpus or len(spec.container.gpus), instance.host, instance.model
    )


def _read_model_of(
    instance: Instance, files: Mapping[tuple[str, str], ModelFiles], weights: Path | None, inputs: FitInputs
) -> tuple[Facts, Headers | None, str]:
    """The model from the files that were read. Raises UsageError with other options that supply them."""
    source = source_of(instance.host, instance.spec)
    read = ModelFiles(problem=source) if isinstance(source, str) else files[source.key]
    if read.problem:
        elsewhere = "" if inputs.hosts else ", or read it from its host with --hosts"
        raise UsageError(f"{read.problem}; give its config.json with --config {instance.model}=FILE{elsewhere}")
    try:
        facts = read_facts(read.config, effective(instance.spec.server).args)
        return facts, read_headers(weights) if weights else headers_of(read, facts), digest(read.config)
    except (UnreadableModel, UnknownModel) as cause:
        raise UsageError(str(cause)) from None


def _read_given_model(config: Path, weights: Path | None, args: Mapping[str, Any]) -> tuple[Facts, Headers | None, str]:
    """The facts, the tensors if the files have them, and the digest that identifies the model. Raises UsageError."""
    try:
        read = read_config(config)
        facts = read_facts(read, args)
        if weights is not None:
            return facts, read_headers(weights), digest(read)
        return facts, read_headers(config) if config.is_dir() else None, digest(read)
    except (UnreadableModel, UnknownModel) as cause:
        raise UsageError(str(cause)) from None
