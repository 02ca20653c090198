"""dialects.stream.framing: whole frames, linear in what is read, and nothing held after a failure."""

from __future__ import annotations

import gc
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.chat_server.events import ChatEvents
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.collect import Collector
from airelays.dialects.stream.framing import BLANK, Framing
from airelays.dialects.stream.passed import PassedChunks
from airelays.dialects.translated import ReplyOptions
from airelays.errors import UpstreamFault
from airelays.protocol.sse import Parser

LIMIT = 200_000
OPTIONS = ReplyOptions(model="m", stream=True)
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"output_index":0,"delta":"hello"}\n\n'
)
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'


def makers() -> dict[str, tuple[bytes, object]]:
    """Return every reader of event streams, with something that it takes for the begin of an answer."""
    shared: dict[str, Any] = {"now_s": 1.0, "reply_id": "r", "max_event_bytes": LIMIT}
    return {
        "passed": (CHUNK, PassedChunks(model="m", max_event_bytes=LIMIT)),
        "chat": (DELTA, ChatStream(OPTIONS, **shared)),
        "chat plain": (DELTA, ChatStream(OPTIONS, fast=False, **shared)),
        "responses": (DELTA, ResponsesStream(OPTIONS, codex=False, **shared)),
        "collector": (DELTA, Collector(**shared)),
        "chat events": (
            CHUNK,
            ChatEvents(model="m", ids="i", now_s=1.0, max_event_bytes=LIMIT),
        ),
        "parser": (b"data: x\n\n", Parser(LIMIT)),
    }


@given(
    st.lists(st.sampled_from([b"data: a", b"\n", b"\r\n", b"\r", b"\n\n", b"x"]), max_size=30),
    st.integers(1, 7),
)
def test_frames_are_what_the_pieces_were_cut_at_blank_lines(pieces: list[bytes], step: int) -> None:
    raw = b"".join(pieces)
    framing = Framing(1000)
    out = [framing.whole(raw[i : i + step]) for i in range(0, len(raw), step)]
    rest = framing.take()
    assert b"".join(out) + rest == raw
    for frames in filter(None, out):
        assert re.search(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)\Z|\n\Z", frames)
    # What is left has no end of a frame in it; a CR at its very end may still be half of one.
    assert all(found.end() == len(rest) and rest[-1:] == b"\r" for found in BLANK.finditer(rest))


def held_bytes(root: object) -> int:
    """Return how many bytes are reachable from `root` in byte strings, each counted once."""
    seen, waiting, total = {id(root)}, [root], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, (bytes, bytearray, str)):
            total += sys.getsizeof(one)
        if isinstance(one, type) or type(one).__name__ in (
            "module",
            "function",
            "builtin_function_or_method",
        ):
            continue
        for other in gc.get_referents(one):
            if id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return total


@pytest.mark.parametrize("line", [b"data: ", b": a comment ", b"event: ", b"unknown"])
@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("name", makers())
def test_nothing_is_held_after_an_event_that_is_too_large(
    name: str, line: bytes, lines: bool
) -> None:
    begin, reader = makers()[name]
    before = held_bytes(reader)
    reader.feed(begin)  # type: ignore[attr-defined]  # every reader has it
    end = b"\ndata: " if lines else b""
    failure = None
    try:
        reader.feed(line)  # type: ignore[attr-defined]  # every reader has it
        for _ in range(40):
            reader.feed(b"x" * 10_000 + end)  # type: ignore[attr-defined]  # every reader has it
    except UpstreamFault as fault:
        fault.__traceback__ = None
        failure = fault
    failure = failure or reader.failure  # type: ignore[attr-defined]  # those that do not raise have it
    assert failure is not None and failure.code == "upstream_event_too_large"
    failure.__traceback__ = None
    assert held_bytes(reader) < before + 20_000


@pytest.mark.parametrize("name", ["passed", "chat", "responses", "collector"])
def test_an_event_that_grows_is_not_copied_with_every_read(name: str) -> None:
    """Linear: what waits are the very pieces that came, joined once when the event ends."""
    begin, reader = makers()[name]
    reader.feed(begin)  # type: ignore[attr-defined]  # every reader has it
    pieces = [bytes([65 + n % 26]) * (500 + n) for n in range(100)]
    for piece in pieces:
        reader.feed(piece)  # type: ignore[attr-defined]  # every reader has it
    held = reader._framing.held  # type: ignore[attr-defined]  # the part that holds
    assert [id(piece) for piece in held] == [id(piece) for piece in pieces]
