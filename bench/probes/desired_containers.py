"""The containers of a stack right after an apply: `desired_containers.py STACK CONTAINERS [SNAPSHOT]` writes, for each
host, their names, labels, images and networks as JSON, and the same as a snapshot of `observe`.

It runs with the programs of the checkout that is measured, so that the labels are its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cortexctl.observed.observation import Observed
from cortexctl.observed.snapshot import snapshot_to_json
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.stack.load import load_stack


def after_apply(stack: str) -> Observed:
    """Raises SystemExit for a stack with errors."""
    desired, diagnostics = load_stack(stack, default_docker="unix:///var/run/docker.sock", secret_value=None)
    if desired is None:
        raise SystemExit("\n".join(d.summary for d in diagnostics))
    return as_if_applied(desired, desired)


def containers_of(observed: Observed) -> dict[str, list[dict[str, Any]]]:
    return {
        host.name: [
            {"name": c.name, "labels": dict(c.labels), "image": c.image, "network": c.networks[0]}
            for c in host.containers
        ]
        for host in observed.hosts
    }


if __name__ == "__main__":
    applied = after_apply(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(containers_of(applied)), encoding="utf-8")
    for snapshot in sys.argv[3:]:
        Path(snapshot).write_text(snapshot_to_json(applied), encoding="utf-8")
