"""The hosts as JSON, in the published form (schemas/doctor.schema.json)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cortexctl.observed.host_facts import FolderFacts, HostFacts
from cortexctl.observed.host_paths import PathFacts
from cortexctl.observed.host_probe import HostProbe
from cortexctl.operations.results import Calibration, DoctorReport, GpuEdit, HostReport
from cortexctl.render.text_diff import patch_text

FORMAT_VERSION = "1.0"

Object = dict[str, Any]


def doctor_json(report: DoctorReport, edit: GpuEdit | None = None) -> Object:
    """Sizes in bytes, times in seconds. An unknown fact is null. `edit`: the GPUs of a probe, for the stack."""
    return {
        "format_version": FORMAT_VERSION,
        "stack": report.stack,
        "probed": report.probed,
        "hosts": [_host(host) for host in report.hosts],
        "patch": patch_text(edit.stack, edit.old_text, edit.new_text, context=0) if edit else "",
        "manual_edits": list(edit.sentences) if edit else [],
    }


def _host(host: HostReport) -> Object:
    facts = host.facts
    return {
        "name": host.host.name,
        "docker": facts.docker,
        "url": facts.url,
        "transport": facts.transport,
        "has_problem": host.has_problem,
        "daemon": asdict(facts.daemon) | {"cdi_gpus": list(facts.daemon.cdi_gpus)} if facts.daemon else None,
        "reach": _reach(facts.paths) if facts.paths else None,
        **_timing(facts),
        "folders": [_folder(folder) for folder in host.folders],
        "probe_image": host.image,
        "probe": _probe(host.probe) if host.probe else None,
        "calibrations": [_calibration(one) for one in host.calibrations],
        "findings": [asdict(finding) | {"details": list(finding.details)} for finding in host.findings],
    }


def _calibration(one: Calibration) -> Object:
    return {"image": one.image, "gpu": one.gpu, "problem": one.problem, "card": asdict(one.card) if one.card else None}


def _reach(paths: PathFacts) -> Object:
    return {
        "mode": paths.mode,
        "exec_problem": paths.exec_problem,
        "direct": paths.direct,
        "direct_problem": paths.direct_problem,
    }


def _timing(facts: HostFacts) -> Object:
    known, offset = facts.daemon is not None, facts.clock_offset
    return {
        "round_trip_seconds": round(facts.round_trip, 6) if known else None,
        "clock_offset_seconds": round(offset, 1) if offset is not None else None,
    }


def _folder(folder: FolderFacts) -> Object:
    return asdict(folder)


def _probe(probe: HostProbe) -> Object:
    return {
        "gpus": [asdict(gpu) for gpu in probe.gpus],
        "cuda": probe.cuda,
        "nvlinks": [{"gpus": [first, second], "links": links} for first, second, links in probe.nvlinks],
        "images_disk": asdict(probe.images_disk) if probe.images_disk else None,
        "gpu_problem": probe.gpu_problem,
        "problem": probe.problem,
    }
