"""A chat or completions stream of a server that speaks the client's dialect: passed on frame by frame.

The bytes stay as they are, but the truths of a stream are kept: only whole frames go on, so that a cut never
leaves half of one in front of the error event; the end is believed only after each choice's `finish_reason`, or
`[DONE]`; an error in a chunk is the end, and so is a `finish_reason` that means one. Layer: rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from airelays.dialects.reply import chunk_usage, read_usage
from airelays.dialects.stream.events import encode
from airelays.dialects.stream.failure import in_band, incomplete_stream, too_deep
from airelays.dialects.stream.finish import chunk_ends, interrupted
from airelays.dialects.stream.framing import BLANK, Framing
from airelays.dialects.stream.told import is_usual, look_through
from airelays.errors import RelayError, UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Usage
from airelays.protocol.sse import MAX_EVENT_BYTES

# Without the first quote, which would be looked for at every name in the frames.
_FINISHED = re.compile(rb'finish_reason"\s*:\s*"[^"]')
_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")
_SPACED = b'"choices": ['
_USED = re.compile(rb'"usage"\s*:\s*\{')


class PassedChunks:
    """A reply map (see `stream.ReplyMap`) that changes nothing. An event is parsed at most once, and only if it
    names an error or the usage."""

    raw = None
    content_type = b"text/event-stream; charset=utf-8"
    # What each frame but the last has, as this server spaces it; one without it may be an error.
    mark = b'"choices":['

    def __init__(
        self,
        *,
        model: str,
        choices: int = 1,
        max_event_bytes: int = MAX_EVENT_BYTES,
        hides_usage: bool = False,
    ) -> None:
        """`choices` are those that the request asks for: the answer is complete when each has finished.

        `hides_usage` leaves out the chunk that has only the usage: the relay asked for it, not the client.
        """
        self.committed = False
        self.terminal = ""
        self.failure: UpstreamFault | None = None
        self.stopped = False
        self.done = False
        self.usage: Usage | None = None
        self.model = model
        self.redactor: Callable[[], Redactor] = Redactor
        self.response_id = ""
        self.first_text = False
        self.events = 0
        self._framing = Framing(max_event_bytes)
        self._choices = choices
        self._finished: set[Any] = set()
        self._said = False
        self._hides_usage = hides_usage

    def feed(self, data: bytes) -> bytes:
        """Return the whole frames that `data` completes."""
        if self.done:
            return b""
        try:
            frames = self._framing.whole(data)
        except UpstreamFault as fault:
            self._fail(fault)
            return b""
        return self._look(frames) if frames else b""

    def end(self) -> bytes:
        """The body has ended; add the `[DONE]` that some servers leave out, or note that the answer is cut."""
        if self.done:
            return b""
        rest = self._framing.take()
        out = self._look(rest + b"\n\n") if rest.strip() and not _is_half(rest) else b""
        if self.terminal:
            return out
        return out + self._finish()

    def _finish(self) -> bytes:
        if len(self._finished) < self._choices:
            self._fail(incomplete_stream())
            return b""
        self._succeed()
        return b"data: [DONE]\n\n"

    def fail(self, fault: RelayError) -> bytes:
        """Return the error chunk, once; nothing after an end."""
        if self._said or (self.done and self.terminal != "failed"):
            return b""
        self._said = self.committed = True
        if not self.done:
            self._fail(in_band(fault))
        return b"data: " + encode({"error": in_band(fault).to_object()}) + b"\n\n"

    def ping(self) -> bytes:
        """Return a comment that keeps an idle connection open."""
        return b": ping\n\n"

    def _look(self, frames: bytes) -> bytes:
        """Note what `frames` say of the answer's state; return what of them goes out."""
        # One event in one line, as most reads are: that cannot be `[DONE]`, and is not counted by a search.
        # Not `in`: for bytes it takes twice as long as `find`, which matters once per event.
        find = frames.find
        single = frames[:7] == b"data: {" and find(b"\n") + 2 == len(frames)
        count = 1 if single else frames.count(b"data:")
        usual = find(b"\r") < 0 if single else is_usual(frames)
        known = find(self.mark) >= 0 if single else frames.count(self.mark) >= count
        if not known and find(_SPACED) >= 0:
            self.mark = _SPACED
            known = frames.count(_SPACED) >= count
        if (
            not (usual and known)
            or find(b'"error"') >= 0
            or (find(b'"usage"') >= 0 and _USED.search(frames) is not None)
        ):
            try:
                look = look_through(frames, self.redactor, self._note)
            except RecursionError:
                self._fail(too_deep())
                return b""
            frames = _without_usage(look.before) if self._hides_usage else look.before
            if look.fault is not None:
                return self._cut(frames, look.fault)
        if not self.committed:
            frames = _from_first_event(frames)
        if not frames:
            return b""
        if _FINISHED.search(frames):
            frames, fault = self._read_ends(frames)
            if fault is not None:
                return self._cut(frames, fault)
        self.events += count
        self.committed = self.first_text = True
        if not single and find(b"[DONE]") >= 0 and (found := _DONE.search(frames)) is not None:
            end = BLANK.search(frames, found.end())
            self._succeed()
            return frames[: end.end()] if end is not None else frames + b"\n\n"
        return frames

    def _cut(self, before: bytes, fault: UpstreamFault) -> bytes:
        """The answer has failed; return what goes out of the frames before that."""
        self._fail(fault)
        if not self.committed:
            before = _from_first_event(before)
            self.committed = bool(before)
        return before

    def _read_ends(self, frames: bytes) -> tuple[bytes, UpstreamFault | None]:
        """Return frames with the servers' own words for an end as OpenAI's, up to one that means a failure."""
        out: list[bytes] = []
        start = 0
        for end in _ends(frames):
            frame, start = frames[start:end], end
            chunk = _chunk_of(frame) if _FINISHED.search(frame) else {}
            if chunk:
                said = chunk_ends(chunk, self._finished)
                if isinstance(said, tuple):
                    redactor = self.redactor()
                    return b"".join(out), interrupted(*(redactor.said(text) for text in said))
                if said:
                    try:
                        frame = b"data: " + encode(chunk) + b"\n\n"
                    except RecursionError:
                        return b"".join(out), too_deep()
            out.append(frame)
        return b"".join(out), None

    def _note(self, chunk: dict[str, Any]) -> None:
        usage = read_usage(chunk_usage(chunk))
        if usage is not None:
            self.usage = usage

    def _succeed(self) -> None:
        self.done, self.terminal = True, "completed"

    def _fail(self, fault: UpstreamFault) -> None:
        self.failure, self.done, self.terminal = fault, True, "failed"
        self._framing.clear()


class PassedEvents(PassedChunks):
    """The same for a stream of another kind (images, audio): nothing in it says whether it is complete."""

    mark = b"data:"

    def _finish(self) -> bytes:
        self._succeed()
        return b""


def _from_first_event(frames: bytes) -> bytes:
    """Return `frames` without what stands before the first event: comments and nonsense begin no answer."""
    start = 0
    for end in _ends(frames):
        frame = frames[start:end]
        if _chunk_of(frame) or _DONE.search(frame):
            return frames[start:]
        start = end
    return b""


def _without_usage(frames: bytes) -> bytes:
    """Return `frames` without chunks that have the usage and no choice."""
    out, start = [], 0
    for end in _ends(frames):
        frame, start = frames[start:end], end
        chunk = _chunk_of(frame) if _USED.search(frame) else {}
        if not (chunk and chunk.get("choices") == []):
            out.append(frame)
    return b"".join(out)


def _ends(frames: bytes) -> Iterator[int]:
    """Yield where each frame ends, its blank line included."""
    for match in BLANK.finditer(frames):
        yield match.end()


def _is_half(frame: bytes) -> bool:
    """Whether a frame breaks off inside its object: a client could read no more of it than an error."""
    found = frame.rpartition(b"data:")
    if not found[1]:
        return frame.startswith(b"event")
    return found[2].lstrip()[:1] == b"{" and not _chunk_of(frame)


def _chunk_of(frame: bytes) -> dict[str, Any]:
    lines = [line[5:].strip() for line in frame.splitlines() if line.startswith(b"data:")]
    try:
        value = json.loads(b"\n".join(lines))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
