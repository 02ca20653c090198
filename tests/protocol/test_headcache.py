"""protocol.headcache: the fast way gives what the plain way gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.protocol.headcache import MAX_ENTRIES, MAX_KEPT_BYTES, HeadCache
from airelays.protocol.http1 import ProtocolFault, parse_request_head
from tests.protocol.test_http1 import MALFORMED, head

GOOD = [
    head(),
    head(b"POST / HTTP/1.1", b"Content-Length: 5"),
    head(b"POST / HTTP/1.1", b"Content-Length: 77", b"X: y"),
    head(b"POST / HTTP/1.1", b"content-length: 005"),
    head(b"POST / HTTP/1.1", b"CONTENT-LENGTH:5"),
    head(b"POST / HTTP/1.1", b"X: a", b"Transfer-Encoding: chunked"),
    head(b"GET / HTTP/1.0", b"Connection: keep-alive"),
]


def outcome(parse: object, raw: bytes) -> object:
    try:
        return parse(raw)  # type: ignore[operator]
    except ProtocolFault as fault:
        return (fault.status, fault.message)


def test_every_head_is_read_as_the_plain_way_reads_it() -> None:
    cache = HeadCache()
    heads = [*GOOD, *(raw for raw, _, _ in MALFORMED)]
    for raw in heads * 3:
        assert outcome(cache.parse, raw) == outcome(parse_request_head, raw)


FIELDS = [
    b"Content-Length: 5",
    b"Content-Length: 7",
    b"Content-Length: 005",
    b"Content-Length: 0",
    b"Content-Length: ",
    b"Content-Length:",
    b"Content-Length:5",
    b"Content-Length:  5",
    b"Content-Length: 5 ",
    b"Content-Length: \0",
    b"Content-Length: +5",
    b"Content-Length: 1234567890123456",
    b"content-length: 5",
    b"content-Length: ",
    b"Content-length: 7",
    b"CONTENT-LENGTH: ",
    b"Transfer-Encoding: chunked",
    b"X: y",
]


@pytest.mark.parametrize("second", FIELDS)
@pytest.mark.parametrize("first", FIELDS)
def test_a_head_reads_the_same_whatever_came_before_it(first: bytes, second: bytes) -> None:
    cache = HeadCache()
    for field in (first, second, first):
        for fields in ((field, b"X: a"), (b"X: a", field), (b"X: a", field, b"Content-Length: ")):
            raw = head(b"POST / HTTP/1.1", *fields)
            assert outcome(cache.parse, raw) == outcome(parse_request_head, raw)


@given(st.lists(st.integers(0, 10**16), min_size=1, max_size=6), st.binary(max_size=20))
def test_only_the_length_changes(lengths: list[int], value: bytes) -> None:
    cache = HeadCache()
    for length in lengths:
        raw = head(b"POST / HTTP/1.1", b"X: " + value, b"Content-Length: %d" % length)
        assert outcome(cache.parse, raw) == outcome(parse_request_head, raw)


@pytest.mark.parametrize(
    "second",
    [
        b"Content-Length: 5",
        b"Content-Length: 6",
        b"content-length:5",
        b"Transfer-Encoding: chunked",
    ],
)
def test_a_second_framing_field_cannot_hide_behind_a_known_head(second: bytes) -> None:
    cache = HeadCache()
    cache.parse(head(b"POST / HTTP/1.1", b"Content-Length: 5"))
    for fields in ((b"Content-Length: 5", second), (second, b"Content-Length: 5")):
        with pytest.raises(ProtocolFault):
            cache.parse(head(b"POST / HTTP/1.1", *fields))


def test_the_table_is_bounded_and_shows_nothing() -> None:
    cache = HeadCache()
    for n in range(3 * MAX_ENTRIES):
        cache.parse(head(b"GET / HTTP/1.1", b"Authorization: Bearer secret%d" % n))
    assert len(cache._known) <= MAX_ENTRIES
    assert "secret" not in repr(cache)
    cache.parse(head(b"GET / HTTP/1.1", b"X: " + b"y" * MAX_KEPT_BYTES))
    assert all(len(key) <= MAX_KEPT_BYTES for key in cache._known)
