"""Measures starts of vLLM on this machine's GPU, as lines for `truth/`. It needs Linux, a GPU and an installed vLLM,
but nothing of cortexctl; nothing is downloaded, and weights are random (`--load-format dummy`).

    python bench/memory/on_gpu.py --cases bench/memory/truth/h200-vllm-0.26.0.jsonl --out l40s-vllm-0.26.0.jsonl

`--cases`: a file of cases, or of measured starts: of each line `case`, `config`, `flags` and `env` are read, and
`model`. `config` is a path below the folder of that file. `--models`: a folder with a folder for each model, for those
that need more than a config.json (processors of images, real weights). `--only TEXT`: the cases with this text in their
name. A case that is in the file of `--out` already is not measured again. Each case is a process of its own
(`one_start.py`), with an empty cache of compiled graphs unless its name has "again" or its `compiled` is "from its
cache": such a case runs after the start that fills it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ONE = Path(__file__).with_name("one_start.py")
LIMIT = 1200
"""Seconds of one start."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    failed = 0
    for case in cases(options.cases, options.out, options.only):
        measured, log = measure(case, options.cases.parent, options.models)
        if measured is None:
            failed += 1
            print(f"{case['case']}: not measured\n{log[-2000:]}", flush=True)
            continue
        with options.out.open("a", encoding="utf-8") as out:
            out.write(json.dumps(measured, separators=(",", ":")) + "\n")
        left = measured.get("available_kv_bytes")
        print(f"{case['case']}: {f'{left / 2**30:.2f} GiB for the cache' if left else 'refused'}", flush=True)
    return 1 if failed else 0


def cases(file: Path, out: Path, only: str) -> Iterator[dict[str, Any]]:
    """The cases without a measurement."""
    done = {case["case"] for case in _lines(out)} if out.exists() else set()
    yield from (case for case in _lines(file) if only in case["case"] and case["case"] not in done)


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def measure(case: Mapping[str, Any], folder: Path, models: Path | None) -> tuple[dict[str, Any] | None, str]:
    """The measured line, None if the case could not be tried; and the end of the log."""
    with tempfile.TemporaryDirectory(prefix="one-start-") as work:
        request = {
            key: case[key] for key in ("case", "model", "config", "flags", "env", "weights_are") if key in case
        } | {"paths": _paths(case, folder, models, Path(work))}
        env = os.environ | {"VLLM_CACHE_ROOT": str(Path(work, "cache"))} | case.get("env", {})
        measured, log = _run(request, env, Path(work, "result.json"))
        if measured and (case.get("compiled") == "from its cache" or "again" in case["case"]):
            measured, log = _run(request, env, Path(work, "result.json"))
            measured = measured and measured | {"compiled": "from its cache"}
    return measured, log


def _paths(case: Mapping[str, Any], folder: Path, models: Path | None, work: Path) -> dict[str, str]:
    """A folder for the model and for its draft, by their names: the prepared one, or one with the config.json alone."""
    names = {str(case["model"]): folder / case["config"]}
    if draft := (case["flags"].get("speculative_config") or {}).get("model"):
        names[draft] = folder / Path(case["config"]).parent / f"{draft}.json"
    paths = {}
    for name, config in names.items():
        path = models / name if models else work / name
        if not path.exists():
            path = work / name
            path.mkdir(parents=True)
            shutil.copy(config, path / "config.json")
        paths[name] = str(path.resolve())
    return paths


def _run(request: Mapping[str, Any], env: Mapping[str, str], result: Path) -> tuple[dict[str, Any] | None, str]:
    result.unlink(missing_ok=True)
    command = [sys.executable, str(ONE), json.dumps(request), str(result)]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)
        log = done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        return None, f"it took more than {LIMIT} s"
    return (json.loads(result.read_text(encoding="utf-8")) if result.exists() else None), log


if __name__ == "__main__":
    sys.exit(main())
