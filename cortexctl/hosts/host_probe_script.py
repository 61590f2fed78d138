"""Runs inside a temporary container: the GPUs that it gets, and the free disk of its host.

python3 -c THIS SECONDS FOLDERS   -> one JSON object {gpus, gpus_problem, summary, topology, disks, folders}

FOLDERS: a JSON object, key -> path in the container. `disks`: "/" and the keys -> [free, total] in bytes. `folders`:
key -> {entries} (1 stands for more than none) or {problem}. It imports only the standard library, and ends by itself
after SECONDS, even if its caller is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

SMI = "nvidia-smi"
FIELDS = "index,name,memory.total,memory.free,driver_version"
EACH = 30
"""Seconds for one run of nvidia-smi: a broken GPU can stop it."""
MOST = 100_000
"""Characters of one output."""


def smi(*arguments: str) -> tuple[str, str]:
    """Output, and the problem if there is none."""
    try:
        done = subprocess.run([SMI, *arguments], capture_output=True, text=True, timeout=EACH, check=False)
    except FileNotFoundError:
        return "", f"the container has no {SMI}"
    except (OSError, subprocess.TimeoutExpired) as cause:
        return "", f"{SMI} failed: {cause}"
    if done.returncode:
        return "", (done.stdout.strip() or done.stderr.strip() or f"{SMI} ended with code {done.returncode}")[:MOST]
    return done.stdout[:MOST], ""


def query() -> tuple[str, str]:
    """The GPUs as CSV. Old drivers do not know the compute capability."""
    text, problem = smi(f"--query-gpu={FIELDS},compute_cap", "--format=csv,noheader,nounits")
    if "not a valid field" in problem:
        return smi(f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits")
    return text, problem


def disk(path: str) -> list[int] | None:
    try:
        values = os.statvfs(path)
    except OSError:
        return None
    return [values.f_bavail * values.f_frsize, values.f_blocks * values.f_frsize]


def folder(path: str) -> dict[str, object]:
    try:
        with os.scandir(path) as entries:
            return {"entries": int(next(entries, None) is not None)}
    except OSError as cause:
        return {"problem": cause.strerror or str(cause)}


def main(seconds: str, folders: str) -> None:
    signal.alarm(int(seconds))
    paths = json.loads(folders)
    gpus, gpus_problem = query()
    json.dump(
        {
            "gpus": gpus,
            "gpus_problem": gpus_problem,
            "summary": smi()[0] if gpus else "",
            "topology": smi("topo", "-m")[0] if gpus else "",
            "disks": {"/": disk("/"), **{key: disk(path) for key, path in paths.items()}},
            "folders": {key: folder(path) for key, path in paths.items()},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
