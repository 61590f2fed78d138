"""Finds the checkout that a file belongs to, and whether a path stays inside it."""

from __future__ import annotations

import os
from pathlib import Path

from cortexctl.dataclass import dataclass

GIT = ".git"
"""Git tracks no entry of this name, so a commit cannot contain one: if it exists, somebody made a checkout."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """No path may lead out of the folder `top`. Without git it is the file's own folder."""

    top: Path
    is_git: bool

    def holds(self, path: str | Path) -> bool:
        """Whether the path ends inside the checkout after all links are followed. It need not exist."""
        return _is_inside(os.path.realpath(path), os.path.realpath(self.top))

    def names(self, path: str | Path) -> bool:
        """Whether the path as written lies inside, even if it is a link that leads out."""
        written = as_written(path)
        return _is_inside(str(written), str(self.top)) or self.holds(written.parent)


def as_written(path: str | Path) -> Path:
    """The absolute path, with no link followed."""
    return Path(os.path.normpath(Path(path).absolute()))


def checkout_of(path: str | Path) -> Checkout:
    """The checkout of a file, by its path as written: a link in a checkout belongs to that checkout, not to its
    target's.

    A repository without a work tree (HEAD, objects and refs as plain files) never counts as a checkout: a commit can
    contain those.
    """
    folder = as_written(path).parent
    tops = [at for at in (folder, *folder.parents) if os.path.lexists(at / GIT)]
    if not tops:
        return Checkout(folder, is_git=False)
    top = tops[0]
    for outer in tops[1:]:
        if not _is_inside(os.path.realpath(top), os.path.realpath(outer)):
            top = outer  # a link inside the outer checkout leads to another checkout
    return Checkout(top, is_git=True)


def leads_out(path: str | Path) -> bool:
    """Whether the path is, or goes through, a link that leads out of its checkout."""
    return not checkout_of(path).holds(path)


def _is_inside(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)
