"""The fast way to a request head: what a client sends the same each time is checked and parsed once.

Clients repeat their heads to the byte, but for the length of the body. A head is looked up by all of its bytes;
one with a well-formed Content-Length by the bytes before its digits and, apart from them, those after them.

Why a hit is what `parse_request_head` would return. Without digits that were cut out, it is that function's result
for the same bytes. With them, both heads are `before + digits + after`, where `before` ends with a line end and
"Content-Length: ", `after` begins with a line end, and the digits, 1 to 15, are looked at anew for each head. So
the two differ in the value of one field line only; the one in the table was accepted, so it is the only length
and there is no other framing; and the plain way accepts all such values alike, and uses them for
`content_length` and the field itself. A head that was refused is never kept. `build/fuzz.py head_cache` compares.

Owns: that table and its bound. Layer: rules.
"""

from __future__ import annotations

import re

from airelays.model import RequestHead
from airelays.protocol.http1 import parse_request_head

MAX_ENTRIES = 128
# SDK heads are 500 to 900 bytes; longer ones carry what changes from request to request.
MAX_KEPT_BYTES = 2048
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,15})\r\n")

# Two parts are one key, and never joined: joined, a head without digits would be the same key.
_Key = bytes | tuple[bytes, bytes]


class HeadCache:
    """Parses request heads, remembering up to MAX_ENTRIES of them. Holds tokens as long as it lives."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # With each head the place of its Content-Length among the fields.
        self._known: dict[_Key, tuple[RequestHead, int]] = {}

    def __repr__(self) -> str:
        return f"HeadCache({len(self._known)} heads)"

    def parse(self, raw: bytes) -> RequestHead:
        """Return what `parse_request_head` returns, and raise what it raises."""
        if len(raw) > MAX_KEPT_BYTES:
            return parse_request_head(raw)
        found = _LENGTH.search(raw)
        key: _Key = raw if found is None else (raw[: found.start(1)], raw[found.end(1) :])
        known = self._known.get(key)
        if known is None:
            return self._keep(key, parse_request_head(raw))
        head, at = known
        if found is None or found[1] == head.fields[at][1]:
            return head
        digits, fields = found[1], head.fields
        return head._replace(
            content_length=int(digits),
            fields=(*fields[:at], (b"content-length", digits), *fields[at + 1 :]),
        )

    def _keep(self, key: _Key, head: RequestHead) -> RequestHead:
        if len(self._known) >= MAX_ENTRIES:
            self._known.clear()
        names = [name for name, _ in head.fields]
        self._known[key] = head, names.index(b"content-length") if b"content-length" in names else 0
        return head
