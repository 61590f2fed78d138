"""Runs inside a temporary container with one GPU: the constants of the card, and the log of a start of a small model.

python3 -c THIS SECONDS SETTINGS   -> one JSON object {card, log, problem}

SETTINGS: a JSON object {config, options, environment}: the config.json of the model, the arguments of vllm.LLM, and the
variables of that start. The weights are random, and nothing is downloaded. `card` is empty without a GPU. It ends by
itself after SECONDS, even if its caller is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

LINES, LENGTH = 4000, 2000
"""The most lines of the log, from its end, and the most characters of one."""

CARD = """
import json, torch
if torch.cuda.is_available():
    free, total = torch.cuda.mem_get_info()
    card = torch.cuda.get_device_properties(0)
    ones = torch.ones(1024, 1024, dtype=torch.float16, device="cuda")
    before = torch.cuda.memory_allocated()
    product = ones @ ones
    torch.cuda.synchronize()
    of_product = product.numel() * product.element_size()
    print(json.dumps({
        "name": card.name, "total": total, "free": free, "multiprocessors": card.multi_processor_count,
        "l2": getattr(card, "L2_cache_size", 0), "workspace": torch.cuda.memory_allocated() - before - of_product,
    }))
else:
    print("{}")
"""
START = """
import importlib, json, sys
if __name__ == "__main__":
    importlib.import_module("vllm").LLM(**json.loads(sys.argv[1]))
"""


def run(program: str, *arguments: str, environment: dict[str, str], seconds: float) -> tuple[int | None, str]:
    """Exit code (None if it did not end in time), and its output."""
    with tempfile.TemporaryFile(mode="w+", errors="replace") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return code, output.read()


def card(environment: dict[str, str], seconds: float) -> tuple[dict[str, object], str]:
    code, text = run(CARD, environment=environment, seconds=seconds)
    lines = text.strip().splitlines() or [""]
    if code == 0 and lines[-1].startswith("{"):
        facts: dict[str, object] = json.loads(lines[-1])
        return facts, ""
    return {}, f"the card cannot be read: {lines[-1][:LENGTH]}"


def main(seconds: str, settings: str) -> None:
    signal.alarm(int(seconds))
    wanted = json.loads(settings)
    environment = wanted["environment"]
    facts, problem = card(environment, int(seconds) / 2)
    log: list[str] = []
    if not problem:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(wanted["config"]), encoding="utf-8")
            options = {**wanted["options"], "model": folder}
            code, text = run(START, json.dumps(options), environment=environment, seconds=int(seconds) * 0.9)
        log = [line[:LENGTH] for line in text.replace("\r", "\n").splitlines()[-LINES:]]
        if code:
            problem = f"the start failed with exit code {code}"
        elif code is None:
            problem = "the start did not end in time"
    json.dump({"card": facts, "log": log, "problem": problem}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
