"""What apply, destroy and rollback do with a plan: show it, ask, carry it out, report. Here a run meets its user."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from cortexctl.apply.executor import Result
from cortexctl.cli.colour import ink
from cortexctl.cli.notes import show_note, show_notes
from cortexctl.cli.run_output import RunOutput
from cortexctl.cli.writing import beneath, say, say_now, shown
from cortexctl.errors import GateFailed, NotApproved
from cortexctl.operations import apply as operation
from cortexctl.operations.adapters import OpenHosts
from cortexctl.operations.apply import ApplyRun, has_work, prepare, refuse_blocked
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.stack_choice import StackChoice, as_argument
from cortexctl.operations.tidy import tidy
from cortexctl.plan.model import Plan
from cortexctl.render.apply.outcome import result_text
from cortexctl.render.apply.progress import LiveProgress, PlainProgress
from cortexctl.render.plan.terminal import plan_text


def carry_out(
    plan: Plan,
    hosts: OpenHosts,
    *,
    choice: StackChoice,
    approved: bool,
    options: ApplyOptions,
    output: RunOutput,
    plan_again: Callable[[], Plan] | None = None,
) -> int:
    """Show, ask, apply, report. Returns the exit code. `plan_again`: for a plan that nobody approved as it is, where it
    is stale once the locks are held.
    """
    plan = _shown(plan, options, output)
    if not has_work(plan):
        tidy(plan, hosts, output.log.run)
        output.log.nothing_to_do()
        return 0
    if not approved and plan.effective:
        _ask(plan)
    output.log.begins(plan)
    began = time.monotonic()
    stop = _stop_on_signal()
    run = ApplyRun(hosts, choice, options, output.log, _progress, stop.is_set, show_note)
    again = (lambda: _shown(plan_again(), options, output)) if plan_again else None
    applied = operation.carry_out(plan, run, again)
    show_notes(applied.notes)
    next_step = _next_step(applied.plan, choice, applied.result)
    output.log.ended(applied.result, next_step)
    if applied.plan.effective or applied.result.exit_code:
        took, logs = time.monotonic() - began, _save_logs(applied.result)
        output.show("\n" + result_text(applied.result, took, next_step, ink(output.stream), logs))
    return applied.result.exit_code


def _shown(plan: Plan, options: ApplyOptions, output: RunOutput) -> Plan:
    """The plan as it will be carried out. Raises Refused when it has errors."""
    plan = prepare(plan, options)
    output.log.planned(plan)
    output.show(plan_text(plan, ink(output.stream), next_step=""))
    refuse_blocked(plan, options)
    return plan


def _ask(plan: Plan) -> None:
    """Only the word "yes" is taken. Without a terminal nobody can say it, and waiting would hang a pipeline."""
    if not sys.stdin.isatty():
        raise NotApproved(
            "nobody is here to approve: standard input is not a terminal",
            next_step="add --auto-approve, or apply a plan saved with plan --out",
        )
    what = "Destroy" if plan.destroy else "Apply"
    hosts = ", ".join(sorted({c.host for c in plan.effective}))
    say(f"\n{what} stack {plan.stack}{f' ({plan.env})' if plan.env else ''} on {hosts}? Only yes is taken: ")
    if sys.stdin.readline().strip() != "yes":
        raise NotApproved("not approved; nothing was changed")


def _progress(plan: Plan) -> LiveProgress | PlainProgress:
    say("\n")
    names, width = plan.container_names, max((len(s.address or s.host) for s in plan.steps), default=0)
    if not sys.stderr.isatty():
        return PlainProgress(sys.stderr, ink("stderr"), names, width)
    limits = {c.address: c.detail.policy.gate.startup_timeout for c in plan.effective}
    return LiveProgress(ink("stderr"), names, width, time.monotonic, limits, beneath(sys.stderr))


def _stop_on_signal() -> threading.Event:
    """The first Ctrl-C (or SIGTERM, or SIGHUP) lets running steps finish and starts no more; the second ends it now."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            say_now("\nStopped at once. What was being done is half done; its lock is taken over by the next run.\n")
            say_now("Next:  cortexctl plan\n")
            os._exit(130)  # threads wait for gates of many minutes, and nobody else may be waited for now
        stop.set()
        say_now("\nStopping: the running step is finished, nothing new is begun. Again to stop at once.\n")

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)  # a lost terminal must not leave a rollout half done
    return stop


def _next_step(plan: Plan, choice: StackChoice, result: Result) -> str:
    stack = as_argument(plan.stack_path) + choice.as_flags()
    again = f"cortexctl plan{' --destroy' if plan.destroy else ''}{stack}"
    if result.exit_code or plan.destroy:
        return again if result.exit_code else ""
    # once the canaries have shown themselves, the others wait for exactly this
    return f"cortexctl {'apply' if any(r.deferred for r in plan.rollouts) else 'status'}{stack}"


def _save_logs(result: Result) -> dict[str, str]:
    """A failed candidate is removed and its log with it, so the log is kept here. Address -> file."""
    saved = {}
    for outcome in result.outcomes:
        if isinstance(outcome.failure, GateFailed) and outcome.failure.log:
            name = outcome.change.address.replace("/", "-")
            with tempfile.NamedTemporaryFile(
                "w", prefix=f"cortexctl-{name}-", suffix=".log", delete=False, encoding="utf-8"
            ) as file:
                file.write(shown("\n".join(outcome.failure.log) + "\n", "log"))
            saved[outcome.change.address] = file.name
    return saved
