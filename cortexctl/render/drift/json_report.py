"""A drift report for machines, for --format json and --notify. Its schema is published."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cortexctl.operations.results import Durations
from cortexctl.plan.drift.finding import FORMAT_VERSION, CheckedHost, DriftReport, Finding
from cortexctl.render.drift.phrases import finding_text, kinds_counted, next_step
from cortexctl.text.json_text import json_text


def drift_json(report: DriftReport, durations: Durations) -> str:
    """Stable except for the times: the same findings give the same `digest`."""
    return json_text(drift_to_dict(report, durations), 2) + "\n"


def drift_to_dict(report: DriftReport, durations: Durations) -> dict[str, Any]:
    findings = [_finding(f, report) for f in report.findings]
    return {
        "format_version": FORMAT_VERSION,
        "stack": {
            "name": report.stack,
            "path": report.stack_path,
            "digest": report.stack_digest,
            "env": report.env,
        },
        "checked": {"at": durations.at, "seconds": round(durations.seconds, 3), "deep": report.deep},
        "selection": list(report.selection),
        "counts": {kind.value: number for kind, number in kinds_counted(report)},
        "hosts": [_host(h) for h in report.hosts],
        "findings": findings,
        "health": {
            "enabled": report.health_checked,
            "checked": report.checked,
            "unchecked": [{"subject": n.subject, "why": n.why} for n in report.unchecked],
        },
        "notes": [{"subject": n.subject, "text": n.text} for n in report.notes],
        "ignored": report.ignored,
        "unknown_secrets": report.unknown_secrets,
        "digest": hashlib.sha256(json.dumps(findings, sort_keys=True).encode()).hexdigest(),
    }


def _finding(f: Finding, report: DriftReport) -> dict[str, Any]:
    return {
        "kind": f.kind.value,
        "code": f.code.value,
        "host": f.host,
        "subject": f.subject,
        "model": f.model,
        "container": f.container,
        "path": f.path,
        "expected": f.expected,
        "actual": f.actual,
        "detail": f.detail,
        "summary": finding_text(f),
        "next_step": next_step(f, report),
    }


def _host(host: CheckedHost) -> dict[str, Any]:
    busy = host.busy
    return {
        "name": host.name,
        "daemon": host.daemon,
        "instances": host.instances,
        "problem": host.problem,
        "busy": None
        if busy is None
        else {"user": busy.who, "machine": busy.machine_name, "pid": busy.pid, "run": busy.run, "since": busy.started},
    }
