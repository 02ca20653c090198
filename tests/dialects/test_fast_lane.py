"""The raw lane of a paced stream: the same bytes as the plain way, in every dialect, however the stream is cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.chunks import CompletionStream
from airelays.dialects.stream.events import EventMap, raw_delta
from airelays.dialects.translated import ReplyOptions
from airelays.protocol.chunked import ChunkDecoder, encode_chunk

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.sse"))
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hi \\u00e4","logprobs":[]}\n\n'
)
DIALECTS = [
    "responses",
    "codex",
    "chat",
    "chat, stop",
    "chat, usage",
    "chat, functions",
    "completion",
]


def map_of(dialect: str) -> EventMap:
    kind, _, extra = dialect.partition(", ")
    options = ReplyOptions(
        model="m",
        stream=True,
        stop=("needle",) if extra == "stop" else (),
        include_usage=extra == "usage",
        legacy_functions=extra == "functions",
    )
    if kind in ("responses", "codex"):
        return ResponsesStream(options, codex=kind == "codex", now_s=1, reply_id="r")
    made = ChatStream if kind == "chat" else CompletionStream
    return made(options, now_s=1, reply_id="r")


def plain(reads: list[bytes], dialect: str) -> tuple[bytes, int]:
    """What the client's body is when every read is unframed and mapped; and the count of events."""
    reply, decoder = map_of(dialect), ChunkDecoder()
    out = b"".join(reply.feed(decoder.feed(read)) for read in reads)
    return out + (b"" if reply.done else reply.end()), reply.events


def laned(reads: list[bytes], dialect: str) -> tuple[tuple[bytes, int], int]:
    """The same with the raw lane, as Exchange and StreamPump use it; and how many reads took it."""
    reply, decoder, client = map_of(dialect), ChunkDecoder(), ChunkDecoder()
    out, taken = b"", 0
    for read in reads:
        raw = reply.raw(read) if decoder.at_chunk else b""
        if raw:
            out += client.feed(raw)
            assert client.at_chunk
            taken += 1
            continue
        made = reply.feed(decoder.feed(read))
        out += client.feed(encode_chunk(made)) if made else b""
    return (out + (b"" if reply.done else reply.end()), reply.events), taken


def framed(raw: bytes) -> list[bytes]:
    """One chunk for each event, one read for each chunk."""
    return [encode_chunk(event + b"\n\n") for event in raw.split(b"\n\n") if event]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_recorded_streams_come_out_alike(path: Path, dialect: str) -> None:
    reads = framed(path.read_bytes())
    assert laned(reads, dialect)[0] == plain(reads, dialect)


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "chat, stop"])
def test_the_lane_is_taken_at_all(dialect: str) -> None:
    reads = framed((SAMPLES[0].parent / "01_text.sse").read_bytes())
    assert laned(reads, dialect)[1] >= 3


def test_a_stop_sequence_is_searched_the_plain_way() -> None:
    reads = framed((SAMPLES[0].parent / "01_text.sse").read_bytes())
    assert laned(reads, "chat, stop")[1] == 0


def test_nothing_takes_the_lane_behind_a_stop_sequence() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "f"}
    call = event("response.function_call_arguments.delta", output_index=1, delta="{")
    text = event("response.output_text.delta", output_index=0, delta="a needle")
    added = event("response.output_item.added", output_index=1, item=item)
    reads = [encode_chunk(sent) for sent in (added, call, text, call)]
    assert laned(reads[:2], "chat, stop")[1] == 1
    assert laned(reads, "chat, stop") == (plain(reads, "chat, stop"), 1)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_nothing_takes_the_lane_behind_half_an_event(dialect: str, end: bytes) -> None:
    half = b"event: response.output_text.delta" + end + b'data: {"type'
    reads = [encode_chunk(sent) for sent in (DELTA, half, DELTA, DELTA)]
    assert laned(reads, dialect)[0] == plain(reads, dialect)


def test_the_first_text_is_measured_the_plain_way() -> None:
    reply = map_of("chat")
    item = {"type": "message", "content": []}
    assert reply.feed(event("response.output_item.added", output_index=0, item=item))
    assert reply.committed
    assert not reply.raw(encode_chunk(DELTA))


@pytest.mark.parametrize(
    ("kind", "facts", "item"),
    [
        ("function_call_arguments", {}, {"type": "function_call", "call_id": "c", "name": "f"}),
        ("custom_tool_call_input", {}, {"type": "custom_tool_call", "call_id": "c", "name": "f"}),
        ("reasoning_summary_text", {"summary_index": 0}, {"type": "reasoning"}),
    ],
)
def test_what_is_no_text_takes_the_lane_too(
    kind: str, facts: dict[str, int], item: dict[str, str]
) -> None:
    delta = event(f"response.{kind}.delta", output_index=1, **facts, delta="ab")
    added = event("response.output_item.added", output_index=1, item=item)
    reads = [encode_chunk(added), *[encode_chunk(delta)] * 4]
    for dialect, least in (("chat", 3), ("responses", 3), ("completion", 0)):
        assert laned(reads, dialect)[0] == plain(reads, dialect)
        assert laned(reads, dialect)[1] >= least


@pytest.mark.parametrize("dialect", DIALECTS)
def test_cuts_at_every_byte_come_out_alike(dialect: str) -> None:
    raw = b"".join(framed((SAMPLES[0].parent / "01_text.sse").read_bytes()))
    start = raw.index(b"output_text.delta") - 60
    for cut in range(start, start + 1200):
        reads = [raw[:cut], raw[cut : cut + 331], raw[cut + 331 :]]
        assert laned(reads, dialect)[0] == plain(reads, dialect)


def event(name: str, **rest: object) -> bytes:
    data = json.dumps({"type": name, **rest}, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\ndata: {data}\n\n".encode()


KINDS = ["output_text", "refusal", "function_call_arguments", "reasoning_summary_text"]
EVENTS = st.one_of(
    st.builds(
        lambda kind, at, part, text: event(
            f"response.{kind}.delta", output_index=at, **part, delta=text
        ),
        st.sampled_from(KINDS),
        st.integers(0, 2),
        st.sampled_from([{}, {"summary_index": 0}, {"summary_index": 1}, {"content_index": 0}]),
        st.sampled_from(["", "a", 'q"\\', "é", "\u2028", "need", "le", "\n\n", "\x00"]),
    ),
    st.builds(
        lambda at, kind: event(
            "response.output_item.added",
            output_index=at,
            item={"type": kind, "call_id": "c", "name": "f"},
        ),
        st.integers(0, 2),
        st.sampled_from(["message", "function_call", "reasoning"]),
    ),
    st.sampled_from(
        [
            DELTA,
            DELTA + DELTA,
            b": x\n\n",
            DELTA.replace(b"\n", b"\r\n"),
            event("response.completed", response={"status": "completed"}),
            event("response.failed", response={"error": {"code": "server_error"}}),
        ]
    ),
)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(EVENTS, st.integers(0, 120)), max_size=12),
    st.sampled_from(DIALECTS),
)
def test_generated_streams_come_out_alike(chunks: list[tuple[bytes, int]], dialect: str) -> None:
    opening = event("response.created", response={}) + DELTA
    reads = [encode_chunk(opening)]
    for sent, cut in chunks:
        whole = encode_chunk(sent)
        # Most reads are one chunk with one event; some chunks are cut, and some events are of two chunks.
        if cut > 80:
            reads.append(whole)
        elif cut > 40:
            reads += [encode_chunk(part) for part in (sent[: cut - 40], sent[cut - 40 :]) if part]
        else:
            reads += [part for part in (whole[:cut], whole[cut:]) if part]
    assert laned(reads, dialect)[0] == plain(reads, dialect)


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
    assert raw_delta(encode_chunk(DELTA)) is not None
    assert raw_delta(read) is None
