"""cortexctl args: what a launch would run, to read, to copy, to try by hand."""

from __future__ import annotations

import json
import shlex
import sys

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import need_stack
from cortexctl.errors import UsageError
from cortexctl.plan.place import placed
from cortexctl.render.dockerrun import docker_run
from cortexctl.vllm.argv import arguments, entrypoint


@click.command("args")
@click.argument("address", metavar="HOST/MODEL")
@click.option("--stack", default=options.DEFAULT_STACK, show_default=True, help="The stack file.")
@click.option("--docker-run", "whole", is_flag=True, help="The whole `docker run` command instead of the arguments.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of words.")
@options.stack_choice
def command(address: str, *, choice: options.Choice, stack: str, whole: bool, as_json: bool) -> int:
    """Show the arguments that vLLM would be started with. Secrets are named, never shown."""
    desired, _ = placed(need_stack(stack, choice, with_secrets=False))
    instance = next((i for i in desired.instances if i.address == address), None)
    if instance is None:
        known = ", ".join(i.address for i in desired.instances)
        raise UsageError(f"{address} is not in {stack}; there are: {known}")
    words = docker_run(address, instance.spec) if whole else [*entrypoint(instance.spec), *arguments(instance.spec)]
    if as_json:
        sys.stdout.write(json.dumps(words) + "\n")
    else:
        sys.stdout.write(_one_option_a_line(words) + "\n")
    return 0


def _one_option_a_line(words: list[str]) -> str:
    """Shell text that can be pasted: a new line before every option."""
    text = shlex.quote(words[0])
    for word in words[1:]:
        text += (" \\\n  " if word.startswith("-") else " ") + shlex.quote(word)
    return text
