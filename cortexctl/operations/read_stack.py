"""The stack file as a value, with its diagnostics: one reader for every command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.errors import CortexctlError, SecretUnresolved
from cortexctl.hosts.transports import docker_context
from cortexctl.operations.adapters import secret_reader, stack_inputs
from cortexctl.operations.cached_stack import CachedStack, Resolved, cached_stack
from cortexctl.operations.stack_choice import StackChoice

if TYPE_CHECKING:
    from cortexctl.stack.load import Releases, SecretValue


class SecretMode(Enum):
    """How the stack's secrets are read."""

    RESOLVE = "resolve"
    """Every reference must resolve: the fingerprints of the values are compared."""
    LENIENT = "lenient"
    """A reference that does not resolve stays unknown, and is not compared."""
    SKIP = "skip"
    """None is read."""
    REVIEW = "review"
    """None is read, no program of the stack is run, and no file outside its checkout is read."""


class BadStack(CortexctlError):
    """The stack cannot be used. Its diagnostics have the reasons."""

    def __init__(self, path: str, diagnostics: Sequence[Diagnostic]) -> None:
        errors = sum(d.is_error for d in diagnostics)
        super().__init__(f"{path}: {errors} {'problem' if errors == 1 else 'problems'}; nothing was changed")
        self.diagnostics = tuple(diagnostics)


@dataclass(frozen=True, slots=True)
class StackReading:
    """`desired` is None if the stack has errors that prevent a plan. `path`: the stack's name in errors."""

    path: str
    desired: Desired | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def usable(self) -> Desired:
        """Raises BadStack."""
        if self.desired is None:
            raise BadStack(self.path, self.diagnostics)
        return self.desired


@dataclass(frozen=True, slots=True)
class StackReader:
    """`release`: the vLLM release to check against, instead of those of its images."""

    path: str
    choice: StackChoice
    secrets: SecretMode = SecretMode.RESOLVE
    release: str = ""

    def read_hosts(self) -> Desired:
        """The stack for its hosts: its models may have errors. Raises BadStack."""
        return self.read(hosts_only=True).usable

    def read(
        self, *, text: str | None = None, releases: Releases | None = None, hosts_only: bool = False
    ) -> StackReading:
        """`text`: the content, instead of the file. `releases`: releases of images from other sources. `hosts_only`:
        errors of models do not matter.
        """
        daemon = default_docker()
        cached = None
        if text is None and not hosts_only and self.secrets is not SecretMode.REVIEW:
            facts = {"instead": self.release, "reported": dict(releases.reported) if releases else {}}
            cached = cached_stack(self.path, self.choice, daemon, facts)
        recalled = self._recalled(cached) if cached else None
        if recalled:
            desired, diagnostics = recalled
            return StackReading(self.path, self._invoked(desired), diagnostics)
        return self._resolved(daemon, text, releases, cached, hosts_only=hosts_only)

    def _recalled(self, cached: CachedStack) -> Resolved | None:
        """None, too, if a secret has no value: this is reported when the stack is resolved."""
        secret_value = self._secret_value()

        @cache
        def fingerprint_of(whose: str, name: str, source: str, key: str) -> str:
            from cortexctl.instance.fingerprint import fingerprint

            value = secret_value(source, key) if secret_value else ""
            return fingerprint(whose, name, value) if value else ""

        try:
            return cached.recall(lambda whose, s: fingerprint_of(whose, s.name, s.source, s.key))
        except SecretUnresolved:
            return None

    def _resolved(
        self, daemon: str, text: str | None, releases: Releases | None, cached: CachedStack | None, *, hosts_only: bool
    ) -> StackReading:
        from cortexctl.stack.load import Releases, load_stack

        inputs = stack_inputs(self.choice)
        if cached:
            text, inputs = cached.text, replace(inputs, environ=cached.environment, consulted=cached.consulted)
        desired, diagnostics = load_stack(
            self.path,
            default_docker=daemon,
            secret_value=self._value_for_loading(),
            env=self.choice.env,
            inputs=inputs,
            text=text,
            releases=releases or Releases(instead=self.release),
            review=self.secrets is SecretMode.REVIEW,
            hosts_only=hosts_only,
        )
        if cached and desired:
            cached.store(desired, tuple(diagnostics))
        return StackReading(self.path, desired and self._invoked(desired), tuple(diagnostics))

    def _invoked(self, desired: Desired) -> Desired:
        """With this run, for the next commands."""
        choice = self.choice.knowing(desired.secret_variables)
        return replace(desired, invocation=choice.invocation(self.path))

    def _secret_value(self) -> SecretValue | None:
        """Raises SecretUnresolved."""
        if self.secrets in {SecretMode.SKIP, SecretMode.REVIEW}:
            return None

        def value(source: str, key: str) -> str:
            try:
                return secret_reader(self.path, self.choice).read(source, key)
            except SecretUnresolved:
                if self.secrets is SecretMode.LENIENT:
                    return ""
                raise

        return value

    def _value_for_loading(self) -> SecretValue | None:
        from cortexctl.stack.load import UnresolvedSecret

        value = self._secret_value()
        if value is None:
            return None

        def of_stack(source: str, key: str) -> str:
            try:
                return value(source, key)
            except SecretUnresolved as cause:
                raise UnresolvedSecret(cause.message) from cause

        return of_stack


def read_other_stack(
    path: str, choice: StackChoice, *, text: str | None = None, name: str = "", review: bool = False
) -> Desired:
    """A stack to compare with, without its secrets: a file, or `text` in its place, called `name`. Its warnings are
    not for this run. Raises BadStack.
    """
    from cortexctl.stack.load import load_stack

    inputs = stack_inputs(choice, for_another=True)
    desired, diagnostics = load_stack(
        path,
        default_docker=default_docker(),
        secret_value=None,
        env=choice.env,
        inputs=inputs,
        text=text,
        review=review,
    )
    if name:
        diagnostics = [replace(d, span=replace(d.span, path=name) if d.span else None) for d in diagnostics]
    return StackReading(name or path, desired, tuple(d for d in diagnostics if d.is_error)).usable


def default_docker() -> str:
    """The daemon of a host that declares none."""
    return docker_context.default_docker(os.environ)
