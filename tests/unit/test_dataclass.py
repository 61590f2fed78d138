"""The product's `dataclass` behaves as the standard library's, and compiles nothing for a few instances."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import field
from operator import ge, gt, le, lt
from typing import Any, ClassVar

import pytest

from cortexctl.dataclass import COMPILED_FROM, dataclass

PairOfClasses = tuple[type, type]
"""Ours, and the standard library's."""


def both(body: Callable[[], type], **options: bool) -> PairOfClasses:
    return dataclass(**options)(body()), dataclasses.dataclass(**options)(body())


def values_body() -> type:
    class Value:
        """A value."""

        kind: ClassVar[str] = "v"
        name: str
        size: int = 3
        tags: dict[str, str] = field(default_factory=dict)
        note: str = field(default="n", compare=False, repr=False)

        def twice(self) -> int:
            return 2 * self.size

    return Value


def machine_body() -> type:
    class Machine:
        name: str
        log: list[str] = field(init=False, default_factory=list)
        state: str = field(init=False, default="off")
        upper: str = field(init=False)

        def __post_init__(self) -> None:
            self.upper = self.name.upper()

    return Machine


def keywords_body() -> type:
    class Options:
        first: int
        second: int = field(default=2, kw_only=True)
        third: int = 3

    return Options


def one_body() -> type:
    class One:
        value: float

    return One


def empty_body() -> type:
    class Empty: ...

    return Empty


def own_methods_body() -> type:
    class Own:
        value: str

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    return Own


BODIES = [values_body, machine_body, keywords_body, one_body, empty_body, own_methods_body]
VALUES: dict[Callable[[], type], list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    values_body: [
        (("a",), {}),
        (("a", 3, {}), {"note": "other"}),
        (("b",), {"size": 4, "tags": {"x": "y"}}),
        ((), {"name": "self"}),
        ((), {}),
        (("a",), {"name": "b"}),
        (("a",), {"unknown": 1}),
    ],
    machine_body: [(("a",), {}), (("b",), {}), (("a",), {"state": "on"})],
    keywords_body: [((1,), {}), ((1, 3), {"second": 5}), ((1, 2, 3), {})],
    one_body: [((1.0,), {}), ((2.0,), {}), ((float("nan"),), {})],
    empty_body: [((), {}), ((1,), {})],
    own_methods_body: [(("a",), {}), (("b",), {})],
}
MUTABLE = {"frozen": False, "slots": False}
OPTIONS = [
    MUTABLE,
    {"frozen": False, "slots": True},
    {"frozen": True, "slots": False},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "eq": False},
    {"frozen": True, "slots": True, "kw_only": True},
    {"frozen": True, "slots": True, "order": True},
]
CASES = [
    pytest.param(body, options, id=f"{body.__name__}-{'-'.join(k for k, v in options.items() if v)}")
    for body in BODIES
    for options in OPTIONS
    if not (body is machine_body and options.get("frozen"))  # its __post_init__ sets a field
]


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A value, or the kind of the exception."""
    try:
        return call(*args, **kwargs)
    except Exception as cause:  # noqa: BLE001 - whatever it is, both raise it
        return type(cause)


def instances(body: Callable[[], type], cls: type) -> list[Any]:
    """Each value twice: before and after the `__init__` of the class is compiled."""
    rounds = [[outcome(cls, *args, **kwargs) for args, kwargs in VALUES[body]] for _ in range(COMPILED_FROM)]
    return [*rounds[0], *rounds[-1]]


@pytest.mark.parametrize(("body", "options"), CASES)
def test_instances_behave_as_those_of_the_standard_library(body: Callable[[], type], options: dict[str, bool]) -> None:
    ours, theirs = (instances(body, cls) for cls in both(body, **options))
    assert [isinstance(i, type) and i for i in ours] == [isinstance(i, type) and i for i in theirs]
    ours, theirs = ([i for i in created if not isinstance(i, type)] for created in (ours, theirs))
    assert [repr(i) for i in ours] == [repr(i) for i in theirs]
    assert [[a == b for a in ours] for b in ours] == [[a == b for a in theirs] for b in theirs]
    assert [a == b for a in ours for b in theirs] == [b == a for a in ours for b in theirs]
    for compare in (lt, le, gt, ge):
        assert [outcome(compare, a, b) for a in ours for b in ours] == [
            outcome(compare, a, b) for a in theirs for b in theirs
        ]
    hashes = [[isinstance(outcome(hash, i), int) for i in created] for created in (ours, theirs)]
    assert hashes[0] == hashes[1]
    assert [outcome(dataclasses.asdict, i) for i in ours] == [dataclasses.asdict(i) for i in theirs]
    assert [repr(dataclasses.replace(i)) for i in ours] == [repr(dataclasses.replace(i)) for i in theirs]
    assert [repr(copy.deepcopy(i)) for i in ours] == [repr(copy.deepcopy(i)) for i in theirs]
    for f in dataclasses.fields(theirs[0]) if theirs else ():
        assert outcome(setattr, ours[0], f.name, "new") == outcome(setattr, theirs[0], f.name, "new")
    assert [repr(i) for i in ours] == [repr(i) for i in theirs]


@pytest.mark.parametrize(("body", "options"), CASES)
def test_a_class_has_the_parts_of_one_of_the_standard_library(
    body: Callable[[], type], options: dict[str, bool]
) -> None:
    ours, theirs = both(body, **options)
    of_fields = [
        [(f.name, f.type, f.default, f.compare, f.init) for f in dataclasses.fields(c)] for c in (ours, theirs)
    ]
    assert of_fields[0] == of_fields[1]
    assert dataclasses.is_dataclass(ours)
    for name in ("__match_args__", "__slots__"):
        assert getattr(ours, name, None) == getattr(theirs, name, None)
    assert (ours.__hash__ is None) == (theirs.__hash__ is None)
    assert [n for n in ("__eq__", "__setattr__", "__delattr__") if n in vars(ours)] == [
        n for n in ("__eq__", "__setattr__", "__delattr__") if n in vars(theirs)
    ]
    if created := [i for i in instances(body, ours) if not isinstance(i, type)]:
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), created


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class Point3(Point):
    z: int = 0


def test_a_frozen_instance_refuses_every_change() -> None:
    point = Point(1)
    for change, *arguments in ((setattr, "x", 2), (setattr, "z", 2), (delattr, "x")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change(point, *arguments)
    assert point == Point(1)


def test_a_subclass_has_an_init_and_an_equality_of_its_own() -> None:
    Point(1)
    assert Point3(1, 2, 3) == Point3(1, 2, 3)
    assert Point3(1, 2) != Point(1, 2)
    assert repr(Point3(1, z=4)) == "Point3(x=1, y=0, z=4)"
    assert {Point(1): "a"}[Point(1)] == "a"


def test_instances_are_pickled_and_matched() -> None:
    assert pickle.loads(pickle.dumps(Point3(1, 2, 3))) == Point3(1, 2, 3)
    match Point3(1, 2, 3):
        case Point3(x, _, z):
            assert (x, z) == (1, 3)


def test_a_default_that_instances_would_share_is_refused() -> None:
    with pytest.raises(ValueError, match="mutable default"):

        @dataclass
        class _Shared:
            values: list[str] = []  # noqa: RUF012 - refused


def test_a_wrong_argument_is_reported_with_the_name_of_the_class() -> None:
    Point(1)
    with pytest.raises(TypeError, match=r"Point\.__init__\(\) missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]


def test_init_is_compiled_once_at_a_later_instance() -> None:
    @dataclass(frozen=True, slots=True)
    class Late:
        x: int

    used = []
    for number in range(2 * COMPILED_FROM):
        assert Late(number).x == number
        used.append(vars(Late)["__init__"])
    first, last = used[0], used[-1]
    assert first is not last
    assert used == [first] * (COMPILED_FROM - 1) + [last] * (COMPILED_FROM + 1)


def test_a_wrong_argument_of_the_first_instance_is_reported() -> None:
    @dataclass(frozen=True, slots=True)
    class Strict:
        x: int
        y: int = field(default=0, kw_only=True)

    for args, kwargs, reason in (
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2), {}, "takes 2 positional arguments but 3 were given"),
        ((1,), {"x": 2}, "multiple values for argument 'x'"),
        ((1,), {"z": 2}, "unexpected keyword argument 'z'"),
    ):
        another: Any = dataclass(frozen=True, slots=True)(type("Another", (Strict,), {}))
        with pytest.raises(TypeError, match=reason):
            another(*args, **kwargs)
