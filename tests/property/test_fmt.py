"""The laws of the layout, over generated documents with blanks and comments in every place that TOML allows."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.stack.edit.layout import WIDTH, formatted

often = settings(max_examples=150, deadline=None, derandomize=True)

BLANKS = ["", " ", "   ", "\t", " \t "]
LINE_ENDS = ["\n", "\n", "\n\n", "\r\n", "\n \n\n\n", "\r\n\r\n"]
COMMENTS = ["#", "# ", "##", "#\t", "#:", "#!", "# [t] x = 'y' "]
KEYS = ["k{}", '"k {}"', "'k.{}'", "a{0} . b", 'a{0}."#"', '"schön"  .k{}', "1{}"]
ONE_LINE = [
    *("1", "0xDEAD_beef", "+1_000", "1e6", "-0.0", "6.26E-34", "inf", "nan", "true", "1979-05-27", "07:32:00.5"),
    *("1979-05-27 07:32:00Z", "1979-05-27T07:32:00-07:00", '""', "''", '"# no comment"', "'] } , ='", r'"\" # \\"'),
    *(r"'C:\'", '"""x"""', "'''y'''''", '"über \\u00e9 \u2028"', '"' + "long " * 15 + '"', "'" + "x" * 98 + "'"),
]
MULTI_LINE = ['"""\n[t]\n  x=1  # no comment \n\n\n"""', "'''\n  ]\n\t\n'''", '"""\\\n   folded"""""', '"""\r\n"""']


class Writer:
    """Draws a document piece by piece and remembers its comments."""

    def __init__(self, draw: Callable[..., object], scalars: list[str]) -> None:
        self._draw = draw
        self._scalars = scalars
        self._names = 0
        self.comments = 0

    def one_of(self, texts: list[str]) -> str:
        return str(self._draw(st.sampled_from(texts)))

    def times(self, most: int) -> range:
        count = self._draw(st.integers(0, most))
        assert isinstance(count, int)
        return range(count)

    def comment(self) -> str:
        self.comments += 1
        return f"{self.one_of(COMMENTS)}<{self.comments}>{self.one_of(BLANKS)}"

    def key(self) -> str:
        self._names += 1
        return self.one_of(KEYS).format(self._names)

    def gap(self) -> str:
        """The places in which an array may be broken."""
        text = self.one_of(BLANKS)
        for _ in self.times(1):
            text += (self.comment() if self.times(1) else "") + self.one_of(LINE_ENDS) + self.one_of(BLANKS)
        return text

    def value(self, depth: int = 0) -> str:
        kind = self.one_of(["scalar", "scalar", "array", "table"]) if depth < 3 else "scalar"
        if kind == "array":
            items = [self.gap() + self.value(depth + 1) + self.gap() for _ in self.times(4)]
            comma = "," + self.gap() if items and self.times(1) else ""
            return f"[{','.join(items)}{comma}{self.gap()}]"
        if kind == "table":
            return "{" + ",".join(self.pair(depth + 1) for _ in self.times(3)) + self.one_of(BLANKS) + "}"
        return self.one_of(self._scalars)

    def pair(self, depth: int = 0) -> str:
        before, left, right, after = (self.one_of(BLANKS) for _ in range(4))
        return f"{before}{self.key()}{left}={right}{self.value(depth)}{after}"

    def header(self) -> str:
        opens, closes = ("[", "]") if self.times(1) else ("[[", "]]")
        before, left, right, after = (self.one_of(BLANKS) for _ in range(4))
        return f"{before}{opens}{left}{self.key()}{right}{closes}{after}"

    def document(self) -> str:
        text = self.one_of(["", *LINE_ENDS])
        for _ in self.times(8):
            match self.one_of(["pair", "pair", "header", "comment"]):
                case "pair":
                    line = self.pair() + (self.comment() if self.times(1) else "")
                case "header":
                    line = self.header() + (self.comment() if self.times(1) else "")
                case _:
                    line = self.one_of(BLANKS) + self.comment()
            text += line + self.one_of(LINE_ENDS)
        return text.rstrip("\r\n") if self.times(1) else text


@st.composite
def documents(draw: Callable[..., object], scalars: list[str]) -> tuple[str, int]:
    """A document, and how many comments it has."""
    writer = Writer(draw, scalars)
    text = writer.document()
    return text, writer.comments


@often
@given(documents(ONE_LINE + MULTI_LINE))
def test_values_and_their_order_stay(document: tuple[str, int]) -> None:
    text, _ = document
    assert repr(tomllib.loads(formatted("x.toml", text))) == repr(tomllib.loads(text))


@often
@given(documents(ONE_LINE + MULTI_LINE))
def test_all_comments_stay_in_their_order(document: tuple[str, int]) -> None:
    text, count = document
    after = formatted("x.toml", text)
    assert [int(n) for n in re.findall(r"<(\d+)>", after)] == list(range(1, count + 1))


@often
@given(documents(ONE_LINE + MULTI_LINE))
def test_a_formatted_text_stays_unchanged(document: tuple[str, int]) -> None:
    once = formatted("x.toml", document[0])
    assert formatted("x.toml", once) == once


@often
@given(documents(ONE_LINE))
def test_the_form_of_every_line(document: tuple[str, int]) -> None:
    after = formatted("x.toml", document[0])
    assert "\r" not in after
    assert "\n\n\n" not in after
    assert after == "" or (after.endswith("\n") and after.strip("\n") == after[:-1])
    lines = after.split("\n")
    for number, line in enumerate(lines):
        assert line == line.rstrip(" \t")
        assert re.match(r"( {4})*[^ \t]|$", line), "no indentation but that of items"
        if line.startswith("["):
            above = number
            while above and lines[above - 1].startswith("#"):
                above -= 1
            assert above == 0 or lines[above - 1] == "", (
                "a blank line before a header and the comments that belong to it"
            )
            below = number + 1
            if lines[below] == "" and below + 1 < len(lines):
                below += 1
                while lines[below].startswith("#"):
                    below += 1
                assert lines[below].startswith("["), "a blank line after a header only where the next table begins"
        if re.search(r"\[[^\[\]]+\]", line) and "#" not in line and "{" not in line and "'" not in line:
            assert len(line) <= WIDTH, "an array on one line"


@often
@given(documents(ONE_LINE), st.sampled_from(["\n", "\r\n"]))
def test_line_ends_make_no_difference(document: tuple[str, int], line_end: str) -> None:
    text = document[0].replace("\r\n", "\n")
    assert formatted("x.toml", text.replace("\n", line_end)) == formatted("x.toml", text)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(alphabet='aé\\"[]{},: \n\u2028😀', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='ab"{', max_size=3), inner, max_size=4)
    ),
)


@often
@given(
    st.dictionaries(st.text(alphabet="abc", max_size=3), _json, max_size=4),
    st.sampled_from([None, 0, 1, 4, "\t"]),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
    st.booleans(),
)
def test_json_is_indented_as_the_standard_library_does(
    value: dict[str, object], indent: int | str | None, separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_only)
    assert formatted("x.json", text) == json.dumps(value, indent=2, ensure_ascii=ascii_only) + "\n"
