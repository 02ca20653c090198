"""Server-sent events: bytes in, whole events out; incremental and bounded.

Owns: line ends (LF, CRLF and CR, nothing else), the byte order mark, `event` and `data` fields, the bound
on one event. Refuses to know: JSON, what an event means. Layer: rules.
Source of the format: the HTML standard, section 9.2 "Server-sent events".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from airelays.errors import UpstreamFault

# 16 MiB: one event can carry a whole base64 image (threat-model.md, U3).
MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """One event. `name` is "" when no `event` line named it; `data` lines are joined by LF."""

    name: str
    data: bytes


def too_large(max_event_bytes: int) -> UpstreamFault:
    """Return the fault for an event that outgrew its bound."""
    return UpstreamFault(
        f"upstream sent one stream event of more than {max_event_bytes:,} bytes, "
        "which is the limit",
        hop="stream",
        code="upstream_event_too_large",
    )


class Parser:
    """An incremental reader of one event stream.

    Lines are never split at U+2028, U+2029, U+0085, VT or FF (the flaw of `str.splitlines`). Comments, `id`
    and `retry` are dropped. An event without data is not an event. Raises UpstreamFault once the line
    being read, or the data of the event being read, is larger than `max_event_bytes`; then it holds nothing.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._started = False
        self._name = ""
        self._data: list[bytes] = []
        self._data_size = 0

    @property
    def pending(self) -> bool:
        """Whether bytes of an event that has not ended are held."""
        return bool(self._size or self._data)

    def feed(self, data: bytes) -> list[Event]:
        """Take one read; return the events that it completed."""
        if not self._started:
            data = self._skip_bom(data)
        if self._after_cr and data:
            self._after_cr = False
            data = data[1:] if data[:1] == b"\n" else data
        if not data:
            return []
        if b"\n" not in data and b"\r" not in data:
            self._hold(data)
            return []
        self._parts.append(data)
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return self._lines(data)

    def finish(self) -> list[Event]:
        """Say that no byte follows; return the last event if only its blank line was missing.

        The standard drops such an event. A reader that judges each event by its content loses nothing
        by looking at it: half of a JSON object does not parse.
        """
        tail = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._started = True
        if tail:
            self._field(tail)
        return self._dispatch()

    def _skip_bom(self, data: bytes) -> bytes:
        head = b"".join(self._parts) + data
        if len(head) < 3 and _BOM.startswith(head):
            self._parts = [head]
            self._size = len(head)
            return b""
        self._started = True
        self._parts.clear()
        self._size = 0
        return head[3:] if head.startswith(_BOM) else head

    def _hold(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size + self._data_size > self._max_bytes:
            raise self._outgrown()

    def _lines(self, data: bytes) -> list[Event]:
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            lines = _LINE_END.split(data)
        else:
            lines = data.split(b"\n")
        tail = lines.pop()
        if tail:
            self._hold(tail)
        events: list[Event] = []
        for line in lines:
            if line:
                self._field(line)
            else:
                events += self._dispatch()
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > self._max_bytes:
                raise self._outgrown()
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")

    def _dispatch(self) -> list[Event]:
        data, name = self._data, self._name
        self._name = ""
        if not data:
            return []
        self._data = []
        self._data_size = 0
        return [Event(name, data[0] if len(data) == 1 else b"\n".join(data))]

    def _outgrown(self) -> UpstreamFault:
        """Let go of everything; return the fault."""
        self._parts.clear()
        self._data = []
        self._size = self._data_size = 0
        return too_large(self._max_bytes)
