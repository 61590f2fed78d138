"""Why a command line has words that belong to no option."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.command.dashes import DASHES, TO_MINUS
from cortexctl.engines.vllm.command.read_command import SERVE, CommandLine

_OPTION = re.compile(rf"[-{DASHES}]{{1,3}}[A-Za-z][\w{DASHES}-]*")


def why_stray(line: CommandLine) -> str:
    """Contains no word that may be a value, and so a secret."""
    reason = "its command line has a value that belongs to no option"
    if line.model in SERVE:
        return f"its command repeats `{' '.join(SERVE)}`, which its entry point starts already, so vLLM refuses it"
    stray = (word for option in line.extra if not option.name for word in option.argv)
    dashed = next((match.group() for word in stray if (match := _OPTION.match(word))), "")
    if dashed:
        plain = "--" + dashed.translate(TO_MINUS).lstrip("-")
        return f"{reason}: {dashed} has a dash of a word processor, so vLLM does not read it as {plain}"
    return reason
