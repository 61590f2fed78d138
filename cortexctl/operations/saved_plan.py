"""Plans in files: `plan --out` saves them, `show` and `apply` read them."""

from __future__ import annotations

from pathlib import Path

from cortexctl.decoding.decode import LARGEST, read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.errors import PlanStale, Refused, UsageError
from cortexctl.files.private import write_private
from cortexctl.files.reading import NotRead, read_text
from cortexctl.operations.documents import read_document
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import NotAPlan, plan_from_json, plan_to_json
from cortexctl.text.invocation import Invocation, Options, quoted


def save_plan(plan: Plan, file: str) -> None:
    """Readable by its owner only: it names hosts, and commands that apply runs. Raises UsageError if it cannot be
    written.
    """
    try:
        write_private(file, plan_to_json(plan))
    except OSError as cause:
        raise UsageError(f"cannot write {file}: {cause.strerror}") from cause


def read_plan(file: str) -> Plan:
    """The plan in a file. Raises UsageError if it is not a plan."""
    try:
        return plan_from_json(read_document(file, LARGEST))
    except NotAPlan as cause:
        raise UsageError(f"{file} cannot be shown: {cause}", next_step=_plan_again(cause, file)) from cause


def read_if_plan(file: str) -> Plan | None:
    """The plan in the file, or None if it is not a plan (a stack may be JSON too). Raises UsageError."""
    path = Path(file)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"cannot read {file}: it is larger than {LARGEST // 2**20} MiB")
        text = path.read_text(encoding="utf-8")
        data = read_json(text)
    except NotAsExpected as cause:
        if text.lstrip().startswith("{") and '"format_version"' in text:
            raise UsageError(f"{file} is a damaged plan: {cause}", next_step="plan again") from cause
        return None
    except (OSError, UnicodeDecodeError):
        return None
    if not isinstance(data, dict) or "format_version" not in data:
        return None
    try:
        return plan_from_json(text)
    except NotAPlan as cause:
        raise UsageError(f"{file} cannot be applied: {cause}", next_step=_plan_again(cause, file)) from cause


def apply_saved(plan: Plan, file: str, options: Options = ()) -> str:
    """The command that applies the plan in a file. The file has all its options in it, but no value of a secret."""
    run = plan.invocation
    specs = [spec for c in plan.effective for spec in (c.detail.before, c.detail.after) if spec]
    if not any(secret.source == "var" for spec in specs for secret in spec.container.secrets):
        return Invocation(file).command("apply", options=options)
    hidden = tuple(variable for variable in run.variables if "=" not in variable)
    return Invocation(file, files=run.files, variables=hidden).command("apply", options=options)


def plan_into(saved: Plan, file: str) -> str:
    """The command that makes such a plan again, into the same file."""
    return f"{saved.again} --out {quoted(file)}"


def _plan_again(cause: NotAPlan, file: str) -> str:
    if cause.again is None:
        return "plan again"
    return f"{cause.again.command('plan')} --out {quoted(file)}"


def refuse_unfit(saved: Plan, file: str) -> None:
    """A plan that was planned for review, or without the secrets that it needs. Raises Refused."""
    if saved.basis:
        raise Refused(
            f"{file} was planned for review, against {saved.basis}; only a plan of the live hosts can be applied",
            next_step=plan_into(saved, file),
        )
    if saved.lacking:
        address, secret = saved.lacking[0]
        raise Refused(
            f"{file} was planned without reading secrets, but {address} needs the value of {secret}",
            next_step=plan_into(saved, file),
        )


def refuse_changed_stack(saved: Plan, file: str) -> None:
    """A saved plan can be applied from anywhere, but the stack at its path must be unchanged. Raises PlanStale."""
    from cortexctl.stack.load import digest_of

    try:
        is_unchanged = digest_of(read_text(saved.stack_path)) == saved.stack_digest
    except NotRead as cause:
        is_unchanged = cause.missing
    if not is_unchanged:
        raise PlanStale(f"{saved.stack_path} has changed since the plan was created", next_step=plan_into(saved, file))
