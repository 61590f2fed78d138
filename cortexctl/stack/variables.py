"""`{{ vars.NAME }}` in a stack's strings: where values come from, and putting them in.

Only that one form is allowed. It is parsed by Jinja2 and checked on the syntax tree before anything is evaluated, so
there is no attribute to reach and no loop to run; it is then rendered in Jinja2's sandbox all the same. A string that
is one variable and nothing else takes its value with its type: `max_model_len = "{{ vars.length }}"` is a number.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cortexctl.diagnostics import Diagnostic, SourceSpan, error
from cortexctl.files.checkout import checkout_of
from cortexctl.stack.document import Document, UnreadableDocument, fit, read_document, unfit
from cortexctl.stack.places import Loc
from cortexctl.stack.suggest import nearest

if TYPE_CHECKING:
    from jinja2.nodes import Node

PREFIX = "CORTEXCTL_VAR_"
_MARKS = ("{{", "{%", "{#")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
}


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller gives: `--var` words (NAME=VALUE), `--var-file` paths, and the environment. `for_another`: it
    was given for another revision of the stack, so what this one does not declare is no mistake. `beside`: the stack's
    path; in a `review`, a file of its checkout is read only if it is there itself, and not behind a link.
    """

    words: Sequence[str] = ()
    files: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    for_another: bool = False
    beside: str = ""
    review: bool = False

    def read(self, path: str) -> dict[str, Any]:
        """One of the files. Raises UnreadableDocument."""
        in_checkout = bool(self.beside) and checkout_of(self.beside).names(path)
        return fit(read_document(path, inside=self.review and in_checkout)).data


def with_variables(document: Document, given: Given) -> tuple[Document, list[Diagnostic], set[SourceSpan | None]]:
    """The document with every variable put in. What could not be is a diagnostic, and stays as it was written; the
    places where it stays are the third value: whatever else is wrong there follows from it.
    """
    declared = document.data.get("vars")
    declared = declared if isinstance(declared, dict) else {}
    values, found = _values(document, declared, given)
    secret = {name for name, table in declared.items() if isinstance(table, dict) and table.get("secret") is True}
    unfilled: set[SourceSpan | None] = set()
    filling = _Filling(document, values, frozenset(declared), frozenset(secret), found, unfilled)
    data = {
        key: value if key in {"vars", "env"} else filling.fill((key,), value) for key, value in document.data.items()
    }
    return document.moved(data, {}), found, unfilled


def secret_values(document: Document, given: Given) -> dict[str, str]:
    """The values of the variables that are declared secret, for `secrets.X = { var = "NAME" }`."""
    declared = document.data.get("vars")
    if not isinstance(declared, dict):
        return {}
    values, _ = _values(document, declared, given)
    return {
        name: str(values[name])
        for name, table in declared.items()
        if isinstance(table, dict) and table.get("secret") is True and name in values
    }


def given_texts(given: Given) -> dict[str, str]:
    """Every value that the caller gives by name, as text: for a secret variable when its container is made."""
    texts = {name.removeprefix(PREFIX): value for name, value in given.environ.items() if name.startswith(PREFIX)}
    for path in given.files:
        try:
            texts |= {name: str(value) for name, value in given.read(path).items()}
        except UnreadableDocument:
            continue  # said when the stack was read
    return texts | dict(word.partition("=")[::2] for word in given.words)


def _values(document: Document, declared: Mapping[str, Any], given: Given) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Name -> value, the nearest source winning: --var, then --var-file (the last), the environment, the default."""
    found: list[Diagnostic] = []
    typed: dict[str, Any] = {}
    for path in given.files:
        try:
            typed |= given.read(path)
        except UnreadableDocument as cause:
            found.append(cause.diagnostic)
    words = dict(word.partition("=")[::2] for word in given.words)
    found += [] if given.for_another else _undeclared(typed.keys() | words.keys(), declared)
    texts = {name: given.environ[PREFIX + name] for name in declared if PREFIX + name in given.environ}
    texts = {name: text for name, text in texts.items() if name not in typed} | words
    values: dict[str, Any] = {}
    for name, table in declared.items():
        if not isinstance(table, dict):
            continue  # the schema says what is wrong with it
        value, problem, advice = _value_of(name, table, texts, typed)
        if problem:
            span = document.place(("vars", name), key=True)
            found.append(error("CX106", f'the variable "{name}": {problem}', span, help=advice))
        elif value is not None:
            values[name] = value
    return values, found


def _undeclared(given: Iterable[str], declared: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for name in sorted(set(given) - declared.keys()):
        close = nearest(name, declared)
        advice = f'did you mean "{close}"?' if close else f"declared: {', '.join(sorted(declared)) or 'none'}"
        yield error("CX106", f'a value is given for "{name}", and the stack has no such variable', help=advice)


def _value_of(
    name: str, table: Mapping[str, Any], texts: Mapping[str, str], typed: Mapping[str, Any]
) -> tuple[Any, str, str]:
    """(value, problem, what to do). A secret without a value is no problem here: the one who wants it says so."""
    kind = _type_of(table)
    secret = table.get("secret") is True
    if secret and "default" in table:
        return None, "it is secret, and its default stands in the file for all to read", f"give it with {PREFIX}{name}"
    if name in texts:
        return *_from_text(texts[name], kind), ""
    if name in typed:
        return *_checked(typed[name], kind), ""
    if "default" in table:
        return *_checked(table["default"], kind), ""
    if secret:
        return None, "", ""
    return None, "it has no value", f"give it one with --var {name}=…, --var-file or {PREFIX}{name}, or a default"


def _type_of(table: Mapping[str, Any]) -> str:
    """As declared, else that of the default, else text."""
    declared = table.get("type")
    if isinstance(declared, str) and declared in _TYPES:
        return declared
    default = table.get("default")
    kinds = ((bool, "bool"), (int, "int"), (float, "float"), (list, "list"))
    return next((kind for python, kind in kinds if isinstance(default, python)), "string")


def _from_text(text: str, kind: str) -> tuple[Any, str]:
    """A value from a command line or the environment, where everything is text."""
    if kind == "string":
        return _checked(text, kind)
    try:
        value = json.loads(text) if kind == "list" else tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return None, f"its value is no {kind}"
    return _checked(value, kind)


def _checked(value: Any, kind: str) -> tuple[Any, str]:
    right = isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
    if not right:
        return None, f"its value is no {kind}"
    problem, _ = unfit(value)
    return (None, f"its value {problem}") if problem else (value, "")


@dataclass(frozen=True, slots=True)
class _Filling:
    document: Document
    values: Mapping[str, Any]
    declared: frozenset[str]
    secret: frozenset[str]
    found: list[Diagnostic]
    unfilled: set[SourceSpan | None]

    def fill(self, loc: Loc, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.fill((*loc, key), inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill((*loc, index), inner) for index, inner in enumerate(value)]
        if isinstance(value, str) and any(mark in value for mark in _MARKS):
            span = self.document.place(loc)
            filled = self._text(value, span)
            if filled is value:
                self.unfilled.add(span)
            return filled
        return value

    def _text(self, text: str, span: SourceSpan | None) -> Any:
        from jinja2 import StrictUndefined, TemplateSyntaxError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
        )
        stand_in = _unused(text)  # for CR, which Jinja2 would make LF
        try:
            parts = list(_parts(environment.parse(text.replace("\r", stand_in)).body))
        except TemplateSyntaxError as cause:
            self.found.append(error("CX107", f"not a valid template: {cause.message}", span, help=_ALLOWED))
            return text
        problems = [p for part in parts for p in self._problems(part, span)]
        self.found.extend(problems)
        if problems:
            return text
        names = [name for kind, name in parts if kind == "variable"]
        if not self.values.keys() >= set(names):
            return text  # that one has no value is said where it is declared
        if len(parts) == 1 and names:
            return self.values[names[0]]
        return "".join(
            name.replace(stand_in, "\r") if kind == "text" else str(self.values[name]) for kind, name in parts
        )

    def _problems(self, part: tuple[str, str], span: SourceSpan | None) -> Iterator[Diagnostic]:
        kind, name = part
        if kind == "other":
            yield error("CX107", f"{name} cannot stand in a stack's string", span, help=_ALLOWED)
        elif kind == "variable" and name in self.secret:
            yield error(
                "CX108",
                f'the variable "{name}" is secret, and this value is written into plans and labels',
                span,
                help=f'[models.NAME.secrets] VARIABLE = {{ var = "{name}" }}',
            )
        elif kind == "variable" and name not in self.declared:
            close = nearest(name, self.declared)
            advice = f'did you mean "vars.{close}"?' if close else f"declare it: [vars.{name}]"
            yield error("CX106", f'there is no variable "{name}"', span, help=advice)


def _unused(text: str) -> str:
    """A character of the private area that is not in the text."""
    return next(c for c in map(chr, range(0xE000, 0xF900)) if c not in text)


_ALLOWED = "only {{ vars.NAME }} is allowed; a literal {{ is written {{ '{{' }}"


def _parts(body: Sequence[Node]) -> Iterator[tuple[str, str]]:
    """The pieces of a template: ("text", …), ("variable", NAME), or ("other", what it is)."""
    from jinja2 import nodes

    for statement in body:
        if not isinstance(statement, nodes.Output):
            yield "other", f"{{% {type(statement).__name__.lower()} %}}"
            continue
        for node in statement.nodes:
            match node:
                case nodes.TemplateData(data=data):
                    yield "text", data
                case nodes.Const(value=str() as value):
                    yield "text", value
                case nodes.Getattr(node=nodes.Name(name="vars"), attr=attr):
                    yield "variable", attr
                case nodes.Name(name=name):
                    yield "other", f"{{{{ {name} }}}}"
                case _:
                    yield "other", "an expression"
