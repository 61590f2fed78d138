"""The containers of a host through which a model's files can be read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from cortexctl.instance import labels
from cortexctl.instance.spec import Mount
from cortexctl.model_files.files import ModelSource, is_below
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.owned import spec_of


def mount_paths(source: ModelSource, host: ObservedHost) -> Iterator[tuple[str, str]]:
    """Every (container id, folder in it) where the source is visible on the host: containers that we created, running
    or not, that mount the folder. Running containers come first.
    """
    if source.root:
        for container, folder in folder_paths(source.root, host):
            yield container, posixpath.join(folder, source.inside).rstrip("/")


def folder_paths(root: str, host: ObservedHost) -> Iterator[tuple[str, str]]:
    """The same for a folder of the host."""
    for container in sorted(host.containers, key=lambda c: (not c.is_running, c.name)):
        if labels.MODEL not in container.labels:
            continue
        spec, _ = spec_of(container)
        for mount in spec.container.mounts if spec else ():
            if (below := _below_mount(mount, root)) is not None:
                yield container.id, posixpath.join(mount.target, below).rstrip("/")
                break


def _below_mount(mount: Mount, root: str) -> str | None:
    """The path from a mount's source to `root`; None if `root` is elsewhere."""
    if mount.source == root:
        return ""
    if mount.is_volume or not is_below(root, mount.source):
        return None
    return posixpath.relpath(root, mount.source)
