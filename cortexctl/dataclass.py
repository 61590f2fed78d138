"""`dataclass` of the standard library, for programs that start often.

The standard library compiles up to six methods for every class when its module is imported; a command has some 200
such classes, and creates instances of few of them. Here `__init__` is compiled when a class gets its COMPILED_FROM-th
instance, and the other methods are common to all classes. `fields`, `replace`, `asdict` and `match` work as usual.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from operator import attrgetter, ge, gt, le, lt
from typing import TYPE_CHECKING, Any

COMPILED_FROM = 16
"""To compile an `__init__` takes as long as some 20 instances without: most classes have one or two."""

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - its meaning to a type checker
else:

    def dataclass(cls: type | None = None, /, **options: bool) -> Any:
        """As `dataclasses.dataclass`, with the options of `_with_methods`."""
        return _with_methods(cls, **options) if cls else partial(_with_methods, **options)


def _with_methods(
    cls: type, *, frozen: bool = False, slots: bool = False, eq: bool = True, order: bool = False, kw_only: bool = False
) -> type:
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # or the standard library derives a text from the signature, which takes long
    make = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)
    cls = make(cls)
    methods: dict[str, Any] = {"__init__": _first_init(cls, frozen=frozen), "__repr__": _repr}
    values = _compared_values(cls)
    if eq:
        methods |= {"__eq__": _equality(values), "__hash__": _hash_of(values) if frozen else None}
    if order:
        methods |= {f"__{compare.__name__}__": _comparison(compare, values) for compare in (lt, le, gt, ge)}
    if frozen:
        methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    if frozen and slots:
        methods |= {"__getstate__": _state, "__setstate__": _set_state}
    for name, method in methods.items():
        if cls.__dict__.get(name) is None:
            setattr(cls, name, method)
    return cls


def _first_init(cls: type, *, frozen: bool) -> Callable[..., None]:
    """An `__init__` that replaces itself by the compiled one, which also reports wrong arguments."""
    set_value = object.__setattr__ if frozen else setattr
    count = 0

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        nonlocal count
        count += 1
        values = _values_of(cls, args, kwargs) if count < COMPILED_FROM else None
        if values is None:
            compiled = _compiled_init(cls, frozen=frozen)
            cls.__init__ = compiled  # type: ignore[misc]
            compiled(self, *args, **kwargs)
            return
        for name, value in values:
            set_value(self, name, value)
        if hasattr(cls, "__post_init__"):
            self.__post_init__()

    return __init__


def _values_of(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]] | None:
    """(field, value) of an instance. None if these are not the arguments of the class."""
    fields = dataclasses.fields(cls)
    inputs = dict(zip((f.name for f in fields if f.init and not f.kw_only), args, strict=False))
    if len(inputs) < len(args) or not inputs.keys().isdisjoint(kwargs):
        return None
    inputs |= kwargs
    values = []
    for f in fields:
        if f.init and f.name in inputs:
            values.append((f.name, inputs.pop(f.name)))
        elif f.default_factory is not dataclasses.MISSING:
            values.append((f.name, f.default_factory()))
        elif f.default is not dataclasses.MISSING:
            values.append((f.name, f.default))
        elif f.init:
            return None
    return None if inputs else values


def _compiled_init(cls: type, *, frozen: bool) -> Callable[..., None]:
    known: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    parameters: dict[object, list[str]] = {False: [], True: []}
    body: list[str] = []
    for f in dataclasses.fields(cls):
        value = f.name
        if f.default_factory is not dataclasses.MISSING:
            known[f"_new_{f.name}"] = f.default_factory
            value = f"_new_{f.name}() if {f.name} is _missing else {f.name}" if f.init else f"_new_{f.name}()"
            parameter = f"{f.name}=_missing"
        elif f.default is not dataclasses.MISSING:
            known[f"_default_{f.name}"] = f.default
            value = f.name if f.init else f"_default_{f.name}"
            parameter = f"{f.name}=_default_{f.name}"
        elif f.init:
            parameter = f.name
        else:
            continue
        if f.init:
            parameters[f.kw_only].append(parameter)
        body.append(f"_set(_self, {f.name!r}, {value})" if frozen else f"_self.{f.name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("_self.__post_init__()")
    names = ["_self", *parameters[False], *(["*", *parameters[True]] if parameters[True] else [])]
    exec(f"def __init__({', '.join(names)}):\n " + "\n ".join(body or ["pass"]), known)  # noqa: S102 - our own names
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _compared_values(cls: type) -> Callable[[Any], tuple[Any, ...]]:
    names = [f.name for f in dataclasses.fields(cls) if f.compare]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _equality(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, object], bool]:
    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _comparison(
    compare: Callable[[Any, Any], bool], values: Callable[[Any], tuple[Any, ...]]
) -> Callable[[Any, object], bool]:
    def compared(self: Any, other: object) -> bool:
        return compare(values(self), values(other)) if other.__class__ is self.__class__ else NotImplemented

    return compared


def _hash_of(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_to_set(_: Any, name: str, __: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, f.name) for f in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for f, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, f.name, value)
