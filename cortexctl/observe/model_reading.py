"""The known facts about models' files: the nearest place that has a config wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cortexctl.concurrently import HOSTS, PER_HOST, at_once, at_once_watched
from cortexctl.model_files.files import ModelFiles, ModelSource
from cortexctl.observe.host_readers import FilesBySource, ModelReaders
from cortexctl.observed.host import ObservedHost
from cortexctl.waiting import UNWATCHED, Watch

NOWHERE = ModelFiles(problem="its files were not read")


def read_models(
    sources: Sequence[ModelSource],
    readers: ModelReaders,
    hosts: Mapping[str, ObservedHost] | None = None,
    watch: Watch = UNWATCHED,
) -> FilesBySource:
    """By the sources' keys; if no place has a config, the last place gives the reason. `hosts`: those that were
    read.
    """
    files = {source.key: readers.here(source) if readers.here else NOWHERE for source in sources}
    lacking = [s for s in sources if files[s.key].problem]
    files |= _on_hosts(lacking, readers, hosts or {}, watch)
    lacking = [s for s in lacking if files[s.key].problem and s.repo]
    return files | _from_hub(lacking, readers, watch)


def _on_hosts(
    sources: Sequence[ModelSource], readers: ModelReaders, hosts: Mapping[str, ObservedHost], watch: Watch
) -> FilesBySource:
    on = readers.host
    if on is None:
        return {}
    by_host: dict[str, list[ModelSource]] = {}
    for source in sources:
        if source.host in hosts and hosts[source.host].is_reachable:
            by_host.setdefault(source.host, []).append(source)

    def files(source: ModelSource) -> ModelFiles:
        return on.model_files(hosts[source.host], source)

    def of_host(name: str) -> list[ModelFiles]:
        return at_once(files, by_host[name], most=PER_HOST)

    answers = at_once_watched(of_host, list(by_host), watch, most=HOSTS)
    each = zip(by_host.values(), answers, strict=True)
    return {source.key: known for wanted, read in each for source, known in zip(wanted, read, strict=True)}


def _from_hub(sources: Sequence[ModelSource], readers: ModelReaders, watch: Watch) -> FilesBySource:
    """Each model once, for any number of hosts."""
    if readers.from_hub is None:
        return {}
    once: dict[str, ModelFiles] = {}
    by_name = {source.name: source for source in sources}
    watch.begins([*by_name], "models on the Hub")
    for name, source in by_name.items():
        once[name] = readers.from_hub(source)
        watch.answered(name)
    return {source.key: replace(once[source.name], from_hub=True) for source in sources}
