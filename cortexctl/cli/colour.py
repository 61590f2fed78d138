"""Colour on stdout and stderr, by the user's choice and the usual conventions."""

from __future__ import annotations

import os
import sys

import click

from cortexctl.render.style import Ink, ink_for


def ink(stream: str = "stdout") -> Ink:
    """Colour for stdout or stderr."""
    file = sys.stdout if stream == "stdout" else sys.stderr
    context = click.get_current_context(silent=True)
    no_color = bool(context and context.find_root().obj and context.find_root().obj["no_color"])
    return ink_for(is_terminal=file.isatty(), environ=os.environ, no_color=no_color)
