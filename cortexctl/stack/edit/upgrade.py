"""The changes to a stack's text for another vLLM release, as far as they are known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
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
    """`text`: the stack's text with every certain change. `by_hand`: what a person must do, one sentence each."""

    text: str = ""
    edits: dict[Loc, Edit] = field(default_factory=dict)
    by_hand: list[str] = field(default_factory=list)


def upgraded(path: str, text: str, env: str, to: str, now: Mapping[str, str]) -> Upgrade:
    """`now`: model -> the release of its image, for models with a known one. Raises UnreadableDocument."""
    written = parse_document(path, text)
    document = with_profiles(with_environment(written, env))
    upgrade = Upgrade()
    models = document.data.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        if isinstance(model, dict):
            _arguments(document, name, model, to, now.get(name, ""), upgrade)
            _image(document, name, model, to, upgrade)
    for edit in list(upgrade.edits.values()):
        _leave_out_impossible(written, edit, upgrade)
    try:
        upgrade.text = edited(written, list(upgrade.edits.values()))
    except (UnreadableDocument, CannotEdit):  # changes that exclude each other: none is better than a broken file
        upgrade.by_hand.append(
            "these changes cannot be made automatically in this file: " + ", ".join(map(_dotted_path, upgrade.edits))
        )
        upgrade.edits, upgrade.text = {}, text
    return upgrade


def _leave_out_impossible(written: Document, edit: Edit, upgrade: Upgrade) -> None:
    """Drops an edit of an argument that is a separate table (header or dotted keys): it is not one pair."""
    try:
        edited(written, [edit])
    except (UnreadableDocument, CannotEdit):
        del upgrade.edits[edit.loc]
        action = f"replace it by {', '.join(edit.pairs)}" if edit.pairs else "remove it"
        upgrade.by_hand.append(
            f"{_dotted_path(edit.loc)}: {action}; it is a separate table, which is not edited automatically"
        )


def _arguments(document: Document, model: str, table: Mapping[str, Any], to: str, now: str, upgrade: Upgrade) -> None:
    args = table.get("args")
    if not isinstance(args, dict):
        return
    for name, value in args.items():
        loc = document.written_at(("models", model, "args", name))
        pairs = _instead(name, value, to, now)
        if pairs is None or loc in upgrade.edits:
            continue
        where = f"models.{model}.args.{name}"
        taken = [t for t in pairs if t.partition(".")[0] in args.keys() - {name}]
        if taken:
            upgrade.by_hand.append(f"{where}: move it into {taken[0]}, which the stack also sets")
        elif any(target.startswith("env.") for target in pairs):
            target, new = next(iter(pairs.items()))
            upgrade.by_hand.append(
                f'{where}: set {target.removeprefix("env.")} = "{new}" in [models.{model}.env] instead'
            )
        else:
            upgrade.edits[loc] = Edit(loc, pairs)


def _instead(name: str, value: Any, to: str, now: str) -> dict[str, Any] | None:
    """The replacement for an argument that `to` refuses, ignores or discourages. None: it stays, or no replacement is
    known.
    """
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


def _image(document: Document, model: str, table: Mapping[str, Any], to: str, upgrade: Upgrade) -> None:
    """Updates the place of the release: vllm_version, the tag, or the default of the variable that is the tag."""
    key = "vllm_version" if table.get("vllm_version") else "image"
    loc = document.written_at(("models", model, key))
    reference = str(table.get(key) or "")
    variable = VARIABLE.search(reference)
    if variable:
        loc = document.written_at(("vars", variable[1], "default"))
        reference = str((document.data.get("vars") or {}).get(variable[1], {}).get("default") or "")
    new = _renamed(reference, to)
    if loc in upgrade.edits or new == reference:
        return
    if not new:
        shown = without_tokens(reference) if reference else "it"
        upgrade.by_hand.append(f"models.{model}.{key}: {shown} does not name a plain release; pin v{to}")
    elif document.has(("vars", variable[1], "default") if variable else ("models", model, key)):
        upgrade.edits[loc] = Edit(loc, {str(loc[-1]): new})


def _renamed(reference: str, to: str) -> str:
    """'v0.31.0', 'IMAGE:0.31.0' -> with the other release. Empty if a suffix or a digest makes it another image."""
    plain = re.fullmatch(r"(v?)\d+\.\d+\.\d+(?:\.(?:post)?\d+)?", reference)
    if plain:
        return plain[1] + to
    try:
        parsed = parse_image(reference)
    except ValueError:
        return ""
    release = release_from_image(reference)
    if release is None or parsed.digest or parsed.tag not in {release, f"v{release}"}:
        return ""
    return f"{parsed.name}:{'v' if parsed.tag.startswith('v') else ''}{to}"


def _dotted_path(loc: Loc) -> str:
    return ".".join(map(str, loc))
