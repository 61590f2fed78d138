"""`init --host`: a starter stack from what `doctor` reads on the hosts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from cortexctl.desired.stack import Desired, Host
from cortexctl.errors import DaemonUnreachable, UsageError
from cortexctl.operations.doctor import examination, examine_hosts
from cortexctl.operations.gpu_edit import missing_or_wrong
from cortexctl.operations.host_findings import differing
from cortexctl.operations.notes import Note, Report
from cortexctl.operations.results import HostReport
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.stack.edit.host_gpus import with_gpus
from cortexctl.stack.starter import StarterHost, host_name, starter

OWNER = "init"
"""In the label of a probe's container: the stack does not exist yet."""

_NOT_IN_URLS = set(' "\\{}')


def read_hosts(urls: Sequence[str], stack: str, report: Report, *, probes: bool) -> tuple[HostReport, ...]:
    """As `doctor` reads them. Raises DaemonUnreachable for the last one that does not answer, after a report of
    the others, and UsageError for a text that is not a URL, or that is given twice.
    """
    hosts: list[Host] = []
    for url in urls:
        if set(url) & _NOT_IN_URLS or not url.isprintable():
            raise UsageError(f"--host {url!r} is not a URL", next_step="cortexctl init --host ssh://ops@gpu-1")
        if any(url == host.docker for host in hosts):
            raise UsageError(f"--host {url} is given twice")
        hosts.append(Host(host_name(url, {host.name for host in hosts}), url))
    desired = Desired(OWNER, stack, tuple(hosts), ())
    reports = examine_hosts(examination(stack, StackChoice(), desired, (), probes=probes), report).hosts
    failures = {
        host.facts.problem: host.facts.next_step.replace("`docker` of the host in the stack", "--host")
        for host in reports
        if host.facts.problem
    }
    for number, (problem, step) in enumerate(failures.items(), 1):
        if number == len(failures):
            raise DaemonUnreachable(f"{problem}; nothing was written", next_step=step)
        report(Note(f"Error: {problem}"))
        report(Note(f"Next:  {step}"))
    return reports


def stack_of_hosts(reports: Sequence[HostReport], path: str, template: str | None, folder: str) -> str:
    """The text of a stack with these hosts. Without a `template`, one for GPUs unless probes read that there are
    none.
    """
    if template is None:
        template = "cpu" if all(r.probe and not r.probe.problem and not r.probe.gpus for r in reports) else "gpu"
    text = starter(template, folder, [_starter_host(report, path) for report in reports])
    for report in reports:
        if report.probe and report.probe.gpus and not differing(report.probe.gpus):
            text = with_gpus(path, text, "", report.host.name, missing_or_wrong(report, report.probe))
    return text


def _starter_host(report: HostReport, path: str) -> StarterHost:
    gpus = report.probe.gpus if report.probe else ()
    memory = min((gpu.memory for gpu in gpus if gpu.memory), default=None)
    comments = tuple(_printable(line) for line in _comments(report, path))
    return StarterHost(report.host.name, report.host.docker, bool(gpus), memory, comments)


def _comments(report: HostReport, path: str) -> Iterator[str]:
    """What is known about the host, and how to read the rest."""
    daemon, probe = report.facts.daemon, report.probe
    if daemon:
        yield f"{daemon.product} {daemon.version} on {daemon.system or 'an unknown system'}"
    command = f"cortexctl doctor {report.host.name} --stack {shlex.quote(path)} --probe --write"
    if probe is None and not report.image:
        yield f"Its GPUs are not known: it has no image of vLLM to read them with. Pull one there, then: {command}"
    elif probe is None:
        yield f"Its GPUs are not known. To read them and write them here: {command}"
    elif probe.problem:
        yield f"Its GPUs are not known ({probe.problem}). To try again: {command}"
    elif not probe.gpus:
        yield f"A container gets no GPUs there ({probe.gpu_problem})"
    elif differing(probe.gpus):
        yield f"Its {len(probe.gpus)} GPUs differ: declare in `gpus` those that the stack may use"
    for finding in report.findings:
        details = f" cortexctl doctor {report.host.name}" if finding.details else ""
        text = finding.text[:1].upper() + finding.text[1:] + details
        yield text + (f". Next: {finding.next_step}" if finding.next_step else "")


def _printable(text: str) -> str:
    """One line without control characters: a host's texts may contain anything."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
