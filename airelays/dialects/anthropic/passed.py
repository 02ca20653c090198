"""A message stream of a server that speaks this API itself: passed on frame by frame.

As in `dialects/stream/passed.py` the truths are kept: whole frames only, an end that is believed only with
`message_stop`, an error event as the end. Layer: rules.
"""

from __future__ import annotations

import re
from typing import Any

from airelays.dialects.anthropic.errors import Words
from airelays.dialects.anthropic.stream import PING
from airelays.dialects.reply import read_usage
from airelays.dialects.stream.events import encode
from airelays.dialects.stream.failure import in_band, incomplete_stream
from airelays.dialects.stream.framing import BLANK
from airelays.dialects.stream.passed import PassedChunks
from airelays.errors import RelayError
from airelays.model import Usage

# How a delta begins; a server writes all of its events alike.
_DELTAS = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta"',
    b'event: content_block_delta\ndata: {"type": "content_block_delta"',
)
_STOPPED = re.compile(rb'"type"\s*:\s*"message_stop"')


class PassedMessages(PassedChunks):
    """A reply map that changes nothing but its keep-alive and its own errors."""

    # Each event of this API has its type; what has none may be an error.
    mark = b'"type":'

    def __init__(self, *, model: str, words: Words) -> None:
        super().__init__(model=model)
        self._words = words
        self._delta = _DELTAS[0]
        self._counts: dict[str, Any] = {}

    def ping(self) -> bytes:
        """Return the event that keeps an idle connection open."""
        return PING

    def fail(self, fault: RelayError) -> bytes:
        """Return the error event, once; nothing after an end."""
        if self._said or (self.done and self.terminal != "failed"):
            return b""
        self._said = self.committed = True
        if not self.done:
            self._fail(in_band(fault))
        return b"event: error\ndata: " + encode(self._words.event(in_band(fault))) + b"\n\n"

    def _look(self, frames: bytes) -> bytes:
        if self.committed and self._only_deltas(frames):
            return frames
        out = super()._look(frames)
        if self.done or b"message_stop" not in out:
            return out
        found = _STOPPED.search(out)
        if found is None:
            return out
        self._succeed()
        end = BLANK.search(out, found.end())
        return out[: end.end()] if end is not None else out + b"\n\n"

    def _only_deltas(self, frames: bytes) -> bool:
        """Whether these are deltas in their usual form, which say nothing of an error or an end."""
        if not frames.startswith(self._delta):
            if not frames.startswith(_DELTAS):
                return False
            self._delta = next(form for form in _DELTAS if frames.startswith(form))
        find, count = frames.find, 1
        if find(b"\n\n") + 2 != len(frames):
            count = frames.count(b"\n\n")
            if frames.count(self._delta) != count:
                return False
        if find(b"\r") >= 0 or find(b'"error"') >= 0 or frames.count(b"\n") != 3 * count:
            return False
        self.events += count
        return True

    def _finish(self) -> bytes:
        self._fail(incomplete_stream())
        return b""

    def _note(self, event: dict[str, Any]) -> None:
        message = event.get("message")
        found = event.get("usage") or (message.get("usage") if isinstance(message, dict) else None)
        if isinstance(found, dict):
            self._counts.update({key: value for key, value in found.items() if value is not None})
            self.usage = usage_in(self._counts)


def usage_in(counts: dict[str, Any]) -> Usage | None:
    """Return the usage that a message tells, in our terms: the input with what was cached."""
    usage = read_usage(counts)
    if usage is None:
        return None
    whole = usage.input_tokens + (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0)
    return usage._replace(input_tokens=whole, total_tokens=whole + usage.output_tokens)
