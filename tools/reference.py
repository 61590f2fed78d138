"""Writes the pages of docs/reference (`make reference`): commands from click, the stack file and JSON from the schemas.

docs/reference/rules.md is written by hand, but for its table of contents.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cortexctl.cli.main import COMMANDS, EXIT_CODES, cli
from cortexctl.render import schemas
from cortexctl.render.rules import RULES
from cortexctl.stack.json_schema import json_schema

REPO = Path(__file__).parent.parent
PAGES = REPO / "docs" / "reference"
TEXTS: Mapping[str, Mapping[str, Any]] = tomllib.loads((Path(__file__).parent / "reference.toml").read_text())
NOTES = TEXTS["commands"]
GENERATED = "<!-- Written by `make reference`. Do not edit this page. -->"


def pages() -> dict[str, str]:
    """File name in docs/reference -> text."""
    rules = (PAGES / "rules.md").read_text()
    return {
        "commands.md": commands_page(),
        "stack-file.md": stack_page(),
        "json.md": json_page(),
        "rules.md": with_contents(rules),
    }


# commands


def commands_page() -> str:
    """Every command with usage, examples, exit codes and options."""
    purposes = [(f"[`{name}`](#cortexctl-{name})", text) for name, (_, text) in COMMANDS.items()]
    codes = re.findall(r"^  (\d+)  (.*)$", EXIT_CODES, re.MULTILINE)
    parts = [
        "# Commands",
        GENERATED,
        TEXTS["text"]["commands"].strip(),
        "## All commands",
        table(("command", "purpose"), purposes),
        "## Exit codes",
        table(("code", "meaning"), codes),
    ]
    for name in COMMANDS:
        parts += command_section(name, NOTES[name])
    return "\n\n".join(parts) + "\n"


def command_section(name: str, notes: Mapping[str, Any]) -> Iterator[str]:
    """One command, with its sub-commands."""
    command = cli.get_command(click.Context(cli), name)
    if command is None:
        raise KeyError(name)
    yield f"## cortexctl {name}"
    yield help_text(command)
    if "about" in notes:
        yield notes["about"]
    yield f"```sh\n{chr(10).join(notes['examples'])}\n```"
    codes = {"0": "done", "1": "error", **notes.get("codes", {})}
    yield "Exit codes: " + " · ".join(f"{code} {text}" for code, text in codes.items())
    if "guide" in notes:
        yield f"Guide: [{notes['guide']}](../guides/{notes['guide']})"
    yield from usage(f"cortexctl {name}", command)
    if isinstance(command, click.Group):
        for sub, inner in command.commands.items():
            yield f"### cortexctl {name} {sub}"
            yield help_text(inner)
            yield from usage(f"cortexctl {name} {sub}", inner)


def help_text(command: click.Command) -> str:
    """The docstring, as Markdown."""
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return re.sub(r"(?m)^(cortexctl .*(?:\n.+)*)$", lambda m: f"```sh\n{' '.join(m[1].split())}\n```", text)


def usage(path: str, command: click.Command) -> Iterator[str]:
    """The line to type, and a table of the options."""
    context = click.Context(command, info_name=path)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{path} {pieces}\n```"
    records = [p.get_help_record(context) for p in command.params if isinstance(p, click.Option) and not p.hidden]
    rows = [(f"`{names}`", text) for names, text in filter(None, records)]
    if rows:
        yield table(("option", "meaning"), rows)


# the stack file

TABLES: Sequence[tuple[str, str]] = (
    ("", "The top of the file"),
    ("HostTable", "`[hosts.NAME]`"),
    ("TlsTable", "`[hosts.NAME.tls]`"),
    ("HostGpusTable", "`[hosts.NAME.gpus]`"),
    ("MeasuredTable", "`[hosts.NAME.gpus.measured.RELEASE]`"),
    ("ModelTable", "`[models.NAME]`"),
    ("SourceTable", "`[models.NAME.source]`"),
    ("Args", "`[models.NAME.args]`"),
    ("SecretTable", "`[models.NAME.secrets]`"),
    ("GateTable", "`[models.NAME.gate]`"),
    ("SmokeTable", "`[models.NAME.gate.smoke]`"),
    ("RolloutTable", "`[models.NAME.rollout]`"),
    ("HookTable", "`[models.NAME.hooks.NAME]`"),
    ("StackHookTable", "`[hooks.NAME]`"),
    ("StackRolloutTable", "`[rollout]`"),
    ("GuardsTable", "`[guards]`"),
    ("DriftTable", "`[drift]`"),
    ("AuditTable", "`[audit]`"),
    ("VarTable", "`[vars.NAME]`"),
    ("MovedTable", "`[[moved]]`"),
)


def stack_page() -> str:
    """Every table of the stack file with its keys."""
    from cortexctl.engines.vllm.version import NEWEST_KNOWN

    schema = json_schema()
    example = re.findall(r"```toml\n(.*?)```", (REPO / "README.md").read_text(), re.DOTALL)[0]
    anchors = {name: anchor(title) for name, title in TABLES}
    if missing := set(schema["$defs"]) - set(anchors):
        raise KeyError(f"TABLES has no section for {missing}")
    parts = ["# The stack file", GENERATED, TEXTS["text"]["stack_file"].strip(), f"```toml\n{example}```"]
    for name, title in TABLES:
        parts.append(f"## {title}")
        if name == "Args":
            parts.append(TEXTS["tables"]["Args"].strip().replace("NEWEST", NEWEST_KNOWN))
            continue
        described = schema["$defs"][name] if name else schema
        parts += filter(None, (described.get("description", ""), TEXTS["tables"].get(name, "").strip()))
        parts.append(keys_table(described, anchors, schema["$defs"]))
    return "\n\n".join(parts) + "\n"


def keys_table(schema: Mapping[str, Any], anchors: Mapping[str, str], defs: Mapping[str, Any]) -> str:
    """key, type, default, meaning. A key without a description has that of its table."""
    required = schema.get("required", ())
    rows = []
    for key, value in schema["properties"].items():
        default = "required" if key in required else default_text(value)
        inner = re.search(r"#/\$defs/(\w+)", json.dumps(value))
        meaning = examples_text(value) or (defs[inner[1]].get("description", "") if inner else "")
        rows.append((f"`{key}`", type_text(value, anchors), default, meaning))
    return table(("key", "type", "default", "meaning"), rows)


def type_text(schema: Mapping[str, Any], anchors: Mapping[str, str]) -> str:
    """As a phrase; a table is a link to its section. The text of the page describes variables."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{'table' if name in dict(TABLES) else name}](#{anchors[name]})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema or "oneOf" in schema:
        options = [
            o for o in schema.get("anyOf", schema.get("oneOf")) if not is_variable(o) and o.get("type") != "null"
        ]
        return " or ".join(dict.fromkeys(type_text(o, anchors) for o in options))
    kind = schema.get("type", "any")
    kinds = kind if isinstance(kind, list) else [kind]
    return " or ".join(dict.fromkeys(one_type(k, schema, anchors) for k in kinds))


def one_type(kind: str, schema: Mapping[str, Any], anchors: Mapping[str, str]) -> str:
    names = {"string": "text", "boolean": "true or false", "integer": "integer", "number": "number", "null": "null"}
    if kind == "array":
        return f"list of {type_text(schema.get('items', {}), anchors)}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"{type_text(inner, anchors)} per name" if isinstance(inner, dict) else "table"
    return names.get(kind, kind) + (bounds(schema) if kind in {"integer", "number"} else "")


def bounds(schema: Mapping[str, Any]) -> str:
    least, most, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if above is not None:
        return f" above {above}"
    if least is not None and most is not None:
        return f" {least} to {most}"
    return f" from {least}" if least is not None else ""


def is_variable(schema: Mapping[str, Any]) -> bool:
    """The alternative `{{ vars.NAME }}`, which every value has."""
    return r"vars\." in schema.get("pattern", "")


def default_text(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    if default is None or "$ref" in schema or default in ({}, []):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def examples_text(schema: Mapping[str, Any]) -> str:
    inner = [schema, *schema.get("anyOf", ())]
    examples = next((o["examples"] for o in inner if "examples" in o), ())
    shown = "Such as " + " or ".join(f"`{e}`" for e in examples) + "." if examples else ""
    return " ".join(filter(None, (schema.get("description", ""), shown)))


# JSON


def json_page() -> str:
    """The documents that cortexctl writes for programs."""
    documents = {
        "plan": ("Plan", schemas.plan_schema()),
        "drift": ("Drift report", schemas.drift_schema()),
        "doctor": ("Report of doctor", schemas.doctor_schema()),
        "events": ("Events", schemas.events_schema()),
    }
    parts = [
        "# JSON for programs",
        GENERATED,
        TEXTS["text"]["json"].strip(),
    ]
    for name, (title, text) in documents.items():
        schema = json.loads(text)
        anchors = {d: anchor(f"{name}: {d}") for d in schema["$defs"]}
        parts += [f"## {title}", schema["description"], keys_table(schema, anchors, schema["$defs"])]
        for inner, described in schema["$defs"].items():
            parts.append(f"### {name}: {inner}")
            if "description" in described:
                parts.append(described["description"])
            parts.append(
                keys_table(described, anchors, schema["$defs"])
                if described.get("properties")
                else f"Type: {type_text(described, anchors)}"
            )
    return "\n\n".join(parts) + "\n"


# rules

BEGIN, END = "<!-- contents: written by `make reference` -->", "<!-- end of contents -->"
GROUPS = {
    "1": "The file and its variables",
    "2": "The declared stack",
    "3": "vLLM: arguments, release, memory",
    "4": "Hosts and the plan",
}


def with_contents(page: str) -> str:
    """The page with a current table of contents."""
    head, _, rest = page.partition(BEGIN)
    _, _, body = rest.partition(END)
    lines = []
    for digit, title in GROUPS.items():
        rows = [(f"[{id_}](#{anchor(f'{id_} {text}')})", text) for id_, text in RULES.items() if id_[2] == digit]
        lines += [f"**{title}**", table(("rule", "problem"), rows)]
    return f"{head}{BEGIN}\n\n" + "\n\n".join(lines) + f"\n\n{END}{body}"


# Markdown


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += ["| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def anchor(title: str) -> str:
    """As code hosts make it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    for file, text in pages().items():
        (PAGES / file).write_text(text)
