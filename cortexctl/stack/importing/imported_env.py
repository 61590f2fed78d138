"""The environment of a container that a person started: plain variables, and secrets by reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cortexctl.engines.vllm.command.read_command import CommandLine, command_line
from cortexctl.observed.foreign import Running
from cortexctl.stack.checks import SHADOWED_ENV
from cortexctl.stack.importing.draft import Draft, Place
from cortexctl.stack.importing.possible_secrets import is_secret_variable, is_text
from cortexctl.stack.value_forms import variable_form

OF_OPTION = {"api_key": "VLLM_API_KEY", "hf_token": "HF_TOKEN"}
"""Option with a secret value -> the variable with the same meaning. vLLM uses the option if both are set."""


def secret_values(running: Running) -> Mapping[str, str]:
    """The secrets of a container: variable -> the value that its server uses."""
    line = command_line(running.argv)
    values = {
        name: value
        for name, value in running.env.items()
        if value and not _is_left_out(name, value) and is_secret_variable(name, value)
    }
    reserved = line.reserved if line else {}
    return values | {v: reserved[option][0] for option, v in OF_OPTION.items() if any(reserved.get(option, ())[:1])}


def fill_environment(running: Running, place: Place, line: CommandLine, draft: Draft) -> None:
    """`env`, `secrets` and `offline` of the draft's table. An empty variable with the name of a secret has no value to
    refer to: it stays in `ignore`.
    """
    secrets = secret_values(running)
    draft.table["env"] = {
        name: value
        for name, value in sorted(running.env.items())
        if name not in secrets and not _is_left_out(name, value) and not is_secret_variable(name, value)
    }
    draft.comments += _overruled(running, line, draft)
    offline = running.env.get("HF_HUB_OFFLINE", "0").lower() in {"1", "true", "yes", "on"}
    if offline != ("repo" not in draft.table.get("source", {})):
        draft.table["offline"] = offline
    sources = {name: _source(name, secrets[name], place, draft) for name in sorted(secrets)}
    draft.table["secrets"] = {name: {"env": source} for name, source in sources.items()}
    draft.needed += [s if s == n else f"{s} ({n} in the container)" for n, s in sources.items()]


def _overruled(running: Running, line: CommandLine, draft: Draft) -> Iterator[str]:
    """Secrets on the command line: the server uses them, whatever its environment has."""
    for option, variable in OF_OPTION.items():
        values = line.reserved.get(option, ())
        if not any(values[:1]):
            continue
        flag = "--" + option.replace("_", "-")
        own = running.env.get(variable)
        yield f"Its {flag} is on the command line: it becomes the secret {variable}."
        if own is not None and own != values[0]:
            draft.overruled[f"secrets.{variable}"] = f"its environment has another value, which {flag} overrules"
            yield (
                f"{variable} has another value in its environment. vLLM uses {flag}, so give the secret the value of "
                f"{flag}: a new container then accepts what this one accepts."
            )
        if len(values) > 1:
            yield f"Its {flag} has {len(values)} values. A new container accepts only the one in the secret."


def _source(name: str, value: str, place: Place, draft: Draft) -> str:
    """The variable of cortexctl's environment: of the same name, unless another container needs another value in it."""
    if any(other.get(name, value) != value for other in place.other_secrets):
        return f"{name}_{re.sub(r'[^A-Z0-9]+', '_', draft.name.upper())}"
    if name in place.shared:
        models = ", ".join(place.shared[name])
        draft.comments.append(
            f"{models} of the stack reads the variable {name}, too. If its value is another one, rename it here."
        )
    return name


def _is_left_out(name: str, value: str) -> bool:
    if name in SHADOWED_ENV or not is_text(value):
        return True
    try:
        return not variable_form(name)
    except ValueError:
        return True
