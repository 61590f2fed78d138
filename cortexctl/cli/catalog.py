"""cortexctl catalog: vLLM's options by release, and the effect of an upgrade on a stack."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.writing import out, out_json
from cortexctl.engines.vllm.version import NEWEST_KNOWN
from cortexctl.operations.stack_choice import StackChoice

version_option = click.option("--vllm-version", default=NEWEST_KNOWN, show_default=True, help="The vLLM release.")


@click.group("catalog")
def command() -> None:
    """vLLM's command line, release by release. Needs neither vLLM nor a network."""


@command.command("show", context_settings={"ignore_unknown_options": True})
@click.argument("name", required=False)
@version_option
@options.text_or_json
def show(name: str | None, *, vllm_version: str, output_format: str) -> int:
    """Show the history of an option and its form in a release; without a name, list all options of the release."""
    from cortexctl.engines.vllm.catalogue import catalogue
    from cortexctl.operations.catalogue_names import known_option
    from cortexctl.render.catalog import option_facts, option_text

    version = options.known_release(vllm_version)
    of = catalogue.release(version)
    if name is None:
        names = sorted(of.options)
        facts = [option_facts(n, version) for n in names]
        _write(facts if output_format == "json" else "".join(f"{n}\n" for n in names))
        return 0
    plain = known_option(name)
    _write(option_facts(plain, version) if output_format == "json" else option_text(plain, version, ink()))
    return 0


@command.command("diff")
@click.argument("old")
@click.argument("new")
@options.text_or_json
def diff(old: str, new: str, *, output_format: str) -> int:
    """Show the removed, changed and new options between two releases."""
    from cortexctl.engines.vllm.catalogue.changes import between
    from cortexctl.render.catalog import between_text

    changes = between(options.known_release(old), options.known_release(new))
    _write(dataclasses.asdict(changes) if output_format == "json" else between_text(changes, ink()))
    return 0


@command.command("releases")
@options.text_or_json
def releases(*, output_format: str) -> int:
    """List the known releases: date, entry point of the image, and the versions that they are built on."""
    from cortexctl.render.catalog import releases_facts, releases_text

    _write(releases_facts() if output_format == "json" else releases_text(ink()))
    return 0


@command.command("architectures")
@click.argument("name", required=False)
@version_option
@options.text_or_json
def architectures(name: str | None, *, vllm_version: str, output_format: str) -> int:
    """List the model architectures that a release serves; or show the history of one, by its name in config.json."""
    from cortexctl.engines.vllm.catalogue import catalogue
    from cortexctl.render.catalog import architecture_facts, architecture_text

    version = options.known_release(vllm_version)
    if name is None:
        of = catalogue.release(version)
        known = {n: group for n in sorted(catalogue.architecture_names()) if (group := of.architecture(n))}
        _write(known if output_format == "json" else "".join(f"{n}   {group}\n" for n, group in known.items()))
        return 0
    _write(architecture_facts(name, version) if output_format == "json" else architecture_text(name, version))
    return 0


@command.command("upgrade")
@options.stack_argument
@click.option("--to", "target", required=True, metavar="VERSION", help="The release to upgrade to.")
@click.option("--write", "writes", is_flag=True, help="Write the edits to the stack file; comments and order stay.")
@options.text_or_json
@options.stack_choice
def upgrade(stack: str, *, choice: StackChoice, target: str, writes: bool, output_format: str) -> int:
    """Show the problems of a stack in another release, and a patch for options that have a successor. Exits 1 if the
    patch does not fix all problems.
    """
    from cortexctl.operations.upgrade import plan_upgrade, write_upgrade
    from cortexctl.render.upgrade import upgrade_json, upgrade_text

    planned = plan_upgrade(stack, choice, options.known_release(target))
    if writes:
        write_upgrade(planned)
    _write(upgrade_json(planned) if output_format == "json" else upgrade_text(planned, ink(), written=writes))
    return 1 if planned.is_left else 0


def _write(shown: Any) -> None:
    if isinstance(shown, str):
        out(shown)
    else:
        out_json(shown)
