"""What vLLM's command line and the checks of its configuration refuse."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said


def _unknown(match: re.Match[str]) -> Said:
    words = match[1].strip()
    options = [word.partition("=")[0] for word in words.split() if word.startswith("--")]
    what = " and ".join(f"`{o}`" for o in options) or f"`{words}`"
    return (
        f"this vLLM release does not know: {words}",
        (
            f"take {what} out of `args` or `extra_args` (`cortexctl args check -- {words}` says what replaced it), "
            "or pin an image whose release has it"
        ),
    )


def _key(option: str) -> str:
    """'--max-model-len', '--compilation-config/-cc' -> the stack's name for it."""
    return "args." + option.partition("/")[0].lstrip("-").replace("-", "_")


def _bad_choice(match: re.Match[str]) -> Said:
    option, value, choices = match.groups()
    choices = choices.replace("'", "").replace('"', "")
    return f"vLLM's parser refuses {option}: {value} is none of its values", f"set {_key(option)} to one of: {choices}"


def _no_value(match: re.Match[str]) -> Said:
    return f"{match[1]} stands there without its value", f"give {_key(match[1])} a value, or take it out"


def _bad_key(match: re.Match[str]) -> Said:
    option, key = match[1], match[2]
    return (
        f"{option} has no key {key} in this vLLM release",
        (
            f"take {key} out of {_key(option)}: `cortexctl catalog show {_key(option).removeprefix('args.')}` lists "
            f"its keys"
        ),
    )


def _not_json(match: re.Match[str]) -> Said:
    return (
        f"the value of {match[1]} is not JSON: {match[2]}",
        f"write {_key(match[1])} as a table of the stack, and not as text",
    )


def _refused(match: re.Match[str]) -> Said:
    option, why = match.groups()
    return f"vLLM's parser refuses {option}: {why}", f"correct the value of {_key(option)} in the model's `args`"


_NESTED = {"SpeculativeConfig": "speculative_config", "CompilationConfig": "compilation_config"}
"""Whose fields are keys of a JSON argument; those of the others are arguments themselves."""


def _field(match: re.Match[str]) -> Said:
    config, field, why, value = match.groups()
    name = ".".join(("args", *([_NESTED[config]] if config in _NESTED else []), field))
    bound = re.fullmatch(r"(less|greater) than (or equal to )?(\S+)", why)
    if bound:
        side = {"less": "below", "greater": "above"}[bound[1]]
        fix = (
            f"set {name} to {bound[3]} or {bound[1].replace('greater', 'more')}"
            if bound[2]
            else f"set {name} {side} {bound[3]}"
        )
    else:
        fix = f"set {name} to {why}" if why.startswith("'") else f"correct {name}: it should be {why}"
    return f"vLLM refuses {field} = {value}: it should be {why}", fix


PATTERNS = (
    computed("unrecognised-argument", r"error: unrecognized arguments: (.+)", _unknown),
    said(
        "ambiguous-argument",
        r"error: ambiguous option: (\S+) could match (.+)",
        r"\1 is short for several options: \2",
        r"write out in `extra_args` which of them is meant: \2",
    ),
    said(
        "arguments-exclude-each-other",
        r"error: argument (\S+): not allowed with argument (\S+)",
        r"\1 and \2 exclude each other",
        r"take one of the two out of `args`",
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
    said(
        "no-model-named",
        r"No model specified! Please specify model|`model` should be provided as the first positional argument"
        r"|error: the following arguments are required: model_tag",
        r"the command line names no model before its options",
        r"take `--model` and words without an option before them out of `extra_args`: cortexctl names the model itself",
    ),
    said(
        "config-file-missing",
        r"Unable to read the config file at (\S+?)\. Check path|No such file or directory: '([^']+\.ya?ml)'",
        r"vLLM's --config names a file that is not in the container: \1\2",
        r'mount it: volumes = ["/on/the/host/config.yaml:\1\2:ro"], or move its values into `args`',
    ),
    said(
        "config-file-of-another-kind",
        r"Config file must be of a yaml/yml type\. (\S+) supplied",
        r"vLLM's --config takes YAML only, and got a file that ends in \1",
        r"move the file's values into `args`, or name it .yaml",
    ),
    said(
        "tool-choice-without-parser",
        r"--enable-auto-tool-choice requires --tool-call-parser",
        r"enable_auto_tool_choice is set, and no tool_call_parser",
        'set args.tool_call_parser to the one of the model\'s family (as "hermes", "llama3_json", "mistral"), '
        r"or take out args.enable_auto_tool_choice",
    ),
    said(
        "unknown-tool-parser",
        r"invalid tool call parser: (\S+) \(chose from \{ ?(.+?) ?\}\)",
        r"this vLLM release has no tool call parser \1",
        r"set args.tool_call_parser to one of: \2",
    ),
    said(
        "unknown-reasoning-parser",
        r"invalid reasoning parser: (\S+) \(chose from \{ ?(.+?) ?\}\)|Reasoning parser '(.+?)' not found\. "
        r"Available parsers: "
        r"([\w, ]+)",
        r"this vLLM release has no reasoning parser \1\3",
        r"set args.reasoning_parser to one of: \2\4",
    ),
    said(
        "log-outputs-without-requests",
        r"--enable-log-outputs requires --enable-log-requests",
        r"enable_log_outputs is set, and enable_log_requests is not",
        r"set args.enable_log_requests = true, or take out args.enable_log_outputs",
    ),
    said(
        "same-thing-twice",
        r"\b(\w+) and (\w+)\.(\w+) are mutually exclusive",
        r"\1 is given twice: by itself, and as a key of \2",
        r"take \3 out of args.\2",
    ),
    said(
        "bad-environment-variable",
        r"Invalid value '([^']*)' (?:for|in) (VLLM_\w+)\. Valid options: (.+)\.",
        r"the variable \2 cannot be \1",
        r"set env.\2 to one of \3, or take it out of the model's `env`",
    ),
    said(
        "unknown-log-level",
        r"ValueError: Unknown level: '?(\w+)'?",
        r"\1 is no level of logging",
        r'set env.VLLM_LOGGING_LEVEL to "DEBUG", "INFO", "WARNING" or "ERROR"',
    ),
    said(
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
    said(
        "refused-by-config",
        r"\b\d+ validation errors? for (\w+)\n +Value error, (.+?)\.?(?: \[type=value_error.*|$)",
        r"vLLM refuses the configuration (\1): \2",
        r"change in `args` what the sentence names; `cortexctl validate` checks the rest",
        vague=True,
    ),
)
