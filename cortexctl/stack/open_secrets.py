"""Finds unprotected secrets in a stack: in every text of the file, and in every text that variables insert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from cortexctl.diagnostics import Diagnostic, error
from cortexctl.instance.secret_shape import shape_of_secret
from cortexctl.stack.document import SECRET_NAME, URL_WITH_PASSWORD, Document
from cortexctl.stack.places import Loc
from cortexctl.stack.suspicion import in_the_block, is_variable, why_secret
from cortexctl.text.suggest import nearest

NOT_SECRET = "not_secret"  # noqa: S105 - the key's name


def check_open_secrets(document: Document) -> Iterator[tuple[Diagnostic, str]]:
    """One diagnostic per place, and its text, which no other diagnostic may quote either. `document`: with variables
    replaced and profiles applied.
    """
    exempt = _exempt(document)
    yield from ((wrong, "") for wrong in _wrong_entries(document, exempt))
    checked: dict[Loc, str] = {}
    refused = set()
    texts = [(document.data, False)]
    if document.origins or document.data != document.written:
        texts.append((document.written, True))
    for data, is_file in texts:
        for loc, table, value in _texts((), data):
            written = loc if is_file else document.written_at(loc)
            if checked.get(written) == value:
                continue
            checked[written] = value
            why = _why(loc, table, value)
            if why and written not in refused and _paths(loc, written, table).isdisjoint(exempt):
                refused.add(written)
                yield _diagnostic(document, loc, written, why, is_file=is_file), value


def _paths(loc: Loc, written: Loc, table: Any) -> set[str]:
    """The entries of `not_secret` that mean the text at `loc`; for an item of a list, also those that mean the list."""
    around = (loc, written) if not isinstance(table, list) else (loc, written, loc[:-1], written[:-1])
    return {path_of(place) for place in around}


def path_of(loc: Loc) -> str:
    """The path as written in `not_secret`: the same in the file and in each of its environments."""
    return ".".join(str(step) for step in in_the_block(loc))


def _why(loc: Loc, table: Any, value: str) -> str:
    """Considers a variable's name as well: a later value under that name is shown, too."""
    why = why_secret(loc, table, value)
    return _named(str(loc[-1]), value) if not why and is_variable(in_the_block(loc)) else why


@lru_cache(maxsize=4096)
def _named(name: str, value: str) -> str:
    is_key = name.lower().endswith("key")  # some of these open nothing; `why_secret` knows them
    named = (SECRET_NAME.search(name) and not is_key) or URL_WITH_PASSWORD.search(value)
    return f"its name, {name}" if named else ""


def _texts(loc: Loc, value: Any) -> Iterator[tuple[Loc, Any, str]]:
    """(place, the table or list that contains it, text) of every text in a value."""
    waiting = [(loc, value)]
    while waiting:
        loc, value = waiting.pop()
        pairs: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, dict):
            pairs = [(key, inner) for key, inner in value.items() if loc or key != NOT_SECRET]
        elif isinstance(value, list):
            pairs = enumerate(value)
        inside = []
        for step, inner in pairs:
            if isinstance(inner, str):
                yield (*loc, step), value, inner
            elif isinstance(inner, dict | list):
                inside.append(((*loc, step), inner))
        waiting += reversed(inside)


def _exempt(document: Document) -> list[str]:
    entries = document.data.get(NOT_SECRET)
    return [entry for entry in entries if isinstance(entry, str)] if isinstance(entries, list) else []


def _wrong_entries(document: Document, exempt: Sequence[str]) -> Iterator[Diagnostic]:
    """An entry must point to a text, or to a list of texts: a table would include everything that is added to it
    later.
    """
    known: set[str] = set()
    for data in (document.data, document.written) if exempt else ():
        for loc, table, _ in _texts((), data):
            known |= {path_of(loc)} | ({path_of(loc[:-1])} if isinstance(table, list) else set())
    for index, entry in enumerate(exempt):
        if entry not in known:
            close = nearest(entry, sorted(known))
            advice = f'did you mean "{close}"?' if close else 'write its path, for example "models.chat.env.SORT_KEY"'
            place = document.place((NOT_SECRET, index))
            shown = "an entry" if shape_of_secret(entry) else f'"{entry}"'
            yield error(
                "CX230", f"{shown} of not_secret points to neither a text nor a list of texts", place, help=advice
            )


def _diagnostic(document: Document, loc: Loc, written: Loc, why: str, *, is_file: bool) -> Diagnostic:
    path, where = path_of(written), in_the_block(loc)
    none = f'if it is not a secret: not_secret = ["{path}"]'
    source = document.as_written() if is_file else document
    place = source.place(loc, key=is_variable(where))
    summary, advice = _describe(where, path, why)
    return error("CX210", summary, place, help=f"{advice}; {none}")


def _describe(where: Loc, path: str, why: str) -> tuple[str, str]:
    """The problem, and what to write instead."""
    if is_variable(where):
        name = str(where[-1])
        table = ".".join(str(step) for step in where[:-2])
        summary = f"{name} looks like a secret, and env is written into a label as plain text"
        return summary, f'[{table}.secrets] {name} = {{ env = "{name}" }}'
    if where[0] == "vars":
        summary = f"the variable {where[1]} contains an unprotected secret ({why})"
        return summary, f'remove it, set secret = true, and use it as {{ var = "{where[1]}" }}'
    if "secrets" in where[:-1]:
        summary = f"a reference to a secret looks like the secret itself ({why})"
        return summary, 'write the place of the value, never the value: { env = "NAME" }'
    if "hooks" in where[:-1] and where[-2] == "command":
        summary = f"an argument of the hook {where[-3]} looks like a secret, and plans show the command"
        return summary, "name it in `secrets`, and let the command read it from its environment"
    if "hooks" in where[:-1]:
        return f"the hook's url looks like a secret ({why}), and plans contain it", (
            'read it from elsewhere: url = { env = "NAME" }'
        )
    summary = f"{path} looks like a secret ({why}), and plans and labels show it"
    return summary, "keep it in a variable of the model's `secrets`, or in a file on the host"
