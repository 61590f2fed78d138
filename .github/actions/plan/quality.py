# ruff: noqa: INP001 - separate scripts, not a package
"""SARIF on standard input, GitLab's Code Quality report on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

SEVERITY = {"error": "major", "warning": "minor"}


def finding(result: Mapping[str, Any]) -> dict[str, Any]:
    place = result["locations"][0]["physicalLocation"]
    return {
        "check_name": result["ruleId"],
        "description": f"{result['ruleId']}: {result['message']['text']}",
        "fingerprint": result["partialFingerprints"]["cortexctl/v1"],
        "severity": SEVERITY.get(result["level"], "info"),
        "location": {
            "path": unquote(place["artifactLocation"]["uri"]),
            "lines": {"begin": place["region"]["startLine"]},
        },
    }


if __name__ == "__main__":
    findings = [finding(result) for run in json.load(sys.stdin)["runs"] for result in run["results"]]
    json.dump(findings, sys.stdout, indent=2)
