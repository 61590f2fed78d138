"""Measurements from the logs of starts: of each new container after an apply, or of a log that the user gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Host
from cortexctl.engines.companions import companion_files, companion_sources
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.measurement import Measurement, Predicted, Started, StartLog, digest
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.memory.budget import budget
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.drafts import read_draft
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.speculation import read_speculation
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.engines.vllm.memory.startlog import read_start_log
from cortexctl.errors import DaemonError, UsageError
from cortexctl.hosts.log import lines
from cortexctl.instance.labels import serving_name
from cortexctl.instance.spec import Spec
from cortexctl.operations.equal_starts import gpu_of, model_folder, started_as
from cortexctl.operations.log_file import pieces_of
from cortexctl.operations.notes import Note, warning
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.steps import PassGate
from cortexctl.stack.model_folder import UnreadableModel, files_here, read_config, read_headers
from cortexctl.store import measurements

if TYPE_CHECKING:
    from cortexctl.apply.executor import Result
    from cortexctl.apply.protocols import Daemons
    from cortexctl.apply.recording import StepTimes

LINES = 5000
"""Lines read from the end of a log: enough for all lines of a start about memory."""


def learn_from_apply(
    plan: Plan, result: Result, durations: Mapping[str, StepTimes], daemons: Daemons, now: float
) -> tuple[Note, ...]:
    """Save the measurements in the logs of this run's starts. It never fails: a note names each start without
    measurements. `now`: seconds since the epoch.
    """
    from cortexctl.apply.executor import Fate

    hosts = {h.host.name: h.host for h in plan.hosts}
    learnt: set[str] = set()
    notes: list[Note] = []
    for outcome in result.outcomes:
        change, spec = outcome.change, outcome.change.detail.after
        gated = [s.task.container for s in plan.steps_of(change) if isinstance(s.task, PassGate)]
        if outcome.fate is not Fate.DONE or spec is None or not gated:
            continue
        try:
            start, facts, gpu = _started(hosts[change.host], spec)
            if start.key in learnt:  # for the same start on many hosts, one log is read
                continue
            learnt.add(start.key)
            start_log = read_start_log(_log(change, gated[0], daemons))
            if not start_log.is_conclusive:
                continue  # only warnings, or an unknown log format
            start = replace(start, version=start.version or start_log.vllm_version or "")
            predicted = _predicted(facts, gpu, spec, start.version) if facts and gpu else None
            seconds = durations[change.address].start if change.address in durations else None
            measurements.keep(Measurement(start, start_log, _utc(now), change.host, seconds, predicted))
        except Exception as cause:  # noqa: BLE001 - the instance serves in any case
            notes.append(warning(f"no measurements from the start of {change.address}: {cause}"))
    return tuple(notes)


def _started(host: Host, spec: Spec) -> tuple[Started, Facts | None, Gpu | None]:
    """The start, and its model's facts if they can be read from here."""
    at = model_folder(spec)
    try:
        config = read_config(at) if at else None
        facts = read_facts(config, effective(spec.server).args) if config else None
    except (UnreadableModel, UnknownModel, OSError):
        config, facts = None, None
    return started_as(host, spec, digest(config) if config else ""), facts, gpu_of(host, spec)


def _log(change: Change, container: str, daemons: Daemons) -> list[str]:
    """The log of the container that passed the gate: one that this run created is known by its first name, and another
    may have only its serving name now.
    """
    daemon = daemons.daemon(change.host)
    try:
        return list(daemon.logs(container, LINES, this_run=True))
    except DaemonError:
        return list(daemon.logs(serving_name(change.model, change.detail.ordinal), LINES, this_run=True))


def _predicted(facts: Facts, gpu: Gpu, spec: Spec, version: str) -> Predicted:
    at = model_folder(spec)
    try:
        headers = read_headers(at) if at else None
    except UnreadableModel:
        headers = None
    args = effective(spec.server).args
    here = {s.key: files_here(s) for s in companion_sources("", spec).values() if not isinstance(s, str)}
    draft = read_draft(read_speculation(args, spec.server.model), companion_files("", spec, here))
    return predict(facts, BudgetInputs(args, gpu, version or None, spec.container.env, headers, draft))


def predict(facts: Facts, launch: BudgetInputs) -> Predicted:
    """The computed budget, without any measurement."""
    computed = budget(facts, launch)
    return Predicted(
        int(computed.tokens.value), round(computed.concurrency.value, 2), computed.tightest.available.value
    )


def learn_from_log(
    file: str, start: Started, facts: Facts, launch: BudgetInputs, length: int | None, host: str, now: float
) -> StartLog:
    """Save the measurements in a log of the user, as those of the start that the arguments describe. `length`: tokens
    of a request by the arguments; None if vLLM chooses. Raises UsageError if the log is of another start.
    """
    try:
        start_log = read_start_log(lines(pieces_of(file)))
    except OSError as cause:
        raise UsageError(f"cannot read {file}: {cause.strerror or cause}") from cause
    if not start_log.is_conclusive:
        advice = "give the log of a complete start, from its first line"
        raise UsageError(f"{file} has no line about weights or the KV cache", next_step=advice)
    if not start.version:
        example = f", for example --vllm-version {start_log.vllm_version}" if start_log.vllm_version else ""
        raise UsageError("the release of a log must be known to learn from it", next_step=f"name it{example}")
    if start_log.vllm_version and start_log.vllm_version.split("+")[0] != start.version:
        raise UsageError(f"{file} is a log of vLLM {start_log.vllm_version}, but the arguments are for {start.version}")
    if length and start_log.concurrency_len and start_log.concurrency_len != length:
        raise UsageError(
            f"{file} is the log of a start with max_model_len {start_log.concurrency_len}, but the arguments give "
            f"{length}",
            next_step="give the arguments of that start",
        )
    measurements.keep(Measurement(start, start_log, _utc(now), host, None, predict(facts, launch)))
    return start_log


def _utc(at: float) -> str:
    """Seconds since the epoch, as in "2026-03-01T12:00:00.000Z"."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
