"""A secret is hidden in every encoding in which a program may write it."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.instance.secret import SHORTEST, hidden, masked
from tests.encodings import ENCODINGS, leaks

SECRETS = [
    "pa\"ss/wo+rd=with'every\nthing & <ü>",
    "plain-and-simple-1234",
    "a/b+c=d",
    "line one\nline two\nline three",
    "Grüße aus Köln 🔑",
    "back\\slash\ttab",
]


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("secret", SECRETS)
def test_an_encoded_secret_is_hidden(name: str, secret: str) -> None:
    encode = ENCODINGS[name]
    shown = masked(f"before {encode(secret)} after", (secret,))
    assert "***" in shown
    around = encode("") if name != "repr with both quotes" else "it's  \\\"here"
    assert not leaks(encode(secret).strip(around), shown), shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:", "user1:", "u:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "xyz", "\n"])
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode], ids=["standard", "url"])
def test_at_every_offset_in_base64_no_whole_byte_of_a_secret_is_left(
    before: str, after: str, secret: str, encode: Callable[[bytes], bytes]
) -> None:
    text = encode((before + secret + after).encode()).decode()
    head, _, tail = masked(text, (secret,)).partition("***")
    assert len(head) * 6 // 8 <= len(before.encode())
    assert len(tail.rstrip("=")) * 6 // 8 <= len(after.encode()) + 1


@pytest.mark.parametrize("width", [40, 57, 76, 100])
def test_a_long_secret_is_hidden_across_line_breaks(width: int) -> None:
    secret = "k3Y" + "".join(chr(97 + (7 * i) % 26) + str(i) for i in range(60))
    for text in (secret, base64.b64encode(secret.encode()).decode(), secret.encode().hex()):
        wrapped = "\n".join(textwrap.wrap(f"value: {text}", width))
        whole = masked(wrapped, (secret,))
        by_line = [masked(line, (secret,)) for line in wrapped.split("\n")]
        assert not leaks(text, whole, 12), whole
        assert not leaks(text, "\n".join(by_line), 12), by_line
        assert whole.startswith("value: ")


@given(st.text(min_size=SHORTEST, max_size=40), st.text(max_size=20), st.text(max_size=20))
@settings(deadline=None)
def test_no_secret_is_in_a_text_that_was_masked(secret: str, before: str, after: str) -> None:
    if "\n" in secret or "\r" in secret or "*" in secret:
        return
    assert secret not in masked(before + secret + after, (secret,)) or secret in before + after


@given(st.text(max_size=200))
@settings(deadline=None)
def test_a_text_without_a_secret_stays_unchanged(text: str) -> None:
    secret = "no-text-of-chance-holds-this-0123456789"
    assert masked(text, (secret,)) == text


def test_a_short_secret_is_not_hidden_and_the_longest_is_hidden_first() -> None:
    assert masked("abc abcd", ("abc",)) == "abc abcd"
    assert masked("longer-one long", ("long", "longer-one")) == "*** ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://h/x?token=abcd1234 200", "GET https://h/x?token=*** 200"),
        ("Authorization: Bearer abc.def-1 sent", "Authorization: Bearer *** sent"),
        ("dsn redis://:pw@h/0 given", "dsn *** given"),
        ("key sk-proj-abcdefghijkl used", "key *** used"),
    ],
)
def test_a_text_with_the_shape_of_a_secret_is_hidden(text: str, shown: str) -> None:
    assert hidden(text) == shown
