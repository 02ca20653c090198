"""The raw lane of a passed Responses stream: the same bytes as the plain way, however the stream is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.protocol.chunked import ChunkDecoder, encode_chunk
from airelays.translate.frames import is_raw_delta
from airelays.translate.responses_stream import ResponsesStream
from airelays.translate.values import ReplyOptions

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.sse"))
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hi \\u00e4","logprobs":[]}\n\n'
)


def stream_of(codex: bool) -> ResponsesStream:
    return ResponsesStream(ReplyOptions(model="m", stream=True), codex=codex, now_s=1, reply_id="r")


def plain(reads: list[bytes], codex: bool) -> bytes:
    """What the client's body is when every read is unframed and mapped."""
    reply, decoder = stream_of(codex), ChunkDecoder()
    out = b"".join(reply.feed(decoder.feed(read)) for read in reads)
    return out + (b"" if reply.done else reply.end())


def laned(reads: list[bytes], codex: bool) -> tuple[bytes, int]:
    """The same with the raw lane, as Exchange and StreamPump use it; and how many reads took it."""
    reply, decoder, client = stream_of(codex), ChunkDecoder(), ChunkDecoder()
    out, taken = b"", 0
    for read in reads:
        if decoder.at_chunk and reply.takes_raw(read):
            out += client.feed(read)
            taken += 1
            continue
        made = reply.feed(decoder.feed(read))
        out += client.feed(encode_chunk(made)) if made else b""
    return out + (b"" if reply.done else reply.end()), taken


def framed(raw: bytes) -> list[bytes]:
    """One chunk for each event, one read for each chunk."""
    return [encode_chunk(event + b"\n\n") for event in raw.split(b"\n\n") if event]


@pytest.mark.parametrize("codex", [False, True])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_recorded_streams_come_out_alike(path: Path, codex: bool) -> None:
    reads = framed(path.read_bytes())
    assert laned(reads, codex)[0] == plain(reads, codex)


def test_the_lane_is_taken_at_all() -> None:
    reads = framed((SAMPLES[0].parent / "01_text.sse").read_bytes())
    assert laned(reads, False)[1] >= 3


def test_cuts_at_every_byte_come_out_alike() -> None:
    raw = b"".join(framed((SAMPLES[0].parent / "01_text.sse").read_bytes()))
    start = raw.index(b"output_text.delta") - 60
    for cut in range(start, start + 1200):
        reads = [raw[:cut], raw[cut : cut + 331], raw[cut + 331 :]]
        assert laned(reads, False)[0] == plain(reads, False)


@given(
    st.lists(
        st.sampled_from(
            [
                encode_chunk(DELTA),
                encode_chunk(DELTA + DELTA),
                b"0\r\n\r\n",
                encode_chunk(b": x\n\n"),
            ]
        ),
        max_size=6,
    ),
    st.integers(1, 700),
)
def test_generated_streams_come_out_alike(chunks: list[bytes], step: int) -> None:
    opening = encode_chunk(
        b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n'
    )
    raw = b"".join(chunks)
    reads = [opening, *(raw[i : i + step] for i in range(0, len(raw), step))]
    assert laned(reads, False)[0] == plain(reads, False)


@pytest.mark.parametrize(
    "read",
    [
        encode_chunk(DELTA + DELTA),
        encode_chunk(DELTA)[:-1],
        encode_chunk(DELTA) + b"0\r\n\r\n",
        b"1" + encode_chunk(DELTA),
        encode_chunk(DELTA[:-1]),
        encode_chunk(DELTA.replace(b"Hi", b"\xc3\xa4")),
        encode_chunk(DELTA.replace(b"Hi", b"\n\n")),
        encode_chunk(DELTA.replace(b'"item_id"', b'"other"')),
        b"0x" + encode_chunk(DELTA),
        b"0\r\n\r\n",
        b"",
    ],
)
def test_only_exactly_one_usual_delta_is_raw(read: bytes) -> None:
    assert is_raw_delta(encode_chunk(DELTA))
    assert not is_raw_delta(read)
