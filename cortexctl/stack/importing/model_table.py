"""Describes a container that no stack created, key by key of a model's table."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.command.check import POOLING_TASKS, RUNNER_SINCE
from cortexctl.engines.vllm.command.read_command import EVERYWHERE, CommandLine
from cortexctl.engines.vllm.command.stray_words import why_stray
from cortexctl.engines.vllm.version import parse_release, release_from_image
from cortexctl.instance.image import parse_image
from cortexctl.instance.labels import serving_name
from cortexctl.instance.secret import may_be_secret
from cortexctl.instance.spec import DEFAULT_SHM_SIZE, RESTART_POLICY, Mount
from cortexctl.model_files.files import HF_HOME
from cortexctl.observed.foreign import BoundTo, Running
from cortexctl.stack.importing.draft import Draft, Place
from cortexctl.stack.importing.imported_env import fill_environment
from cortexctl.stack.importing.possible_secrets import is_left_out
from cortexctl.stack.model_spec import MODELS
from cortexctl.stack.value_forms import MOST_GPUS, publish_form, repo_form
from cortexctl.text.units import LONGEST, show_bytes, size_in_bytes

_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}", re.ASCII)
_RESTARTS = ("unless-stopped", "always", "no")


def named_image(running: Running) -> str:
    """A name under which its image can be requested: the original one, else a tag; empty if it has none."""
    names = [running.image] if running.image and not _ID.fullmatch(running.image) else list(running.tags[:1])
    return next(filter(_is_reference, names), "")


def _is_reference(name: str) -> bool:
    try:
        parse_image(name)
    except ValueError:  # a daemon gives no image such a name; the text before it may be one
        return False
    return True


def fill(running: Running, place: Place, line: CommandLine, draft: Draft) -> None:
    """Fills the draft's table, its notes, and the reasons against an import."""
    _Drafting(running, place, line, draft).fill()


@dataclass
class _Drafting:
    running: Running
    place: Place
    line: CommandLine
    draft: Draft

    def fill(self) -> None:
        """In the order of the table's keys."""
        table, running = self.draft.table, self.running
        if not self.place.is_only_host:
            table["hosts"] = [self.place.host]
        self._image()
        args = {n: v for n, v in self.line.args.items() if not is_left_out(n, v)}
        self._source(args)
        table["served_names"] = list(self.line.served_names)
        self._task(args)
        table["adopt"] = running.name
        self._gpus(args)
        self._publish()
        self._shape()
        table["volumes"] = list(self._volumes())
        table["extra_args"] = [w for o in self.line.extra if not is_left_out(o.name, o.values) for w in o.argv]
        table["ignore"] = []
        table["args"] = dict(sorted(args.items()))
        fill_environment(running, self.place, self.line, self.draft)
        drain = self.line.reserved.get("shutdown_timeout", ("",))[-1:]
        if drain and drain[0].isdigit() and int(drain[0]) <= LONGEST:
            table["rollout"] = {"drain": f"{int(drain[0])}s"}
        if "" in {o.name for o in self.line.extra}:
            self.draft.reasons.append(why_stray(self.line))
        self._add_comments()

    def _image(self) -> None:
        image, table = named_image(self.running), self.draft.table
        if not image:
            id_ = self.running.image.removeprefix("sha256:")[:12] or "ID"
            self.draft.reasons.append(
                f"its image ({id_}) has no name on the host: give it one there, for example docker tag {id_} "
                "vllm-openai:v0.32.0"
            )
            return
        table["image"] = image
        if release_from_image(image) is None and self.place.release:
            table["vllm_version"] = self.place.release
            self.draft.notes["vllm_version"] = f"as reported by its {self.place.release_from}"
        elif release_from_image(image) is None:
            self.draft.notes["image"] = 'the tag does not name the vLLM release: add vllm_version = "…"'
        if parse_image(image).digest is None and parse_image(image).tag in {None, "latest", "nightly"}:
            self.draft.notes.setdefault("image", "a moving tag: pin a release with the first replacement")

    @property
    def _release(self) -> str:
        return release_from_image(str(self.draft.table.get("image", "x"))) or self.place.release

    def _source(self, args: dict[str, Any]) -> None:
        model, draft = self.line.model, self.draft
        if not model:
            return  # one reason is enough
        inside = next((m for m in self._longest_first() if _is_below(model, m.target)), None)
        if inside is not None and model.startswith("/"):
            self._local(posixpath.normpath(inside.source + "/" + posixpath.relpath(model, inside.target)), args)
            return
        if model.startswith("/"):
            draft.reasons.append(f"its model {model} is a folder inside the container, not a mount of the host")
            return
        if not _is_repository(model):
            shown = "" if may_be_secret(model) else f' ("{model}")'
            draft.reasons.append(f"its model{shown} is neither a folder of the host nor a Hugging Face repository")
            return
        revision = self.line.reserved.get("revision", ())[-1:]
        draft.table["source"] = {"repo": model, **({"revision": revision[0]} if revision else {})}

    def _local(self, on_host: str, args: dict[str, Any]) -> None:
        models_dir = self.place.models_dir
        if not models_dir or not _is_below(on_host, models_dir) or on_host == models_dir:
            mount = next((m.source for m in self.running.mounts if m.target == MODELS), posixpath.dirname(on_host))
            other = f", and not below its models_dir, {models_dir}" if models_dir else ""
            self.draft.reasons.append(
                f"its model is in the host's folder {on_host}{other}: "
                f'set models_dir = "{mount}" in [hosts.{self.place.host}], which applies to all models there'
            )
            return
        below = posixpath.relpath(on_host, models_dir)
        if not below.endswith(".gguf"):
            self.draft.table["source"] = {"path": below}
            return
        own = {key: args.pop(key) for key in ("tokenizer", "hf_config_path") if key in args}
        self.draft.table["source"] = {"gguf": below, **own}

    def _task(self, args: dict[str, Any]) -> None:
        """The request that the gate sends. A task that the stack derives itself is not repeated."""
        argument = args.get("task") or args.get("convert")
        task = "embed" if argument == "embedding" else argument
        old = bool(self._release) and parse_release(self._release) < RUNNER_SINCE
        if task == "transcription":
            self.draft.table["task"] = task
            return
        if task not in POOLING_TASKS:
            if args.get("runner") != "pooling":
                return
            task = "embed"
            self.draft.notes["task"] = "a guess: its command line only shows pooling; or classify, score, reward"
        self.draft.table["task"] = task
        if old and args.get("task") == task:
            args.pop("task")
        elif not old and args.get("runner") == "pooling" and "task" not in args:
            args.pop("runner")

    def _gpus(self, args: Mapping[str, Any]) -> None:
        gpus, draft = self.running.gpus, self.draft
        sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
        ranks = math.prod(int(args.get(size, 1)) for size in sizes)
        if self.place.gpus is not None:
            draft.table["gpus"] = list(self.place.gpus) or "none"
        elif not gpus:
            draft.table["gpus"] = "none"
        elif all(_is_index(g) for g in gpus):
            draft.table["gpus"] = [int(g) for g in gpus]
        elif gpus[0] == "all" or gpus[0].startswith("any "):
            visible = [v.strip() for v in self.running.visible.split(",")]
            by_env = all(_is_index(v) for v in visible)
            draft.table["gpus"] = [int(v) for v in visible] if by_env else list(range(min(ranks, MOST_GPUS)))
            why = (
                "its environment names the GPUs that it uses"
                if by_env
                else ("it uses one GPU per rank, starting with the first")
            )
            draft.notes["gpus"] = f"it has access to {gpus[0]} GPUs of the host; {why}: correct this if it is wrong"
        else:
            draft.reasons.append(
                f"its GPUs are not named by index ({', '.join(gpus)}): set their indices with --gpus 0,1, as "
                "listed by nvidia-smi -L"
            )

    def _publish(self) -> None:
        """The port that its server listens on, at its first address; on the host's network the server itself listens
        there.
        """
        inside = [b for b in self.running.bound if b.inside == self.line.port]
        if self.running.networks == ("host",):
            inside = [BoundTo((self.line.reserved.get("host") or (EVERYWHERE,))[-1], self.line.port, self.line.port)]
        if not inside:
            return
        address = f"[{inside[0].address}]" if ":" in inside[0].address else inside[0].address
        text = f"{address}:{inside[0].port}" if inside[0].port else address
        try:
            self.draft.table["publish"] = publish_form(text)
        except ValueError:
            return

    def _shape(self) -> None:
        table, running, limits = self.draft.table, self.running, self.running.in_place
        if running.ipc == "host":
            table["ipc"] = "host"
        elif running.shm_size and running.shm_size != DEFAULT_SHM_SIZE:
            table["shm_size"] = _size(running.shm_size)
        if limits.restart in _RESTARTS and limits.restart != RESTART_POLICY:
            table["restart"] = limits.restart
        if limits.memory:
            table["memory"] = _size(limits.memory)
        if limits.cpus:
            table["cpus"] = float(limits.cpus)

    def _longest_first(self) -> list[Mount]:
        return sorted(self.running.mounts, key=lambda m: -len(m.target))

    def _volumes(self) -> Iterator[str]:
        """All except those that the host's own folders replace."""
        ours = {MODELS: self.place.models_dir, HF_HOME: self.place.hf_cache}
        for mount in self.running.mounts:
            if not ours.get(mount.target) and ":" not in mount.source + mount.target and mount.target.startswith("/"):
                yield f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")

    def _add_comments(self) -> None:
        running, comments, name = self.running, self.draft.comments, serving_name(self.draft.name)
        if running.name != name and set(running.networks) - {"bridge", "host", "none"}:
            networks = ", ".join(running.networks)
            comments.append(f"On {networks} its name is {running.name}; from the next apply on it is {name}.")
        if running.project:
            comments.append(
                f"Compose's project {running.project} created it: remove it there, or `up` and `down` still change it."
            )
        if config := self.line.reserved.get("config"):
            comments.append(
                f"Its --config file ({config[0]}, inside the container) sets options that are not below, and a new "
                "container would start without them. Copy them into args before its first replacement: "
                f"docker exec {running.name} cat {config[0]}"
            )
        if running.unsupported:
            lost = (f"{what} ({value})" if value else what for what, value in running.unsupported.items())
            comments.append(f"A new container will not have: {', '.join(lost)}.")
        if not self.line.args.keys() & {"task", "runner", "convert"}:
            comments.append(
                'If the model does not generate text, set its task: task = "embed" (and add "args.runner" to ignore).'
            )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < MOST_GPUS


def _is_repository(name: str) -> bool:
    try:
        return bool(repo_form(name)) and not name.startswith(".")
    except ValueError:
        return False


def _size(number: int) -> str:
    """Exactly this many bytes."""
    shown = show_bytes(number)
    return shown if size_in_bytes(shown) == number else f"{number} B"
