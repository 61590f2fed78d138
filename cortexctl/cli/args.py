"""cortexctl args: what a launch would run; `args check`: what a release says of any line."""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import need_stack
from cortexctl.cli.writing import out, out_json, write
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.engines.vllm.version import NEWEST_KNOWN
from cortexctl.errors import UsageError
from cortexctl.instance.secret import hidden
from cortexctl.instance.spec import Spec
from cortexctl.operations.addresses import full_address
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.placement import placed
from cortexctl.render.sanitise import visible
from cortexctl.stack.document import SECRET_NAME
from cortexctl.text.json_text import json_text

if TYPE_CHECKING:
    from cortexctl.engines.vllm.command.verdict import Verdict


class _AddressOrCommand(click.Group):
    """`args ADDRESS` is `args show ADDRESS`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_ours = not args or args[0] in {*self.commands, *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, args if is_ours else ["show", *args])


@click.group("args", cls=_AddressOrCommand, subcommand_metavar="[show] HOST/MODEL | check")
def command() -> None:
    """Show the arguments that a launch starts vLLM with, or check any `vllm serve` line against a release."""


@command.command("show")
@click.argument("address", metavar="HOST/MODEL")
@click.option("--vllm-version", help="The release to render for. Default: that of the image.")
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
    """Show the arguments that vLLM is started with. Secrets are named, never shown."""
    version = options.known_release(vllm_version) if vllm_version else ""
    desired, _ = placed(need_stack(stack, choice, with_secrets=False, instead=version))
    address = full_address(desired, address)
    instance = next((i for i in desired.instances if i.address == address), None)
    if instance is None:
        known = ", ".join(i.address for i in desired.instances)
        raise UsageError(f"{address} is not in {stack}; there are: {known}")
    write(_shown(address, instance.spec, output_format) + "\n", output_format)
    return 0


@command.command("check", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]")
@click.option("--vllm-version", default=NEWEST_KNOWN, show_default=True, help="The release.")
@click.option("--stdin", is_flag=True, help="Read lines of arguments from standard input, and check each.")
@options.output_format("text", "json", text="JSON: one object a line.")
def check(words: tuple[str, ...], *, vllm_version: str, stdin: bool, output_format: str) -> int:
    """Check arguments of `vllm serve` against a release:

    cortexctl args check --vllm-version 0.32.0 -- MODEL --max-model-len 8k

    Exits 1 when the release refuses a line.
    """
    version = options.known_release(vllm_version)
    if stdin and words:
        raise UsageError("give the words, or --stdin")
    lines = sys.stdin if stdin else [shlex.join(words)]
    return _check(lines, version, as_json=output_format == "json", numbered=stdin)


def _shown(address: str, spec: Spec, output_format: str) -> str:
    from cortexctl.render.launch import compose_service, docker_run, launch_facts

    match output_format:
        case "docker":
            return _one_option_a_line(docker_run(address, spec))
        case "compose":
            return compose_service(address, spec).rstrip("\n")
        case "json":
            return json_text(launch_facts(address, spec), 2)
        case _:
            return _one_option_a_line([*entrypoint(spec.server), *arguments(spec.server)])


def _check(lines: Iterable[str], version: str, *, as_json: bool, numbered: bool) -> int:
    """Exit 1 when a line is refused. The answer to each comes before the next is read. Of no line nothing can be said,
    least of all that it is taken. Of many lines each has its answer, also one that cannot be read.
    """
    from cortexctl.engines.vllm.command.verdict import Verdict

    refused, number = False, 0
    for number, line in enumerate(lines, 1):
        try:
            verdict = _verdict(line, version)
        except UsageError as cause:
            if not numbered:
                raise
            verdict = Verdict(version, "value", (str(cause),))
        refused = refused or not verdict.accepted
        where = f"line {number}: " if numbered else ""
        if as_json:
            out_json(_as_dict(verdict), indent=None)
        else:
            out(where + _as_text(verdict) + "\n")
        sys.stdout.flush()
    if not number:
        raise UsageError("no line came on standard input, so nothing was checked")
    return 1 if refused else 0


def _verdict(line: str, version: str) -> Verdict:
    from cortexctl.engines.vllm.command.verdict import judge

    try:
        words = shlex.split(line)
    except ValueError as cause:
        raise UsageError(f"it is no shell line: {cause}") from None
    try:
        verdict = judge(words, version, _config_files(words))
        return dataclasses.replace(verdict, values={name: _plain(v) for name, v in verdict.values.items()})
    except RecursionError:
        raise UsageError("a value is nested too deep to be read") from None


def _plain(value: Any) -> Any:
    """As JSON can have it: literals of early releases and YAML know more (sets, dates, infinity)."""
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case None | str() | int() | float():
            return value
        case _:
            return str(value)


def _config_files(words: Sequence[str]) -> dict[str, Any]:
    """What those hold that `--config` names, as far as they can be read here."""
    from cortexctl.engines.vllm.command.config_file import file_names

    found = {}
    for name in file_names(words):
        import yaml

        try:
            found[name] = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        except yaml.YAMLError as cause:
            raise UsageError(f"{name} is not YAML: {' '.join(str(cause).split())}") from None
        except (OSError, UnicodeDecodeError):
            continue
    return found


def _as_dict(verdict: Verdict) -> dict[str, Any]:
    at_start = [
        {"argument": f.argument, "rule": f.rule, "text": f.summary, "help": f.help, "error": f.fatal}
        for f in verdict.at_start
    ]
    found = {"accepted": verdict.accepted, **dataclasses.asdict(verdict)}
    values = {name: "***" if SECRET_NAME.search(name) else value for name, value in verdict.values.items()}
    return {**found, "refused": [hidden(said) for said in verdict.refused], "at_start": at_start, "values": values}


def _as_text(verdict: Verdict) -> str:
    if not verdict.accepted:
        refused = (f"  {visible(hidden(line))}" for line in verdict.refused)
        return "\n".join([f"vLLM {verdict.release} refuses it:", *refused])
    lines = [f"vLLM {verdict.release} takes it."]
    for finding in verdict.at_start:
        lines += [f"  {'Error' if finding.fatal else 'Warning'}[{finding.rule}] {finding.summary}"]
        lines += [f"    help: {finding.help}"] if finding.help else []
    return "\n".join(map(visible, lines))


def _one_option_a_line(words: list[str]) -> str:
    """Shell text that can be pasted: a new line before every option."""
    text = _quoted(words[0])
    for word in words[1:]:
        text += (" \\\n  " if word.startswith("-") else " ") + _quoted(word)
    return text


def _quoted(word: str) -> str:
    """For a shell; what would act on a terminal as escapes, which bash, zsh and ksh read: $'…'."""
    if visible(word) == word:
        return shlex.quote(word)
    bare = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if visible(c) == c else _octal(c) for c in bare) + "'"


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass"))
