"""cortexctl args: the arguments of a launch; `args check`: a command line against a release."""

from __future__ import annotations

import shlex
import sys

import click

from cortexctl.cli import options
from cortexctl.cli.writing import out, out_json, write
from cortexctl.engines.base import Verdict
from cortexctl.engines.vllm.version import NEWEST_KNOWN
from cortexctl.errors import UsageError
from cortexctl.operations.addresses import declared_instance
from cortexctl.operations.check_line import check_line, check_lines
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.launch import launch_text
from cortexctl.render.verdict import verdict_json, verdict_text

REFUSED, UNKNOWN = 1, 3
"""Exit codes of `args check`."""


class _AddressOrCommand(click.Group):
    """`args ADDRESS` is `args show ADDRESS`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_ours = not args or args[0] in {*self.commands, *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, args if is_ours else ["show", *args])


@click.group("args", cls=_AddressOrCommand, subcommand_metavar="[show] HOST/MODEL | check")
def command() -> None:
    """Show the arguments that a launch starts vLLM with, or check a `vllm serve` command line against a release."""


@command.command("show")
@click.argument("address", metavar="HOST/MODEL")
@click.option("--vllm-version", help="The vLLM release to render for. Default: the release of the image.")
@options.output_format(
    "argv",
    "docker",
    "compose",
    "json",
    text="The arguments, the whole `docker run`, a Compose service, or the parts as JSON.",
)
@options.stack_option
@options.stack_choice
def show(address: str, *, choice: StackChoice, stack: str, vllm_version: str | None, output_format: str) -> int:
    """Show the arguments that vLLM is started with. Secrets are shown by name only."""
    version = options.known_release(vllm_version) if vllm_version else ""
    desired = StackReader(stack, choice, SecretMode.SKIP, version).read().usable
    instance = declared_instance(desired, address)
    write(launch_text(instance, output_format) + "\n", output_format)
    return 0


@command.command("check", context_settings={"ignore_unknown_options": True})
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]")
@click.option("--vllm-version", default=NEWEST_KNOWN, show_default=True, help="The vLLM release.")
@click.option("--stdin", is_flag=True, help="Read lines of arguments from standard input, and check each.")
@options.output_format("text", "json", text="JSON: one object per line.")
def check(argv: tuple[str, ...], *, vllm_version: str, stdin: bool, output_format: str) -> int:
    """Check arguments of `vllm serve` against a release:

    cortexctl args check --vllm-version 0.32.0 -- MODEL --max-model-len 8k

    Exits 1 if the release refuses a line, or would refuse it at its start. Exits 3 if that is unknown, because a part
    of the line is elsewhere: in a file of `--config` that is not on this machine, or in a variable of a shell.
    """
    version = options.known_release(vllm_version)
    if stdin and argv:
        raise UsageError("give the arguments or --stdin, not both")
    as_json = output_format == "json"
    if not stdin:
        return _show(check_line(shlex.join(argv), version), "", as_json=as_json)
    codes = [
        _show(verdict, f"line {number}: ", as_json=as_json)
        for number, verdict in enumerate(check_lines(sys.stdin, version), 1)
    ]
    return REFUSED if REFUSED in codes else max(codes)


def _show(verdict: Verdict, where: str, *, as_json: bool) -> int:
    """Returns the exit code. Each verdict is shown before the next line is read."""
    if as_json:
        out_json(verdict_json(verdict), indent=None)
    else:
        out(f"{where}{verdict_text(verdict)}\n")
    sys.stdout.flush()
    return {True: 0, False: REFUSED, None: UNKNOWN}[verdict.starts]
