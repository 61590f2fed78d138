"""The tables of the stack file, declared as classes with annotations. pydantic-core reads them.

Strict: a text is never a number, and an unknown key is an error. pydantic-core alone, because every command reads the
file: pydantic itself takes longer than the rest of a small plan.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic_core import CoreSchema, SchemaValidator, core_schema

from cortexctl.dataclass import dataclass

_CONFIG = core_schema.CoreConfig(strict=True, extra_fields_behavior="forbid", allow_inf_nan=False)


class Table:
    """A table of the file. Its fields are its annotations; a default is an attribute of the class.

    Annotations are objects, not texts: a module of tables has no `from __future__ import annotations`. Each instance
    gets its own copy of a list or a dict.
    """

    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")  # pydantic-core's

    def __setattr__(self, name: str, _: Any) -> None:
        raise AttributeError(f"cannot assign to field {name!r}")


TableT = TypeVar("TableT", bound=Table)


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
class TableField:
    """A field of a table. `default`: its value if the file has none; it has no meaning if the field is required."""

    name: str
    key: str
    annotation: Any
    required: bool
    default: Any


def read_table(table: type[TableT], data: Any) -> TableT:
    """The data as an instance of the table. Raises pydantic_core.ValidationError with all problems."""
    instance: TableT = _validator(table).validate_python(data)  # type: ignore[arg-type]  # classes are hashable
    return instance


def is_table(annotation: Any) -> typing.TypeGuard[type[Table]]:
    return isinstance(annotation, type) and issubclass(annotation, Table)


def fields_of(table: type[Table]) -> tuple[TableField, ...]:
    """The fields in the order of their declaration, those of the base class first."""
    annotations: dict[str, Any] = {}
    for declared in reversed(table.__mro__):
        if is_table(declared):
            annotations |= inspect.get_annotations(declared)
    return tuple(
        TableField(
            name,
            next((m.name for m in metadata_of(annotation) if isinstance(m, Key)), name),
            annotation,
            not hasattr(table, name),
            getattr(table, name, None),
        )
        for name, annotation in annotations.items()
    )


def metadata_of(annotation: Any) -> Iterator[Any]:
    """The metadata of an annotation and of its alternatives."""
    if typing.get_origin(annotation) is typing.Annotated:
        yield from typing.get_args(annotation)[1:]
    for member in members_of(annotation):
        yield from metadata_of(member)


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of `A | B`; none if there is only one."""
    return typing.get_args(annotation) if typing.get_origin(annotation) in {typing.Union, types.UnionType} else ()


_PLAIN: dict[Any, CoreSchema] = {
    str: core_schema.str_schema(),
    int: core_schema.int_schema(),
    float: core_schema.float_schema(),
    bool: core_schema.bool_schema(),
    Any: core_schema.any_schema(),
}


@cache
def _validator(table: type[Table]) -> SchemaValidator:
    return SchemaValidator(_table(table))


def _table(table: type[Table]) -> CoreSchema:
    fields = {f.name: core_schema.model_field(_field(f), validation_alias=f.key) for f in fields_of(table)}
    return core_schema.model_schema(table, core_schema.model_fields_schema(fields), config=_CONFIG)


def _field(field: TableField) -> CoreSchema:
    schema = _value(field.annotation)
    if field.required:
        return schema
    if isinstance(field.default, list | dict):
        return core_schema.with_default_schema(schema, default_factory=field.default.copy)
    return core_schema.with_default_schema(schema, default=field.default)


def _value(annotation: Any) -> CoreSchema:
    if is_table(annotation):
        return _table(annotation)
    if members := members_of(annotation):
        choices = [_value(member) for member in members if member is not type(None)]
        schema = choices[0] if len(choices) == 1 else core_schema.union_schema(list(choices))
        return core_schema.nullable_schema(schema) if type(None) in members else schema
    arguments = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case typing.Annotated:
            schema = _value(arguments[0])
            for constraint in arguments[1:]:
                schema = _constrained(schema, constraint)
            return schema
        case typing.Literal:
            return core_schema.literal_schema(list(arguments))
        case origin if origin is list:
            return core_schema.list_schema(_value(arguments[0]))
        case origin if origin is dict:
            return core_schema.dict_schema(*map(_value, arguments))
    return _PLAIN[annotation]


def _constrained(schema: CoreSchema, constraint: Any) -> CoreSchema:
    more: dict[str, Any] = {}
    match constraint:
        case Check(function, first=True):
            return core_schema.no_info_before_validator_function(function, schema)
        case Check(function):
            return core_schema.no_info_after_validator_function(function, schema)
        case Bounds(at_least, more_than, at_most):
            bounds = {"ge": at_least, "gt": more_than, "le": at_most}
            more = {name: bound for name, bound in bounds.items() if bound is not None}
        case NotEmpty():
            more = {"min_length": 1}
    return typing.cast("CoreSchema", {**schema, **more})
