"""`{{ vars.NAME }}` in a stack's strings: the sources of values, and their substitution.

A plain substitution: there are no expressions, filters, loops or comments, and a value is not searched for variables
again. A literal `{{`, `{%` or `{#` is written `{{ '{{' }}`. A string that consists of one variable takes the variable's
value with its type: `max_model_len = "{{ vars.length }}"` is a number.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import Diagnostic, SourceSpan, error, warning
from cortexctl.files.checkout import checkout_of
from cortexctl.files.consulted import Consulted
from cortexctl.stack.document import Document, UnreadableDocument, fit, read_document, unfit
from cortexctl.stack.places import Loc
from cortexctl.text.substitution import BEGIN, Piece, pieces_of, template_of_another_tool
from cortexctl.text.suggest import nearest

PREFIX = "CORTEXCTL_VAR_"
_OTHERS = {"hooks", "secrets", "command", "prompt", "description"}
"""Keys below which other programs may have their own variables."""
_ALLOWED = "write {{ vars.NAME }} for a variable; a literal {{ is written {{ '{{' }}, and {% and {# likewise"
_NAMES = {"string": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
}


@dataclass(frozen=True, slots=True)
class VariableInputs:
    """The caller's values: `--var` assignments (NAME=VALUE), `--var-file` paths, and the environment. `for_another`:
    they are for another revision of the stack, so a variable that this one does not declare is not an error. `beside`:
    the stack's path; in a `review`, a file of its checkout is read only if it is in the checkout itself, not behind a
    link. `consulted`: records which other files the result depends on.
    """

    assignments: Sequence[str] = ()
    files: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    for_another: bool = False
    beside: str = ""
    review: bool = False
    consulted: Consulted | None = None

    def read(self, path: str) -> dict[str, Any]:
        """The values of one of the files. Raises UnreadableDocument."""
        in_checkout = bool(self.beside) and checkout_of(self.beside).names(path)
        return fit(read_document(path, inside=self.review and in_checkout)).data


def with_variables(
    document: Document, inputs: VariableInputs
) -> tuple[Document, list[Diagnostic], set[SourceSpan | None]]:
    """The document with every variable replaced, diagnostics, and places. A variable that cannot be replaced is a
    diagnostic, and its string stays as written; the third value holds the places of these strings, because other
    problems there follow from it.
    """
    declared = document.data.get("vars")
    declared = declared if isinstance(declared, dict) else {}
    values, diagnostics = _values(document, declared, inputs)
    secret = {name for name, table in declared.items() if isinstance(table, dict) and table.get("secret") is True}
    unfilled: set[SourceSpan | None] = set()
    filling = _Filling(document, values, frozenset(declared), frozenset(secret), diagnostics, unfilled)
    data = {
        key: value if key in {"vars", "env"} else filling.fill((key,), value) for key, value in document.data.items()
    }
    return document.moved(data, {}), diagnostics, unfilled


def secret_values(document: Document, inputs: VariableInputs) -> dict[str, str]:
    """The values of the variables that are declared secret, for `secrets.X = { var = "NAME" }`."""
    declared = document.data.get("vars")
    if not isinstance(declared, dict):
        return {}
    values, _ = _values(document, declared, inputs)
    return {
        name: str(values[name])
        for name, table in declared.items()
        if isinstance(table, dict) and table.get("secret") is True and name in values
    }


def input_texts(inputs: VariableInputs) -> dict[str, str]:
    """Every value that the caller gives by name, as text: used for a secret variable when its container is created."""
    texts = {name.removeprefix(PREFIX): value for name, value in inputs.environ.items() if name.startswith(PREFIX)}
    for path in inputs.files:
        try:
            texts |= {name: str(value) for name, value in inputs.read(path).items()}
        except UnreadableDocument:
            continue  # reported when the stack was read
    return texts | dict(word.partition("=")[::2] for word in inputs.assignments)


def _values(
    document: Document, declared: Mapping[str, Any], inputs: VariableInputs
) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Name -> value; the first source that has it wins: --var, then --var-file (the last), the environment, the
    default.
    """
    diagnostics: list[Diagnostic] = []
    typed: dict[str, Any] = {}
    for path in inputs.files:
        try:
            typed |= inputs.read(path)
        except UnreadableDocument as cause:
            diagnostics.append(cause.diagnostic)
    assignments = dict(word.partition("=")[::2] for word in inputs.assignments)
    diagnostics += [] if inputs.for_another else _undeclared(typed.keys() | assignments.keys(), declared)
    diagnostics += _other_case(inputs.environ, declared)
    texts = {name: inputs.environ[PREFIX + name] for name in declared if PREFIX + name in inputs.environ}
    texts = {name: text for name, text in texts.items() if name not in typed} | assignments
    values: dict[str, Any] = {}
    for name, table in declared.items():
        if not isinstance(table, dict):
            continue  # the schema reports what is wrong with it
        value, problem, advice = _value_of(name, table, texts, typed)
        if problem:
            span = document.place(("vars", name), key=True)
            diagnostics.append(error("CX106", f'the variable "{name}": {problem}', span, help=advice))
        elif value is not None:
            values[name] = value
    return values, diagnostics


def _undeclared(inputs: Iterable[str], declared: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for name in sorted(set(inputs) - declared.keys()):
        close = nearest(name, declared)
        advice = f'did you mean "{close}"?' if close else f"declared: {', '.join(sorted(declared)) or 'none'}"
        yield error("CX106", f'a value is given for "{name}", but the stack has no such variable', help=advice)


def _other_case(environ: Mapping[str, str], declared: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Names in the environment that differ from a variable's only in upper and lower case: they set nothing."""
    names = {name.lower(): name for name in declared}
    for variable in sorted(environ):
        name = names.get(variable.removeprefix(PREFIX).lower(), "") if variable.startswith(PREFIX) else ""
        if name and variable != PREFIX + name and PREFIX + name not in environ:
            yield warning(
                "CX111", f"{variable} sets no variable: the name in the stack is {name}", help=f"set {PREFIX}{name}"
            )


def _value_of(
    name: str, table: Mapping[str, Any], texts: Mapping[str, str], typed: Mapping[str, Any]
) -> tuple[Any, str, str]:
    """(value, problem, fix). A secret without a value is not a problem here: the code that needs it reports it."""
    kind = _type_of(table)
    secret = table.get("secret") is True
    if secret and "default" in table:
        return (
            None,
            "it is secret, but its default is in the file, readable for everybody",
            f"set it with {PREFIX}{name}",
        )
    if name in texts:
        return *_from_text(texts[name], kind, shown=not secret), f"it was given with --var {name}=… or {PREFIX}{name}"
    if name in typed:
        return *_checked(typed[name], kind, shown=not secret), "it was given with --var-file"
    if "default" in table:
        return *_checked(table["default"], kind, shown=True), "its default has another type than the variable"
    if secret:
        return None, "", ""
    return None, "it has no value", f"set it with --var {name}=…, --var-file or {PREFIX}{name}, or give it a default"


def _type_of(table: Mapping[str, Any]) -> str:
    """The declared type, else that of the default, else text."""
    declared = table.get("type")
    if isinstance(declared, str) and declared in _TYPES:
        return declared
    default = table.get("default")
    kinds = ((bool, "bool"), (int, "int"), (float, "float"), (list, "list"))
    return next((kind for python, kind in kinds if isinstance(default, python)), "string")


def _from_text(text: str, kind: str, *, shown: bool) -> tuple[Any, str]:
    """A value from a command line or the environment, where everything is text; and the problem with it, which shows
    the value only if it is not secret.
    """
    if kind == "string":
        return _checked(text, kind, shown=shown)
    try:
        value = json.loads(text) if kind == "list" else tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return None, _not_a(kind, text, shown=shown)
    return _checked(value, kind, shown=shown)


def _checked(value: Any, kind: str, *, shown: bool) -> tuple[Any, str]:
    right = isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
    if not right:
        return None, _not_a(kind, value, shown=shown)
    problem = unfit(value)
    return (None, f"its value {problem}") if problem else (value, "")


def _not_a(kind: str, value: Any, *, shown: bool) -> str:
    text = str(value) if not isinstance(value, bool) else str(value).lower()
    quoted = f'"{text[:40]}"' if shown else "its value"
    return f"{quoted} is not {_NAMES[kind]}"


def _stays(name: str, span: SourceSpan | None) -> Diagnostic:
    return warning(
        "CX111",
        f"${{…}} is not a variable of a stack, so this text stays unchanged: {name}",
        span,
        help=f"write {{{{ vars.{name} }}}}, with [vars.{name}] in the stack",
    )


@dataclass(frozen=True, slots=True)
class _Filling:
    document: Document
    values: Mapping[str, Any]
    declared: frozenset[str]
    secret: frozenset[str]
    diagnostics: list[Diagnostic]
    unfilled: set[SourceSpan | None]

    def fill(self, loc: Loc, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.fill((*loc, key), inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill((*loc, index), inner) for index, inner in enumerate(value)]
        if not isinstance(value, str) or "{" not in value:
            return value
        if BEGIN.search(value):
            return self._text(loc, value)
        if (name := template_of_another_tool(value)) and not _OTHERS.intersection(loc):
            self.diagnostics.append(_stays(name, self.document.place(loc)))
        return value

    def _text(self, loc: Loc, text: str) -> Any:
        """The text with its variables replaced; unchanged, and recorded in `unfilled`, if that is not possible."""
        pieces = list(pieces_of(text))
        if not all(map(self._is_known, pieces)):
            span = self.document.place(loc)
            self.diagnostics.extend(dict.fromkeys(self._problems(pieces, span)))
            self.unfilled.add(span)
            return text
        if len(pieces) == 1 and pieces[0].name:
            return self.values[pieces[0].name]
        return "".join(str(self.values[piece.name]) if piece.name else piece.text for piece in pieces)

    def _is_known(self, piece: Piece) -> bool:
        return piece.name in self.values and piece.name not in self.secret if piece.name else not piece.is_wrong

    def _problems(self, pieces: Sequence[Piece], span: SourceSpan | None) -> Iterator[Diagnostic]:
        """No problem for a variable without a value: that is reported where it is declared."""
        wrong = next((piece.text for piece in pieces if piece.is_wrong), "")
        if wrong:
            yield error("CX107", f"{wrong} is not the beginning of a variable", span, help=_ALLOWED)
        for name in (piece.name for piece in pieces if piece.name):
            if name in self.secret:
                yield error(
                    "CX108",
                    f'the variable "{name}" is secret, but this value is written into plans and labels',
                    span,
                    help=f'[models.NAME.secrets] VARIABLE = {{ var = "{name}" }}',
                )
            elif name not in self.declared:
                close = nearest(name, self.declared)
                advice = f'did you mean "vars.{close}"?' if close else f"declare it: [vars.{name}]"
                yield error("CX106", f'there is no variable "{name}"', span, help=advice)
