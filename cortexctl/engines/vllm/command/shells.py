"""Reads `sh -c SCRIPT`: a script that only starts one program is that program's arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise

SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_SHELL_WORK = re.compile(r"[$`\n]|(?:^|\s)#")
"""Characters with which a shell does more than start a program: the arguments are then unknown."""
_OPERATORS = ";&|<>()"
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)", re.ASCII)
STARTS_VLLM = re.compile(r"(^|[\s/;&|(])vllm\s+serve\b|\bvllm\.entrypoints\b")


def script_of(argv: Sequence[str]) -> str | None:
    """The script of a shell, behind any options (-c, -lc, -c -i); None if there is none, or arguments follow it."""
    if not argv or name_of_program(argv[0]) not in SHELLS:
        return None
    options = []
    rest = list(argv[1:])
    while rest and re.fullmatch(r"-[a-z]+", rest[0]):
        options.append(rest.pop(0))
        if options[-1].endswith("o") and rest[:1] != ["-c"]:
            del rest[:1]  # the name of a setting: -o pipefail
    return rest[0] if len(rest) == 1 and any("c" in option for option in options) else None


def simple_command(script: str) -> list[str] | None:
    """The arguments of a script that only starts one program."""
    script = script.replace("\\\n", " ").strip()
    if _SHELL_WORK.search(script):
        return None
    try:
        lexer = shlex.shlex(script, posix=True, punctuation_chars=_OPERATORS)
        lexer.whitespace_split, lexer.commenters = True, ""
        argv = list(lexer)
    except ValueError:
        return None
    if any(word and set(word) <= set(_OPERATORS) for word in argv):
        return None
    return argv[1:] if argv[:1] == ["exec"] else argv


def name_of_program(path: str) -> str:
    return path.rpartition("/")[2]


def _starts_vllm_after(argv: Sequence[str]) -> str:
    """The program that starts vLLM's server as its own argument: tini, env, an entry point's script."""
    names = [name_of_program(word) for word in argv]
    serves = ("vllm", "serve") in pairwise(names) or any(STARTS_VLLM.search(w) for w in argv[1:])
    return argv[0] if serves and names[:1] != ["vllm"] else ""


def why_unread(argv: Sequence[str]) -> str:
    """Why a command is not read as the start of vLLM's server. Contains none of its values."""
    program = (argv or ("nothing",))[0]
    script = script_of(argv)
    if script is None or not STARTS_VLLM.search(script):
        if starter := _starts_vllm_after(argv):
            return f"its command starts vLLM through {starter}, which a stack does not describe"
        more = " and may start it from a script" if script is not None or program.endswith(".sh") else ""
        return f"its command ({program} …) is not `vllm serve` or vLLM's api_server{more}"
    shell = name_of_program(program)
    names = list(dict.fromkeys(_VARIABLE.findall(script)))
    if names:
        shown = ", ".join(f"${name}" for name in names[:4])
        return f"its command is a script for {shell} with variables ({shown}), which only that shell fills in"
    return f"its command is a script for {shell} that does more than start vLLM"
