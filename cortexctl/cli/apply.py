"""cortexctl apply: plan (or take a saved plan), ask, carry out, report."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.notes import show_notes
from cortexctl.cli.plan import blocking
from cortexctl.cli.telling import Telling, both, telling
from cortexctl.cli.tidying import tidy
from cortexctl.cli.wiring import hooks_of, make_plan, open_stack, performer
from cortexctl.cli.writing import beneath, say, say_now, say_plain, shown
from cortexctl.decoding.decode import LARGEST, read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.diagnostics import Kind, Severity
from cortexctl.errors import GateFailed, NotApproved, PlanStale, Refused, UsageError
from cortexctl.files.reading import NotRead, read_text
from cortexctl.hosts.fleet import DockerDaemons
from cortexctl.hosts.lock import is_dead
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.operations.adapters import lock_identity
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice, as_argument
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import NotAPlan, plan_from_json
from cortexctl.plan.request import Request
from cortexctl.render.plan.terminal import plan_text

if TYPE_CHECKING:
    from cortexctl.apply.executor import Result


Again = Callable[[], Plan]
PLANS_AGAIN = 3


@click.command("apply")
@options.stack_or_plan
@options.auto_approve
@options.how_to_apply
@telling
@options.plan_request
@options.stack_choice
def command(
    stack: str,
    *,
    choice: StackChoice,
    request: Request,
    auto_approve: bool,
    how: options.How,
    telling: Telling,
) -> int:
    """Carry out a stack after showing its plan and asking; or, without asking, a plan saved before."""
    saved = read_saved_plan(stack)
    if saved:
        if saved.basis:
            raise UsageError(f"{stack} was made for review, against {saved.basis}; plan again against the live hosts")
        if saved.lacking:
            address, secret = saved.lacking[0]
            env = f" --env {saved.env}" if saved.env else ""
            raise Refused(
                f"{stack} was made without reading secrets, and {address} needs the value of {secret}",
                next_step=f"cortexctl plan {saved.stack_path}{env} --out {stack}",
            )
        if request != Request():
            raise UsageError("a saved plan is applied as it is; plan again to narrow it")
        refuse_changed_stack(saved)
        daemons = DockerDaemons({h.host.name: h.host for h in saved.hosts}, saved.owner)
        return carry_out(saved, daemons, choice=choice, approved=True, how=how, telling=telling)
    request = replace(request, allow_unreachable=how.allow_unreachable)
    desired, daemons = open_stack(stack, choice)
    choice = choice.knowing(desired.secret_variables)
    made = make_plan(desired, daemons, request)
    again = partial(make_plan, desired, daemons, request) if auto_approve else None
    return carry_out(made, daemons, choice=choice, approved=auto_approve, how=how, telling=telling, again=again)


def read_saved_plan(target: str) -> Plan | None:
    """The plan in the file, or None when it is not one (a stack may be JSON too). Raises UsageError."""
    path = Path(target)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"cannot read {target}: it is larger than {LARGEST // 2**20} MiB")
        text = path.read_text(encoding="utf-8")
        data = read_json(text)
    except (OSError, UnicodeDecodeError, NotAsExpected):
        return None
    if not isinstance(data, dict) or "format_version" not in data:
        return None
    try:
        return plan_from_json(text)
    except NotAPlan as cause:
        again = f"cortexctl plan{cause.again} --out {shlex.quote(target)}" if cause.again else "plan again"
        raise UsageError(f"{target} cannot be applied: {cause}", next_step=again) from cause


def refuse_changed_stack(saved: Plan) -> None:
    """The plan is applied from anywhere, but where its stack lies beside it, that must still be the one."""
    from cortexctl.stack.load import digest_of

    try:
        is_the_one = digest_of(read_text(saved.stack_path)) == saved.stack_digest
    except NotRead as cause:
        is_the_one = cause.missing
    if not is_the_one:
        raise PlanStale(f"{saved.stack_path} has changed since the plan was made", next_step="plan again")


def carry_out(
    made: Plan,
    daemons: DockerDaemons,
    *,
    choice: StackChoice,
    approved: bool,
    how: options.How,
    telling: Telling,
    again: Again | None = None,
) -> int:
    """Show, ask, apply, report. Returns the exit code. `again` makes the plan anew where it is stale once the locks are
    held: nobody approved this very plan.
    """
    made = _shown(made, how, telling)
    if not made.effective and not (made.destroy and made.steps):
        tidy(made, daemons, telling.run)
        telling.nothing()
        return 0
    if not approved and made.effective:
        _ask(made)
    telling.begins(made)
    began = time.monotonic()
    try:
        made, result = _apply_as_it_is_now(made, choice, daemons, how, telling, again)
    finally:
        daemons.close()
    next_step = _next_step(made, choice, result)
    telling.ended(result, next_step)
    if not made.effective and result.exit_code == 0:
        return 0
    from cortexctl.render.apply.outcome import result_text

    took = time.monotonic() - began
    telling.show("\n" + result_text(result, took, next_step, ink(telling.stream), _save_logs(result)))
    return result.exit_code


def _shown(made: Plan, how: options.How, telling: Telling) -> Plan:
    """The plan as it will be carried out. Raises Refused when something stands against it."""
    made = replace(made, max_failures=how.max_failures or made.max_failures)
    if how.allow_unreachable:  # also of a plan that was saved without it
        told = (replace(d, severity=Severity.WARNING) if d.kind is Kind.UNREACHABLE else d for d in made.diagnostics)
        made = replace(made, diagnostics=tuple(told))
    telling.planned(made)
    telling.show(plan_text(made, ink(telling.stream), next_step=""))
    if blocking(made, allow_unreachable=how.allow_unreachable):
        only_unreachable = not blocking(made, allow_unreachable=True)
        way_out = "fix what is listed above" + ", or add --allow-unreachable" * only_unreachable
        raise Refused("the plan has errors; nothing was changed", next_step=way_out)
    return made


def _ask(made: Plan) -> None:
    """Only the word "yes" is taken. Without a terminal nobody can say it, and waiting would hang a pipeline."""
    if not sys.stdin.isatty():
        raise NotApproved(
            "nobody is here to approve: standard input is not a terminal",
            next_step="add --auto-approve, or apply a plan saved with plan --out",
        )
    what = "Destroy" if made.destroy else "Apply"
    hosts = ", ".join(sorted({c.host for c in made.effective}))
    say(f"\n{what} stack {made.stack}{f' ({made.env})' if made.env else ''} on {hosts}? Only yes is taken: ")
    if sys.stdin.readline().strip() != "yes":
        raise NotApproved("not approved; nothing was changed")


def _apply_as_it_is_now(
    made: Plan, choice: StackChoice, daemons: DockerDaemons, how: options.How, telling: Telling, again: Again | None
) -> tuple[Plan, Result]:
    """Carry it out. Where another run, or a hand, was quicker, plan again while the locks are held, as often as may be
    of use: a plan that was made under them can only be overtaken by a hand, or on a host that it did not touch before.
    """
    from cortexctl.apply.executor import Result

    who = lock_identity(telling.run)
    tries = PLANS_AGAIN if again else 0
    with contextlib.ExitStack() as locks_held:
        while True:
            try:
                return made, _apply(made, choice, daemons, how, telling, who, locks_held)
            except PlanStale as cause:
                if again is None or not tries:
                    raise
                tries -= 1
                say_plain(f"{cause.message}; planning again under the lock\n")
            made = _shown(again(), how, telling)
            if not made.effective and not (made.destroy and made.steps):
                return made, Result(())


def _apply(
    made: Plan,
    choice: StackChoice,
    daemons: DockerDaemons,
    how: options.How,
    telling: Telling,
    who: LockInfo,
    locks_held: contextlib.ExitStack,
) -> Result:
    from cortexctl.apply.executor import Executor
    from cortexctl.apply.locking import Locks
    from cortexctl.apply.redaction import discreet, result_without
    from cortexctl.apply.run import apply_plan
    from cortexctl.operations.learn import learn_from_apply
    from cortexctl.render.apply.progress import LiveProgress, PlainProgress

    colours = ink("stderr")
    stop = _stop_on_signal()
    say("\n")
    names, width = made.container_names, max((len(s.address or s.host) for s in made.steps), default=0)
    progress: LiveProgress | PlainProgress
    if sys.stderr.isatty():
        limits = {c.address: c.detail.policy.gate.startup_timeout for c in made.effective}
        progress = LiveProgress(colours, names, width, time.monotonic, limits, beneath(sys.stderr))
    else:
        progress = PlainProgress(sys.stderr, colours, names, width)
    with progress:
        doer = performer(made.owner, made.stack_path, choice, daemons, telling)
        emit = discreet(both(progress, telling), KNOWN.hide)
        hooks = hooks_of(made, doer, emit, telling)
        executor = Executor(made, doer, emit, how.parallelism, stop.is_set, hooks=hooks)
        locks = Locks(
            made,
            daemons,
            who,
            doer.clock,
            is_dead,
            patience=how.lock_timeout,
            interrupted=stop.is_set,
            waits=lambda words: say_plain(f"{words}\n"),
            stack=f" {shlex.quote(made.stack_path)}{choice.as_flags()}",
        )
        result = result_without(apply_plan(made, executor, daemons, locks, locks_held), KNOWN.hide)
    show_notes(learn_from_apply(made, result, executor.took, daemons, doer.clock.now()))
    return result


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


def _next_step(made: Plan, choice: StackChoice, result: Result) -> str:
    stack = as_argument(made.stack_path) + choice.as_flags()
    again = f"cortexctl plan{' --destroy' if made.destroy else ''}{stack}"
    if result.exit_code or made.destroy:
        return again if result.exit_code else ""
    # once the canaries have shown themselves, the others wait for exactly this
    return f"cortexctl {'apply' if any(r.held for r in made.rollouts) else 'status'}{stack}"


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
