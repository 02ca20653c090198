"""A chat or completions stream of a server that speaks the client's dialect: passed on frame by frame.

The bytes stay as they are, but the truths of a stream are kept: only whole frames go on, so that a cut never
leaves half of one in front of the error event; the end is believed only after `finish_reason` or `[DONE]`;
an `error` in a chunk is the end. Layer: rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from airelays.errors import RelayError, UpstreamFault
from airelays.model import Usage
from airelays.protocol.sse import MAX_EVENT_BYTES, too_large
from airelays.translate.failure import classify, in_band, incomplete_stream
from airelays.translate.usage import read_usage

__all__ = ["PassedChunks"]

_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_DONE = re.compile(rb"(?:^|\n)data: ?\[DONE\]")
_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class PassedChunks:
    """A reply map (see `stream.ReplyMap`) that changes nothing."""

    def __init__(self, *, model: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.committed = False
        self.terminal = ""
        self.failure: UpstreamFault | None = None
        self.stopped = False
        self.done = False
        self.usage: Usage | None = None
        self.model = model
        self.response_id = ""
        self.first_text = False
        self.events = 0
        self._max_bytes = max_event_bytes
        self._tail = b""
        self._finished = False

    def feed(self, data: bytes) -> bytes:
        """Return the whole frames that `data` completes."""
        if self.done:
            return b""
        buffer = self._tail + data
        end = 0
        for match in _BLANK.finditer(buffer):
            end = match.end()
        if not end:
            self._tail = buffer
            if len(buffer) > self._max_bytes:
                return self._fail(too_large(self._max_bytes))
            return b""
        whole, self._tail = buffer[:end], buffer[end:]
        return self._look(whole)

    def end(self) -> bytes:
        """The body has ended; add the `[DONE]` that some servers leave out, or say that the answer is cut."""
        if self.done:
            return b""
        out = self._look(self._tail + b"\n\n") if self._tail.strip() else b""
        return out if self.terminal else out + self._finish()

    def _finish(self) -> bytes:
        if not self._finished:
            return self._fail(incomplete_stream())
        self._succeed()
        return b"data: [DONE]\n\n"

    def fail(self, fault: RelayError) -> bytes:
        """Return the error chunk, once; nothing after an end."""
        if self.done and self.terminal != "failed":
            return b""
        self.done, self.terminal, self.committed = True, "failed", True
        return b"data: " + json.dumps({"error": in_band(fault).to_object()}).encode() + b"\n\n"

    def ping(self) -> bytes:
        """Return a comment that keeps an idle connection open."""
        return b": ping\n\n"

    def _look(self, frames: bytes) -> bytes:
        self.events += frames.count(b"data:")
        if b'"error"' in frames and (cut := self._error(frames)) is not None:
            return cut
        self.committed = self.first_text = True
        if b'"usage"' in frames:
            self._read_usage(frames)
        if _FINISHED.search(frames):
            self._finished = True
        if b"[DONE]" in frames and (found := _DONE.search(frames)) is not None:
            end = _BLANK.search(frames, found.end())
            self._succeed()
            return frames[: end.end()] if end is not None else frames + b"\n\n"
        return frames

    def _error(self, frames: bytes) -> bytes | None:
        """Return what goes out for frames that hold an error chunk, None when none of them does."""
        before = b""
        for frame in _split(frames):
            error = _chunk_of(frame).get("error")
            if error:
                fault = classify(
                    {
                        "type": "error",
                        "error": error if isinstance(error, dict) else {"message": str(error)},
                    }
                )
                self.failure, self.done, self.terminal = fault, True, "failed"
                if before:
                    self.committed = True
                return before + frame if self.committed else b""
            before += frame
        return None

    def _read_usage(self, frames: bytes) -> None:
        for frame in _split(frames):
            usage = _chunk_of(frame).get("usage")
            if isinstance(usage, dict):
                self.usage = read_usage(
                    {
                        "input_tokens": usage.get("prompt_tokens"),
                        "output_tokens": usage.get("completion_tokens"),
                        "total_tokens": usage.get("total_tokens"),
                    }
                )

    def _succeed(self) -> None:
        self.done, self.terminal = True, "completed"

    def _fail(self, fault: UpstreamFault) -> bytes:
        self.failure = fault
        committed = self.committed
        self.done, self.terminal = True, "failed"
        return self.fail(fault) if committed else b""


def _split(frames: bytes) -> Iterator[bytes]:
    """Yield each frame with the blank line behind it."""
    start = 0
    for match in _BLANK.finditer(frames):
        yield frames[start : match.end()]
        start = match.end()


def _chunk_of(frame: bytes) -> dict[str, Any]:
    lines = [line[5:].strip() for line in frame.splitlines() if line.startswith(b"data:")]
    try:
        value = json.loads(b"\n".join(lines))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
