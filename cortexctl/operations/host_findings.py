"""What a host lacks, and what its user should know: from the facts alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from cortexctl.desired.stack import Host
from cortexctl.observed.host_facts import DaemonFacts, FolderFacts, HostFacts
from cortexctl.observed.host_paths import PathFacts
from cortexctl.observed.host_probe import GpuFacts, HostProbe
from cortexctl.operations.results import Calibration, HostFinding
from cortexctl.text.units import GIB, show_bytes, show_seconds

LARGEST_OFFSET = 30
"""Seconds by which two clocks may differ; certificates and times in logs need not be closer."""
SMALLEST_FREE = 20 * GIB
"""Bytes; an image of vLLM needs about this much while it is pulled."""
PODMAN = (
    "it cannot change limits or the restart policy of a container; such a change needs --replace",
    "a new container has its restart policy before its gate, so one that fails may start a few times",
    "it drops a request for GPUs; cortexctl refuses to create such a container",
    "each request from inside a container leaves two small processes on the host for five minutes",
    "it has a new id in each answer, so two hosts that are one daemon are not recognised",
    "no container starts again after a restart of the host, until the next cortexctl apply",
)
"""The differences that were measured with Podman 4.3.1."""
INSTALL_TOOLKIT = "install the NVIDIA container toolkit there, then: nvidia-ctk runtime configure --runtime=docker"


def findings(
    host: Host, facts: HostFacts, probe: HostProbe | None, command: str, *, needs_gpus: bool
) -> Iterator[HostFinding]:
    """`needs_gpus`: whether the stack declares GPUs of the host, or a model that uses some. `command`: the command line
    that reads the same hosts without a probe.
    """
    if facts.problem:
        yield HostFinding(facts.problem, facts.next_step, is_problem=True)
    if facts.daemon and facts.daemon.product == "Podman":
        yield HostFinding(
            "Podman differs from Docker; these differences were measured with Podman 4.3.1:", details=PODMAN
        )
    if facts.clock_offset is not None and abs(facts.clock_offset) > LARGEST_OFFSET:
        where = "ahead of" if facts.clock_offset > 0 else "behind"
        yield HostFinding(
            f"its clock is {show_seconds(abs(facts.clock_offset))} {where} this machine's",
            "synchronise both clocks: timedatectl set-ntp true",
            is_problem=True,
        )
    yield from _paths(facts.paths)
    yield from _folders(folders_of(facts, probe))
    if probe is None:
        if facts.daemon and needs_gpus and not _has_toolkit(facts.daemon):
            yield HostFinding(
                "its daemon lists neither the runtime nvidia nor a GPU, so containers may get no GPUs",
                f"{command} --probe",
            )
        return
    if probe.problem:
        yield HostFinding(f"the probe failed: {probe.problem}", is_problem=True)
    elif needs_gpus and not probe.gpus:
        yield HostFinding(f"a container gets no GPUs: {probe.gpu_problem}", INSTALL_TOOLKIT, is_problem=True)
    if probe.images_disk and probe.images_disk.free < SMALLEST_FREE:
        yield HostFinding(
            f"only {show_bytes(probe.images_disk.free)} are free for images; an image of vLLM needs about 20 GiB",
            f"on {host.name}: docker image prune; or move its data-root to a larger disk",
        )
    yield from _declared(host, probe, f"{command} --probe --write")


def folders_of(facts: HostFacts, probe: HostProbe | None) -> tuple[FolderFacts, ...]:
    """The folders of a host; a probe knows more than the containers of the stack."""
    probed = {folder.key: folder for folder in probe.folders if folder.state != "unknown"} if probe else {}
    return tuple(probed.get(folder.key, folder) for folder in facts.folders)


def differing(gpus: tuple[GpuFacts, ...]) -> bool:
    """Whether one description does not fit all."""
    return len({(g.name, g.memory, g.capability) for g in gpus}) > 1


def _folders(folders: tuple[FolderFacts, ...]) -> Iterator[HostFinding]:
    for folder in folders:
        match folder.state:
            case "missing":
                yield HostFinding(
                    f"{folder.key} {folder.path} does not exist on the host",
                    f"create it there, or correct {folder.key} in the stack",
                    is_problem=True,
                )
            case "unreadable":
                yield HostFinding(
                    f"{folder.key} {folder.path} cannot be read by a container ({folder.detail or 'no reason given'})",
                    f"make it readable on the host: chmod -R a+rX {shlex.quote(folder.path)}",
                    is_problem=True,
                )
            case "empty" if folder.key == "models_dir":
                yield HostFinding(f"{folder.key} {folder.path} is empty: no model can be loaded from it")


def _paths(paths: PathFacts | None) -> Iterator[HostFinding]:
    problem, next_step = paths.blocked() if paths else ("", "")
    if problem:
        yield HostFinding(f"no server in a container can be reached: {problem}", next_step, is_problem=True)


def _has_toolkit(daemon: DaemonFacts) -> bool:
    return daemon.has_nvidia_runtime or bool(daemon.cdi_gpus)


def contradictions(host: Host, gpus: tuple[GpuFacts, ...]) -> dict[str, tuple[str, str]]:
    """Key of the stack's `gpus` -> the declared value and the host's own. GPUs that differ have only a count."""
    wrong = {}
    if host.gpus is not None and host.gpus != len(gpus):
        wrong["count"] = (str(host.gpus), str(len(gpus)))
    if differing(gpus):
        return wrong
    gpu = gpus[0]
    if host.gpu_name and _plain(host.gpu_name) not in _plain(gpu.name):
        wrong["name"] = (host.gpu_name, gpu.name)
    if host.gpu_memory and gpu.memory and abs(host.gpu_memory - gpu.memory) > GIB:
        wrong["memory"] = (show_bytes(host.gpu_memory), show_bytes(gpu.memory))
    if host.gpu_capability and gpu.capability and host.gpu_capability != gpu.capability:
        wrong["compute_capability"] = (host.gpu_capability, gpu.capability)
    return wrong


def _declared(host: Host, probe: HostProbe, fix: str) -> Iterator[HostFinding]:
    """Differences between the declared GPUs and the host's own. `fix`: the command that corrects the stack."""
    if not probe.gpus:
        return
    if differing(probe.gpus):
        yield HostFinding("its GPUs differ, so one `gpus` of the stack cannot describe all of them")
    if wrong := contradictions(host, probe.gpus):
        details = (f"{key}: the stack has {declared}, the host {actual}" for key, (declared, actual) in wrong.items())
        text = "the stack declares other GPUs than the host has:"
        yield HostFinding(text, fix, tuple(details), is_problem=True, is_fixable=True)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def uncalibrated(measured: Sequence[Calibration]) -> Iterator[HostFinding]:
    """Why constants could not be measured."""
    for one in measured:
        if one.problem:
            yield HostFinding(f"not calibrated with {one.image}: {one.problem}", is_problem=True)
