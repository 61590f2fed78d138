"""cortexctl args: what a launch would run; `args check`: what a release says of any line."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import need_stack
from cortexctl.errors import UsageError
from cortexctl.plan.place import placed
from cortexctl.render.dockerrun import docker_run
from cortexctl.vllm.argv import arguments, entrypoint
from cortexctl.vllm.version import NEWEST_KNOWN

if TYPE_CHECKING:
    from cortexctl.vllm.verdict import Verdict


@click.command("args", context_settings={"ignore_unknown_options": True})
@click.argument("address", metavar="HOST/MODEL | check")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- WORDS]")
@click.option("--stack", default=options.DEFAULT_STACK, show_default=True, help="The stack file.")
@click.option("--docker-run", "whole", is_flag=True, help="The whole `docker run` command instead of the arguments.")
@click.option("--vllm-version", help="For check: the release to ask. Left out: the newest known.")
@click.option("--stdin", is_flag=True, help="For check: one line of words each, from standard input.")
@click.option("--json", "as_json", is_flag=True, help="JSON; for check one object a line.")
@options.stack_choice
def command(
    address: str,
    *,
    words: tuple[str, ...],
    choice: options.Choice,
    stack: str,
    whole: bool,
    vllm_version: str | None,
    stdin: bool,
    as_json: bool,
) -> int:
    """Show the arguments that vLLM would be started with (secrets are named, never shown); or check any line of
    `vllm serve` against a release: cortexctl args check --vllm-version 0.32.0 -- MODEL --max-model-len 8k
    """
    if address == "check":
        lines = (shlex.split(line) for line in sys.stdin if line.strip()) if stdin else iter([list(words)])
        return _check(lines, (vllm_version or NEWEST_KNOWN).removeprefix("v"), as_json=as_json)
    if words:
        raise UsageError(f"unexpected words: {' '.join(words)}")
    desired, _ = placed(need_stack(stack, choice, with_secrets=False))
    instance = next((i for i in desired.instances if i.address == address), None)
    if instance is None:
        known = ", ".join(i.address for i in desired.instances)
        raise UsageError(f"{address} is not in {stack}; there are: {known}")
    shown = docker_run(address, instance.spec) if whole else [*entrypoint(instance.spec), *arguments(instance.spec)]
    sys.stdout.write((json.dumps(shown) if as_json else _one_option_a_line(shown)) + "\n")
    return 0


def _check(lines: Iterator[Sequence[str]], version: str, *, as_json: bool) -> int:
    """Exit 1 when a line is refused."""
    from cortexctl.vllm.catalogue import UnknownRelease, releases
    from cortexctl.vllm.verdict import judge

    refused = False
    for words in lines:
        try:
            verdict = judge(words, version)
        except UnknownRelease:
            known = f"{releases()[0]} to {releases()[-1]}"
            raise UsageError(f"vLLM {version} is not in the catalogue, which has {known}") from None
        refused = refused or verdict.verdict == "refused"
        sys.stdout.write((json.dumps(_as_dict(verdict)) if as_json else _as_text(verdict)) + "\n")
    return 1 if refused else 0


def _as_dict(verdict: Verdict) -> dict[str, Any]:
    at_start = [
        {"argument": f.argument, "rule": f.rule, "text": f.summary, "help": f.help, "error": f.fatal}
        for f in verdict.at_start
    ]
    return {**dataclasses.asdict(verdict), "refused": list(verdict.refused), "at_start": at_start}


def _as_text(verdict: Verdict) -> str:
    if verdict.verdict == "refused":
        return "\n".join([f"vLLM {verdict.release} refuses it:", *(f"  {line}" for line in verdict.refused)])
    lines = [f"vLLM {verdict.release} takes it."]
    for finding in verdict.at_start:
        lines += [f"  {'Error' if finding.fatal else 'Warning'}[{finding.rule}] {finding.summary}"]
        lines += [f"    help: {finding.help}"] if finding.help else []
    return "\n".join(lines)


def _one_option_a_line(words: list[str]) -> str:
    """Shell text that can be pasted: a new line before every option."""
    text = shlex.quote(words[0])
    for word in words[1:]:
        text += (" \\\n  " if word.startswith("-") else " ") + shlex.quote(word)
    return text
