"""The command group, and the only place where errors become text and an exit code."""

from __future__ import annotations

import importlib
import sys

import click

from cortexctl.cli.writing import discard, funnelled, in_any_locale, out, print_note
from cortexctl.errors import CortexctlError
from cortexctl.render.sanitise import visible

COMMANDS = {
    # name: (module, text in --help). A module is imported when its command runs, not before.
    "init": ("init", "Write a commented starter stack."),
    "validate": ("validate", "Check the stack file; no host is read."),
    "import": ("import_", "Print the block that adopts a running container."),
    "fmt": ("fmt", "Format stack files; comments stay."),
    "plan": ("plan", "Show what would change, why, and what it costs."),
    "show": ("show", "Show a saved plan as text, JSON, Markdown or HTML."),
    "apply": ("apply", "Apply a stack, or a saved plan."),
    "destroy": ("destroy", "Remove every container of the stack."),
    "rollback": ("rollback", "Return an instance to a retained generation."),
    "observe": ("observe", "Write a snapshot of the hosts, for review without credentials."),
    "drift": ("drift", "Report drift, pending changes and unhealthy instances."),
    "doctor": ("doctor", "Show what each host is and what it lacks."),
    "status": ("status", "Show the current state of every instance."),
    "history": ("history", "Show who applied what, when, and how it ended."),
    "logs": ("logs", "Show an instance's log."),
    "diagnose": ("diagnose", "Show why an instance does not serve, and how to fix it."),
    "fit": ("fit", "Forecast memory, KV cache and concurrency of a launch."),
    "args": ("args", "Show the arguments of a launch; check a command line against a release."),
    "catalog": ("catalog", "Show vLLM's options by release, and the effect of an upgrade on a stack."),
    "lock": ("lock", "Show or release the locks of the stack's hosts."),
    "schema": ("schema", "Print a published JSON Schema."),
    "version": ("version", "Print versions."),
}
EXIT_CODES = """\b
Exit codes:
  0  done, or no changes
  1  error
  2  there are changes (with --detailed-exitcode)
  3  a file would change (fmt --check); unknown whether a release accepts a line (args check)
  4  refused, nothing changed: stale plan, locked host, guard, no approval
  5  applied in part
  130  interrupted"""


class LazyGroup(click.Group):
    """Lists its commands by name, and imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            from cortexctl.text.suggest import nearest

            close = nearest(cmd_name, COMMANDS)
            raise click.UsageError(
                f"there is no command {cmd_name!r}" + (f"; did you mean {close!r}?" if close else "")
            )
        module = importlib.import_module(f"cortexctl.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
    epilog=EXIT_CODES,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--no-color", is_flag=True, help="No colour, even on a terminal.")
@click.version_option(package_name="cortexctl", message="cortexctl %(version)s")
@click.pass_context
def cli(ctx: click.Context, *, no_color: bool) -> None:
    """Declarative reconciler for vLLM model containers.

    A stack file declares which models run on which Docker hosts. `plan` shows the changes, and `apply` makes
    exactly these.
    """
    ctx.obj = {"no_color": no_color}
    if ctx.invoked_subcommand is None:
        out(ctx.get_help() + "\n")


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 1 if nobody reads its output any more. The output is flushed here,
    because a failure at Python's own exit would print a traceback and return code 120.
    """
    in_any_locale()
    with funnelled():
        return _flushed(_run(arguments))


def _flushed(code: int) -> int:
    try:
        if sys.stdout:  # None if it is closed
            sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
        return code or 1
    return code


def _run(arguments: list[str] | None) -> int:
    try:
        code = cli.main(args=arguments, prog_name="cortexctl", standalone_mode=False)
    except CortexctlError as cause:
        _show_diagnostics(cause)
        _print_error(cause.message, cause.next_step)
        return cause.exit_code
    except click.exceptions.NoArgsIsHelpError as cause:
        print_note(f"{cause.format_message()}\n")
        return 1
    except click.NoSuchOption as cause:
        of_all = cause.option_name in {name for option in cli.params for name in option.opts}
        message = (
            f"{cause.option_name} stands before the command: cortexctl {cause.option_name} COMMAND" if of_all else ""
        )
        _print_error(message or cause.format_message(), f"{_command_path(cause)} --help")
        return 1
    except click.ClickException as cause:
        _print_error(cause.format_message(), f"{_command_path(cause)} --help")
        return 1
    except (click.Abort, KeyboardInterrupt):
        _print_error("interrupted", "")
        return 130
    except BrokenPipeError:
        return 1
    except Exception:  # noqa: BLE001 - a traceback is a bug, and this is where it is owned up to
        import traceback

        traceback.print_exc()
        _print_error("this is a bug in cortexctl; please report it with the lines above", "")
        return 1
    return code if isinstance(code, int) else 0


def _command_path(cause: click.ClickException) -> str:
    context = getattr(cause, "ctx", None)
    return context.command_path if context else "cortexctl"


def _show_diagnostics(cause: CortexctlError) -> None:
    """All problems of a stack that cannot be used."""
    if diagnostics := getattr(cause, "diagnostics", ()):
        from cortexctl.cli.notes import show_diagnostics

        show_diagnostics(diagnostics)


def _print_error(message: str, next_step: str) -> None:
    """On two lines, even if foreign text in the message has line breaks."""
    print_note(f"Error: {visible(message)}\n")
    if next_step:
        print_note(f"Next:  {visible(next_step)}\n")
