"""Laws of the plain substitution in a stack's strings."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cortexctl.text.substitution import literal, pieces_of


@given(st.text(alphabet="{}%#' vars.n_\n\r"))
def test_a_literal_is_read_back_as_the_text(text: str) -> None:
    pieces = list(pieces_of(literal(text)))
    assert "".join(piece.text for piece in pieces) == text
    assert not any(piece.name or piece.is_wrong for piece in pieces)


@given(st.lists(st.sampled_from(["{{ vars.a }}", "{{vars.b}}", "{{ '{%' }}", "x", "}", "\n", "} }"])))
def test_pieces_are_in_order_and_complete(parts: list[str]) -> None:
    names = [name for name in ("".join(re.findall(r"vars\.(\w)", part)) for part in parts) if name]
    assert [piece.name for piece in pieces_of("".join(parts)) if piece.name] == names
