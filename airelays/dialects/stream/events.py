"""From the bytes of an upstream's event stream to calls of a reply map; the part that all reply maps share.

Two ways lead to the same bytes. The plain way hands every event to `sse.Parser` and `json`. The fast way splits at
blank lines, recognises the delta events in their usual spelling by one regular expression, and skips events
that a map ignores by their name; all others go the plain way. A stream that is not written with LF alone
goes the plain way for good. `fast=False` switches the fast way off; a test compares both.

Owns: framing, the order of a stream (nothing, committed, one end), failures. Layer: rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from airelays.dialects.reply import read_usage
from airelays.dialects.stream.failure import classify, in_band, incomplete_stream, too_deep
from airelays.dialects.stream.framing import Framing
from airelays.dialects.stream.promises import Watch
from airelays.dialects.stream.told import holds_error, tell
from airelays.errors import RelayError, UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Usage
from airelays.protocol.chunked import encode_chunk
from airelays.protocol.jsonio import compact_encoder, decode_with
from airelays.protocol.sse import Parser

Delta = re.Match[bytes]

_NUMBER = rb"(?:0|[1-9][0-9]{0,15})"
_MEMBER = (
    rb',"(?:content_index|sequence_number)":' + _NUMBER + rb"|"
    rb',"output_index":(' + _NUMBER + rb")|"
    rb',"summary_index":(' + _NUMBER + rb")|"
    rb',"(?:item_id|obfuscation)":"[ !#-\[\]-~]*+"|'
    rb',"logprobs":\[\]'
)


# A delta event in its usual spelling. The string literal may hold raw UTF-8 and every escape but "\/", which nobody
# writes. Groups: type, (output, summary index) before, literal, the same after.
def _delta(plain: bytes) -> bytes:
    """Return the expression of a delta event whose literal consists of `plain` characters and escapes."""
    return (
        rb"event: (?P<type>response\.(?:output_text|refusal|function_call_arguments"
        rb"|custom_tool_call_input|reasoning_summary_text|reasoning_text)\.delta)\n"
        rb'data: \{"type":"(?P=type)"(?:' + _MEMBER + rb")*+"
        rb',"delta":("[' + plain + rb"]*+"
        rb'(?:\\(?:["\\nrtbf]|u[0-9a-fA-F]{4})[' + plain + rb']*+)*+")'
        rb"(?:" + _MEMBER + rb")*+\}"
    )


DELTA = re.compile(_delta(rb" !#-\[\]-~\x80-\xff") + rb"\Z")
# The same in ASCII as one whole chunk of the chunked coding: it is read without being unframed.
_RAW_DELTA = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n" + _delta(rb" !#-\[\]-~") + rb"\n\n\r\n\Z")

_SILENT = frozenset(
    {
        "response.created",
        "response.in_progress",
        "response.queued",
        "response.metadata",
        "codex.response.metadata",
        "codex.rate_limits",
        "keepalive",
    }
)


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    return number if number - number == 0.0 else _refuse(text)


# No NaN and no infinity: what is read here may be written again.
_decode = decode_with(json.JSONDecoder(parse_constant=_refuse, parse_float=_finite))
_encode = compact_encoder(allow_nan=True)


def encode(value: Any) -> bytes:
    """Return `value` as compact ASCII JSON."""
    return "".join(_encode(value, 0)).encode("ascii")


def read_event(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object in an event's data, None for anything else."""
    try:
        event = _decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def ascii_literal(literal: bytes) -> bytes | None:
    """Return the JSON string `literal` as `encode` would write it; None if it is not UTF-8."""
    if literal.isascii() and b"\\u" not in literal:
        return literal
    try:
        return encode(_decode(literal.decode("utf-8")))
    except ValueError:
        return None


def is_utf8(literal: bytes) -> bool:
    """Whether `literal` can be decoded."""
    try:
        return literal.isascii() or bool(literal.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def skippable(*names: str) -> dict[bytes, bytes]:
    """Return a table from event names to the beginning of their data, for those that a map passes over."""
    return {name.encode(): b'data: {"type":"' + name.encode() + b'"' for name in names}


def key_of(event: dict[str, Any]) -> bytes:
    """Return what tells the output items of one stream apart: index, else id, else b""."""
    index = event.get("output_index")
    if isinstance(index, int):
        return b"%d" % index
    item_id = event.get("item_id")
    if item_id is None:
        item = event.get("item")
        item_id = item.get("id") if isinstance(item, dict) else None
    return encode(item_id) if isinstance(item_id, str) else b""


def _has_failed(response: Any) -> bool:
    """Whether a response that an event calls completed says itself that it is not."""
    if not isinstance(response, dict):
        return False
    return bool(response.get("error")) or response.get("status") in ("failed", "cancelled")


def raw_delta(data: bytes) -> Delta | None:
    """Return the match if `data` is one chunk that holds one ASCII delta event in its usual spelling, no more."""
    found = _RAW_DELTA.match(data)
    if found is None:
        return None
    start = found.start(1) - len(b"event: ")
    return found if int(data[:start], 16) == len(data) - start - len(b"\r\n") else None


class EventMap:
    """The reading half of a reply map. A subclass says what each event becomes.

    `committed` turns True with the first event beyond the announcements; until then nothing is put out, so
    that an early failure can still be answered with a status. `terminal` is "", "completed", "incomplete"
    or "failed"; with "failed" comes `failure`. `stopped` says that a stop sequence was met: the caller
    aborts the upstream and calls `end`. Once `done`, `feed` and `end` put out nothing any more.

    Neither of them ever puts out an error event: that is `fail` alone, called by whoever ends the stream.
    """

    content_type: ClassVar[bytes] = b"text/event-stream; charset=utf-8"
    # Events that the map ignores once it is committed, and `response.in_progress` before.
    skipped: ClassVar[dict[bytes, bytes]] = {}

    __slots__ = (
        "_framing",
        "_fresh",
        "_max_bytes",
        "_parser",
        "_said",
        "_tail",
        "committed",
        "created_s",
        "done",
        "events",
        "failure",
        "first_text",
        "model",
        "redactor",
        "response_id",
        "stopped",
        "terminal",
        "usage",
        "watch",
    )  # fmt: skip

    def __init__(
        self, *, now_s: float, reply_id: str, model: str, max_event_bytes: int, fast: bool
    ) -> None:
        self.committed = False
        self.terminal = ""
        self.failure: UpstreamFault | None = None
        self.stopped = False
        self.done = False
        self.usage: Usage | None = None
        # What the answer has to keep; it looks at the last event only.
        self.watch: Watch | None = None
        self.model = model
        self.redactor: Callable[[], Redactor] = Redactor
        self.response_id = reply_id
        self.created_s = int(now_s)
        self.first_text = False
        self.events = 0
        self._max_bytes = max_event_bytes
        self._parser = None if fast else Parser(max_event_bytes)
        self._framing = Framing(max_event_bytes)
        self._tail = self._framing.held
        self._said = False  # the error event
        self._fresh = True

    def feed(self, data: bytes) -> bytes:
        """Take one read of the upstream's body; return all that goes to the client for it."""
        if self.done or self.stopped or not data:
            return b""
        out: list[bytes] = []
        try:
            if self._parser is None and (b"\r" in data or (self._fresh and data[:1] == b"\xef")):
                # Not LF alone, or perhaps a byte order mark: only the full parser reads these.
                self._parser = Parser(self._max_bytes)
                data = self._framing.take() + data
            self._fresh = False
            if self._parser is None:
                self._feed_frames(data, out)
            else:
                for event in self._parser.feed(data):
                    self._read(event.name, event.data, out)
        except UpstreamFault as fault:
            self._fail(fault)
        except RecursionError:
            self._fail(too_deep())
        return b"".join(out)

    def raw(self, data: bytes) -> bytes:
        """Return what the client gets for the read `data`, both with their chunk framing; b"" for "use `feed`".

        The fast lane of a paced stream: one read, one chunk, one delta. Only between frames and after the first
        text; `feed` would have put out the same bytes.
        """
        if not self.first_text or self.done or self.stopped or self._tail or self._parser:
            return b""
        found = raw_delta(data)
        out: list[bytes] = []
        if found is None or not self._delta(found, data, out):
            return b""
        self.events += 1
        return encode_chunk(b"".join(out))

    def end(self) -> bytes:
        """Say that the upstream's body has ended; return whatever closes the client's stream after a success.

        Without a terminal event the stream has failed: `failure` is `incomplete_stream` then.
        """
        out: list[bytes] = []
        if not self.done and not self.stopped:
            parser = self._parser or Parser(self._max_bytes)
            try:
                events = parser.feed(self._framing.take()) + parser.finish()
                for event in events:
                    self._read(event.name, event.data, out)
            except UpstreamFault as fault:
                self._fail(fault)
            except RecursionError:
                self._fail(too_deep())
        if self.stopped and not self.done:
            self.terminal = "completed"
            self.done = True
            self._close({"status": "completed"}, out)
        if not self.done:
            self._fail(incomplete_stream())
        return b"".join(out)

    def fail(self, fault: RelayError) -> bytes:
        """Return the error event of this dialect, once; b"" after a success.

        Whatever was held back for an answer that might still have been a status goes out before it.
        """
        if self._said or (self.done and self.terminal != "failed"):
            return b""
        out: list[bytes] = []
        self._said = self.committed = True
        self._error(in_band(fault), out)
        if not self.done:
            self._fail(in_band(fault))
        return b"".join(out)

    def ping(self) -> bytes:
        """Return a comment that keeps an idle connection open."""
        return b": ping\n\n"

    def _feed_frames(self, data: bytes, out: list[bytes]) -> None:
        frames = self._framing.whole(data).split(b"\n\n")
        frames.pop()
        match, skipped = DELTA.match, self.skipped
        for frame in frames:
            found = match(frame)
            if found is not None:
                if self.committed and self._delta(found, frame, out):
                    self.events += 1
                    continue
            elif skipped and frame[:7] == b"event: ":
                line = frame.find(b"\n")
                name = frame[7:line]
                start = skipped.get(name)
                ignored = self.committed or name == b"response.in_progress"
                if start is not None and ignored and frame.startswith(start, line + 1):
                    self.events += 1
                    continue
            self._frame(frame.split(b"\n"), out)
            if self.done or self.stopped:
                return

    def _frame(self, lines: list[bytes], out: list[bytes]) -> None:
        name, data = b"", []
        for line in lines:
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value[1:] if value[:1] == b" " else value)
            elif field == b"event":
                name = value[1:] if value[:1] == b" " else value
            elif not line:
                name = b""
        if data:
            self._read(name.decode("utf-8", "replace"), b"\n".join(data), out)

    def _read(self, name: str, data: bytes, out: list[bytes]) -> None:
        """Take one event the plain way. What is no JSON object is dropped, as the Codex CLI does."""
        if self.done or self.stopped:
            return
        event = read_event(data)
        if event is None:
            return
        self.events += 1
        if holds_error(name, event):
            name, event, data = tell(name, event, data, self.redactor())
        kind = event.get("type")
        if not isinstance(kind, str):
            # Some servers say what went wrong in an object that is not an event of the protocol.
            kind = "error" if event.get("error") else name
        if kind == "response.created":
            self._created(event)
        if kind in _SILENT:
            self._silent(kind, name, data, out)
        elif kind in ("response.failed", "error") or (
            kind == "response.completed" and _has_failed(event.get("response"))
        ):
            self._upstream_failed(kind, name, event, data, out)
        else:
            self._commit(out)
            if kind in ("response.completed", "response.incomplete"):
                self._succeed(kind, name, event, data, out)
            else:
                self._event(kind, name, event, data, out)

    def _commit(self, out: list[bytes]) -> None:
        if not self.committed:
            self.committed = True
            self._open(out)

    def _created(self, event: dict[str, Any]) -> None:
        """Take id, time and model from where they stand first."""
        self._note(event.get("response"))

    def _note(self, response: Any) -> None:
        """Read id, time and model from a response object, where they are well formed."""
        if not isinstance(response, dict):
            return
        found, model, at = (response.get(key) for key in ("id", "model", "created_at"))
        if isinstance(found, str) and found:
            self.response_id = found
        if isinstance(model, str) and model:
            self.model = model
        if isinstance(at, (int, float)) and not isinstance(at, bool) and 0 < at < 2**53:
            self.created_s = int(at)

    def _succeed(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        response = event.get("response")
        if not isinstance(response, dict):
            response = {"status": kind.removeprefix("response.")}
        elif kind == "response.completed" and (
            response.get("status") == "incomplete"
            or (self.watch is not None and self.watch.ended(response))
        ):
            name = kind = event["type"] = "response.incomplete"
            data = encode(event)
        self.terminal = kind.removeprefix("response.")
        self.done = True
        self.usage = read_usage(response.get("usage"))
        self._finish(kind, name, event, data, out)
        # Of two ends that contradict each other the worse one counts; any other `status` is a slip.
        self._close({**response, "status": self.terminal}, out)

    def _upstream_failed(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        self._fail(classify(event))

    def _fail(self, fault: UpstreamFault) -> None:
        """Note the failure, and let go of what was held for an answer: it can be as large as an event may be."""
        self.terminal = "failed"
        self.failure = fault
        self.done = True
        self._framing.clear()
        self._parser = None

    # What a subclass says.

    def _open(self, out: list[bytes]) -> None:
        """Put out whatever begins the client's stream."""

    def _delta(self, found: Delta, frame: bytes, out: list[bytes]) -> bool:
        """Put out a delta in its usual spelling; False sends it the plain way."""
        return False

    def _silent(self, kind: str, name: str, data: bytes, out: list[bytes]) -> None:
        """Take an announcement, which commits to nothing."""

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        """Take any other event."""

    def _finish(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        """Take the terminal event of a success."""

    def _close(self, response: dict[str, Any], out: list[bytes]) -> None:
        """Put out whatever ends the client's stream after a success or a stop sequence."""

    def _error(self, fault: RelayError, out: list[bytes]) -> None:
        """Put out the error event of this dialect."""
