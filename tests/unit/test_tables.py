"""The tables of the stack file, as pydantic-core reads them: strict types, and every problem at its place."""

# The annotations of a table are objects: this module has no `from __future__ import annotations`.

from typing import Annotated, Any, Literal

import pytest
from pydantic_core import ValidationError

from cortexctl.stack.descriptions import descriptions
from cortexctl.stack.tables import Bounds, Check, Key, NotEmpty, Table, read_table


def lower(text: str) -> str:
    if text != text.lower():
        raise ValueError(f"{text} is not in lower case")
    return text


def doubled(value: Any) -> Any:
    if not isinstance(value, int):
        raise ValueError("no number to double")
    return value * 2


Name = Annotated[str, Check(lower)]


class Inner(Table):
    size: Annotated[int, Bounds(at_least=1, at_most=9)] = 3
    """How large
    it is."""
    share: Annotated[float, Bounds(more_than=0)] | None = None


class Outer(Table):
    name: Name
    """Its name."""
    from_: Annotated[str, Key("from")] = "here"
    """Its origin."""
    inner: Inner = Inner()
    either: Inner | str | None = None
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    names: Annotated[list[Annotated[str, NotEmpty()]], NotEmpty()] | None = None
    table: dict[Name, Inner] = {}
    free: dict[str, Any] = {}
    twice: Annotated[int, Check(doubled, first=True)] = 0


class Wider(Outer):
    last: Annotated[dict[str, int], NotEmpty()]
    """Of the wider table alone."""


def test_a_table_gets_its_values_and_defaults() -> None:
    data = {"name": "x", "from": "there", "table": {"k": {"share": 2}}, "either": {"size": 5}, "twice": 4}
    outer = read_table(Outer, data)
    assert (outer.name, outer.from_, outer.kind, outer.flag, outer.names) == ("x", "there", "a", False, None)
    assert (outer.free, outer.twice, outer.inner.size, outer.inner.share) == ({}, 8, 3, None)
    assert isinstance(outer.either, Inner)
    assert (outer.either.size, outer.table["k"].size, outer.table["k"].share) == (5, 3, 2.0)
    assert isinstance(outer.table["k"].share, float)


def test_a_text_takes_the_place_of_a_table_where_both_are_right() -> None:
    assert read_table(Outer, {"name": "x", "either": "text"}).either == "text"


def test_defaults_are_not_shared() -> None:
    assert read_table(Outer, {"name": "x"}).free is not read_table(Outer, {"name": "x"}).free


def test_an_instance_does_not_change() -> None:
    inner = read_table(Inner, {"size": 4})
    with pytest.raises(AttributeError, match="size"):
        inner.size = 5
    assert inner.size == 4


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"name": 1}, [("string_type", ("name",), 1)]),
        ({"name": "X"}, [("value_error", ("name",), "X")]),
        ({"from_": "x"}, [("extra_forbidden", ("from_",), "x")]),
        ({"from": 1}, [("string_type", ("from",), 1)]),
        ({"inner": []}, [("model_type", ("inner",), [])]),
        ({"inner": {"size": 0}}, [("greater_than_equal", ("inner", "size"), 0)]),
        ({"inner": {"size": 10}}, [("less_than_equal", ("inner", "size"), 10)]),
        ({"inner": {"size": True}}, [("int_type", ("inner", "size"), True)]),
        ({"inner": {"size": 2.0}}, [("int_type", ("inner", "size"), 2.0)]),
        ({"inner": {"share": 0}}, [("greater_than", ("inner", "share"), 0)]),
        ({"inner": {"share": "1"}}, [("float_type", ("inner", "share"), "1")]),
        ({"inner": {"share": float("inf")}}, [("finite_number", ("inner", "share"), float("inf"))]),
        ({"inner": {"share": float("nan")}}, [("finite_number", ("inner", "share"), float("nan"))]),
        ({"either": 1}, [("model_type", ("either", "Inner"), 1), ("string_type", ("either", "str"), 1)]),
        ({"kind": "c"}, [("literal_error", ("kind",), "c")]),
        ({"kind": []}, [("literal_error", ("kind",), [])]),
        ({"flag": 1}, [("bool_type", ("flag",), 1)]),
        ({"flag": None}, [("bool_type", ("flag",), None)]),
        ({"names": []}, [("too_short", ("names",), [])]),
        ({"names": ["a", "", 1]}, [("string_too_short", ("names", 1), ""), ("string_type", ("names", 2), 1)]),
        ({"names": "a"}, [("list_type", ("names",), "a")]),
        ({"table": {"K": {}}}, [("value_error", ("table", "K", "[key]"), "K")]),
        ({"table": {"k": {"x": 1}}}, [("extra_forbidden", ("table", "k", "x"), 1)]),
        ({"free": 1}, [("dict_type", ("free",), 1)]),
        ({"free": {1: 2}}, [("string_type", ("free", 1, "[key]"), 1)]),
        ({"twice": "x"}, [("value_error", ("twice",), "x")]),
        (
            {"z": 1, "flag": None, "b": 2, "kind": 3},  # in the order of the fields, unknown keys last
            [
                ("literal_error", ("kind",), 3),
                ("bool_type", ("flag",), None),
                ("extra_forbidden", ("z",), 1),
                ("extra_forbidden", ("b",), 2),
            ],
        ),
    ],
)
def test_every_problem_has_its_place(change: dict[str, Any], problems: list[tuple[Any, ...]]) -> None:
    with pytest.raises(ValidationError) as caught:
        read_table(Outer, {"name": "x", **change})
    assert repr([(p["type"], p["loc"], p["input"]) for p in caught.value.errors()]) == repr(problems)


def test_a_check_gives_its_reason() -> None:
    with pytest.raises(ValidationError) as caught:
        read_table(Outer, {"name": "X"})
    assert str(caught.value.errors()[0]["ctx"]["error"]) == "X is not in lower case"


@pytest.mark.parametrize("data", [{}, None, [], "x"])
def test_a_required_key_and_the_table_itself(data: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        read_table(Outer, data)
    expected = ("missing", ("name",)) if data == {} else ("model_type", ())
    assert [(p["type"], p["loc"]) for p in caught.value.errors()] == [expected]


def test_a_table_has_the_fields_of_its_base_first() -> None:
    with pytest.raises(ValidationError) as caught:
        read_table(Wider, {"last": {}, "inner": 1})
    places = [(p["type"], p["loc"]) for p in caught.value.errors()]
    assert places == [("missing", ("name",)), ("model_type", ("inner",)), ("too_short", ("last",))]
    assert read_table(Wider, {"name": "x", "last": {"a": 1}}).last == {"a": 1}


def test_the_text_below_a_field_is_its_description() -> None:
    assert descriptions(Outer) == {"name": "Its name.", "from": "Its origin."}
    assert descriptions(Inner) == {"size": "How large\nit is."}
    assert descriptions(Wider) == {**descriptions(Outer), "last": "Of the wider table alone."}
