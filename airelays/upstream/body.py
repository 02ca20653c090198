"""The body of an answer that should be a stream, and may be one JSON object all the same. Layer: I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airelays.dialects.stream.server_error import is_failure
from airelays.dialects.stream.whole import is_answer, stream_of_answer
from airelays.errors import UpstreamFault
from airelays.net.response import Response
from airelays.protocol.jsonio import loads_answer

# An error is short; how often it is looked for in a body that comes in pieces.
MAX_ERROR_BYTES = 64 * 1024
MAX_LOOKS = 16

Feed = Callable[[bytes], None]


async def pump_stream(response: Response, feed: Feed, *, limit_bytes: int, usage: bool) -> None:
    """Pump a stream to `feed`; a body that is one JSON object all the same is fed as the stream it should have been."""
    body = _Body(feed, limit_bytes, usage)
    try:
        await response.pump(body.feed)
    except UpstreamFault:
        body.cut()
        raise
    body.end()


class _Body:
    """Tells a stream from one JSON object by the first byte: events never begin with a brace."""

    __slots__ = ("_feed", "_held", "_limit_bytes", "_looks", "_size", "_take", "_usage")

    def __init__(self, feed: Feed, limit_bytes: int, usage: bool) -> None:
        self._feed = feed
        self._limit_bytes = limit_bytes
        self._usage = usage
        self._held: list[bytes] = []
        self._size = 0
        self._looks = 0
        self._take: Feed = self._begin

    def feed(self, data: bytes) -> None:
        """Take one read of the body."""
        self._take(data)

    def _begin(self, data: bytes) -> None:
        text = data.lstrip()
        if not text:
            self._feed(data)
            return
        self._take = self._hold if text[:1] == b"{" else self._feed
        self._take(data)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size > self._limit_bytes:
            self._held.clear()
            raise UpstreamFault(
                f"the upstream's answer is larger than {self._limit_bytes:,} bytes, which is the limit",
                code="upstream_too_large",
                type="upstream_error",
            )
        # An error is passed on as soon as it is there: a server may keep the connection open behind it.
        if self._size <= MAX_ERROR_BYTES and self._looks < MAX_LOOKS and data.rstrip()[-1:] == b"}":
            self._looks += 1
            self.cut()

    def cut(self) -> None:
        """The body ended too early, or may: an error that is whole in it is passed on."""
        value = self._value() if self._held else None
        if isinstance(value, dict) and is_failure(value) and not is_answer(value):
            self._held.clear()
            self._feed(stream_of_answer(value, include_usage=False))

    def end(self) -> None:
        """The body has ended properly."""
        if not self._held:
            return
        value = self._value()
        if isinstance(value, dict):
            self._feed(stream_of_answer(value, include_usage=self._usage))
        else:
            self._feed(b"".join(self._held))

    def _value(self) -> Any:
        try:
            return loads_answer(b"".join(self._held))
        except ValueError:
            return None
