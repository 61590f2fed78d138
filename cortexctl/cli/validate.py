"""cortexctl validate: checks the file alone: no host, no secret, and no network except the hub with --hub."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.writing import out, out_json, write
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.validate import validate
from cortexctl.render.validation import validation_json, validation_text


@click.command("validate")
@options.stack_argument
@options.output_format("text", "json", "sarif", text="Code hosts annotate lines with SARIF.")
@options.allow_hub
@options.stack_choice
def command(stack: str, *, choice: StackChoice, output_format: str, allow_hub: bool) -> int:
    """Check the stack file: syntax, references and arguments; and memory, if the models' files are in its checkout.
    Reports all problems at once.
    """
    validation = validate(stack, choice, allow_hub=allow_hub)
    if output_format == "sarif":
        from cortexctl.render.sarif import sarif_json

        write(sarif_json(validation.diagnostics, stack), output_format)
    elif output_format == "json":
        out_json(validation_json(validation))
    else:
        out(validation_text(stack, validation, ink()))
    return 0 if validation.is_valid else 1
