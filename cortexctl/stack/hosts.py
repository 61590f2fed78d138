"""The hosts of a stack, and checks of their blocks against the way to their daemons."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from urllib.parse import urlsplit

from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.desired.stack import Host, TlsFiles
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.stack.document import Document
from cortexctl.stack.schema import StackFile
from cortexctl.stack.schema_hosts import HostTable, MeasuredTable
from cortexctl.text.suggest import nearest
from cortexctl.text.units import size_in_bytes

GLOB = frozenset("*?[")
"""The characters of a pattern that stand for others."""


def host_of(name: str, table: HostTable, default_docker: str) -> Host:
    """A host of the stack. `default_docker`: the daemon's URL if the table has none."""
    gpus = table.gpus
    docker = table.docker or default_docker
    return Host(
        name,
        docker,
        table.address or _address(docker),
        gpus.count if gpus else None,
        (gpus.name or "") if gpus else "",
        size_in_bytes(gpus.memory) if gpus and gpus.memory else None,
        gpus.compute_capability if gpus else None,
        TlsFiles(table.tls.ca, table.tls.cert, table.tls.key) if table.tls else None,
        table.reach,
        tuple(_measured(release, one) for release, one in sorted(gpus.measured.items())) if gpus else (),
    )


def _measured(release: str, table: MeasuredTable) -> MeasuredCard:
    def size(text: str | None) -> int | None:
        return size_in_bytes(text) if text else None

    return MeasuredCard(
        release.removeprefix("v"),
        table.driver or "",
        size(table.free),
        size(table.outside_torch),
        size(table.workspace),
        size(table.graph),
        table.multiprocessors,
        size(table.l2),
    )


def _address(docker: str) -> str:
    """Where clients reach published ports, as far as the daemon's URL names it."""
    if not docker.startswith(("ssh://", "tcp://")):
        return "127.0.0.1"
    return urlsplit(docker).hostname or "127.0.0.1"


def is_here(host: HostTable, default_docker: str) -> bool:
    """Whether its folders can be read on this machine."""
    return (host.docker or default_docker).startswith("unix://")


def hosts_in_use(stack: StackFile) -> list[str]:
    """The hosts on which models may run: a retired host is not one of them."""
    return sorted(host for host, table in stack.hosts.items() if not table.retired)


def hosts_of_model(
    name: str, known: list[str], stack: StackFile, document: Document
) -> tuple[list[str], list[Diagnostic]]:
    """The hosts that a model runs on, of those in use (`known`), and the problems of its `hosts`."""
    patterns = stack.models[name].hosts
    if patterns is None:
        problem = _without_hosts(name, known, stack, document)
        return (known, []) if problem is None else ([], [problem])
    matching = [_matching(pattern, known, stack) for pattern in patterns]
    problems = [
        _no_match(name, index, pattern, stack, document)
        for index, pattern in enumerate(patterns)
        if not matching[index]
    ]
    return sorted({host for hosts in matching for host in hosts}), problems


def _matching(pattern: str, known: list[str], stack: StackFile) -> list[str]:
    """Only a glob is compared with every host."""
    if set(pattern) & GLOB:
        return fnmatch.filter(known, pattern)
    table = stack.hosts.get(pattern)
    return [pattern] if table and not table.retired else []


def _without_hosts(model: str, known: list[str], stack: StackFile, document: Document) -> Diagnostic | None:
    """A model may leave out `hosts` if there is one host."""
    if len(known) == 1 or not stack.hosts:
        return None
    place = document.place(("models", model), key=True)
    if known:
        return error(
            "CX201",
            f'model "{model}" does not name the hosts it runs on',
            place,
            help=f"add hosts = [...]; known hosts: {', '.join(known)}",
        )
    return error(
        "CX232",
        f'model "{model}" has no host: every host of the stack is retired',
        place,
        help="remove the model or set enabled = false; to remove everything: cortexctl destroy",
    )


def _no_match(model: str, index: int, pattern: str, stack: StackFile, document: Document) -> Diagnostic:
    place = document.place(("models", model, "hosts", index))
    retired = fnmatch.filter(sorted(stack.hosts), pattern)
    if retired:
        return error(
            "CX232",
            f'model "{model}" runs on "{pattern}", but '
            + ("that host is retired" if pattern in retired else "every host that matches is retired"),
            place,
            help=f'remove "{pattern}" from the hosts of the model, or `retired` from {", ".join(retired)}',
        )
    known = hosts_in_use(stack)
    close = nearest(pattern, known)
    return error(
        "CX201",
        f'model "{model}" runs on "{pattern}", but '
        + ("no host matches" if set(pattern) & GLOB else "there is no such host"),
        place,
        help=(f'did you mean "{close}"? ' if close else "") + f"known hosts: {', '.join(known)}",
    )


def check_hosts(stack: StackFile, document: Document, default_docker: str) -> Iterator[Diagnostic]:
    """Settings that the transport of a host cannot use."""
    relative = [*_relative_volumes(stack)]
    for name, host in stack.hosts.items():
        url = host.docker or default_docker
        if host.tls and not url.startswith(("tcp://", "context:")):
            yield error(
                "CX231",
                f'the host "{name}" has TLS files, but {url} does not use TLS',
                document.place(("hosts", name, "tls"), key=True),
                help="write tcp://HOST:2376 in its `docker`, or remove `tls`",
            )
        if host.reach == "direct" and url.startswith("tcp://"):
            yield error(
                "CX233",
                f'the host "{name}" has reach = "direct", but over TLS ({url}) no connection to a container\'s own '
                "address can be proven",
                document.place(("hosts", name, "reach")),
                help='write reach = "exec" or remove it; or use ssh:// in its `docker`',
            )
        if is_here(host, default_docker):
            continue
        for key in ("models_dir", "hf_cache"):
            path = getattr(host, key)
            if path and not path.startswith("/"):
                yield error(
                    "CX231",
                    f'{key} of the host "{name}" is a path of this machine, but the daemon is elsewhere ({url})',
                    document.place(("hosts", name, key)),
                    help=f"write the absolute path on that host, for example /srv/{key.removesuffix('_dir')}",
                )
        for model, index, source in relative if not host.retired else ():
            hosts = stack.models[model].hosts
            if not hosts or name in hosts:
                yield error(
                    "CX231",
                    f'{source} is a path of this machine, but the daemon of the host "{name}" is elsewhere ({url})',
                    document.place(("models", model, "volumes", index)),
                    help="write the absolute path on that host",
                )


def _relative_volumes(stack: StackFile) -> Iterator[tuple[str, int, str]]:
    """(model, index, source) of every volume whose source is a path relative to the stack."""
    for name, model in stack.models.items():
        for index, text in enumerate(model.volumes):
            source = text.split(":")[0]
            if "/" in source and not source.startswith("/"):
                yield name, index, source
