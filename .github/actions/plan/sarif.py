# ruff: noqa: INP001 - separate scripts, not a package
"""Sends what `cortexctl validate --format sarif` found to GitHub, which writes it beside the lines."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forge import Busy, Refused, error, notice, patiently, send


def main(file: str, stack: str, env: str, environ: Mapping[str, str]) -> int:
    """Findings are a service: a repository where nobody can take them does not fail for it."""
    commit, ref = checked_out(environ)
    content = {"commit_sha": commit, "ref": ref, "sarif": packed(file, stack, env), "tool_name": "cortexctl"}
    url = f"{environ['GITHUB_API_URL']}/repos/{environ['GITHUB_REPOSITORY']}/code-scanning/sarifs"
    headers = {
        "Authorization": f"Bearer {environ.get('GITHUB_TOKEN', '')}",
        "Accept": "application/vnd.github+json",
    }
    try:
        patiently(lambda: send("POST", url, headers, content))
    except Refused as cause:
        if cause.status in {403, 404}:
            notice(
                f"the findings were not sent to code scanning ({cause}): it is off in this repository, or the token "
                "lacks security-events: write, as it does in a pull request from a fork"
            )
            return 0
        error(f"code scanning did not take the findings ({cause}): switch them off with `sarif: false`")
        return 1
    except Busy as cause:
        error(f"the findings could not be sent ({cause}): run the job again when GitHub answers")
        return 1
    return 0


def packed(file: str, stack: str, env: str) -> str:
    """In a category of its own for each stack and environment, or one that is sent would close the others' alerts."""
    document: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    for run in document["runs"]:
        run["automationDetails"] = {"id": "/".join(["cortexctl", stack, *filter(None, [env]), ""])}
    return base64.b64encode(gzip.compress(json.dumps(document).encode(), mtime=0)).decode()


def checked_out(environ: Mapping[str, str]) -> tuple[str, str]:
    """The commit whose lines are meant. A workflow may have checked out the head of a pull request, not its merge."""
    commit, ref = environ["GITHUB_SHA"], environ["GITHUB_REF"]
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    head = done.stdout.strip()
    if done.returncode == 0 and head != commit and ref.startswith("refs/pull/"):
        return head, ref.removesuffix("/merge").removesuffix("/head") + "/head"
    return commit, ref


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], os.environ))
