"""A release's verdict on a command line, as text and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from cortexctl.engines.base import Verdict
from cortexctl.render.sanitise import visible


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    at_start = [
        {"argument": f.argument, "rule": f.rule, "text": f.summary, "help": f.help, "error": f.fatal}
        for f in verdict.at_start
    ]
    fields = {**dataclasses.asdict(verdict), "at_start": at_start}
    return {"accepted": verdict.accepted, "starts": verdict.starts, **fields}


def verdict_text(verdict: Verdict) -> str:
    lines = [_first_line(verdict), *(f"  {line}" for line in (*verdict.refused, *verdict.unclear))]
    for finding in verdict.at_start:
        lines += [f"  {'Error' if finding.fatal else 'Warning'}[{finding.rule}] {finding.summary}"]
        lines += [f"    help: {finding.help}"] if finding.help else []
    return "\n".join(map(visible, lines))


def _first_line(verdict: Verdict) -> str:
    if verdict.refused:
        return f"vLLM {verdict.release} refuses it:"
    if verdict.starts is False:
        return f"vLLM {verdict.release} refuses it at its start, after its parser:"
    if verdict.unclear:
        return f"Unknown whether vLLM {verdict.release} accepts it:"
    return f"vLLM {verdict.release} accepts it."
