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
    return {"accepted": verdict.accepted, **dataclasses.asdict(verdict), "at_start": at_start}


def verdict_text(verdict: Verdict) -> str:
    if not verdict.accepted:
        return "\n".join([f"vLLM {verdict.release} refuses it:", *(f"  {visible(line)}" for line in verdict.refused)])
    lines = [f"vLLM {verdict.release} accepts it."]
    for finding in verdict.at_start:
        lines += [f"  {'Error' if finding.fatal else 'Warning'}[{finding.rule}] {finding.summary}"]
        lines += [f"    help: {finding.help}"] if finding.help else []
    return "\n".join(map(visible, lines))
