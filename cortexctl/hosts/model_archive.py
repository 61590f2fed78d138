"""Models' files on a host, read through containers that mount their folder: nothing is started for it."""

from __future__ import annotations

from cortexctl.errors import DaemonError
from cortexctl.hosts.archive import read_file
from cortexctl.hosts.transport import Connection
from cortexctl.model_files.files import ModelFiles, ModelSource, read_model
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.model_mounts import mount_paths


def model_files_on(at: Connection, seen: ObservedHost, source: ModelSource) -> ModelFiles:
    """If they cannot be read, the result has the reason."""
    if not source.root:
        return ModelFiles(problem=f"{at.name} has no folder for downloads from the hub (hf_cache)")
    problem = f"no container on {at.name} mounts its folder yet"
    for container, folder in mount_paths(source, seen):

        def read(path: str, most: int, container: str = container) -> bytes | None:
            return read_file(at.transport, container, path, most)

        try:
            return read_model(source, read, folder)
        except DaemonError as cause:  # it may have been removed meanwhile; another one may mount the same folder
            problem = cause.message
    return ModelFiles(problem=problem)
