"""A saved plan loses nothing: every field of every value that a plan is made of, filled otherwise than by default."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Literal

import pytest

from cortexctl.instance.spec import Server
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_from_json, plan_to_json

ANYTHING = ({"a": [1, 2.5, None, {"b": True}]}, "text", 7)
"""Values for a field that takes any JSON value."""


def values(kind: Any, place: str) -> tuple[Any, ...]:
    """Values of a type, one for each of its kinds. Of a dataclass: instances that give each field each of its values."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return ANYTHING
    if kind is type(None):
        return (None,)
    if origin in {types.UnionType, typing.Union}:
        return tuple(v for one in inner for v in values(one, place))
    if origin is Literal:
        return inner
    if origin is tuple:
        return (tuple(v for v in values(inner[0], place)),)
    if origin in {Mapping, dict} or kind in {Mapping, dict}:
        return ({f"{place}{n}": value for n, value in enumerate(values(inner[1], place))},)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(kind)
    if dataclasses.is_dataclass(kind):
        return tuple(instances(typing.cast("type", kind), place))
    return {str: (f"{place}-é\n",), int: (41,), float: (41.25,), bool: (True, False)}[kind]


def instances(kind: type, place: str) -> Iterator[Any]:
    """The first has the first value of every field; each other one differs from it in one field."""
    hints = typing.get_type_hints(kind)
    fields = {f.name: values(hints[f.name], f"{place}.{f.name}") for f in dataclasses.fields(kind)}
    if kind is Server:
        fields |= {"engine": ("vllm",), "version": ("0.32.0", None)}
    first = {name: options[0] for name, options in fields.items()}
    yield kind(**first)
    for name, options in fields.items():
        for other in options[1:]:
            yield kind(**{**first, name: other})


def reachable(kind: Any, seen: set[type]) -> set[type]:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind not in seen:
        seen.add(kind)
        for hint in typing.get_type_hints(kind).values():
            reachable(hint, seen)
    for inner in typing.get_args(kind):
        reachable(inner, seen)
    return seen


PLANS = tuple(instances(Plan, "plan"))


def test_every_value_of_a_plan_is_tried() -> None:
    """So that the test below cannot pass by trying too little."""
    tried: dict[type, int] = {}

    def count(value: Any) -> None:
        if dataclasses.is_dataclass(value):
            tried[type(value)] = tried.get(type(value), 0) + 1
            for f in dataclasses.fields(value):
                count(getattr(value, f.name))
        elif isinstance(value, tuple):
            for one in value:
                count(one)

    for plan in PLANS:
        count(plan)
    assert set(tried) == reachable(Plan, set())
    for planned in PLANS[0].hosts:
        for f in dataclasses.fields(planned.host):
            default = f.default
            assert any(getattr(p.host, f.name) != default for p in PLANS[0].hosts), f.name


@pytest.mark.parametrize("number", range(len(PLANS)))
def test_every_saved_plan_reads_back_as_the_same_value(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that do not belong together: that this is refused, is another test's."""
    monkeypatch.setattr("cortexctl.plan.planfile_read.check_together", lambda _: None)
    plan = PLANS[number]
    of_the_plan = replace(plan.invocation, stack=plan.stack_path, env=plan.env)
    plan = replace(plan, invocation=of_the_plan)
    assert plan_from_json(plan_to_json(plan)) == plan
