"""The tables of the stack file, declared as classes with annotations, and their reader.

Strict: a text is never a number, and an unknown key is a problem. Every problem is reported, with its place, in the
order of the fields. Written for this file alone, because every command reads it: a library for any file costs more
than the rest of a small plan.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field
from functools import cache, partial
from typing import Any, TypeVar

from cortexctl.dataclass import dataclass
from cortexctl.stack.places import Loc

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """A function that returns a value of the right type, or raises ValueError with the reason. With `first`, it gets
    the value of any type.
    """

    function: Callable[[Any], Any]
    first: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a number."""

    at_least: int | None = None
    more_than: int | None = None
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """A text, a list or a table with at least one member."""


@dataclass(frozen=True, slots=True)
class Key:
    """The key in the file, if it cannot be the name of a field."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Documented:
    """What the JSON Schema shows: examples, or a whole schema of its own."""

    examples: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """`loc`: the place of the wrong value, as in `places`. `detail`: the text, number or bound that the kind needs."""

    kind: str
    loc: Loc
    value: Any
    detail: Any = None


class WrongTables(ValueError):
    """The file does not have the declared form."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class TableField:
    """A field of a table. `default`: a function that creates the value; None if a value is required."""

    name: str
    key: str
    annotation: Any
    default: Callable[[], Any] | None


Reader = Callable[[Any, Loc, list[Problem]], Any]
"""(value, its place, the problems so far) -> the value in the file's class. Adds a problem if it is wrong."""


def read_table(table: type[T], data: Any) -> T:
    """The data as an instance of the table. Raises WrongTables with all problems."""
    problems: list[Problem] = []
    instance: T = _read_fields(table, data, (), problems)
    if problems:
        raise WrongTables(tuple(problems))
    return instance


def is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and hasattr(annotation, "__dataclass_fields__")


@cache
def fields_of(table: type) -> tuple[TableField, ...]:
    """The fields in the order of their declaration."""
    return tuple(
        TableField(
            f.name,
            next((m.name for m in metadata_of(f.type) if isinstance(m, Key)), f.name),
            f.type,
            _default(f),
        )
        for f in dataclasses.fields(table)
    )


def _default(f: Field[Any]) -> Callable[[], Any] | None:
    if f.default is not MISSING:
        return lambda: f.default
    return f.default_factory if f.default_factory is not MISSING else None


def descriptions(table: type) -> dict[str, str]:
    """Key -> the text below the field in the source."""
    texts: dict[str, str] = {}
    for one in reversed([c for c in table.__mro__ if is_table(c)]):
        [declared] = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        keys = {f.name: f.key for f in fields_of(one)}
        lines = declared.body if isinstance(declared, ast.ClassDef) else []
        for line, below in itertools.pairwise(lines):
            match line, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    texts[keys[name]] = inspect.cleandoc(text)
    return texts


def metadata_of(annotation: Any) -> Iterator[Any]:
    """The metadata of an annotation and of its alternatives."""
    if typing.get_origin(annotation) is typing.Annotated:
        yield from typing.get_args(annotation)[1:]
    for member in members_of(annotation):
        yield from metadata_of(member)


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of `A | B`; none if there is only one."""
    return typing.get_args(annotation) if typing.get_origin(annotation) in {typing.Union, types.UnionType} else ()


@cache
def _reader(annotation: Any) -> Reader:
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *metadata = typing.get_args(annotation)
        reader = _reader(inner)
        for one in metadata:
            reader = _constrained(reader, one)
        return reader
    if members := members_of(annotation):
        return _alternatives(members)
    match typing.get_origin(annotation):
        case typing.Literal:
            return partial(_read_choice, typing.get_args(annotation))
        case origin if origin is list:
            return partial(_read_list, _reader(typing.get_args(annotation)[0]))
        case origin if origin is dict:
            key, item = map(_reader, typing.get_args(annotation))
            return partial(_read_dict, key, item)
    return partial(_read_fields, annotation) if is_table(annotation) else _PLAIN[annotation]


def _read_fields(table: type, value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if not isinstance(value, dict):
        problems.append(Problem("table", loc, value))
        return None
    before = len(problems)
    values = {}
    for f in fields_of(table):
        if f.key in value:
            values[f.name] = _reader(f.annotation)(value[f.key], (*loc, f.key), problems)
        elif f.default is None:
            problems.append(Problem("missing", (*loc, f.key), value))
    if len(values) < len(value):
        known = {f.key for f in fields_of(table)}
        problems += (Problem("unknown", (*loc, key), value[key]) for key in value if key not in known)
    return table(**values) if len(problems) == before else None


def _read_list(item: Reader, value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if not isinstance(value, list):
        problems.append(Problem("list", loc, value))
        return None
    return [item(one, (*loc, index), problems) for index, one in enumerate(value)]


def _read_dict(key: Reader, item: Reader, value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if not isinstance(value, dict):
        problems.append(Problem("table", loc, value))
        return None
    return {key(k, (*loc, k, "[key]"), problems): item(v, (*loc, k), problems) for k, v in value.items()}


def _read_choice(choices: tuple[str, ...], value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if not isinstance(value, str) or value not in choices:
        problems.append(Problem("choice", loc, value, choices))
    return value


def _read_text(value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if not isinstance(value, str):
        problems.append(Problem("text", loc, value))
    return value


def _read_whole(value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if type(value) is not int:
        problems.append(Problem("whole", loc, value))
    return value


def _read_number(value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if type(value) not in {int, float}:
        problems.append(Problem("number", loc, value))
        return value
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        problems.append(Problem("finite", loc, value))
    return number


def _read_truth(value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if not isinstance(value, bool):
        problems.append(Problem("truth", loc, value))
    return value


def _read_nothing(value: Any, loc: Loc, problems: list[Problem]) -> Any:
    if value is not None:
        problems.append(Problem("null", loc, value))


def _read_any(value: Any, _: Loc, __: list[Problem]) -> Any:
    return value


_PLAIN: dict[Any, Reader] = {
    str: _read_text,
    int: _read_whole,
    float: _read_number,
    bool: _read_truth,
    type(None): _read_nothing,
    Any: _read_any,
}


def _alternatives(members: tuple[Any, ...]) -> Reader:
    """The first alternative that takes the value. If none does, the problems are those of all but `None`."""
    readers = [_reader(member) for member in members if member is not type(None)]
    optional = type(None) in members

    def read(value: Any, loc: Loc, problems: list[Problem]) -> Any:
        if value is None and optional:
            return None
        wrong: list[Problem] = []
        for reader in readers:
            before = len(wrong)
            result = reader(value, loc, wrong)
            if len(wrong) == before:
                return result
        problems += wrong
        return None

    return read


def _constrained(reader: Reader, constraint: Any) -> Reader:
    match constraint:
        case Check(function, first=True):
            return partial(_checked, function)
        case Check(function):
            return partial(_read_and_check, reader, function)
        case Bounds() | NotEmpty():
            return partial(_read_within, reader, constraint)
    return reader


def _checked(function: Callable[[Any], Any], value: Any, loc: Loc, problems: list[Problem]) -> Any:
    try:
        return function(value)
    except ValueError as cause:
        problems.append(Problem("form", loc, value, str(cause)))
        return None


def _read_and_check(
    reader: Reader, function: Callable[[Any], Any], value: Any, loc: Loc, problems: list[Problem]
) -> Any:
    before = len(problems)
    result = reader(value, loc, problems)
    return _checked(function, result, loc, problems) if len(problems) == before else None


def _read_within(reader: Reader, limit: Bounds | NotEmpty, value: Any, loc: Loc, problems: list[Problem]) -> Any:
    before = len(problems)
    result = reader(value, loc, problems)
    if len(problems) == before:
        problems += _outside(limit, value, loc)
    return result


def _outside(limit: Bounds | NotEmpty, value: Any, loc: Loc) -> Iterator[Problem]:
    match limit:
        case NotEmpty():
            if not value:
                yield Problem("short", loc, value)
        case Bounds(_, _, int(most)) if value > most:
            yield Problem("range", loc, value, f"at most {most}")
        case Bounds(int(least), _, _) if value < least:
            yield Problem("range", loc, value, f"at least {least}")
        case Bounds(_, int(below), _) if value <= below:
            yield Problem("range", loc, value, f"more than {below}")
