"""Whole frames out of an event stream, byte for byte: what ends with a blank line goes on, the rest waits.

Takes time linear in the bytes of a read, however long a frame becomes: what waits is kept as the pieces that came and
joined once, when its end has come. Layer: rules.
"""

from __future__ import annotations

import re

from airelays.protocol.sse import too_large

# Two line ends in a row; never the halves of one CRLF, for which the groups are atomic.
BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class Framing:
    """Cuts reads at blank lines. Raises UpstreamFault for a frame of more than `max_bytes`, and then holds nothing.

    `held` are the pieces of the frame that has not ended; its truth value says whether there are any.
    """

    __slots__ = ("_max_bytes", "_size", "held")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self.held: list[bytes] = []

    def whole(self, data: bytes) -> bytes:
        """Return the frames that are complete with `data`, up to the last blank line; keep what follows it."""
        held = self.held
        if b"\r" in data or (held and held[-1][-1:] == b"\r"):
            end = self._last_end(data)
        else:
            end = data.rfind(b"\n\n") + 2
            if end < 2:
                ends_line = data[:1] == b"\n" and held and held[-1][-1:] == b"\n"
                end = 1 if ends_line else -1
        if end < 0:
            self._size += len(data)
            if self._size > self._max_bytes:
                self.clear()
                raise too_large(self._max_bytes)
            held.append(data)
            return b""
        frames = self.take() + data[:end] if held else data[:end]
        if end < len(data):
            held.append(data[end:])
            self._size = len(data) - end
        return frames

    def take(self) -> bytes:
        """Return what waits, and hold nothing."""
        rest = b"".join(self.held)
        self.clear()
        return rest

    def clear(self) -> None:
        """Hold nothing."""
        self.held.clear()
        self._size = 0

    def _last_end(self, data: bytes) -> int:
        """Return where the last blank line of `data`, which is not written with LF alone, ends; -1 without one."""
        # It may begin in what is held: the longest blank line is CRLF CRLF. A CR at the end may be half of one.
        before = b"".join(self.held[-3:])[-3:]
        text = before + data
        end, open_end = -1, len(text) if text[-1:] == b"\r" else -1
        for found in BLANK.finditer(text):
            if len(before) <= found.end() != open_end:
                end = found.end() - len(before)
        return end
