"""The reader of HTTP answers: the same result however the bytes arrive, and an error for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.http_answer import LARGEST_HEAD, BrokenOff, HttpAnswer, NotHttp, Receive

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def arriving(raw: bytes, piece: int = 7) -> Receive:
    """A connection that delivers at most `piece` bytes at a time."""
    rest = [raw]

    def receive(most: int) -> bytes:
        size = min(most, piece)
        data, rest[0] = rest[0][:size], rest[0][size:]
        return data

    return receive


def read(raw: bytes, piece: int = 7) -> tuple[int, bytes]:
    answer = HttpAnswer(arriving(raw, piece))
    status, _ = answer.head()
    return status, answer.read(10**9)


BODIES = {
    "by its length": OK + b"Content-Length: 4\r\n\r\nbody",
    "with bytes after it": OK + b"Content-Length: 4\r\n\r\nbodyHTTP/1.1 500 Oh\r\n\r\n",
    "to the end of the connection": OK + b"\r\nbody",
    "in chunks": CHUNKED + b"2\r\nbo\r\n02 ;a=b\r\ndy\r\n0\r\n\r\n",
    "with a trailer": CHUNKED + b"4\r\nbody\r\n0\r\nA: b\r\nC: d\r\n\r\nrest",
    "after interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    + OK
    + b"\r\nbody",
    "of an older server": b"HTTP/1.0 200\r\n\r\nbody",
}


@pytest.mark.parametrize("raw", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("piece", [1, 2, 7, 100_000])
def test_a_body_however_it_is_sent_and_however_it_arrives(raw: bytes, piece: int) -> None:
    assert read(raw, piece) == (200, b"body")


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.integers(1, 400))
def test_chunks_of_any_size(chunks: list[bytes], piece: int) -> None:
    raw = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    assert read(raw, piece) == (200, b"".join(chunks))


@given(st.binary(max_size=300), st.integers(1, 400))
def test_any_bytes_are_an_answer_or_an_error(raw: bytes, piece: int) -> None:
    for begin in (b"", b"HTTP/1.1 ", OK, OK + b"Content-Length: 9\r\n", CHUNKED):
        try:
            read(begin + raw, piece)
        except (NotHttp, BrokenOff):
            continue


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"x" * 100_000,
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 nothing\r\n\r\n",
        b"HTTP/1.1 0200 OK\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        OK + b"A: b\r\n folded\r\n\r\n",
        OK + b"A: \0\r\n\r\n",
        OK + b"A: b\r\n" * 101 + b"\r\n",
        OK + b"A: " + b"b" * LARGEST_HEAD + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 4, 4\r\n\r\nbody",
        OK + b"Content-Length: 9999999999999999999\r\n\r\n",
        OK + b"Content-Length: \xb2\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        CHUNKED + b"zz\r\nbody",
        CHUNKED + b"-1\r\nbody",
        CHUNKED + b"2\r\nbody\r\n0\r\n\r\n",
        CHUNKED + b"x" * 100_000,
        CHUNKED + b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    ],
)
@pytest.mark.parametrize("piece", [5, 100_000])
def test_what_is_not_http_is_refused(raw: bytes, piece: int) -> None:
    with pytest.raises(NotHttp):
        read(raw, piece)


@pytest.mark.parametrize(
    ("raw", "is_empty"),
    [
        (b"", True),
        (b"HTT", False),
        (OK, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True),
        (OK + b"Content-Length: 5\r\n\r\nbody", False),
        (CHUNKED, False),
        (CHUNKED + b"5\r\nbo", False),
        (CHUNKED + b"2\r\nbo\r\n", False),
        (CHUNKED + b"2\r\nbo\r\n0\r\nA: b\r\n", False),
    ],
)
def test_an_answer_that_breaks_off_is_never_a_short_one(raw: bytes, is_empty: bool) -> None:
    with pytest.raises(BrokenOff) as broken:
        read(raw)
    assert broken.value.is_empty is is_empty


@pytest.mark.parametrize("status", [101, 204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    answer = HttpAnswer(arriving(b"HTTP/1.1 %d X\r\nContent-Length: 9\r\n\r\nmore" % status, 100))
    assert answer.head()[0] == status
    assert answer.some(10) == b""
    assert answer.rest() == b"more", "the other protocol's first bytes"


def test_fields_by_their_names_in_lower_case() -> None:
    answer = HttpAnswer(arriving(OK + b"Api-Version:1.41\r\nSERVER: \t Docker \xe9\t \r\na: 1\r\nA: 2\r\n\r\n"))
    assert answer.head() == (200, {"api-version": "1.41", "server": "Docker \xe9", "a": "2"})


def test_the_bytes_that_arrived_can_be_used_before_the_end() -> None:
    def endless(most: int) -> bytes:
        return (CHUNKED + b"2\r\nbo\r\n")[:most] if not before.pop() else pytest.fail("it waits for more")

    before = [True, False]
    answer = HttpAnswer(endless)
    assert answer.head()[0] == 200
    assert answer.some(100) == b"bo"


def test_a_read_takes_no_more_than_it_needs() -> None:
    answer = HttpAnswer(arriving(CHUNKED + b"4\r\nbody\r\n3\r\nand\r\n0\r\n\r\n"))
    answer.head()
    assert [answer.read(size) for size in (3, 3, 3, 3)] == [b"bod", b"yan", b"d", b""]
