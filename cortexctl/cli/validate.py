"""cortexctl validate: the file alone. No host, no secret, and no network but for the hub with --hub."""

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
@options.output_format("text", "json", "sarif", text="Code hosts annotate lines from SARIF.")
@options.ask_hub
@options.stack_choice
def command(stack: str, *, choice: StackChoice, output_format: str, allow_hub: bool) -> int:
    """Check the stack file alone: syntax, references, arguments; memory, where the models' files lie in its checkout.
    All problems at once.
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
