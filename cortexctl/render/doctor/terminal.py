"""The hosts as text: a block of aligned lines per host, then its problems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.observed.host_facts import DaemonFacts, Disk, FolderFacts, HostFacts
from cortexctl.observed.host_paths import PathFacts
from cortexctl.observed.host_probe import GpuFacts, HostProbe
from cortexctl.operations.results import DoctorReport, GpuEdit, HostFinding, HostReport
from cortexctl.render.sanitise import all_visible, visible
from cortexctl.render.style import Ink
from cortexctl.render.text_diff import patch_text
from cortexctl.text.units import show_bytes, show_seconds, show_short

WIDTH = len("models_dir")
"""Characters of the longest label."""

Row = tuple[str, str]
"""A label and its text. Without a label, the text continues the row above."""


def doctor_text(report: DoctorReport, ink: Ink) -> str:
    """Ends with the number of hosts that have a problem."""
    blocks = [_block(all_visible(host), ink) for host in report.hosts]
    return "\n".join([*blocks, _end(report, ink) + _hint(report)])


def edit_text(edit: GpuEdit, ink: Ink, *, written: bool) -> str:
    """The edits as a patch. `written`: whether they are in the file already. Empty if there is nothing to edit."""
    parts = []
    if edit.has_edits:
        heading = "Written:" if written else "A patch (--write makes these changes):"
        patch = patch_text(edit.stack, edit.old_text, edit.new_text, context=0)  # other lines may hold a secret
        parts.append(ink(heading, "bold") + "\n" + patch)
    if edit.by_hand:
        parts.append(ink("By hand:", "bold") + "\n" + "".join(f"  {line}\n" for line in edit.sentences))
    return "".join(f"\n{part}" for part in parts)


def _block(host: HostReport, ink: Ink) -> str:
    lines = [ink(host.host.name, "bold")]
    for label, text in _rows(host):
        lines.append(f"  {ink(label.ljust(WIDTH), 'dim')}  {text}")
    for finding in host.findings:
        lines += _finding(finding, ink)
    return "\n".join(lines) + "\n"


def _finding(finding: HostFinding, ink: Ink) -> Iterator[str]:
    mark, style = ("Problem:", "red") if finding.is_problem else ("Note:   ", "yellow")
    yield f"  {ink(mark, style)} {finding.text}"
    yield from (f"           - {detail}" for detail in finding.details)
    if finding.next_step:
        yield f"  Next:    {finding.next_step}"


def _end(report: DoctorReport, ink: Ink) -> str:
    bad, all_ = sum(host.has_problem for host in report.hosts), len(report.hosts)
    if not bad:
        return f"{'The host has' if all_ == 1 else f'The {all_} hosts have'} no problem.\n"
    if all_ == 1:
        return ink("The host has a problem.", "red") + "\n"
    return ink(f"{bad} of {all_} hosts {'has a problem' if bad == 1 else 'have problems'}.", "red") + "\n"


def _hint(report: DoctorReport) -> str:
    """How to read the rest, if there is an image to read it with."""
    if report.probed or not any(host.image for host in report.hosts):
        return ""
    rest = "GPUs and free disk are read in a temporary container of an image that is on the host:"
    return f"{rest}\n  {visible(report.command)} --probe\n"


def _rows(host: HostReport) -> Iterator[Row]:
    facts, probe = host.facts, host.probe
    yield "transport", transport_text(facts)
    if facts.daemon is None:
        return
    daemon = facts.daemon
    yield "daemon", f"{daemon.product} {daemon.version or 'of an unknown version'}, API {daemon.api}"
    yield "system", _system(daemon)
    if facts.paths is not None:
        yield "reach", reach_text(facts.paths)
    yield "clock", clock_text(facts.clock_offset)
    yield "images", _images(daemon, probe)
    for folder in host.folders:
        yield folder.key, folder_text(folder)
    yield "toolkit", toolkit_text(daemon)
    yield from _gpus(host)


def transport_text(facts: HostFacts) -> str:
    """'ssh://ops@gpu-1 (ssh); a request takes 18ms'."""
    if facts.transport == "none":
        return facts.docker
    url = facts.url if facts.docker == facts.url else f"{facts.docker} = {facts.url}"
    return f"{url} ({facts.transport})" + (f"; a request takes {_duration(facts.round_trip)}" if facts.daemon else "")


def _duration(seconds: float) -> str:
    return show_short(seconds) if seconds >= 0.001 else "less than 1ms"


def reach_text(paths: PathFacts) -> str:
    """'auto: from inside a container; its own address over ssh' - the paths that `reach` allows and that work."""
    works = []
    if paths.mode != "direct" and not paths.exec_problem:
        works.append("from inside a container" + (" (not tested)" if paths.exec_problem is None else ""))
    if paths.mode != "exec" and paths.direct and not paths.direct_problem:
        works.append(f"its own address {paths.direct}")
    return f"{paths.mode}: " + ("; ".join(works) or "no path works")


def clock_text(offset: float | None) -> str:
    """The daemon's clock against ours."""
    if offset is None:
        return "not known: the daemon sends no time"
    if abs(offset) < 1:
        return "equal to this machine's, to a second"
    return f"{show_seconds(abs(offset))} {'ahead of' if offset > 0 else 'behind'} this machine's"


def folder_text(folder: FolderFacts) -> str:
    """'/srv/models: readable; 1.2 TiB of 3.5 TiB free'."""
    through = f" through {folder.container}" if folder.container else ""
    match folder.state:
        case "unknown":
            state = "not known until a container mounts it"
            state += f" ({folder.detail})" if folder.detail else ""
        case "missing":
            state = "does not exist"
        case "unreadable":
            state = "not readable by a container"
        case "empty":
            state = f"empty{through}"
        case "readable":
            state = f"readable{through}"
    return f"{folder.path}: {state}" + (f"; {disk_text(folder.disk)}" if folder.disk else "")


def disk_text(disk: Disk) -> str:
    return f"{show_bytes(disk.free)} of {show_bytes(disk.total)} free"


def toolkit_text(daemon: DaemonFacts) -> str:
    """The ways to give GPUs to a container."""
    ways = ["the runtime nvidia"] if daemon.has_nvidia_runtime else []
    if daemon.cdi_gpus:
        ways.append(f"CDI: {', '.join(daemon.cdi_gpus)}")
    return "; ".join(ways) or "none: the daemon lists neither the runtime nvidia nor a GPU of CDI"


def _system(daemon: DaemonFacts) -> str:
    parts = [daemon.system or "unknown", daemon.architecture, f"kernel {daemon.kernel}" if daemon.kernel else ""]
    parts += [
        f"{daemon.cpus} CPUs" if daemon.cpus else "",
        f"{show_bytes(daemon.memory)} memory" if daemon.memory else "",
    ]
    parts += ["rootless" if daemon.is_rootless else ""]
    return ", ".join(part for part in parts if part)


def _images(daemon: DaemonFacts, probe: HostProbe | None) -> str:
    where = f" in {daemon.images_dir}" if daemon.images_dir else ""
    known = probe.images_disk if probe else None
    free = disk_text(known) if known else "free disk not read"
    return f"{daemon.storage or 'unknown storage driver'}{where}; {free}"


def _gpus(host: HostReport) -> Iterator[Row]:
    probe = host.probe
    if probe is None:
        no_image = "no image on the host can read them; pull one of the stack's"
        yield "GPUs", "not read" if host.image else f"not read: {no_image}"
    elif not probe.gpus:
        yield "GPUs", "not read" if probe.problem else f"a container gets none: {probe.gpu_problem}"
    else:
        for at, line in enumerate(gpu_lines(probe)):
            yield "" if at else "GPUs", line
    for calibration in host.calibrations:
        if calibration.card:
            yield "measured", calibration_text(calibration.card)


def calibration_text(card: MeasuredCard) -> str:
    """'vLLM 0.26.0: 230 MiB outside torch, 32 MiB workspace, 139.3 GiB free when idle'."""
    parts = [
        f"{show_bytes(card.outside_torch)} outside torch" if card.outside_torch is not None else "",
        f"{show_bytes(card.workspace)} workspace" if card.workspace is not None else "",
        f"{card.graph / 2**20:.2f} MiB for each CUDA graph of a layer" if card.graph is not None else "",
        f"{show_bytes(card.free)} free when idle" if card.free is not None else "",
        f"{card.multiprocessors} multiprocessors" if card.multiprocessors else "",
        f"{show_bytes(card.l2)} L2 cache" if card.l2 else "",
    ]
    return f"vLLM {card.release}: " + (", ".join(part for part in parts if part) or "no constant")


def gpu_lines(probe: HostProbe) -> Iterator[str]:
    """Equal GPUs are one line."""
    gpus = probe.gpus
    kinds = dict.fromkeys((g.name, g.memory, g.capability) for g in gpus)
    for name, memory, capability in kinds:
        same = [g for g in gpus if (g.name, g.memory, g.capability) == (name, memory, capability)]
        subject = f"{len(same)} x" if len(kinds) == 1 else f"GPU {_numbers(same)}:"
        size = show_bytes(memory) + (" each" if len(same) > 1 else "") if memory else "memory not known"
        known = f"compute capability {capability or 'not known'}"
        yield f"{subject} {name or 'without a name'}, {size}, {known}"
    drivers = ", ".join(dict.fromkeys(g.driver for g in gpus))
    yield f"driver {drivers}" + (f", CUDA up to {probe.cuda}" if probe.cuda else ", CUDA version not known")
    yield f"free memory: {_free(gpus)}"
    if len(gpus) > 1:
        yield _links(probe)


def _free(gpus: Sequence[GpuFacts]) -> str:
    if any(g.free is None for g in gpus):
        return "not known"
    shown = [show_bytes(g.free or 0) for g in gpus]
    if len(set(shown)) == 1:
        return shown[0] + (" each" if len(gpus) > 1 else "")
    return ", ".join(f"GPU {g.index} {text}" for g, text in zip(gpus, shown, strict=True))


def _links(probe: HostProbe) -> str:
    pairs = probe.nvlinks
    if not pairs:
        return "no NVLink between them"
    count = len(probe.gpus) * (len(probe.gpus) - 1) // 2
    widths = {links for _, _, links in pairs}
    if len(pairs) == count and len(widths) == 1:
        which = "them," if count == 1 else "all pairs, each"
        return f"NVLink between {which} {_link_count(widths.pop())}"
    return "NVLink: " + ", ".join(f"{a}-{b} ({_link_count(links)})" for a, b, links in pairs)


def _link_count(links: int) -> str:
    return f"{links} {'link' if links == 1 else 'links'}"


def _numbers(gpus: Sequence[GpuFacts]) -> str:
    return ", ".join(str(g.index) for g in gpus)
