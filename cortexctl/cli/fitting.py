"""What `fit` is asked: flags alone, or every instance of a stack whose model can be read from here."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cortexctl.cli.learning import learn_from_log, started_as
from cortexctl.cli.measurements import read_all
from cortexctl.cli.modelreading import read_models
from cortexctl.cli.options import Choice
from cortexctl.desired.stack import Desired, Instance
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.command.check import check_args
from cortexctl.engines.vllm.command.effective import effective, release_of
from cortexctl.engines.vllm.command.parse import read_word
from cortexctl.engines.vllm.command.reserved import OWNED
from cortexctl.engines.vllm.command.values import SWITCHES, takes_several
from cortexctl.engines.vllm.memory.budget import NO_GPU, Budget, budget
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.gpu_models import Gpu, parse_gpu
from cortexctl.engines.vllm.memory.headers import Headers
from cortexctl.engines.vllm.memory.ledger import Line, ledger
from cortexctl.engines.vllm.memory.measured import Started, digest, started
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.engines.vllm.memory.reuse import reused
from cortexctl.engines.vllm.memory.settings import read_settings
from cortexctl.engines.vllm.memory.stage import Ask
from cortexctl.errors import UsageError
from cortexctl.model_files.files import ModelFiles, ModelSource, source_of
from cortexctl.plan.capacity.plan_memory import gpu_of_host, headers_of
from cortexctl.stack.model_folder import UnreadableModel, read_config, read_headers
from cortexctl.stack.suggest import nearest


@dataclass(frozen=True, slots=True)
class Given:
    """The options as they were given."""

    config: Sequence[str] = ()
    weights: Sequence[str] = ()
    gpu: str | None = None
    version: str | None = None
    args: Sequence[str] = ()
    environ: Sequence[str] = ()
    free: float | None = None
    available: float | None = None
    hosts: bool = False
    hub: bool = False

    @property
    def without_stack(self) -> bool:
        """Memory for the cache alone says nothing: it may be that of a stack's model."""
        of_one = self.available is not None and any("=" not in word for word in self.config)
        return bool(self.gpu or self.args or self.version or of_one)


@dataclass(frozen=True, slots=True)
class Question:
    """One model to compute: its facts, and all that the launch says. `gpus`: indices on its host."""

    facts: Facts
    ask: Ask
    started: Started
    gpus: tuple[int, ...] = ()
    gpu_count: int = 1
    host: str = ""
    model: str = ""


@dataclass(slots=True)
class Asked:
    """All of them by name, and why others could not be asked."""

    of_flags: bool
    found: dict[str, Question] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def only(self, model: str | None, option: str) -> Question:
        """The one model, or the named one; of its instances the first. Raises UsageError."""
        found = {who: q for who, q in self.found.items() if model in {None, q.model, who}}
        if not found:
            reasons = "; ".join(f"{who}: {why}" for who, why in self.unknown.items())
            raise UsageError(f"there is no such model to compute{f': {reasons}' if reasons else ''}")
        models = sorted({q.model for q in found.values()})
        if len(models) > 1:
            raise UsageError(f"{option} is for one model; name it with --model: {', '.join(models)}")
        return next(iter(found.values()))

    def learn(self, file: str, model: str | None) -> None:
        """Keep what a log says, as of a start of the one model, or the named one. Raises UsageError."""
        q = self.only(model, "--learn")
        s = read_settings(q.facts, q.ask.args, q.ask.gpu or NO_GPU, q.ask.version, environ=q.ask.environ)
        ask = replace(q.ask, available_gib=None)
        learn_from_log(file, q.started, q.facts, ask, None if s.auto_length else s.max_model_len, q.host, time.time())

    def use_measured(self) -> None:
        """From here on with what earlier starts on such GPUs said, where it holds."""
        known = read_all()
        for who, q in self.found.items():
            ask = replace(q.ask, measured=reused(known, q.started, q.facts, q.ask.gpu))
            self.found[who] = replace(q, ask=ask)

    def budgets(self) -> dict[str, Budget]:
        return {who: budget(q.facts, q.ask) for who, q in self.found.items()}

    def ledger(self, budgets: Mapping[str, Budget]) -> tuple[Line, ...]:
        """Of every host whose instances have GPUs."""
        hosts = sorted({q.host for q in self.found.values() if q.host})
        held = {
            host: [(who, q.gpus, budgets[who]) for who, q in self.found.items() if q.host == host and q.gpus]
            for host in hosts
        }
        return tuple(line for host in hosts for line in ledger(host, held[host]))


def questions(stack: str, choice: Choice, given: Given) -> Asked:
    """Raises UsageError."""
    of_a_file = any("=" not in word for word in given.config) and not Path(stack).exists()
    return of_flags(given) if given.without_stack or of_a_file else of_stack(stack, choice, given)


def of_flags(given: Given) -> Asked:
    """One model, described by options alone."""
    if len(given.config) != 1:
        raise UsageError("without a stack, fit needs one --config FILE", next_step="cortexctl fit --help")
    if given.gpu is None and given.available is None:
        raise UsageError("without a stack, fit needs --gpu NAME:GIB, or --available-kv GIB")
    gpu, number = _gpu(given.gpu)
    if given.version and not behaviour(given.version).known:
        raise UsageError(
            f'--vllm-version {given.version}: it is written as in "0.32.0"', next_step="cortexctl catalog releases"
        )
    args = read_args(given.args, given.version)
    _refuse_what_vllm_refuses(args, given.version)
    _refuse_more_gpus(args, number)
    facts, headers, config = _model(Path(given.config[0]), Path(given.weights[0]) if given.weights else None, args)
    ask = Ask(
        args, gpu, given.version, _pairs(given.environ), headers, free_gib=given.free, available_gib=given.available
    )
    of = f"{facts.architecture or facts.model_type} on {gpu.name or 'GPU'}" if gpu else facts.architecture
    known = behaviour(given.version)
    release = ".".join(map(str, known.version)) + ("" if known.known else ", the newest known")
    asked = Asked(of_flags=True)
    begun = started("", config, (given.version or "").removeprefix("v"), gpu, args, ask.environ)
    asked.found[facts.architecture] = Question(facts, ask, begun, gpu_count=number)
    asked.titles[facts.architecture] = f"{of}, vLLM {release}"
    return asked


def of_stack(stack: str, choice: Choice, given: Given) -> Asked:
    """Every instance; those that cannot be computed are named with the reason."""
    from cortexctl.cli.wiring import look, need_stack, open_daemons
    from cortexctl.plan.placement import placed

    wanted = need_stack(stack, choice, with_secrets=False)
    configs, weights = _by_model(given.config, "--config"), _by_model(given.weights, "--weights")
    models = {i.model for i in wanted.instances}
    if strangers := sorted((configs.keys() | weights.keys()) - models):
        raise UsageError(f"{stack} has no model {', '.join(strangers)}; there are: {', '.join(sorted(models))}")
    if given.hosts:
        daemons = open_daemons(wanted)
        observed = look(wanted, daemons)
        desired, _ = placed(wanted, observed)
        files = read_models(_sources(desired, configs), observed, daemons, hub=given.hub)
    else:
        desired, _ = placed(wanted)
        files = read_models(_sources(desired, configs), hub=given.hub)
    asked = Asked(of_flags=False)
    for instance in desired.instances:
        try:
            asked.found[instance.address] = _of_instance(desired, instance, configs, weights, files, given)
            asked.titles[instance.address] = (
                f"{instance.address}, vLLM {instance.spec.vllm_version or 'of an unknown release'}"
            )
        except (UsageError, ValueError) as cause:
            asked.unknown[instance.address] = str(cause)
    return asked


def _sources(desired: Desired, configs: Mapping[str, str]) -> list[ModelSource]:
    """Of the instances whose config is not given."""
    found = {source_of(i.host, i.spec) for i in desired.instances if i.spec.gpus and i.model not in configs}
    return sorted(s for s in found if isinstance(s, ModelSource))


def _of_instance(
    desired: Desired,
    instance: Instance,
    configs: Mapping[str, str],
    weights: Mapping[str, str],
    files: Mapping[tuple[str, str], ModelFiles],
    given: Given,
) -> Question:
    host, spec = desired.host(instance.host), instance.spec
    args = effective(spec).args
    if not spec.gpus:
        raise UsageError("it has no GPU")
    gpu = gpu_of_host(host)
    listed = Path(weights[instance.model]) if instance.model in weights else None
    if instance.model in configs:
        facts, headers, config = _model(Path(configs[instance.model]), listed, args)
    else:
        facts, headers, config = _read(instance, files, listed, given)
    ask = Ask(
        args,
        gpu,
        spec.vllm_version,
        spec.env,
        headers,
        free_gib=given.free,
        available_gib=given.available,
    )
    begun = started_as(host, spec, config)
    return Question(facts, ask, begun, spec.gpus, host.gpus or len(spec.gpus), instance.host, instance.model)


def _read(
    instance: Instance, files: Mapping[tuple[str, str], ModelFiles], weights: Path | None, given: Given
) -> tuple[Facts, Headers | None, str]:
    """By what was found of its files. Raises UsageError with what else would tell."""
    source = source_of(instance.host, instance.spec)
    found = ModelFiles(problem=source) if isinstance(source, str) else files[source.key]
    if found.problem:
        elsewhere = "" if given.hosts else ", or look on its host with --hosts"
        raise UsageError(f"{found.problem}; give its config.json with --config {instance.model}=FILE{elsewhere}")
    try:
        facts = read_facts(found.config, effective(instance.spec).args)
        return facts, read_headers(weights) if weights else headers_of(found, facts), digest(found.config)
    except (UnreadableModel, UnknownModel) as cause:
        raise UsageError(str(cause)) from None


def _model(config: Path, weights: Path | None, args: Mapping[str, Any]) -> tuple[Facts, Headers | None, str]:
    """Facts, tensors where files have them, and the digest that tells the model from others."""
    try:
        read = read_config(config)
        facts = read_facts(read, args)
        if weights is not None:
            return facts, read_headers(weights), digest(read)
        return facts, read_headers(config) if config.is_dir() else None, digest(read)
    except (UnreadableModel, UnknownModel) as cause:
        raise UsageError(str(cause)) from None


def _gpu(text: str | None) -> tuple[Gpu | None, int]:
    if text is None:
        return None, 1
    try:
        return parse_gpu(text)
    except ValueError as cause:
        raise UsageError(f"--gpu {text}: {cause}") from None


def read_args(words: Sequence[str], version: str | None) -> dict[str, Any]:
    """NAME=VALUE, each read as the release's parser reads it; NAME alone is true. Raises UsageError."""
    release = release_of(".".join(map(str, behaviour(version).version)))
    read: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.lstrip("-").replace("-", "_")
        if name.startswith("no_") and not equals and catalogue.option_spans(name[3:]):
            read[name[3:]] = False
        else:
            read[name] = _value(name, text, release) if equals else True
    return read


def _refuse_what_vllm_refuses(args: Mapping[str, Any], version: str | None) -> None:
    """Memory of a launch that the parser ends would be an answer to another question. Raises UsageError."""
    unheard = [name for name in args if not catalogue.option_spans(name)]
    release = release_of(version).version if version else None
    against = [f for f in check_args(args, release) if f.fatal and f.argument not in {*OWNED, *unheard}]
    said = [f.summary + (f": {f.help}" if f.help else "") for f in against]
    for name in unheard:
        close = nearest(name, catalogue.option_names())
        said.append(f"no release of vLLM has {name}" + (f"; did you mean {close}?" if close else ""))
    if said:
        raise UsageError("; ".join(said))


def _refuse_more_gpus(args: Mapping[str, Any], number: int) -> None:
    """One GPU in `--gpu` stands for as many as it takes; more are all that there are. Raises UsageError."""
    tensor, stages = args.get("tensor_parallel_size") or 1, args.get("pipeline_parallel_size") or 1
    if 1 < number < tensor * stages:
        raise UsageError(f"{tensor * stages} GPUs are needed for one copy of the model, and --gpu says x{number}")


def _value(name: str, text: str, release: Release) -> Any:
    """What cannot be read by a known option's rule is JSON or text; that there is no such option is said later."""
    if not catalogue.option_spans(name):
        return _json_or(text)
    option = release.option(name) or catalogue.newest_option(name)
    if option.kind in SWITCHES:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise UsageError(f"--arg {name}={text}: expected true or false")
        return text.lower() in {"true", "1"}
    if takes_several(option):
        found = _json_or(text)
        return found if isinstance(found, list) else [found]
    try:
        return read_word(option, text, release)
    except (ValueError, TypeError) as cause:
        raise UsageError(f"--arg {name}={text}: {cause}") from None


def _json_or(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pairs(words: Sequence[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise UsageError(f"--environ {word}: it is written NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


def _by_model(words: Sequence[str], option: str) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise UsageError(f"{option} {word}: with a stack it is written MODEL=FILE")
    return dict(word.split("=", 1) for word in words)
