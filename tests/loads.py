"""Which modules a command loads: recorded in tests/cases/loads, one file a command, and compared by tests/test_loads.py.

A list has every module of cortexctl, and the names of all libraries beside the standard one. A command must not load
more. `python -m tests.loads [COMMAND...]` writes the lists again: read the difference before you commit it, because
each line of it costs time at every start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.doctor_cases import daemon
from tests.drift_stack import STACK, spec_of
from tests.fakes.daemon_socket import LIST, row, talking_daemon
from tests.waiting import AT_MOST

LISTS = Path(__file__).parent / "cases" / "loads"
SAVED = "plan.json"
COMMANDS: dict[str, Sequence[str]] = {
    "short-version": ["--version"],
    "short-help": ["--help"],
    "version": ["version"],
    "init": ["init", "new"],
    "validate": ["validate"],
    "validate-variables": ["validate", "variables.toml"],
    "fmt": ["fmt", "--check"],
    "plan": ["plan"],
    "plan-cached": ["plan"],
    "plan-against": ["plan", "--against", "none"],
    "plan-out": ["plan", "--out", SAVED],
    "show": ["show", SAVED],
    "apply": ["apply", "--auto-approve"],
    "drift": ["drift", "--no-health"],
    "status": ["status"],
    "doctor": ["doctor"],
    "observe": ["observe", "--out", "snapshot.json"],
    "history": ["history"],
    "diagnose": ["diagnose", "--log", "vllm.log"],
    "fit": ["fit", "--config", "config.json", "--gpu", "L40S:46068MiB"],
    "args": ["args", "here/tiny"],
    "args-check": ["args", "check", "--", "m", "--max-model-len", "8192"],
    "catalog": ["catalog", "show", "max_model_len"],
    "lock": ["lock", "status"],
    "schema": ["schema", "plan"],
}
"""Command -> a run of it in its usual case: nothing to change."""
AFTER = {"show": "plan-out", "plan-cached": "plan-cached"}
"""Command -> the one that writes its files before it."""
CODES = {"fmt": 3, "status": 1, "doctor": 1, "diagnose": 1}
"""Exit codes other than 0: the file is not formatted, and neither the server nor the models' folder exists."""

_CODE = """
import sys
before = set(sys.modules)
sys.argv = ["cortexctl", *sys.argv[2:]]
file = {file!r}
from cortexctl.__main__ import main
code = 0
try:
    main()
except SystemExit as exit:
    code = exit.code
open(file, "w").write(" ".join([str(code or 0), *(set(sys.modules) - before)]))
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """A folder with a stack that is applied on a daemon. `url`: the daemon's."""

    folder: Path
    url: str


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """While its daemon answers."""
    (folder / "stack.toml").write_text(STACK)
    image = 'image = "image:v0.32.0"\n'
    with_variable = STACK.replace(image, 'image = "{{ vars.image }}"\n')
    (folder / "variables.toml").write_text(f'{with_variable}\n[vars.image]\ndefault = "image:v0.32.0"\n')
    (folder / "vllm.log").write_text("INFO 11-30 10:00:00 [api_server.py:1] vLLM API server version 0.32.0\n")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    engine = daemon("docker-20.10")
    listed = row(spec_of(folder, STACK))
    answers = {LIST: [listed], "/version": engine["version"], "/info": engine["info"], "/images/json": []}
    with talking_daemon(folder / "d.sock", answers) as answering:
        yield Ground(folder, answering.url)


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 16,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}


def loaded_by(command: str, at: Ground) -> set[str]:
    """The modules of cortexctl and the libraries that a run of the command has loaded at its end."""
    if command in AFTER:
        _run(AFTER[command], at)
    modules = _run(command, at)
    known = sys.stdlib_module_names
    libraries = {name for m in modules if (name := m.partition(".")[0]) not in known and not name.startswith("_")}
    return {m for m in modules if m.partition(".")[0] == "cortexctl"} | libraries


def _run(command: str, at: Ground) -> set[str]:
    """All modules that it has loaded."""
    file = at.folder / "loaded"
    env = {"PATH": os.environ["PATH"], "HOME": str(at.folder), "DOCKER_HOST": at.url}
    if command not in AFTER:
        env["CORTEXCTL_NO_CACHE"] = "1"
    argv = [sys.executable, "-c", _CODE.format(file=str(file)), "", *COMMANDS[command]]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=AT_MOST, cwd=at.folder, env=env)
    code, *modules = file.read_text().split()
    assert int(code) == CODES.get(command, 0), f"{command}: {done.stdout}{done.stderr}"
    return set(modules)


def recorded(command: str) -> set[str]:
    """The list of a command."""
    return set((LISTS / f"{command}.txt").read_text().split())


def record(commands: Sequence[str]) -> None:
    LISTS.mkdir(exist_ok=True)
    for command in commands:
        with TemporaryDirectory() as folder, ground(Path(folder)) as at:
            names = sorted(loaded_by(command, at))
            (LISTS / f"{command}.txt").write_text("\n".join(names) + "\n")


if __name__ == "__main__":
    record(sys.argv[1:] or list(COMMANDS))
