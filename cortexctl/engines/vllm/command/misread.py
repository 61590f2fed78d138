"""Values that the parser accepts and that do not have the meaning that their writer had in mind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.command.json_values import decoded, is_json_value, json_hint, must_be_json


def misread(options: Mapping[str, Any], of: Release) -> Iterator[ArgumentIssue]:
    """`options`: values as the parser has read them, by name."""
    for name, value in sorted(options.items()):
        option = of.option(name)
        if option is None or value is None:
            continue
        if must_be_json(option) and not is_json_value(option, value):
            noun = "text" if isinstance(value, str) else f"a {type(value).__name__}"
            hint = json_hint(str(value)) or "remove the quotes around it, and write the table itself"
            if decoded(str(value)) is not None:
                hint = "it is JSON inside JSON: remove the outer quotes and the backslashes"
            summary = f"{option.flag} is read as {noun}, and vLLM's start expects a table"
            yield ArgumentIssue(name, "CX302", summary, hint, about="value")
        for word in value if isinstance(value, list) and option.kind in {"text", "lora", "adapters"} else ():
            if isinstance(word, str) and word[:1] in {"[", '"', "'"} and word[-1:] in {"]", '"', "'"}:
                summary = f"{option.flag} has brackets or quotes that become a part of its value"
                fix = "write the values themselves, one word each, without brackets and quotes"
                yield ArgumentIssue(name, "CX302", summary, fix, about="value")
                break
