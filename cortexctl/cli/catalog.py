"""cortexctl catalog: vLLM's options by release, and what an upgrade does to a stack."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import ink, need_stack
from cortexctl.errors import UsageError
from cortexctl.spec.container import ContainerSpec
from cortexctl.vllm.version import NEWEST_KNOWN


@click.group("catalog")
def command() -> None:
    """What vLLM's command line knows, release by release, without vLLM and without a network."""


@command.command("show", context_settings={"ignore_unknown_options": True})
@click.argument("name", required=False)
@click.option("--vllm-version", default=NEWEST_KNOWN, show_default=True, help="The release.")
def show(name: str | None, vllm_version: str) -> int:
    """An option's history and what a release makes of it; without a name, all options of the release."""
    from cortexctl.render.catalog import option_text
    from cortexctl.vllm import catalogue

    version = _known(vllm_version)
    if name is None:
        sys.stdout.write("".join(f"{option}\n" for option in sorted(catalogue.release(version).options)))
        return 0
    plain = name.lstrip("-").replace("-", "_")
    text = option_text(plain, version, ink())
    if not text:
        from cortexctl.stack.suggest import nearest

        close = nearest(plain, catalogue.option_names())
        raise UsageError(f"no release of vLLM has {name}", next_step=f"cortexctl catalog show {close}" if close else "")
    sys.stdout.write(text)
    return 0


@command.command("diff")
@click.argument("old")
@click.argument("new")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def diff(old: str, new: str, *, as_json: bool) -> int:
    """What goes, changes and comes between two releases."""
    from cortexctl.render.catalog import between_text
    from cortexctl.vllm.changes import between

    found = between(_known(old), _known(new))
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(found), indent=2) + "\n")
    else:
        sys.stdout.write(between_text(found, ink()))
    return 0


@command.command("upgrade")
@options.stack_argument
@click.option("--to", "target", required=True, metavar="VERSION", help="The release to upgrade to.")
@options.stack_choice
def upgrade(stack: str, *, choice: options.Choice, target: str) -> int:
    """What another release makes of a stack's arguments. Exits 1 when it refuses one."""
    to = _known(target)
    desired = need_stack(stack, choice, with_secrets=False)
    lines = list(_upgrades({i.model: i.spec for i in desired.instances}, to))
    refused = any(line.lstrip().startswith("Error") for line in lines)
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if refused else 0


def _upgrades(specs: dict[str, ContainerSpec], to: str) -> Iterator[str]:
    from cortexctl.vllm.check import check_args, check_env, check_extra_args

    for model, spec in sorted(specs.items()):
        findings = [
            *check_args(spec.args, to, spec.env),
            *check_env(spec.env, to),
            *check_extra_args(spec.extra_args, to, spec.args),
        ]
        now = spec.vllm_version or "unknown"
        yield f"{model}   vLLM {now} -> {to}   " + ("as it is" if not findings else "")
        for finding in findings:
            yield f"  {'Error' if finding.fatal else 'Warning'}[{finding.rule}] {finding.summary}"
            if finding.help:
                yield f"    help: {finding.help}"


def _known(version: str) -> str:
    from cortexctl.vllm.catalogue import releases

    plain = version.removeprefix("v")
    if plain not in releases():
        raise UsageError(f"vLLM {version} is not in the catalogue, which has {releases()[0]} to {releases()[-1]}")
    return plain
