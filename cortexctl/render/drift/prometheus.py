"""A drift report as Prometheus' text exposition format 0.0.4, for a textfile collector.

Counts of all requested kinds are always present, zeros too: an alert on a series that comes and goes is unreliable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cortexctl.operations.results import Durations
from cortexctl.plan.drift.finding import DriftReport, Finding
from cortexctl.render.drift.phrases import kinds_counted

MOST_SERIES = 200
"""Findings with a series of their own. The number of the others is a series, too."""
_NAMED = "cortexctl_drift"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def drift_prometheus(report: DriftReport, durations: Durations) -> str:
    """All series carry the stack and its environment (empty without one)."""
    own = {"stack": report.stack, "env": report.env}
    lines: list[str] = []
    for name, text, samples in _metrics(report, durations):
        lines += [f"# HELP {_NAMED}_{name} {text}", f"# TYPE {_NAMED}_{name} gauge"]
        lines += [f"{_NAMED}_{name}{_braces({**own, **labels})} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _metrics(report: DriftReport, durations: Durations) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    yield (
        "findings",
        "Findings of the last check, by kind; containers of others are only counted.",
        [({"kind": kind.value}, number) for kind, number in kinds_counted(report)],
    )
    series = list(dict.fromkeys(_series(f) for f in report.to_report()))
    yield (
        "finding",
        f"1 for each finding, the first {MOST_SERIES} of them.",
        [(dict(labels), 1) for labels in series[:MOST_SERIES]],
    )
    yield "findings_without_series", "Findings beyond those.", [({}, max(len(series) - MOST_SERIES, 0))]
    checked = len(report.hosts) - len(report.unreachable) - len(report.busy)
    yield (
        "hosts",
        "Hosts of the last check: checked, unreachable, or busy because an apply was running there.",
        [
            ({"state": "checked"}, checked),
            ({"state": "unreachable"}, len(report.unreachable)),
            ({"state": "busy"}, len(report.busy)),
        ],
    )
    yield "instances", "Instances that were checked.", [({}, report.instances)]
    yield (
        "servers",
        "Servers whose health was checked, and those whose health could not be checked.",
        [({"health": "checked"}, report.checked), ({"health": "unchecked"}, len(report.unchecked))],
    )
    yield "ignored", "Findings that the stack ignores.", [({}, report.ignored)]
    yield "deep", "1 if containers were inspected, too.", [({}, float(report.deep))]
    yield "last_run_timestamp_seconds", "Time of the last check.", [({}, durations.at)]
    yield "duration_seconds", "Duration of the last check.", [({}, round(durations.seconds, 3))]


def _series(f: Finding) -> tuple[tuple[str, str], ...]:
    """The labels that distinguish findings. Values are not labels: the number of series would be unbounded."""
    return (
        ("kind", f.kind.value),
        ("code", f.code.value),
        ("host", f.host),
        ("subject", f.subject),
        ("container", f.container),
        ("path", f.path),
    )


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """Escaped as the format requires. A lone surrogate is replaced, because it has no UTF-8 form."""
    plain = value.encode("utf-8", "replace").decode()
    return plain.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
