"""The known facts about models' files: the nearest place that has a config wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortexctl.concurrently import at_once
from cortexctl.model_files.files import ModelFiles, ModelSource
from cortexctl.observe.host_readers import FilesBySource, ModelReaders
from cortexctl.observed.host import ObservedHost

NOWHERE = ModelFiles(problem="its files were not read")


def read_models(
    sources: Sequence[ModelSource], readers: ModelReaders, hosts: Mapping[str, ObservedHost] | None = None
) -> FilesBySource:
    """By the sources' keys; if no place has a config, the last place gives the reason. `hosts`: those that were
    read.
    """
    files = {source.key: readers.here(source) if readers.here else NOWHERE for source in sources}
    lacking = [s for s in sources if files[s.key].problem]
    files |= _on_hosts(lacking, readers, hosts or {})
    lacking = [s for s in lacking if files[s.key].problem and s.repo]
    return files | _from_hub(lacking, readers)


def _on_hosts(
    sources: Sequence[ModelSource], readers: ModelReaders, hosts: Mapping[str, ObservedHost]
) -> FilesBySource:
    on, by_host = readers.host, {name: [s for s in sources if s.host == name] for name in {s.host for s in sources}}
    if on is None:
        return {}
    jobs = [(hosts[name], wanted) for name, wanted in by_host.items() if name in hosts and hosts[name].is_reachable]
    answers = at_once(lambda job: on.model_files(*job), jobs)
    return {key: files for answer in answers for key, files in answer.items()}


def _from_hub(sources: Sequence[ModelSource], readers: ModelReaders) -> FilesBySource:
    """Each model once, for any number of hosts."""
    if readers.from_hub is None:
        return {}
    once: dict[str, ModelFiles] = {}
    for source in sources:
        if source.name not in once:
            once[source.name] = readers.from_hub(source)
    return {source.key: once[source.name] for source in sources}
