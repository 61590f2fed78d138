"""Arguments that vLLM's command line or its configuration checks refuse."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed


def _unknown(match: re.Match[str]) -> Message:
    text = match[1].strip()
    options = [word.partition("=")[0] for word in text.split() if word.startswith("--")]
    what = " and ".join(f"`{o}`" for o in options) or f"`{text}`"
    return (
        f"this vLLM release does not know the argument: {text}",
        (
            f"remove {what} from `args` or `extra_args` (`cortexctl args check -- {text}` shows its "
            "replacement), or pin an image whose release has it"
        ),
    )


def _key(option: str) -> str:
    """'--max-model-len', '--compilation-config/-cc' -> the stack's name for it."""
    return "args." + option.partition("/")[0].lstrip("-").replace("-", "_")


def _bad_choice(match: re.Match[str]) -> Message:
    option, value, choices = match.groups()
    choices = choices.replace("'", "").replace('"', "")
    return (
        f"vLLM's parser refuses {option}: {value} is not one of its values",
        f"set {_key(option)} to one of: {choices}",
    )


def _no_value(match: re.Match[str]) -> Message:
    return f"{match[1]} has no value", f"give {_key(match[1])} a value, or remove it"


def _bad_key(match: re.Match[str]) -> Message:
    option, key = match[1], match[2]
    return (
        f"{option} has no key {key} in this vLLM release",
        (
            f"remove {key} from {_key(option)}: `cortexctl catalog show {_key(option).removeprefix('args.')}` "
            "lists its keys"
        ),
    )


def _not_json(match: re.Match[str]) -> Message:
    return (
        f"the value of {match[1]} is not JSON: {match[2]}",
        f"write {_key(match[1])} as a table of the stack, not as text",
    )


def _refused(match: re.Match[str]) -> Message:
    option, reason = match.groups()
    return f"vLLM's parser refuses {option}: {reason}", f"correct the value of {_key(option)} in the model's `args`"


_NESTED = {"SpeculativeConfig": "speculative_config", "CompilationConfig": "compilation_config"}
"""Configurations whose fields are keys of a JSON argument; the fields of all others are arguments themselves."""


def _field(match: re.Match[str]) -> Message:
    config, field, reason, value = match.groups()
    name = ".".join(("args", *([_NESTED[config]] if config in _NESTED else []), field))
    bound = re.fullmatch(r"(less|greater) than (or equal to )?(\S+)", reason)
    if bound:
        side = {"less": "below", "greater": "above"}[bound[1]]
        fix = (
            f"set {name} to {bound[3]} or {bound[1].replace('greater', 'more')}"
            if bound[2]
            else f"set {name} {side} {bound[3]}"
        )
    else:
        fix = f"set {name} to {reason}" if reason.startswith("'") else f"correct {name}: it should be {reason}"
    return f"vLLM refuses {field} = {value}: it should be {reason}", fix


PATTERNS = (
    computed("unrecognised-argument", r"error: unrecognized arguments: (.+)", _unknown),
    fixed(
        "ambiguous-argument",
        r"error: ambiguous option: (\S+) could match (.+)",
        r"\1 is short for several options: \2",
        r"write the full name of the intended option in `extra_args`: \2",
    ),
    fixed(
        "arguments-exclude-each-other",
        r"error: argument (\S+): not allowed with argument (\S+)",
        r"\1 and \2 exclude each other",
        "remove one of the two from `args`",
    ),
    computed("bad-choice", r"error: argument (\S+): invalid choice: (.{1,300}?) \(choose from (.+)\)", _bad_choice),
    computed("argument-without-value", r"error: argument (\S+): expected (?:one|at least one) argument", _no_value),
    computed(
        "unknown-key-of-config",
        r"error: argument (\S+): \d+ validation errors? for \w+\n(\S+)\n +Unexpected keyword argument",
        _bad_key,
    ),
    computed("not-json", r"error: argument (\S+): Value (.+) cannot be converted to .*loads", _not_json),
    computed("bad-value", r"error: argument (\S+): (.+)", _refused),
    fixed(
        "no-model-named",
        r"No model specified! Please specify model|`model` should be provided as the first positional argument"
        r"|error: the following arguments are required: model_tag",
        "the command line has an option before the model's name",
        (
            "remove `--model`, and values without an option before them, from `extra_args`: cortexctl adds "
            "the model itself"
        ),
    ),
    fixed(
        "config-file-missing",
        r"Unable to read the config file at (\S+?)\. Check path|No such file or directory: '([^']+\.ya?ml)'",
        r"vLLM's --config names a file that is not in the container: \1\2",
        r'mount it: volumes = ["/on/the/host/config.yaml:\1\2:ro"], or move its values into `args`',
    ),
    fixed(
        "config-file-of-another-kind",
        r"Config file must be of a yaml/yml type\. (\S+) supplied",
        r"vLLM's --config accepts only YAML, and the file ends in \1",
        "move the file's values into `args`, or rename it to .yaml",
    ),
    fixed(
        "tool-choice-without-parser",
        r"--enable-auto-tool-choice requires --tool-call-parser",
        "enable_auto_tool_choice is set, but tool_call_parser is not",
        'set args.tool_call_parser to the parser of the model\'s family (such as "hermes", "llama3_json", "mistral"), '
        "or remove args.enable_auto_tool_choice",
    ),
    fixed(
        "unknown-tool-parser",
        r"invalid tool call parser: (\S+) \(chose from \{ ?(.+?) ?\}\)",
        r"this vLLM release has no tool call parser \1",
        r"set args.tool_call_parser to one of: \2",
    ),
    fixed(
        "unknown-reasoning-parser",
        r"invalid reasoning parser: (\S+) \(chose from \{ ?(.+?) ?\}\)|Reasoning parser '(.+?)' not found\. "
        r"Available parsers: "
        r"([\w, ]+)",
        r"this vLLM release has no reasoning parser \1\3",
        r"set args.reasoning_parser to one of: \2\4",
    ),
    fixed(
        "log-outputs-without-requests",
        r"--enable-log-outputs requires --enable-log-requests",
        "enable_log_outputs is set, but enable_log_requests is not",
        "set args.enable_log_requests = true, or remove args.enable_log_outputs",
    ),
    fixed(
        "same-thing-twice",
        r"\b(\w+) and (\w+)\.(\w+) are mutually exclusive",
        r"\1 is set twice: as an argument, and as a key of \2",
        r"remove \3 from args.\2",
    ),
    fixed(
        "bad-environment-variable",
        r"Invalid value '([^']*)' (?:for|in) (VLLM_\w+)\. Valid options: (.+)\.",
        r"the variable \2 cannot be \1",
        r"set env.\2 to one of \3, or remove it from the model's `env`",
    ),
    fixed(
        "unknown-log-level",
        r"ValueError: Unknown level: '?(\w+)'?",
        r"\1 is not a logging level",
        r'set env.VLLM_LOGGING_LEVEL to "DEBUG", "INFO", "WARNING" or "ERROR"',
    ),
    fixed(
        "gpu-share-above-one",
        r"GPU memory utilization must be less than 1\.0\. Got (\S+?)\.?(?: \[|$|\n)",
        r"gpu_memory_utilization is a share of the GPU's memory, and \1 is more than all of it",
        r"set args.gpu_memory_utilization = 0.9",
    ),
    computed(
        "bad-field",
        r"\b\d+ validation errors? for (\w+)\n([a-z]\S*)\n +Input should be (.+?) \[type=\w+, input_value=(.+?), "
        r"input_type",
        _field,
    ),
    fixed(
        "refused-by-config",
        r"\b\d+ validation errors? for (\w+)\n +Value error, (.+?)\.?(?: \[type=value_error.*|$)",
        r"vLLM refuses the configuration (\1): \2",
        "correct the value in `args` that this sentence names; `cortexctl validate` checks the others",
        vague=True,
    ),
)
