"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import click

from cortexctl.errors import UsageError
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.request import Request
from cortexctl.text.invocation import DEFAULT_STACK

Command = Callable[..., int]


def _stack_argument(metavar: str) -> Callable[[Command], Command]:
    """Adds the argument and --stack, which are equivalent; the command gets the path as `stack`."""

    def add(command: Command) -> Command:
        @click.argument("stack", required=False, metavar=metavar)
        @click.option(
            "-f", "--stack", "stack_option", metavar="FILE", help=f"Same as {metavar}.  [default: {DEFAULT_STACK}]"
        )
        @functools.wraps(command)
        def with_stack(*args: object, stack: str | None, stack_option: str | None, **kwargs: object) -> int:
            if stack is not None and stack_option is not None:
                raise UsageError("give the stack as an argument or with --stack, not both")
            path = stack if stack is not None else stack_option
            return command(*args, stack=DEFAULT_STACK if path is None else path, **kwargs)

        return with_stack

    return add


stack_argument = _stack_argument("[STACK]")
stack_or_plan = _stack_argument("[STACK|PLANFILE]")
stack_option = click.option(
    "-f", "--stack", default=DEFAULT_STACK, show_default=True, metavar="FILE", help="The stack file."
)


def stack_choice(command: Command) -> Command:
    """Adds --env, --var and --var-file; the command gets them as `choice`."""

    @click.option("--env", default="", metavar="NAME", help="The environment: [env.NAME] overrides the stack.")
    @click.option("--var", multiple=True, metavar="NAME=VALUE", help="Set a variable. Repeatable.")
    @click.option(
        "--var-file", multiple=True, type=click.Path(dir_okay=False), help="Read variables from TOML or JSON."
    )
    @functools.wraps(command)
    def with_choice(*args: object, env: str, var: tuple[str, ...], var_file: tuple[str, ...], **kwargs: object) -> int:
        for pair in var:
            if "=" not in pair:
                raise UsageError(f"--var {pair}: expected NAME=VALUE")
        return command(*args, choice=StackChoice(env, var, var_file), **kwargs)

    return with_choice


def known_release(version: str) -> str:
    """The release without its v. Raises UsageError for one that the catalogue does not have."""
    from cortexctl.operations.catalogue_names import known_release as known

    return known(version)


def output_format(*formats: str, text: str = "") -> Callable[[Command], Command]:
    """Adds --format, whose default is the first; the command gets it as `output_format`."""
    choice = click.Choice(formats)
    return click.option("--format", "output_format", type=choice, default=formats[0], show_default=True, help=text)


text_or_json = output_format("text", "json")
no_commands = click.option(
    "--no-commands",
    is_flag=True,
    help="Run no program of the stack; read no secret, and no file outside its checkout.",
)
audit_log_option = click.option(
    "--audit-log",
    default="",
    envvar="CORTEXCTL_AUDIT_LOG",
    metavar="FILE",
    help="Audit log file, or `none`. Default: the stack's `audit.log`, else NAME.audit.jsonl next to the stack.",
)
auto_approve = click.option("--auto-approve", is_flag=True, help="Apply without asking for approval.")


def _selecting(command: Command) -> Command:
    """Adds the options that narrow a plan, --unprotect and --max-destroy."""
    for option in (
        click.option("--max-destroy", type=click.IntRange(0), metavar="N",
                     help="Allow the removal of N instances. Default: guards.max_destroy."),
        click.option("--unprotect", multiple=True, metavar="ADDRESS",
                     help="Allow removal of the protected HOST/MODEL."),
        click.option("--host", multiple=True, metavar="PATTERN", help="Only these hosts; the others are not read."),
        click.option("--exclude", multiple=True, metavar="PATTERN",
                     help="Not these HOST/MODEL or MODEL, globs allowed."),
        click.option("--target", multiple=True, metavar="PATTERN",
                     help="Only these HOST/MODEL or MODEL, globs allowed."),
    ):  # fmt: skip
        command = option(command)
    return command


def destroy_request(command: Command) -> Command:
    """Adds the options that narrow a destroy; the command gets them as `request`."""

    @_selecting
    @functools.wraps(command)
    def with_request(
        *args: object,
        target: tuple[str, ...],
        exclude: tuple[str, ...],
        host: tuple[str, ...],
        unprotect: tuple[str, ...],
        max_destroy: int | None,
        **kwargs: object,
    ) -> int:
        request = Request(
            destroy=True, unprotect=unprotect, max_destroy=max_destroy, target=target, exclude=exclude, host=host
        )
        return command(*args, request=request, **kwargs)

    return with_request


def plan_request(command: Command) -> Command:
    """Adds the options that narrow or force a plan; the command gets them as `request`."""

    @_selecting
    @click.option("--replace", multiple=True, metavar="PATTERN", help="Replace these, even if unchanged.")
    @click.option("--restart", multiple=True, metavar="PATTERN", help="Restart these: same container, new process.")
    @click.option("--canary-hold", is_flag=True, help="Stop after canary instances; run apply again to continue.")
    @click.option("--only", type=click.Choice(["drift"]), help="Only restore the applied state; no pending change.")
    @click.option("--launch-anyway", multiple=True, metavar="PATTERN",
                  help="Launch even if the memory forecast says vLLM would refuse to start.")  # fmt: skip
    @functools.wraps(command)
    def with_request(
        *args: object,
        target: tuple[str, ...],
        exclude: tuple[str, ...],
        host: tuple[str, ...],
        replace: tuple[str, ...],
        restart: tuple[str, ...],
        unprotect: tuple[str, ...],
        max_destroy: int | None,
        canary_hold: bool,
        only: Literal["drift"] | None,
        launch_anyway: tuple[str, ...],
        **kwargs: object,
    ) -> int:
        destroy = bool(kwargs.pop("destroy", False))
        if only and (replace or restart):
            raise UsageError("--only drift cannot be combined with --replace or --restart")
        if destroy and (only or replace or restart or canary_hold or launch_anyway):
            raise UsageError(
                "--destroy cannot be combined with --only, --replace, --restart, --canary-hold or --launch-anyway"
            )
        request = Request(
            destroy,
            unprotect,
            replace,
            restart,
            canary_hold,
            only or "",
            launch_anyway,
            max_destroy=max_destroy,
            target=target,
            exclude=exclude,
            host=host,
        )
        return command(*args, request=request, **kwargs)

    return with_request


def apply_options(command: Command) -> Command:
    """Adds the options of commands that carry out a plan; the command gets them as `apply_options`."""

    @click.option("--parallelism", type=click.IntRange(1, 256), default=32, show_default=True,
                  help="Maximum number of concurrent changes.")  # fmt: skip
    @click.option("--lock-timeout", metavar="DURATION", default="0s", show_default=True,
                  help="How long to wait for another run's lock.")  # fmt: skip
    @click.option("--max-failures", type=click.IntRange(1), metavar="N",
                  help="Start no further changes after N failures. Default: rollout.max_failures.")  # fmt: skip
    @click.option("--allow-unreachable", is_flag=True, help="Continue with the reachable hosts.")
    @functools.wraps(command)
    def with_options(
        *args: object,
        parallelism: int,
        lock_timeout: str,
        max_failures: int | None,
        allow_unreachable: bool,
        **kwargs: object,
    ) -> int:
        from cortexctl.operations.apply_options import ApplyOptions
        from cortexctl.text.units import seconds

        try:
            timeout = seconds(lock_timeout)
        except ValueError as cause:
            raise UsageError(f"--lock-timeout: {cause}") from None
        return command(
            *args, apply_options=ApplyOptions(parallelism, timeout, max_failures, allow_unreachable), **kwargs
        )

    return with_options


allow_hub = click.option(
    "--hub",
    "allow_hub",
    is_flag=True,
    help="Fetch model metadata from the hub ($HF_ENDPOINT, $HF_TOKEN) if it is neither local nor on the host.",
)


def detailed_exitcode(condition: str) -> Callable[[Command], Command]:
    """Adds --detailed-exitcode, which makes the command exit with 2 under this condition."""
    return click.option("--detailed-exitcode", is_flag=True, help=f"Exit 2 if {condition}.")
