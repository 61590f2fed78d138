"""The models that a server loads beside its own, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cortexctl.engines.registry import engine_of
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelFiles, ModelSource, source_of, source_of_model

FilesBySource = Mapping[tuple[str, str], ModelFiles]
"""By the keys of sources."""
NOT_READ = ModelFiles(problem="its config.json was not read")


def sources_of(host: str, spec: Spec) -> Iterator[ModelSource]:
    """Where the models of a server are, its own first. Omits those whose files cannot be read."""
    for source in (source_of(host, spec), *companion_sources(host, spec).values()):
        if isinstance(source, ModelSource):
            yield source


def companion_files(host: str, spec: Spec, files: FilesBySource) -> Mapping[str, ModelFiles]:
    """The known facts about each model that a server loads beside its own, by its name; or the reason why there are
    none.
    """
    return {
        model: ModelFiles(problem=source) if isinstance(source, str) else files.get(source.key, NOT_READ)
        for model, source in companion_sources(host, spec).items()
    }


def companion_sources(host: str, spec: Spec) -> Mapping[str, ModelSource | str]:
    """Where each model is that a server loads beside its own; or a text, part of a sentence: why its files are not
    read.
    """
    companions = engine_of(spec.server).companions(spec.server)
    return {c.model: source_of_model(host, spec, c.model, c.revision) for c in companions}
