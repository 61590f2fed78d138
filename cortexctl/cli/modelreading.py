"""Where models' files are read: in a folder of this machine, on their host, and on the hub if that is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from cortexctl.desired.stack import Desired
from cortexctl.files.checkout import Checkout
from cortexctl.model_files.files import NO_CONFIG, ModelFiles, ModelSource, read_model, source_of
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import owned_instances
from cortexctl.stack.model_folder import UnreadableModel, read_config, read_headers

Found = dict[tuple[str, str], ModelFiles]


class Daemons(Protocol):
    """Implemented by `daemon.daemons.DockerDaemons`."""

    def model_files(self, seen: ObservedHost, sources: Iterable[ModelSource]) -> Found: ...


def read_models(
    sources: Iterable[ModelSource],
    observed: Observed | None = None,
    daemons: Daemons | None = None,
    *,
    hub: bool = False,
    within: Checkout | None = None,
) -> Found:
    """By the sources' keys. The nearest place that has a config wins; else the last one says why there is none.
    `within`: of this machine, only what lies in there is read.
    """
    found = {source.key: (source, files_here(source, within)) for source in sources}
    if observed is not None and daemons is not None:
        for host in observed.hosts:
            asked = [s for s, files in found.values() if s.host == host.name and files.problem]
            if asked and host.is_reachable:
                there = daemons.model_files(host, asked)
                found |= {s.key: (s, there[s.key]) for s in asked}
    if hub and any(files.problem and s.repo for s, files in found.values()):
        from cortexctl.health.hub import files_from_hub

        once: dict[str, ModelFiles] = {}
        for source, files in list(found.values()):
            if files.problem and source.repo:
                if source.name not in once:
                    once[source.name] = files_from_hub(source, os.environ)
                found[source.key] = (source, once[source.name])
    return {key: files for key, (_, files) in found.items()}


OUTSIDE = "its folder is not in the stack's checkout, and a review reads nothing else of this machine"


def files_here(source: ModelSource, within: Checkout | None = None) -> ModelFiles:
    """In a folder of this machine, as it is where the daemon runs here."""
    folder = Path(source.root, source.inside)
    if within and source.root.startswith("/") and not _is_whole(folder, within, source):
        return ModelFiles(problem=OUTSIDE)
    if not source.root.startswith("/") or not folder.is_dir():
        where = "the hub's cache" if source.repo else "its folder"
        return ModelFiles(problem=f"{where} is not on this machine")
    try:
        if source.repo:
            return read_model(source, partial(_first, within), str(folder))
        config = read_config(folder)
        headers = read_headers(folder)
    except UnreadableModel as cause:
        return ModelFiles(problem=str(cause) if (folder / "config.json").exists() else NO_CONFIG)
    except OSError as cause:
        return ModelFiles(problem=f"its folder cannot be read: {cause.strerror}")
    return ModelFiles(config, headers.tensors, headers.total) if headers else ModelFiles(config)


def _is_whole(folder: Path, within: Checkout, source: ModelSource) -> bool:
    """Whether the folder and all that would be read in it are `within`. The hub's cache is looked at file by file."""
    if not within.holds(folder):
        return False
    try:
        return bool(source.repo) or not folder.is_dir() or all(within.holds(entry) for entry in folder.iterdir())
    except OSError:
        return True  # it is said why it cannot be read when it is


def _first(within: Checkout | None, path: str, most: int) -> bytes | None:
    if within and not within.holds(path):
        return None
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except (FileNotFoundError, NotADirectoryError):
        return None


def with_models(
    observed: Observed,
    sources: Iterable[ModelSource],
    daemons: Daemons | None = None,
    *,
    hub: bool = False,
    within: Checkout | None = None,
) -> Observed:
    """The observation with what is known of these; what it has already, stays."""
    had = observed.model_files
    asked = [s for s in sources if s.key not in had or had[s.key].problem]
    if not asked:
        return observed
    found = read_models(asked, observed, daemons, hub=hub, within=within)
    news = {key: files for key, files in found.items() if key not in had or not files.problem}
    return replace(observed, model_files={**had, **news})


def every_source(desired: Desired, observed: Observed | None = None) -> tuple[ModelSource, ...]:
    """Of all that the stack wants with GPUs and, where there is an observation, of all of its containers."""
    specs = [(i.host, i.spec) for i in desired.instances if i.spec.container.gpus or i.gpu_count]
    for host in observed.hosts if observed else ():
        for instance in owned_instances(host, desired.owner, desired.moved).values():
            specs += [(host.name, o.spec) for o in instance.all if o.spec and o.spec.container.gpus]
    sources = {source_of(host, spec) for host, spec in specs}
    return tuple(sorted(s for s in sources if isinstance(s, ModelSource)))
