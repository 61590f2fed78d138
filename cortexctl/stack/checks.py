"""Checks one model's block, beyond the types of its fields. Each finding has its rule and place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from cortexctl import __version__
from cortexctl.desired.stack import Instance
from cortexctl.diagnostics import Diagnostic, SourceSpan, error, warning
from cortexctl.engines.registry import DEFAULT
from cortexctl.engines.vllm.checkpoint_formats import GGUF_LAST
from cortexctl.engines.vllm.command.check import POOLING_TASKS
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.version import parse_release
from cortexctl.instance.image import parse_image
from cortexctl.instance.labels import serving_name
from cortexctl.instance.spec import Server
from cortexctl.stack.argument_checks import At, check_arguments
from cortexctl.stack.document import Document
from cortexctl.stack.schema import ModelTable, SourceTable, StackFile
from cortexctl.stack.schema_hosts import HostTable
from cortexctl.text.suggest import nearest

TASK_SINCE = {**dict.fromkeys(POOLING_TASKS, "0.6.5"), "transcription": "0.7.3"}
"""Task -> the first release that supports it. Earlier releases had embeddings under another name, and no audio."""
CUDA_IMAGES = {"vllm/vllm-openai", "docker.io/vllm/vllm-openai"}
SHADOWED_ENV = {
    "HF_HUB_TOKEN": "neither vLLM nor the Hub's client reads HF_HUB_TOKEN; the variable is HF_TOKEN",
    "CUDA_VISIBLE_DEVICES": "select GPUs with `gpus`; inside the container they are numbered from 0",
    "NVIDIA_VISIBLE_DEVICES": "select GPUs with `gpus`",
    "HF_HUB_OFFLINE": "set `offline`",
}
"""Variables that cortexctl sets itself, or that do not have the expected effect -> what to write instead."""


def check_version(stack: StackFile, document: Document) -> Iterator[Diagnostic]:
    """Compares the stack's `required_version` with this cortexctl."""
    if stack.required_version is None:
        return
    from packaging.specifiers import SpecifierSet

    if __version__ not in SpecifierSet(stack.required_version, prereleases=True):
        yield error(
            "CX110",
            f"the stack requires cortexctl {stack.required_version}, but this is {__version__}",
            document.place(("required_version",)),
            help="install a version in that range",
        )


def check_references(stack: StackFile, document: Document) -> Iterator[Diagnostic]:
    """Models that refer to other models: `after` and `moved`."""
    circular = _circular(stack)
    for name, model in stack.models.items():
        for index, other in enumerate(model.after):
            loc = ("models", name, "after", index)
            if other not in stack.models:
                close = nearest(other, stack.models)
                advice = f'did you mean "{close}"?' if close else f"models in the stack: {', '.join(stack.models)}"
                summary = f'"{name}" must start after "{other}", but there is no such model'
                yield error("CX215", summary, document.place(loc), help=advice)
            elif {name, other} <= circular and name in _all_before(other, stack) and name <= other:
                summary = f'"{name}" and "{other}" wait for each other'
                yield error("CX215", summary, document.place(loc), help="remove one `after`")
    further = {m.from_: m.to for m in stack.moved}
    for index, moved in enumerate(stack.moved):
        if moved.from_ in stack.models:
            yield error("CX216", f'`moved` lists "{moved.from_}" as an old name, but it is still in the stack',
                        document.place(("moved", index, "from")), help="remove the entry, or the model")  # fmt: skip
        if moved.to not in stack.models and further.get(moved.to, moved.from_) == moved.from_:
            yield error("CX216", f'`moved` maps "{moved.from_}" to "{moved.to}", which is not in the stack',
                        document.place(("moved", index, "to")),
                        help=f"models in the stack: {', '.join(stack.models)}")  # fmt: skip


def check_addresses(instances: Iterable[Instance], moved: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Each address, and each container name, must belong to one instance: the second replica of `chat` is `chat.2`, and
    a model with that name would be the same. `moved`: the old names of models, which their containers may still have.
    """
    instances = list(instances)
    first: dict[tuple[str, str], Instance] = {}
    reported: set[tuple[str, str]] = set()
    further = [instance for instance in instances if instance.ordinal > 1]
    for instance in sorted(further, key=lambda i: i.ordinal, reverse=True):
        for name in (instance.model, *(old for old, new in moved.items() if new == instance.model)):
            first.setdefault((instance.host, serving_name(name, instance.ordinal)), instance)
    for other in instances if first else ():
        one = first.get((other.host, serving_name(other.model, other.ordinal)))
        if one is None or one.model == other.model or (one.model, other.model) in reported:
            continue
        reported.add((one.model, other.model))
        yield error(
            "CX229",
            f'on {other.host}, the name "{other.model}" means this model and replica {one.ordinal} of "{one.model}"',
            other.place_of(""),
            help=f'give this model another name, for example "{_without_number(other.model)}"',
        )


def _without_number(name: str) -> str:
    """A similar name that does not end in a dot and a number."""
    return "-".join(name.rsplit(".", 1))


def _circular(stack: StackFile) -> set[str]:
    """The models that wait for themselves, or for such a model. The others are found by starting them in order."""
    waits = {name: set(model.after) & stack.models.keys() for name, model in stack.models.items()}
    waiting_for: dict[str, list[str]] = {}
    for name, others in waits.items():
        for other in others:
            waiting_for.setdefault(other, []).append(name)
    ready = [name for name, others in waits.items() if not others]
    while ready:
        started = ready.pop()
        for name in waiting_for.get(started, ()):
            waits[name].discard(started)
            if not waits[name]:
                ready.append(name)
    return {name for name, others in waits.items() if others}


def _all_before(model: str, stack: StackFile) -> set[str]:
    """Every model that `model` waits for, directly or indirectly."""
    earlier: set[str] = set()
    waiting = [model]
    while waiting:
        table = stack.models.get(waiting.pop())
        new = set(table.after) - earlier if table else set()
        earlier |= new
        waiting += new
    return earlier


def check_model(
    name: str, model: ModelTable, release: str | None, at: At, profiles: Collection[str]
) -> Iterator[Diagnostic]:
    """All checks that do not need the rest of the stack. `release`: of the model's image, if known."""
    if model.profile is not None and model.profile not in profiles:
        close = nearest(model.profile, profiles)
        advice = f'did you mean "{close}"?' if close else f"known: {', '.join(sorted(profiles)) or 'none'}"
        yield error("CX214", f'there is no profile "{model.profile}"', at("profile"), help=advice)
    yield from _args(name, model, release, at)
    for variable in model.env:
        yield from _variable(model, variable, at)
    yield from _source(name, model.source, at)
    since = TASK_SINCE.get(model.task)
    if release and since and parse_release(release) < parse_release(since):
        yield error(
            "CX301",
            f'vLLM {release} has no task "{model.task}" (since {since})',
            at("task"),
            help="pin a newer image",
        )
    yield from _gate(model, at)
    yield from _parallel(model, release, at)
    yield from _without_gpu(model, at)
    if isinstance(model.gpus, list) and len(model.gpus) % model.replicas:
        yield error(
            "CX217",
            f"{len(model.gpus)} GPUs cannot be divided evenly among {model.replicas} replicas",
            at("gpus"),
            help=f"give a multiple of {model.replicas}",
        )
    if model.adopt and model.replicas > 1:
        yield error(
            "CX226",
            f'"{model.adopt}" is one container, but replicas = {model.replicas}',
            at("adopt"),
            help="adopt it as a separate model with replicas = 1",
        )
    if model.source.gguf:
        yield from _gguf(model.source, release, partial(at, "source", "gguf"))


def _gate(model: ModelTable, at: At) -> Iterator[Diagnostic]:
    """The gate's measurements depend on the model's task."""
    gate = model.gate
    for key in ("max_ttft", "min_tokens_per_second"):
        if getattr(gate, key) is not None and model.task != "generate":
            yield error(
                "CX227",
                f'gate.{key} is about generated tokens, but the task is "{model.task}"',
                at("gate", key, key=True),
                help='remove it, or correct `task`: bounds are for task = "generate"',
            )
    if gate.smoke.dimensions is not None and model.task != "embed":
        yield error(
            "CX227",
            f'gate.smoke.dimensions is about an embedding, but the task is "{model.task}"',
            at("gate", "smoke", "dimensions", key=True),
            help='remove it, or set task = "embed"',
        )


def _parallel(model: ModelTable, release: str | None, at: At) -> Iterator[Diagnostic]:
    """Every rank of a model needs its own GPU. Raw arguments count, too."""
    args: Mapping[str, Any] = model.args
    if model.extra_args:
        args = effective(Server(DEFAULT, "", (), release, model.args, tuple(model.extra_args))).args
    sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    counts = [args.get(size, 1) for size in sizes]
    if not all(type(c) is int and c > 0 for c in counts):
        return  # reported elsewhere
    ranks = math.prod(counts)
    gpus = model.gpus if isinstance(model.gpus, int) else len(model.gpus) // model.replicas
    if not gpus or ranks == gpus:
        return
    sizes_text = " x ".join(f"{size} {args[size]}" for size in sizes if size in args) or "no parallel size"
    make = error if ranks > gpus else warning
    yield make(
        "CX223",
        f"{gpus} {'GPU' if gpus == 1 else 'GPUs'} for {ranks} {'rank' if ranks == 1 else 'ranks'} ({sizes_text})",
        at("gpus"),
        help="every rank needs one GPU, and a GPU without a rank stays idle; make the numbers equal",
    )


def _without_gpu(model: ModelTable, at: At) -> Iterator[Diagnostic]:
    """Judged by the name of the official image; another image may contain a CPU build."""
    if not model.gpus and parse_image(model.image).name in CUDA_IMAGES:
        yield warning(
            "CX315",
            "without a GPU the official CUDA image finds no device and exits",
            at("gpus"),
            help="give it a GPU, or use vllm/vllm-openai-cpu; on a CPU llama.cpp is usually faster",
        )


def check_gpus(model: ModelTable, name: str, host: HostTable, at: At) -> Iterator[Diagnostic]:
    """A model's GPUs compared with those of one of its hosts."""
    if isinstance(model.gpus, int) and host.gpus is None:
        yield error(
            "CX224",
            f'the host "{name}" does not set its number of GPUs, so none can be chosen on it',
            at("gpus"),
            help=f"set it (gpus = {{ count = 4 }} in [hosts.{name}]), or write the indices here, such as [0, 1]",
        )
    elif isinstance(model.gpus, list) and host.gpus and max(model.gpus, default=0) >= host.gpus.count:
        yield error(
            "CX224",
            f'the host "{name}" has no GPU {max(model.gpus)}: it has {host.gpus.count}, numbered from 0',
            at("gpus"),
            help="correct the indices, or the host's gpus.count",
        )


def _args(name: str, model: ModelTable, release: str | None, at: At) -> Iterator[Diagnostic]:
    args = dict(model.args)
    for key in ("tokenizer", "hf_config_path"):
        value = getattr(model.source, key)
        if value and args.get(key, value) != value:
            yield error(
                "CX202", f"{key} is in source and in args, with different values", at("args", key), help="remove one"
            )
        args |= {key: value} if value else {}

    def place(*path: str | int, key: bool = False) -> SourceSpan | None:
        in_source = len(path) == 2 and path[0] == "args" and getattr(model.source, str(path[1]), None)
        return at("source", path[1]) if in_source else at(*path, key=key)

    server = Server(DEFAULT, "", (), release, args, tuple(model.extra_args))
    yield from check_arguments(f"models.{name}", server, model.env, place)


def _variable(model: ModelTable, variable: str, at: At) -> Iterator[Diagnostic]:
    place = partial(at, "env", variable, key=True)
    if variable in SHADOWED_ENV:
        yield error("CX211", f"{variable} cannot be set in env", place(), help=SHADOWED_ENV[variable])
    elif variable in model.secrets:
        yield error("CX211", f"{variable} is in env and in secrets", place(), help="remove one")


def _source(name: str, source: SourceTable, at: At) -> Iterator[Diagnostic]:
    kinds = [k for k in ("repo", "path", "gguf") if getattr(source, k)]
    if len(kinds) != 1:
        yield error(
            "CX202",
            f'the source of model "{name}" sets {" and ".join(kinds) or "no model"}',
            at("source"),
            help='set exactly one of repo = "ORG/NAME", path = "FOLDER", gguf = "FILE.gguf"',
        )
    for field in ("path", "gguf"):
        value = getattr(source, field)
        if value and (value.startswith("/") or ".." in value.split("/")):
            yield error(
                "CX203",
                f"source.{field} must be below the host's models_dir",
                at("source", field),
                help='a path like "llama-3-8b-instruct", without a leading "/" and without ".."',
            )
    if source.revision and not source.repo:
        yield error("CX202", "`revision` belongs to a `repo`", at("source", "revision", key=True))


def _gguf(source: SourceTable, release: str | None, place: Callable[[], SourceSpan | None]) -> Iterator[Diagnostic]:
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", source.gguf or ""):
        yield error(
            "CX306",
            "vLLM loads only single GGUF files, but this is one of several parts",
            place(),
            help="merge the parts first (llama-gguf-split --merge)",
        )
    if release and parse_release(release) > parse_release(GGUF_LAST):
        yield error(
            "CX306",
            f"vLLM {release} does not load GGUF (last in {GGUF_LAST}; a plugin since)",
            place(),
            help=f"pin an image to v{GGUF_LAST}, or serve the file with llama.cpp",
        )
    if not source.tokenizer:
        yield warning(
            "CX307",
            "a GGUF file without `tokenizer`: vLLM converts the file's tokenizer, slowly and not always correctly",
            place(),
            help='add tokenizer = "ORG/NAME" with the name of the original model',
        )
