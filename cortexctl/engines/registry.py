"""The inference engines that cortexctl knows, by the name that a spec records."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortexctl.engines.base import Command, Contract, Engine
    from cortexctl.instance.spec import Server, Spec

ENGINES: dict[str, Engine] = {}
"""By name, once they are used: nothing is asked of an engine for a container that has not changed."""
DEFAULT = "vllm"
"""The engine of every model of a stack, and of a container that no label describes."""


class UnknownEngine(ValueError):
    """A spec names an engine that this cortexctl does not know."""


def engine_named(name: str) -> Engine:
    """Raises UnknownEngine."""
    if name == DEFAULT and name not in ENGINES:
        from cortexctl.engines.vllm.engine import Vllm

        ENGINES[name] = Vllm()
    if name not in ENGINES:
        from cortexctl.text.shorten import shortened

        known = ", ".join(sorted({DEFAULT, *ENGINES}))
        raise UnknownEngine(f'the engine "{shortened(name)}" is unknown; this cortexctl knows {known}')
    return ENGINES[name]


def contract_named(name: str) -> Contract:
    """The contract of an engine, without the code that knows its command line. Raises UnknownEngine."""
    if name == DEFAULT and name not in ENGINES:
        from cortexctl.engines.vllm.contract import CONTRACT

        return CONTRACT
    return engine_named(name).contract


def engine_of(server: Server) -> Engine:
    """Raises UnknownEngine."""
    return engine_named(server.engine)


def of_known_engine(spec: Spec) -> Spec:
    """The same spec. Raises UnknownEngine, because the arguments of another engine have an unknown meaning."""
    engine_of(spec.server)
    return spec


def command_of(spec: Spec) -> Command:
    """What starts the server of a spec in its container. Raises UnknownEngine."""
    server = spec.server
    return engine_of(server).command(server, spec.container.port, server.drain)
