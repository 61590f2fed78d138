"""What to change in a stack's text so that it suits another vLLM release, as far as that is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.reviewed import VALUE, Instead, instead_of, no_effect
from cortexctl.engines.vllm.version import release_from_image
from cortexctl.instance.image import parse_image
from cortexctl.instance.secret_shape import without_tokens
from cortexctl.stack.document import Document, UnreadableDocument, parse_document
from cortexctl.stack.edit.change import CannotEdit, Edit
from cortexctl.stack.edit.edits import edited
from cortexctl.stack.overlay import with_environment, with_profiles
from cortexctl.stack.places import Loc
from cortexctl.text.substitution import VARIABLE


@dataclass
class Upgrade:
    """`text`: the stack's with every change that is certain. `by_hand`: what needs a person, one sentence each."""

    text: str = ""
    edits: dict[Loc, Edit] = field(default_factory=dict)
    by_hand: list[str] = field(default_factory=list)


def upgraded(path: str, text: str, env: str, to: str, now: Mapping[str, str]) -> Upgrade:
    """`now`: model -> the release that its image holds, for those of which it is known. Raises UnreadableDocument."""
    written = parse_document(path, text)
    document = with_profiles(with_environment(written, env))
    made = Upgrade()
    models = document.data.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        if isinstance(model, dict):
            _arguments(document, name, model, to, now.get(name, ""), made)
            _image(document, name, model, to, made)
    for edit in list(made.edits.values()):
        _leave_out_impossible(written, edit, made)
    try:
        made.text = edited(written, list(made.edits.values()))
    except (UnreadableDocument, CannotEdit):  # two changes that do not go together: none is better than a broken file
        made.by_hand.append("the changes do not go into this file by themselves: " + ", ".join(map(_words, made.edits)))
        made.edits, made.text = {}, text
    return made


def _leave_out_impossible(written: Document, edit: Edit, made: Upgrade) -> None:
    """An argument that is a table of its own, with a header or dotted keys, is no single pair to replace."""
    try:
        edited(written, [edit])
    except (UnreadableDocument, CannotEdit):
        del made.edits[edit.loc]
        action = f"replace it by {', '.join(edit.pairs)}" if edit.pairs else "remove it"
        made.by_hand.append(f"{_words(edit.loc)}: {action}; it is a table of its own, which is not edited")


def _arguments(document: Document, model: str, table: Mapping[str, Any], to: str, now: str, made: Upgrade) -> None:
    args = table.get("args")
    if not isinstance(args, dict):
        return
    for name, value in args.items():
        loc = document.written_at(("models", model, "args", name))
        pairs = _instead(name, value, to, now)
        if pairs is None or loc in made.edits:
            continue
        where = f"models.{model}.args.{name}"
        taken = [t for t in pairs if t.partition(".")[0] in args.keys() - {name}]
        if taken:
            made.by_hand.append(f"{where}: move it into {taken[0]}, which the stack sets, too")
        elif any(target.startswith("env.") for target in pairs):
            target, new = next(iter(pairs.items()))
            made.by_hand.append(f'{where}: set {target.removeprefix("env.")} = "{new}" in [models.{model}.env] instead')
        else:
            made.edits[loc] = Edit(loc, pairs)


def _instead(name: str, value: Any, to: str, now: str) -> dict[str, Any] | None:
    """What takes the place of what `to` refuses, ignores or discourages. None: it stays, or nobody knows."""
    option = catalogue.release(to).option(name)
    advice = instead_of(name, to, value if isinstance(value, str) else "")
    outdated = option is None or option.deprecated or (advice is not None and bool(advice.value))
    if outdated and advice is not None and (advice.set or advice.drop):
        return dict(_pairs(advice, value))
    never_had_any = bool(now) and no_effect(name, now) is not None
    if no_effect(name, to) is not None or (option is None and never_had_any):
        return {}
    return None


def _pairs(advice: Instead, value: Any) -> Iterator[tuple[str, Any]]:
    for target, new in advice.set.items():
        yield target, value if new == VALUE else new


def _image(document: Document, model: str, table: Mapping[str, Any], to: str, made: Upgrade) -> None:
    """Where the release is written: vllm_version, the tag, or the default of the variable that is the tag."""
    key = "vllm_version" if table.get("vllm_version") else "image"
    loc = document.written_at(("models", model, key))
    said = str(table.get(key) or "")
    variable = VARIABLE.search(said)
    if variable:
        loc = document.written_at(("vars", variable[1], "default"))
        said = str((document.data.get("vars") or {}).get(variable[1], {}).get("default") or "")
    new = _renamed(said, to)
    if loc in made.edits or new == said:
        return
    if not new:
        shown = without_tokens(said) if said else "it"
        made.by_hand.append(f"models.{model}.{key}: {shown} does not tell a plain release; pin v{to}")
    elif document.has(("vars", variable[1], "default") if variable else ("models", model, key)):
        made.edits[loc] = Edit(loc, {str(loc[-1]): new})


def _renamed(said: str, to: str) -> str:
    """'v0.31.0', 'IMAGE:0.31.0' -> with the other release. Empty where a suffix or a digest makes it another image."""
    plain = re.fullmatch(r"(v?)\d+\.\d+\.\d+(?:\.(?:post)?\d+)?", said)
    if plain:
        return plain[1] + to
    try:
        parsed = parse_image(said)
    except ValueError:
        return ""
    release = release_from_image(said)
    if release is None or parsed.digest or parsed.tag not in {release, f"v{release}"}:
        return ""
    return f"{parsed.name}:{'v' if parsed.tag.startswith('v') else ''}{to}"


def _words(loc: Loc) -> str:
    return ".".join(map(str, loc))
