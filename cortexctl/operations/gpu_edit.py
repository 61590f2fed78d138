"""`doctor --write`: the GPUs that a probe found, in the stack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.errors import UsageError
from cortexctl.files.atomic import write_atomic
from cortexctl.files.reading import NotRead, read_text
from cortexctl.observed.host_probe import MIB, HostProbe
from cortexctl.operations.host_findings import contradictions, differing
from cortexctl.operations.results import DoctorReport, GpuEdit, HostReport


def plan_gpu_edit(stack: str, env: str, report: DoctorReport) -> GpuEdit:
    """Nothing is written. Declared values that agree with the host stay. Raises UsageError for an unreadable stack."""
    from cortexctl.stack.document import UnreadableDocument
    from cortexctl.stack.edit.change import CannotEdit
    from cortexctl.stack.edit.host_gpus import with_gpus, with_measured

    try:
        before = text = read_text(stack)
    except NotRead as cause:
        raise UsageError(f"{stack} cannot be read: {cause}") from None
    by_hand: dict[str, str] = {}
    for host in report.hosts:
        if host.probe is None or not host.probe.gpus:
            continue
        if differing(host.probe.gpus):
            by_hand[host.host.name] = "its GPUs differ; declare those that the stack may use"
            continue
        try:
            text = with_gpus(stack, text, env, host.host.name, missing_or_wrong(host, host.probe))
            for card in (c.card for c in host.calibrations if c.card):
                text = with_measured(stack, text, env, host.host.name, card.release, constants_table(card))
        except CannotEdit as cause:
            by_hand[host.host.name] = str(cause)
        except UnreadableDocument as cause:
            raise UsageError(f"{stack}: {cause}") from None
    return GpuEdit(stack, before, text, by_hand)


def write_gpu_edit(edit: GpuEdit, report: DoctorReport) -> DoctorReport:
    """Write the edits to the stack file. The report without the problems that this fixes. Raises UsageError."""
    if edit.has_edits:
        write_atomic(edit.stack, edit.new_text)
    return replace(report, hosts=tuple(_fixed(h) if h.host.name not in edit.by_hand else h for h in report.hosts))


def _fixed(host: HostReport) -> HostReport:
    return replace(host, findings=tuple(finding for finding in host.findings if not finding.is_fixable))


def missing_or_wrong(report: HostReport, probe: HostProbe) -> dict[str, Any]:
    """The keys of `gpus` that the stack lacks, or that contradict the host."""
    host, gpu = report.host, probe.gpus[0]
    wrong = contradictions(host, probe.gpus)
    actual: dict[str, tuple[object, int | str]] = {
        "count": (host.gpus, len(probe.gpus)),
        "name": (host.gpu_name, gpu.name),
        "memory": (host.gpu_memory, f"{gpu.memory // MIB} MiB" if gpu.memory else ""),
        "compute_capability": (host.gpu_capability, gpu.capability),
    }
    return {key: value for key, (declared, value) in actual.items() if value and (not declared or key in wrong)}


def constants_table(card: MeasuredCard) -> dict[str, Any]:
    """The table of the stack; constants that were not measured are omitted."""
    sizes = ("free", "outside_torch", "workspace", "graph")
    table: dict[str, Any] = {"driver": card.driver} if card.driver else {}
    table |= {name: exact_size(size) for name in sizes if (size := getattr(card, name)) is not None}
    table |= {"multiprocessors": card.multiprocessors} if card.multiprocessors else {}
    return table | ({"l2": exact_size(card.l2)} if card.l2 else {})


def exact_size(size: int) -> str:
    """In MiB if that is a whole number, else in KiB, else in bytes."""
    for unit, bytes_ in (("MiB", MIB), ("KiB", 1024)):
        if size % bytes_ == 0:
            return f"{size // bytes_} {unit}"
    return f"{size} B"
