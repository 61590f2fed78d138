"""`doctor --calibrate`: constants of a host's GPUs, from a start of a small model on one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.desired.stack import Desired, Host
from cortexctl.engines.vllm.memory.calibration import (
    ENVIRONMENT,
    NEEDED,
    NotCalibrated,
    read_constants,
    settings,
)
from cortexctl.errors import DaemonError
from cortexctl.instance.image import local_name
from cortexctl.observed.host import ImageFacts
from cortexctl.observed.host_probe import GpuFacts, HostProbe
from cortexctl.operations.host_findings import differing
from cortexctl.operations.notes import Note, Report
from cortexctl.operations.results import Calibration
from cortexctl.text.units import GIB, show_bytes

IDLE = 0.9
"""The free part of the memory of a GPU that counts as idle: what others use would be measured, too."""


class GpuHosts(Protocol):
    """Implemented by `hosts.fleet.DockerDaemons`."""

    def calibrate_gpu(self, host: str, image: str, settings: str, gpu: int | None, env: Mapping[str, str]) -> str: ...


def calibrations(
    host: Host, probe: HostProbe, images: Sequence[ImageFacts], hosts: GpuHosts, report: Report
) -> Iterator[Calibration]:
    """One for each image, one after the other."""
    for image in images:
        gpu = idle_gpu(probe.gpus)
        if isinstance(gpu, str):
            yield Calibration(image.reference, problem=gpu)
            return
        report(Note(f"calibration: starting a small model from {image.reference} on GPU {gpu.index} of {host.name} …"))
        try:
            output = hosts.calibrate_gpu(host.name, image.id, settings(gpu.memory or 0), gpu.index, ENVIRONMENT)
            shown = read_constants(output)
        except DaemonError as cause:
            yield Calibration(image.reference, gpu.index, problem=cause.message)
        except NotCalibrated as cause:
            yield Calibration(image.reference, gpu.index, problem=str(cause))
        else:
            card = MeasuredCard(
                shown.release,
                gpu.driver,
                shown.free,
                shown.outside_torch,
                shown.workspace,
                shown.graph,
                shown.multiprocessors,
                shown.l2,
            )
            yield Calibration(image.reference, gpu.index, card)


def idle_gpu(gpus: Sequence[GpuFacts]) -> GpuFacts | str:
    """The first GPU that nothing uses, or why there is none."""
    if not gpus:
        return "the host gives no GPU to containers"
    if differing(tuple(gpus)):
        return "its GPUs differ, and the stack describes one kind for each host"
    known = [gpu for gpu in gpus if gpu.memory and gpu.free is not None]
    idle = [gpu for gpu in known if (gpu.free or 0) >= IDLE * (gpu.memory or 0)]
    if not idle:
        most = max((gpu.free or 0 for gpu in known), default=0)
        return f"no GPU is idle: the largest free memory is {show_bytes(most)}, and {IDLE:.0%} of a GPU must be free"
    if (idle[0].free or 0) < NEEDED + GIB:
        return f"the small model needs {show_bytes(NEEDED + GIB)}"
    return idle[0]


def images_to_calibrate(desired: Desired, host: str, local: Mapping[str, ImageFacts]) -> list[ImageFacts]:
    """The images of the host's models that the host has, each once, in the order of the models."""
    known = {local_name(reference): facts for reference, facts in local.items()}
    wanted = {
        local_name(i.spec.container.image): None
        for i in sorted(desired.instances, key=lambda i: i.address)
        if i.host == host and (i.gpu_count or i.spec.container.gpus)
    }
    return [known[name] for name in wanted if name in known]
