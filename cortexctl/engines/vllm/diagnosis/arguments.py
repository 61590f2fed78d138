"""Arguments that vLLM's command line or its configuration checks refuse."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.catalogue.catalogue import option_names
from cortexctl.engines.vllm.command.json_values import json_hint
from cortexctl.engines.vllm.diagnosis.field_names import stack_kind, stack_name
from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed
from cortexctl.engines.vllm.diagnosis.unknown_arguments import unknown_arguments


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
    hint = json_hint(match[2])
    return (
        f"the value of {match[1]} is not JSON: {match[2]}",
        f"write {_key(match[1])} as a table of the stack, not as text"
        + (f" (on a command line: {hint})" if hint else ""),
    )


def _refused(match: re.Match[str]) -> Message:
    option, reason = match.groups()
    return f"vLLM's parser refuses {option}: {reason}", f"correct the value of {_key(option)} in the model's `args`"


def _field(match: re.Match[str]) -> Message:
    config, field, reason, value = match.groups()
    name = stack_name(config, field)
    shown = name.removeprefix("args.") or field
    if not name:
        return (
            f"vLLM refuses {field} = {value} ({config}): it should be {stack_kind(reason)}",
            f"correct the argument that sets {field}: it should be {stack_kind(reason)}",
        )
    bound = re.fullmatch(r"(less|greater) than (or equal to )?(\S+)", reason)
    if bound:
        side = {"less": "below", "greater": "above"}[bound[1]]
        fix = (
            f"set {name} to {bound[3]} or {bound[1].replace('greater', 'more')}"
            if bound[2]
            else f"set {name} {side} {bound[3]}"
        )
    elif reason.startswith("'"):
        fix = f"set {name} to {reason}"
    else:
        fix = f"correct {name}: it should be {stack_kind(reason)}"
    return f"vLLM refuses {shown} = {value}: it should be {stack_kind(reason)}", fix


def _choice(match: re.Match[str]) -> Message:
    name, value, choices = match.groups()
    argument = name if name in option_names() else ""
    listed = choices.replace("'", "").replace('"', "")
    return (
        f"{argument or name} cannot be {value} in this vLLM release",
        f"set {'args.' + argument if argument else 'it'} to one of: {listed}",
    )


def _unknown_field(match: re.Match[str]) -> Message:
    name = stack_name(match[1], match[2]) or match[2]
    table, _, key = name.removeprefix("args.").rpartition(".")
    shows = f": `cortexctl catalog show {table.partition('.')[0]}` lists the keys" if table else ""
    within = f" in {table}" if table else ""
    return f"this vLLM release has no {key or name}{within}", f"remove {name}{shows}"


def _missing_field(match: re.Match[str]) -> Message:
    name = stack_name(match[1], match[2]) or f"{match[2]} ({match[1]})"
    return f"{name.removeprefix('args.')} is required and not set", f"set {name}"


PATTERNS = (
    computed("unrecognised-argument", r"error: unrecognized arguments:(.*)", unknown_arguments),
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
    fixed(
        "no-subcommand",
        r"error: argument subparser: invalid choice: '([^']{1,300})' \(choose from",
        r"the command starts `vllm \1`, but the image's entry point is `vllm` without `serve`",
        r"write `serve` before it: `serve \1`; a stack does so itself",
    ),
    computed("bad-choice", r"error: argument (\S+): invalid choice: (.{1,300}?) \(choose from (.+)\)", _bad_choice),
    computed("argument-without-value", r"error: argument (\S+): expected (?:one|at least one) argument", _no_value),
    computed(
        "unknown-key-of-config",
        r"error: argument (\S+): \d+ validation errors? for \w+\n(\S+)\n *Unexpected keyword argument",
        _bad_key,
    ),
    computed(
        "unknown-field",
        r"\b\d+ validation errors? for (\w+)\n([A-Za-z_]\S*)\n *(?:Unexpected keyword argument"
        r"|Extra inputs are not permitted)",
        _unknown_field,
    ),
    computed("missing-field", r"\b\d+ validation errors? for (\w+)\n([A-Za-z_]\S*)\n *Field required", _missing_field),
    computed("not-json", r"error: argument (\S+): Value (.+) cannot be converted to .*loads", _not_json),
    fixed(
        "lora-modules-form",
        r"error: argument --lora-modules: Invalid (?:fields|JSON format) for --lora-modules: (.+)",
        r"vLLM cannot read --lora-modules: \1",
        'write args.lora_modules = ["NAME=/path"], as a list of the stack; on a command line one word for each '
        "adapter, "
        "without brackets: --lora-modules a=/path b=/path",
    ),
    computed("bad-value", r"error: argument (\S+): (?!\d+ validation error)(.+)", _refused),
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
        r"invalid tool call parser: (\S+) \(chose from \{ ?(.+?) ?\}\)|[Tt]ool parser '(.+?)' not found\. Available "
        r"(?:tool )?parsers: [\[{]?([\w, '.-]+)",
        r"this vLLM release has no tool call parser \1\3",
        r"set args.tool_call_parser to one of: \2\4",
    ),
    fixed(
        "unknown-parser",
        r"(tool|reasoning) helper: '(.+?)' not found in \w+_parsers",
        r"this vLLM release has no \1 parser \2",
        "correct args.tool_call_parser or args.reasoning_parser: `cortexctl catalog show tool_call_parser` lists the "
        "values",
    ),
    fixed(
        "unknown-reasoning-parser",
        r"invalid reasoning parser: (\S+) \(chose from \{ ?(.+?) ?\}\)|Reasoning parser '(.+?)' not found\. "
        r"Available (?:reasoning )?parsers: "
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
        "port-of-kubernetes",
        r"VLLM_PORT '([^']{1,200})' appears to be a URI"
        r"|invalid literal for int\(\) with base 10: '(tcp://[^']{1,200})'",
        r"VLLM_PORT is \1\2: Kubernetes sets this variable in every pod, because a service is named vllm",
        "rename the service, or set enableServiceLinks = false in the pod's specification",
    ),
    fixed(
        "port-is-no-number",
        r"VLLM_PORT '([^']{0,200})' must be a valid integer",
        r"the variable VLLM_PORT is \1, which is not a number",
        "remove VLLM_PORT from `env`: it is for vLLM's internal connections, and `publish` sets the server's port",
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
        r"\b\d+ validation errors? for (\w+)\n([A-Za-z_]\S*)\n *Input should be (.+?) \[type=\w+, input_value=(.+?), "
        r"input_type",
        _field,
    ),
    computed(
        "choice-of-argument",
        r"(?:[Uu]nsupported|[Ii]nvalid|[Uu]nknown) (\w{3,60})(?: value)?[:=]? ?['\"]([^'\"]{1,120})['\"][.,;:]? "
        r"(?:Expected|Must be|Supported|Valid|Available|Choose"
        r"|Allowed)\b[^:\[{(']{0,40}[:\[{(]? ?[\[{(]?([^\])}]{2,600}?)"
        r"[\])}.]{0,2}$",
        _choice,
        vague=True,
    ),
    fixed(
        "text-in-place-of-a-table",
        r"AttributeError: 'str' object has no attribute '(?:update|items|get)'",
        "an argument that is a table was passed as a text: JSON that was encoded twice",
        "write the value as a table of the stack, for example [models.NAME.args.speculative_config], not as a "
        "text with JSON",
        vague=True,
    ),
    fixed(
        "refused-by-config",
        r"\b\d+ validation errors? for (\w+)\n(?:[A-Za-z_]\S*\n)? *(?:Value error"
        r"|Assertion failed), (?! *\[type)(.+?)\.?(?: \[type=\w+_error.*|$)",
        r"vLLM refuses the configuration (\1): \2",
        "correct the value in `args` that this sentence names; `cortexctl validate` checks the others",
        vague=True,
    ),
)
