"""cortexctl version."""

from __future__ import annotations

import platform

import click

from cortexctl import __version__
from cortexctl.cli.writing import out
from cortexctl.engines.vllm.version import NEWEST_KNOWN
from cortexctl.instance.codec import SPEC_VERSION
from cortexctl.plan.model import FORMAT_VERSION


@click.command("version")
def command() -> int:
    """Print the versions of cortexctl, its formats, and the newest known vLLM release."""
    out(
        f"cortexctl {__version__}\n"
        f"plan format {FORMAT_VERSION}, spec version {SPEC_VERSION}, vLLM known to {NEWEST_KNOWN}\n"
        f"Python {platform.python_version()}\n"
    )
    return 0
