from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.errors import UpstreamFault
from airelays.protocol.sse import Event, Parser


def read(*pieces: bytes, max_event_bytes: int = 1000) -> list[Event]:
    parser = Parser(max_event_bytes)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


CASES = [
    (b"data: a\n\n", [Event("", b"a")]),
    (b"data:a\n\n", [Event("", b"a")]),
    (b"data:  a\n\n", [Event("", b" a")]),
    (b"event: x\ndata: a\n\n", [Event("x", b"a")]),
    (b"event: x\r\ndata: a\r\n\r\n", [Event("x", b"a")]),
    (b"event: x\rdata: a\r\r", [Event("x", b"a")]),
    (b"event: x\r\ndata: a\n\r\ndata: b\r\r\n", [Event("x", b"a"), Event("", b"b")]),
    (b"data: a\ndata: b\n\n", [Event("", b"a\nb")]),
    (b"data\ndata: b\n\n", [Event("", b"\nb")]),
    (b": comment\n\ndata: a\n\n", [Event("", b"a")]),
    (b"event: lost\n\ndata: a\n\n", [Event("", b"a")]),
    (b"id: 1\nretry: 5\nfoo\ndata: a\n\n\n\n", [Event("", b"a")]),
    (b"\xef\xbb\xbfdata: a\n\n", [Event("", b"a")]),
    (b"\xef\xbb", []),
    (b"data: \xef\xbb\xbfa\n\n", [Event("", b"\xef\xbb\xbfa")]),
    (
        "data: a\u2028b\u2029c\x85d\x0be\x0cf\n\n".encode(),
        [Event("", "a\u2028b\u2029c\x85d\x0be\x0cf".encode())],
    ),
    (b"data: whole\n\ndata: no blank line", [Event("", b"whole"), Event("", b"no blank line")]),
    (b"event: x\n", []),
    (b"", []),
]


@pytest.mark.parametrize(("stream", "events"), CASES)
def test_events_are_the_same_whole_byte_by_byte_and_split_anywhere(
    stream: bytes, events: list[Event]
) -> None:
    assert read(stream) == events
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == events
    for cut in range(len(stream)):
        assert read(stream[:cut], stream[cut:]) == events


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    parser = Parser()
    assert parser.feed(b"data: a\r\n") == []
    assert parser.pending
    assert parser.feed(b"\r") == [Event("", b"a")]
    assert bool(parser.pending) is False
    assert parser.feed(b"\ndata: b") == []
    assert parser.pending
    assert parser.feed(b"\n\n") == [Event("", b"b")]


@pytest.mark.parametrize(("size", "fits"), [(93, True), (94, True), (95, False)])
def test_a_line_may_be_as_large_as_the_bound(size: int, fits: bool) -> None:
    parser = Parser(max_event_bytes=100)
    line = b"data: " + b"x" * size
    if fits:
        assert parser.feed(line) == []
        assert parser.feed(b"\n\n") == [Event("", b"x" * size)]
    else:
        with pytest.raises(UpstreamFault) as caught:
            parser.feed(line)
        assert caught.value.message == (
            "upstream sent one stream event of more than 100 bytes, which is the limit"
        )
        assert (caught.value.hop, caught.value.status) == ("stream", 502)


def test_many_short_data_lines_cannot_outgrow_the_bound() -> None:
    parser = Parser(max_event_bytes=100)
    with pytest.raises(UpstreamFault):
        for _ in range(51):
            parser.feed(b"data: x\n")


def test_comments_without_end_hold_no_memory_and_are_no_fault() -> None:
    parser = Parser(max_event_bytes=100)
    for _ in range(1000):
        assert parser.feed(b": ping\n\n") == []
    assert not parser.pending


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"data: x", b"event: e", b":c", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf"])
    )
)
def test_any_split_gives_what_the_whole_gives(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert read(*pieces) == read(stream)
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == read(stream)
