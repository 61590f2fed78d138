"""The time of `plan --observed` by the size of the fleet: `python bench/fleet.py [HOSTS ...]`.

Default: 10, 100 and 1,000 hosts. Each host runs eight instances; the plan finds nothing to do. Reported: the wall and
CPU seconds of the whole command (the best of three), the growth from the first size, and both against reading the two
files with json and tomllib alone, in the same run.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = 8
READ_ONLY = "import json,sys,tomllib;tomllib.load(open(sys.argv[1],'rb'));json.load(open(sys.argv[2]))"


def stack_of(hosts: int) -> str:
    lines = ['stack = "fleet"', ""]
    for h in range(hosts):
        lines += [f"[hosts.gpu-{h:04d}]", f'docker = "unix:///run/gpu-{h}.sock"', 'models_dir = "/models"', ""]
    for m in range(MODELS):
        lines += [
            f"[models.m{m}]",
            'image = "vllm/vllm-openai:v0.32.0"',
            f'source = {{ path = "m{m}" }}',
            'hosts = ["*"]',
            f"gpus = [{m}]",
            f"args = {{ max_model_len = {1024 * (m + 1)}, gpu_memory_utilization = 0.9 }}",
            "",
        ]
    return "\n".join(lines)


def snapshot_of(stack: Path) -> str:
    """The snapshot of `observe --out` for a stack that was just applied."""
    from cortexctl.observed.snapshot import snapshot_to_json
    from cortexctl.plan.hypothetical import as_if_applied
    from cortexctl.stack.load import load_stack

    desired, diagnostics = load_stack(str(stack), default_docker="unix:///var/run/docker.sock", secret_value=None)
    if desired is None:
        raise SystemExit(f"{diagnostics}")
    return snapshot_to_json(as_if_applied(desired, desired))


def best_of_three(*command: str) -> tuple[float, float]:
    """(wall, CPU) seconds."""
    runs = []
    for _ in range(3):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        runs.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return min(runs)


def main(sizes: list[int]) -> None:
    print(f"{'hosts':>6} {'instances':>9} {'wall s':>7} {'CPU s':>7} {'growth':>7} {'times reading':>14}")
    first = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for hosts in sizes:
            stack, snapshot = Path(folder, "stack.toml"), Path(folder, "snapshot.json")
            stack.write_text(stack_of(hosts))
            snapshot.write_text(snapshot_of(stack))
            command = [sys.executable, "-m", "cortexctl", "plan", str(stack), "--observed", str(snapshot)]
            wall, cpu = best_of_three(*command, "--detailed-exitcode")
            _, reading = best_of_three(sys.executable, "-c", READ_ONLY, str(stack), str(snapshot))
            first = first or cpu
            times = f"{wall:>7.2f} {cpu:>7.2f} {cpu / first:>6.1f}x {cpu / reading:>13.1f}x"
            print(f"{hosts:>6} {hosts * MODELS:>9} {times}")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10, 100, 1000])
