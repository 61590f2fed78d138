"""The common part of apply, destroy and rollback: show the plan, ask for approval, carry it out, report."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from cortexctl.apply.executor import Result
from cortexctl.cli.colour import ink
from cortexctl.cli.notes import show_note, show_notes
from cortexctl.cli.run_output import RunOutput
from cortexctl.cli.waiting import lines_for_people
from cortexctl.cli.writing import print_note, print_now, shown
from cortexctl.desired.stack import Desired
from cortexctl.errors import GateFailed, Interrupted, NotApproved
from cortexctl.operations import apply as operation
from cortexctl.operations.apply import ApplyRun, has_work, prepare, refuse_blocked
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.connections import Connections, OpenHosts, open_hosts
from cortexctl.operations.next_after import next_after
from cortexctl.operations.plan import plan_live
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.tidy import tidy
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request
from cortexctl.render.apply.outcome import result_text
from cortexctl.render.apply.progress import LiveProgress, PlainProgress
from cortexctl.render.apply.totals import Totals
from cortexctl.render.plan.terminal import plan_text


def plan_and_carry_out(
    desired: Desired,
    request: Request,
    *,
    choice: StackChoice,
    approved: bool,
    options: ApplyOptions,
    output: RunOutput,
    connections: Connections | None = None,
) -> int:
    """Plan against the live hosts, then carry out. Returns the exit code. `connections`: of the run."""
    request = replace(request, allow_unreachable=options.allow_unreachable)
    with open_hosts(desired, connections) as hosts:
        plan = partial(plan_live, desired, hosts, request)
        return carry_out(
            plan(),
            hosts,
            choice=choice,
            approved=approved,
            options=options,
            output=output,
            plan_again=plan if approved else None,
        )


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
    """Show, ask, apply, report. Returns the exit code. `plan_again`: plans again if the plan is stale under the locks;
    None for a plan that the user approved.
    """
    plan = _shown(plan, options, output)
    if not has_work(plan):
        tidy(plan, hosts, output.log.run)
        output.log.nothing_to_do()
        return 0
    if not approved and plan.effective:
        _request_approval(plan)
    output.log.begins(plan)
    started = time.monotonic()
    stop = _stop_on_signal(plan)
    run = ApplyRun(hosts, choice, options, output.log, _progress, stop.is_set, show_note)
    again = (lambda: _shown(plan_again(), options, output)) if plan_again else None
    applied = operation.carry_out(plan, run, again)
    show_notes(applied.notes)
    next_step = next_after(applied.plan, applied.result, options.options, is_complete=not applied.result.exit_code)
    output.log.ended(applied.result, next_step)
    if applied.plan.effective or applied.result.exit_code:
        seconds, logs = time.monotonic() - started, _save_logs(applied.result)
        output.show("\n" + result_text(applied.result, seconds, next_step, ink(output.stream), logs))
    return applied.result.exit_code


def _shown(plan: Plan, options: ApplyOptions, output: RunOutput) -> Plan:
    """The plan as it will be carried out. Raises Refused when it has errors."""
    plan = prepare(plan, options)
    output.log.planned(plan)
    output.show(plan_text(plan, ink(output.stream), next_step=""))
    refuse_blocked(plan, options)
    return plan


def _request_approval(plan: Plan) -> None:
    """Only "yes" approves. Without a terminal there is no answer, and waiting would block a pipeline."""
    if not sys.stdin.isatty():
        raise NotApproved(
            "cannot ask for approval: stdin is not a terminal",
            next_step="add --auto-approve, or apply a plan saved with plan --out",
        )
    what = "Destroy" if plan.destroy else "Apply"
    hosts = ", ".join(sorted({c.host for c in plan.effective}))
    print_note(f"\n{what} stack {plan.stack}{f' ({plan.env})' if plan.env else ''} on {hosts}? Type yes to approve: ")
    try:
        answer = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was changed") from None
    if answer != "yes":
        raise NotApproved("not approved; nothing was changed")


def _progress(plan: Plan) -> LiveProgress | PlainProgress:
    print_note("\n")
    names, width = plan.container_names, max((len(s.address or s.host) for s in plan.steps), default=0)
    totals, lines = Totals(plan, time.monotonic), lines_for_people()
    if lines is None:
        return PlainProgress(sys.stderr, ink("stderr"), names, width, totals)
    limits = {c.address: c.detail.policy.gate.startup_timeout for c in plan.effective}
    return LiveProgress(lines, print_note, ink("stderr"), names, width, totals, time.monotonic, limits)


def _stop_on_signal(plan: Plan) -> threading.Event:
    """The first Ctrl-C (or SIGTERM, or SIGHUP) lets running steps finish and starts none; the second exits at once."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            print_now("\nStopped at once. The running steps are unfinished; the next run takes over their lock.\n")
            print_now(f"Next:  {plan.again}\n")
            os._exit(130)  # other threads may wait for gates for many minutes, and must not delay the exit
        stop.set()
        print_now(
            "\nStopping: the running steps finish, a gate too, which can take minutes; no new ones start. "
            "Interrupt again to stop at once.\n"
        )

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)  # a lost terminal must not interrupt a rollout
    return stop


def _save_logs(result: Result) -> dict[str, str]:
    """Saves the logs of failed candidates, which are removed with their containers. Address -> file."""
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
