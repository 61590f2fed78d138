"""A stack to start from, and the schema with which editors complete and check it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cortexctl.dataclass import dataclass
from cortexctl.errors import UsageError
from cortexctl.operations.notes import Report
from cortexctl.stack.json_schema import args_json_schema, json_schema
from cortexctl.stack.starter import SCHEMA_FILE, TEMPLATES, stack_name, starter
from cortexctl.text.invocation import Invocation

__all__ = ["SCHEMA_FILE", "TEMPLATES", "Starter", "args_schema", "stack_schema", "write_starter"]

DEFAULT_TEMPLATE = "gpu"


@dataclass(frozen=True, slots=True)
class Starter:
    """The stack that was written. `lacks_gpus`: the GPUs of a host are not in it, because they are not known."""

    path: Path
    stack: str
    lacks_gpus: bool = False


def write_starter(
    folder: str, template: str | None, urls: Sequence[str], report: Report, *, probes: bool = False
) -> Starter:
    """`template`: None for the one that fits the hosts. `urls`: the daemons of hosts, which are read now. Nothing is
    written if one cannot be read. Raises UsageError, also if a stack exists: it is not changed; and DaemonError.
    """
    target = Path(folder) / "stack.toml"
    if target.exists():
        raise UsageError(f"{target} exists and was not changed", next_step=Invocation(str(target)).command("validate"))
    name = target.resolve().parent.name
    lacks_gpus = False
    if urls:
        from cortexctl.operations.starter_hosts import read_hosts, stack_of_hosts

        reports = read_hosts(urls, str(target), report, probes=probes)
        text = stack_of_hosts(reports, str(target), template, name)
        lacks_gpus = any(host.probe is None for host in reports)
    else:
        text = starter(template or DEFAULT_TEMPLATE, name)
    _write(target, text)
    return Starter(target, stack_name(name), lacks_gpus)


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), (target.parent / SCHEMA_FILE).open("x", encoding="utf-8") as schema:
            schema.write(stack_schema())
        with target.open("x", encoding="utf-8") as stack:
            stack.write(text)
    except OSError as cause:
        raise UsageError(f"cannot write {target}: {cause.strerror}") from cause


def stack_schema(version: str | None = None) -> str:
    """The JSON Schema of a stack. `version`: only the options of this vLLM release."""
    return json.dumps(json_schema(version), indent=2, ensure_ascii=False) + "\n"


def args_schema(version: str | None = None) -> str:
    """The JSON Schema of a model's `args`."""
    return json.dumps(args_json_schema(version), indent=2, ensure_ascii=False) + "\n"
