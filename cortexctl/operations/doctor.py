"""`doctor`: what each host is and what it lacks. Nothing is created without `--probe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from cortexctl.concurrently import at_once_watched
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host
from cortexctl.engines.registry import DEFAULT
from cortexctl.errors import DaemonError, UsageError
from cortexctl.instance.image import local_name
from cortexctl.observed.host import ImageFacts
from cortexctl.observed.host_facts import HostFacts
from cortexctl.observed.host_probe import HostProbe
from cortexctl.operations.calibrate import calibrations, images_to_calibrate
from cortexctl.operations.connections import Connections, open_hosts
from cortexctl.operations.host_findings import findings, folders_of, uncalibrated
from cortexctl.operations.notes import Note, Report
from cortexctl.operations.results import Calibration, DoctorReport, HostReport
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.selection import matches
from cortexctl.waiting import UNWATCHED, Watch


class Hosts(Protocol):
    """Implemented by `hosts.fleet.DockerDaemons`."""

    def host_facts(self, host: str, folders: Mapping[str, str], *, probes: bool) -> HostFacts: ...

    def local_images(self, host: str) -> dict[str, ImageFacts]: ...

    def probe_host(self, host: str, image: ImageFacts, folders: Mapping[str, str]) -> HostProbe: ...

    def calibrate_gpu(self, host: str, image: str, settings: str, gpu: int | None, env: Mapping[str, str]) -> str: ...


@dataclass(frozen=True, slots=True)
class Examination:
    """What is requested. `command`: the command line for it, without --probe. `calibrates`: whether the constants of
    its GPUs are measured; only with `probes`.
    """

    desired: Desired
    hosts: Sequence[Host]
    command: str
    probes: bool
    calibrates: bool = False


def examination(
    stack: str,
    choice: StackChoice,
    desired: Desired,
    patterns: Sequence[str],
    *,
    probes: bool,
    calibrates: bool = False,
) -> Examination:
    """`patterns`: names or globs of hosts; without one, all. Raises UsageError for a pattern without a match."""
    command = choice.knowing(desired.secret_variables).invocation(stack).command("doctor", *patterns)
    return Examination(desired, _chosen(desired, patterns), command, probes, calibrates)


def examine_hosts(wanted: Examination, report: Report, connections: Connections | None = None) -> DoctorReport:
    """All hosts are read at the same time. `connections`: of the run."""
    with open_hosts(wanted.desired, connections) as hosts:
        return examine(wanted, hosts, report, hosts.watch)


def examine(wanted: Examination, hosts: Hosts, report: Report, watch: Watch = UNWATCHED) -> DoctorReport:
    """The same, on open hosts."""

    def of_host(host: Host) -> HostReport:
        return _report(wanted, host, hosts, report)

    reports = at_once_watched(of_host, wanted.hosts, watch, name=lambda host: host.name)
    return DoctorReport(wanted.desired.owner, tuple(reports), wanted.probes, wanted.command)


def _chosen(desired: Desired, patterns: Sequence[str]) -> list[Host]:
    for pattern in patterns:
        if not any(matches((pattern,), host.name) for host in desired.hosts):
            known = ", ".join(host.name for host in desired.hosts) or "none"
            raise UsageError(f'the stack has no host "{pattern}"; known: {known}')
    return [host for host in desired.hosts if not patterns or matches(patterns, host.name)]


def _report(wanted: Examination, host: Host, hosts: Hosts, report: Report) -> HostReport:
    desired = wanted.desired
    folders = desired.folders.get(host.name, {})
    facts = hosts.host_facts(host.name, folders, probes=wanted.probes)
    image, probe = None, None
    measured: tuple[Calibration, ...] = ()
    if not facts.problem:
        try:
            local = hosts.local_images(host.name)
            image = probe_image(desired, host.name, local)
        except DaemonError as cause:
            facts = replace(facts, problem=cause.message, next_step=cause.next_step)
    if wanted.probes and image:
        report(Note(f"probe: reading {host.name} in a temporary container of {image.reference} …"))
        probe = _probe(hosts, host, image, folders)
        if wanted.calibrates and not probe.problem:
            images = images_to_calibrate(desired, host.name, local) or [image]
            measured = tuple(calibrations(host, probe, images, hosts, report))
    uses_gpus = any(i.gpu_count or i.spec.container.gpus for i in desired.instances if i.host == host.name)
    known = tuple(findings(host, facts, probe, wanted.command, needs_gpus=bool(host.gpus) or uses_gpus))
    known += tuple(uncalibrated(measured))
    problems_first = tuple(sorted(known, key=lambda finding: not finding.is_problem))
    reference = image.reference if image else ""
    return HostReport(host, facts, reference, probe, folders_of(facts, probe), problems_first, measured)


def _probe(hosts: Hosts, host: Host, image: ImageFacts, folders: Mapping[str, str]) -> HostProbe:
    try:
        return hosts.probe_host(host.name, image, folders)
    except DaemonError as cause:
        return HostProbe(image.reference, problem=cause.message)


def probe_image(desired: Desired, host: str, local: Mapping[str, ImageFacts]) -> ImageFacts | None:
    """An image on the host that has python3: one of the stack's, else one with the engine's name."""
    known = {local_name(reference): facts for reference, facts in local.items()}
    for reference in (*_references(desired, host), *sorted(n for n in known if DEFAULT in n)):
        if facts := known.get(local_name(reference)):
            return facts
    return None


def _references(desired: Desired, host: str) -> Iterator[str]:
    """The stack's images; those of the host come first."""
    for instance in sorted(desired.instances, key=lambda i: (i.host != host, i.address)):
        yield instance.spec.container.image
