"""The resolved stack of an earlier run, from the user's cache, if every one of its inputs is still the same.

The name of its file is a digest of the inputs that are known beforehand: the text, the variables of the command line,
the daemon, this program. The file lists the other ones: the environment variables and the files that were read. Secrets
are read in every run: neither their values nor anything that is computed from them is cached.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any

import cortexctl
from cortexctl.dataclass import dataclass
from cortexctl.decoding.decode import read_json
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic, SourceSpan
from cortexctl.files.checkout import leads_out
from cortexctl.files.consulted import Consulted
from cortexctl.files.digest import digest
from cortexctl.files.reading import NotRead, read_regular, read_text
from cortexctl.operations.cached_json import Fingerprint, stack_from_json, stack_to_json
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.store import private_cache
from cortexctl.store.cache_folder import cache_folder

OFF = "CORTEXCTL_NO_CACHE"
"""With any value, this variable turns the cache off."""
VARIABLE = "CORTEXCTL_VAR_"
Resolved = tuple[Desired, tuple[Diagnostic, ...]]
"""A stack with its warnings."""


class Environment(Mapping[str, str]):
    """The variables of this process. `requested`: those that were requested by name; None: not set."""

    def __init__(self) -> None:
        self.requested: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        self.requested[name] = os.environ.get(name)
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)


@dataclass(frozen=True, slots=True)
class CachedStack:
    """One stack's place in the cache. `text`: of its file. `daemon`: of hosts that declare none. `releases`: the facts
    about images that are not in the file. `name`: of the file in the cache. `consulted` and `environment` record what
    the stack is resolved from.
    """

    path: str
    text: str
    choice: StackChoice
    daemon: str
    releases: Mapping[str, Any]
    name: str
    consulted: Consulted
    environment: Environment = field(default_factory=Environment)

    def recall(self, fingerprint: Fingerprint) -> Resolved | None:
        """The stack; None if it must be resolved. `fingerprint` may raise any error of its own."""
        content = private_cache.read(cache_folder() / "stacks", self.name)
        if content is None:
            return None
        with suppress(ValueError, LookupError, TypeError, AttributeError):
            data = read_json(content, deepest=None, repeats=True)
            if self._is_current(data):
                return self._decoded(data, fingerprint)
        return None

    def store(self, desired: Desired, diagnostics: tuple[Diagnostic, ...]) -> None:
        """For later runs, if they would get exactly this stack, and nothing secret is in it."""
        with suppress(ValueError, LookupError, TypeError, OSError, NotRead):
            written = self._written((desired, diagnostics))
            unchanged = self.name == _name(self.path, self.text, self.choice, self.daemon, self.releases)
            if written and unchanged and KNOWN.hide(written) == written:
                private_cache.write(cache_folder() / "stacks", self.name, written.encode())

    def _written(self, resolved: Resolved) -> str:
        """Empty if the stack is not cached. Raises ValueError for a stack that has no JSON."""
        desired, diagnostics = resolved
        secrets = [s for i in desired.instances for s in i.spec.container.secrets]
        has_variables = bool(desired.secret_variables) or any(s.source == "var" for s in secrets)
        if has_variables or not self.consulted.is_complete or _has_password(self.daemon):
            return ""
        data = {
            "variables": {name: _digest(value) for name, value in self.environment.requested.items()},
            "facts": self.consulted.facts(),
            **stack_to_json(desired, diagnostics, self.text),
        }
        written = json.dumps(data, separators=(",", ":"), allow_nan=False)
        prints = {(s.name, s.origin): s.fingerprint for s in secrets}
        again = self._decoded(read_json(written), lambda _whose, s: prints[s.name, s.origin])
        return written if _whole(again) == _whole(resolved) else ""

    def _is_current(self, data: Any) -> bool:
        variables = data["variables"].items()
        same = all(_digest(os.environ.get(name)) == known for name, known in variables)
        return same and Consulted(self.path).confirms(data["facts"])

    def _decoded(self, data: Any, fingerprint: Fingerprint) -> Resolved:
        return stack_from_json(data, self.path, self.text, fingerprint=fingerprint, places=self._places())

    def _places(self) -> Callable[[str], Mapping[str, SourceSpan]]:
        """Only a problem in the stack needs a place: the file is parsed then."""

        @cache
        def of_stack() -> Callable[[str], Mapping[str, SourceSpan]]:
            from cortexctl.operations.adapters import stack_inputs
            from cortexctl.stack.load import places_in

            return places_in(self.path, self.text, self.choice.env, stack_inputs(self.choice))

        return lambda model: _Places(lambda: of_stack()(model))


class _Places(dict[str, SourceSpan]):
    """Field -> place, read on demand."""

    def __init__(self, of_model: Callable[[], Mapping[str, SourceSpan]]) -> None:
        super().__init__()
        self._of_model = of_model

    def get(self, key: str, default: SourceSpan | None = None) -> SourceSpan | None:  # type: ignore[override]
        return self._of_model().get(key, default)


def cached_stack(path: str, choice: StackChoice, daemon: str, releases: Mapping[str, Any]) -> CachedStack | None:
    """The place of a stack in the cache. None if the cache is off, or if a file cannot be read: that is reported when
    the stack is resolved.
    """
    if os.environ.get(OFF):
        return None
    with suppress(NotRead, OSError, RuntimeError, ValueError):
        if not leads_out(path):
            text, _ = read_text(path), cache_folder()
            name = _name(path, text, choice, daemon, releases)
            return CachedStack(path, text, choice, daemon, releases, name, Consulted(path))
    return None


def _name(path: str, text: str, choice: StackChoice, daemon: str, releases: Mapping[str, Any]) -> str:
    """Raises NotRead, OSError."""
    inputs = {
        "program": _program(),
        "path": [path, os.path.realpath(path)],
        "text": text,
        "env": choice.env,
        "variables": choice.variables,
        "files": [(file, digest(read_regular(file))) for file in choice.files],
        "names": sorted(name for name in os.environ if name.startswith(VARIABLE)),
        "daemon": daemon,
        "releases": releases,
    }
    return digest(json.dumps(inputs, sort_keys=True).encode())


def _whole(resolved: Resolved) -> tuple[Any, ...]:
    """Also the parts of a stack that do not count when two stacks are compared."""
    desired, diagnostics = resolved
    return desired, desired.acknowledgements, desired.acknowledged, diagnostics


def _has_password(url: str) -> bool:
    from cortexctl.stack.document import URL_WITH_PASSWORD

    return bool(URL_WITH_PASSWORD.search(url))


def _digest(value: str | None) -> str:
    return digest(repr(value).encode())


def _program() -> Sequence[Any]:
    """The release and its libraries. Installing a package changes its folder; a checkout is known by its files."""
    home = Path(cortexctl.__file__).parent
    folders = [Path(path) for path in sys.path if path.endswith("-packages")]
    stamps = [[str(folder), folder.stat().st_mtime_ns] for folder in folders if folder.is_dir()]
    return [cortexctl.__version__, sys.version, stamps, [] if home.parent in folders else _files(str(home))]


def _files(folder: str) -> list[int]:
    """How many files there are, their size in all, and the time of the last change."""
    count = size = latest = 0
    folders = [folder]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders += [entry.path] if entry.name != "__pycache__" else []
            else:
                info = entry.stat()
                count, size, latest = count + 1, size + info.st_size, max(latest, info.st_mtime_ns)
    return [count, size, latest]
