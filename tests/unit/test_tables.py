"""The reader of the stack file's tables: strict types, and every problem at its place."""

# The annotations of a table are objects: this module has no `from __future__ import annotations`.

from dataclasses import field
from typing import Annotated, Any, Literal

import pytest

from cortexctl.dataclass import dataclass
from cortexctl.stack.tables import Bounds, Check, Key, NotEmpty, WrongTables, descriptions, read_table


def lower(text: str) -> str:
    if text != text.lower():
        raise ValueError(f"{text} is not in lower case")
    return text


def doubled(value: Any) -> Any:
    if not isinstance(value, int):
        raise ValueError("no number to double")
    return value * 2


Name = Annotated[str, Check(lower)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: Annotated[int, Bounds(at_least=1, at_most=9)] = 3
    """How large
    it is."""
    share: Annotated[float, Bounds(more_than=0)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: Name
    """Its name."""
    from_: Annotated[str, Key("from")] = "here"
    """Its origin."""
    inner: Inner = Inner()
    either: Inner | str | None = None
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    names: Annotated[list[Annotated[str, NotEmpty()]], NotEmpty()] | None = None
    table: dict[Name, Inner] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)
    twice: Annotated[int, Check(doubled, first=True)] = 0


def test_a_table_gets_its_values_and_defaults() -> None:
    data = {"name": "x", "from": "there", "table": {"k": {"share": 2}}, "either": {"size": 5}, "twice": 4}
    outer = read_table(Outer, data)
    assert outer == Outer(
        name="x", from_="there", table={"k": Inner(share=2.0)}, either=Inner(size=5), free={}, twice=8
    )
    assert isinstance(outer.table["k"].share, float)


def test_defaults_are_not_shared() -> None:
    assert read_table(Outer, {"name": "x"}).free is not read_table(Outer, {"name": "x"}).free


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"name": 1}, [("text", ("name",), 1, None)]),
        ({"name": "X"}, [("form", ("name",), "X", "X is not in lower case")]),
        ({"from_": "x"}, [("unknown", ("from_",), "x", None)]),
        ({"inner": []}, [("table", ("inner",), [], None)]),
        ({"inner": {"size": 0}}, [("range", ("inner", "size"), 0, "at least 1")]),
        ({"inner": {"size": 10}}, [("range", ("inner", "size"), 10, "at most 9")]),
        ({"inner": {"size": True}}, [("whole", ("inner", "size"), True, None)]),
        ({"inner": {"size": 2.0}}, [("whole", ("inner", "size"), 2.0, None)]),
        ({"inner": {"share": 0}}, [("range", ("inner", "share"), 0, "more than 0")]),
        ({"inner": {"share": "1"}}, [("number", ("inner", "share"), "1", None)]),
        ({"inner": {"share": float("inf")}}, [("finite", ("inner", "share"), float("inf"), None)]),
        ({"inner": {"share": 10**400}}, [("finite", ("inner", "share"), 10**400, None)]),
        ({"either": 1}, [("table", ("either",), 1, None), ("text", ("either",), 1, None)]),
        ({"kind": "c"}, [("choice", ("kind",), "c", ("a", "b"))]),
        ({"kind": []}, [("choice", ("kind",), [], ("a", "b"))]),
        ({"flag": 1}, [("truth", ("flag",), 1, None)]),
        ({"names": []}, [("short", ("names",), [], None)]),
        ({"names": ["a", "", 1]}, [("short", ("names", 1), "", None), ("text", ("names", 2), 1, None)]),
        ({"names": "a"}, [("list", ("names",), "a", None)]),
        ({"table": {"K": {}}}, [("form", ("table", "K", "[key]"), "K", "K is not in lower case")]),
        ({"table": {"k": {"x": 1}}}, [("unknown", ("table", "k", "x"), 1, None)]),
        ({"free": 1}, [("table", ("free",), 1, None)]),
        ({"twice": "x"}, [("form", ("twice",), "x", "no number to double")]),
        (
            {
                "z": 1,
                "flag": None,
                "b": 2,
                "kind": 3,
            },  # by the order of the fields, then unknown keys as they are written
            [
                ("choice", ("kind",), 3, ("a", "b")),
                ("truth", ("flag",), None, None),
                ("unknown", ("z",), 1, None),
                ("unknown", ("b",), 2, None),
            ],
        ),
    ],
)
def test_every_problem_has_its_place(change: dict[str, Any], problems: list[tuple[Any, ...]]) -> None:
    with pytest.raises(WrongTables) as caught:
        read_table(Outer, {"name": "x", **change})
    assert [(p.kind, p.loc, p.value, p.detail) for p in caught.value.problems] == problems


@pytest.mark.parametrize("data", [{}, None, [], "x"])
def test_a_required_key_and_the_table_itself(data: Any) -> None:
    with pytest.raises(WrongTables) as caught:
        read_table(Outer, data)
    assert [(p.kind, p.loc) for p in caught.value.problems] == [("missing", ("name",)) if data == {} else ("table", ())]


def test_the_text_below_a_field_is_its_description() -> None:
    assert descriptions(Outer) == {"name": "Its name.", "from": "Its origin."}
    assert descriptions(Inner) == {"size": "How large\nit is."}
