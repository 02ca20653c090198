"""The fast way to a request head: what a client sends the same each time is checked and parsed once.

Clients repeat their heads to the byte, but for the length of the body. So the head without the digits of its
Content-Length is looked up; a hit stands for bytes that passed every check of `http1` before, and only the
digits, which are checked here by the same rule, are new. `parse_request_head` is the plain way.

Owns: that table and its bound. Layer: rules.
"""

from __future__ import annotations

import re

from airelays.model import RequestHead
from airelays.protocol.http1 import parse_request_head

__all__ = ["HeadCache"]

MAX_ENTRIES = 128
# SDK heads are 500 to 900 bytes; longer ones carry what changes from request to request.
MAX_KEPT_BYTES = 2048
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,15})\r\n")


class HeadCache:
    """Parses request heads, remembering up to MAX_ENTRIES of them. Holds tokens as long as it lives."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, RequestHead] = {}

    def __repr__(self) -> str:
        return f"HeadCache({len(self._known)} heads)"

    def parse(self, raw: bytes) -> RequestHead:
        """Return what `parse_request_head` returns, and raise what it raises."""
        if len(raw) > MAX_KEPT_BYTES:
            return parse_request_head(raw)
        found = _LENGTH.search(raw)
        key = raw if found is None else raw[: found.start(1)] + raw[found.end(1) :]
        known = self._known.get(key)
        if known is None:
            known = parse_request_head(raw)
            if len(self._known) >= MAX_ENTRIES:
                self._known.clear()
            self._known[key] = known
            return known
        if found is None:
            return known
        digits = found[1]
        length = int(digits)
        if length == known.content_length:
            return known
        fields = tuple(
            (name, digits) if name == b"content-length" else (name, value)
            for name, value in known.fields
        )
        return known._replace(content_length=length, fields=fields)
