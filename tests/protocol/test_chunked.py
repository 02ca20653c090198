"""protocol.chunked: bodies whole, byte by byte, with trailing data, and every malformed kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.protocol.chunked import ChunkDecoder, encode_chunk
from airelays.protocol.http1 import ProtocolFault

GOOD = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    (b"A\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
    (b"3;a=b\r\nabc\r\n0;x\r\n\r\n", b"abc"),
    (b'3 ; a="b"\r\nabc\r\n0\r\nX-Trailer: y\r\nZ: \r\n\r\n', b"abc"),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
]

BAD = [
    b"x\r\n",
    b"-5\r\nhello",
    b"+5\r\nhello",
    b"0x5\r\nhello",
    b"5_0\r\n",
    b" 5\r\nhello",
    b"\r\n5\r\nhello",
    b"11111111111111111\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello\r\r0\r\n\r\n",
    b"5;a\x00\r\nhello",
    b"5;a\nb\r\nhello",
    b"5;" + b"a" * 257 + b"\r\nhello",
    b"5" + b" " * 300,
    b"0\r\nBad Name: x\r\n\r\n",
    b"0\r\nA: b\nC: d\r\n\r\n",
    b"0\r\n" + b"A: b\r\n" * 33 + b"\r\n",
    b"0\r\nA: " + b"x" * 9000 + b"\r\n\r\n",
    b"0\r\nA: " + b"x" * 9000,
]


def decode(parts: list[bytes]) -> tuple[bytes, bool, bytes]:
    decoder = ChunkDecoder()
    payload = b"".join(decoder.feed(part) for part in parts)
    return payload, decoder.done, decoder.rest


@pytest.mark.parametrize(("raw", "payload"), GOOD)
def test_a_body_is_decoded_however_it_is_cut(raw: bytes, payload: bytes) -> None:
    assert decode([raw]) == (payload, True, b"")
    assert decode([raw[i : i + 1] for i in range(len(raw))]) == (payload, True, b"")
    for at in range(len(raw)):
        assert decode([raw[:at], raw[at:]]) == (payload, True, b"")


@pytest.mark.parametrize(("raw", "payload"), GOOD)
def test_what_follows_a_body_is_kept_apart(raw: bytes, payload: bytes) -> None:
    assert decode([raw + b"GET / HTTP/1.1"]) == (payload, True, b"GET / HTTP/1.1")
    assert decode([raw, b"GET"]) == (payload, True, b"GET")


@pytest.mark.parametrize(("raw", "payload"), GOOD)
def test_a_cut_body_is_never_done(raw: bytes, payload: bytes) -> None:
    for at in range(len(raw)):
        assert not decode([raw[:at]])[1]


@pytest.mark.parametrize("raw", BAD)
def test_a_malformed_body_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolFault):
        decode([raw])
    with pytest.raises(ProtocolFault):
        decode([raw[i : i + 1] for i in range(len(raw))])


def test_extensions_are_bounded_over_the_whole_body() -> None:
    one = b"1;" + b"a" * 255 + b"\r\nx\r\n"
    assert len(decode([one * 64])[0]) == 64
    with pytest.raises(ProtocolFault, match="extensions"):
        decode([one * 65])


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 9))
def test_encoded_chunks_come_back(chunks: list[bytes], step: int) -> None:
    raw = b"".join(map(encode_chunk, chunks)) + b"0\r\n\r\n"
    parts = [raw[i : i + step] for i in range(0, len(raw), step)]
    assert decode(parts) == (b"".join(chunks), True, b"")


@given(st.binary(max_size=200))
def test_garbage_is_decoded_or_refused(raw: bytes) -> None:
    try:
        decode([raw])
    except ProtocolFault:
        return
