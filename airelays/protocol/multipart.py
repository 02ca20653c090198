"""An incremental parser of `multipart/form-data`: bytes in, parts out, in memory that does not grow with the body.

RFC 7578 over RFC 2046, with a bound on everything: parts, head size, head fields, what stands before the first
and behind the last boundary. Linear in the body's length whatever the body holds (threat-model.md, B4).
Owns: framing and part heads. Refuses to know: which parts a route wants, files. Layer: rules.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from airelays.errors import ClientFault

MAX_PARTS = 16
MAX_HEAD_BYTES = 8 * 1024
MAX_HEAD_FIELDS = 16
# What stands before the first boundary and behind the last one is nobody's; a mail program's note fits.
MAX_OUTSIDE_BYTES = 8 * 1024
MAX_PADDING_BYTES = 32
# Lines that only begin like a boundary cost a look each; boundaries are random, so an honest body has hardly one.
MAX_NEAR_BOUNDARIES = 10_000

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\r\n]*?)[ \t]*")
_BAD_BYTES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(" + _TOKEN + rb")[ \t]*=[ \t]*"
    rb'(?:"((?:[^"\\]|\\.)*)"|(' + _TOKEN + rb"(?:[ \t]" + _TOKEN + rb")*))"
)
# A backslash is an escape before these two only: some programs send a Windows path as it is.
_ESCAPE = re.compile(rb'\\(["\\])')
_EXTENDED = re.compile(
    r"(?i)(utf-8|iso-8859-1)'[A-Za-z0-9-]*'((?:%[0-9A-Fa-f]{2}|[!#$&+.^_`|~0-9A-Za-z-])*)"
)
_HEX = re.compile(r"%([0-9A-Fa-f]{2})")
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")


class PartBegan(NamedTuple):
    """The head of a part. `filename` is None when there is none, `content_type` "" likewise."""

    name: str
    filename: str | None
    content_type: str


class PartData(NamedTuple):
    """More of the present part's content, never empty."""

    data: bytes


class PartEnded(NamedTuple):
    """The present part is complete."""


Event = PartBegan | PartData | PartEnded
_PREAMBLE, _MARK, _HEAD, _DATA, _EPILOGUE = range(5)


def boundary_of(content_type: bytes | None) -> bytes:
    """Return the boundary that a Content-Type field names. Raises ClientFault: 415 for another type, else 400."""
    kind, _, rest = (content_type or b"").partition(b";")
    if kind.strip().lower() != b"multipart/form-data":
        shown = kind.strip().decode("latin-1")[:60] or "missing"
        raise ClientFault(
            f"Content-Type is {shown}; expected multipart/form-data",
            status=415,
            code="unsupported_media_type",
        )
    found = [value for name, value in _parameters(b";" + rest) if name == b"boundary"]
    if len(found) != 1 or not _BOUNDARY.fullmatch(found[0]):
        raise _bad("Content-Type has no usable boundary; expected one of 1 to 70 characters")
    return found[0]


class MultipartParser:
    """Parses one body. Feed it as it comes, then call `finish`. Every error is a ClientFault."""

    def __init__(self, boundary: bytes, *, max_parts: int = MAX_PARTS) -> None:
        self._mark = b"\r\n--" + boundary
        self._max_parts = max_parts
        self._state = _PREAMBLE
        # The first boundary may stand at the very start: as if a line had ended before it.
        self._rest = b"\r\n"
        self._outside = -2
        self._parts = 0
        self._near = 0
        self._literal = b""

    def feed(self, data: bytes) -> list[Event]:
        """Take the next piece; return what it completed."""
        events: list[Event] = []
        if self._rest:
            data = self._rest + data
        at = 0
        while True:
            before = self._state
            at = self._STEPS[before](self, data, at, events)
            if self._state == before:
                break
        self._rest = data[at:]
        return events

    def finish(self) -> None:
        """Say that the body is over. Raises ClientFault when its last boundary never came."""
        if self._state == _PREAMBLE:
            raise _bad("request body contains no multipart boundary; compare it with Content-Type")
        if self._state != _EPILOGUE:
            raise _bad("request body ends before its last multipart boundary; send it whole")

    # Each step looks at `data` from `at` on and returns how far it got. One that changes the state is followed by
    # another; one that does not needs more bytes. Positions, not slices: a body full of near-boundaries stays linear.

    def _preamble(self, data: bytes, at: int, events: list[Event]) -> int:
        found = data.find(self._mark, at)
        if found >= 0:
            self._drop(found - at)
            self._outside = max(0, self._outside)
            self._state = _MARK
            self._literal = self._mark
            return found + len(self._mark)
        end = self._safe_end(data, at)
        self._drop(end - at)
        return end

    def _after_mark(self, data: bytes, at: int, events: list[Event]) -> int:
        """Decide what follows a boundary: a part, the end, or that it only looked like one (then it is data)."""
        if data.startswith(b"--", at):
            if self._parts == 0:
                raise _bad("request body contains no part; expected at least one")
            events.append(PartEnded())
            self._state = _EPILOGUE
            return at + 2
        start = data[at : at + MAX_PADDING_BYTES + 2]
        line, lf, _ = start.partition(b"\r\n")
        if lf and not line.strip(b" \t"):
            if self._parts:
                events.append(PartEnded())
            self._begin_part()
            return at + len(line) + 2
        if not lf and len(start) < MAX_PADDING_BYTES + 2 and _may_be_line(start):
            return at
        self._near += 1
        if self._near > MAX_NEAR_BOUNDARIES:
            raise _bad(
                "a part holds many lines that begin like its boundary; choose another boundary"
            )
        if self._parts == 0:
            self._drop(len(self._mark))
            self._state = _PREAMBLE
        else:
            events.append(PartData(self._literal))
            self._state = _DATA
        return at

    def _head(self, data: bytes, at: int, events: list[Event]) -> int:
        if data.startswith(b"\r\n", at):
            raise _bad("a part has no head; expected Content-Disposition: form-data with a name")
        end = data.find(b"\r\n\r\n", at)
        if end - at > MAX_HEAD_BYTES or (end < 0 and len(data) - at > MAX_HEAD_BYTES + 3):
            raise _bad(f"a part's head is longer than {MAX_HEAD_BYTES:,} bytes; shorten its fields")
        if end < 0:
            return at
        # A part without content: the blank line's CRLF is the one that the boundary begins with.
        mark = self._mark[2:]
        after = data[end + 4 : end + 4 + len(mark)]
        if len(after) < len(mark) and mark.startswith(after):
            return at
        events.append(_read_head(data[at:end]))
        self._state = _DATA
        if after == mark:
            self._state = _MARK
            self._literal = mark
            return end + 4 + len(mark)
        return end + 4

    def _data(self, data: bytes, at: int, events: list[Event]) -> int:
        found = data.find(self._mark, at)
        end = found if found >= 0 else self._safe_end(data, at)
        if end > at:
            events.append(PartData(data[at:end] if at or end < len(data) else data))
        if found < 0:
            return end
        self._state = _MARK
        self._literal = self._mark
        return found + len(self._mark)

    def _epilogue(self, data: bytes, at: int, events: list[Event]) -> int:
        self._drop(len(data) - at)
        return len(data)

    _STEPS = (_preamble, _after_mark, _head, _data, _epilogue)

    def _safe_end(self, data: bytes, at: int) -> int:
        """Return where in `data` a boundary may begin that is not there yet: at a CR near the end, or nowhere."""
        found = data.find(b"\r", max(at, len(data) - len(self._mark) + 1))
        return found if found >= 0 else len(data)

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > self._max_parts:
            raise _bad(f"request body has more than {self._max_parts} parts; send fewer")
        self._state = _HEAD

    def _drop(self, count: int) -> None:
        self._outside += count
        if self._outside > MAX_OUTSIDE_BYTES:
            raise _bad(
                f"request body has more than {MAX_OUTSIDE_BYTES:,} bytes outside its parts; "
                "send the parts alone"
            )


def _may_be_line(start: bytes) -> bool:
    """Whether more bytes can still make the end of a boundary line, or its final `--`, of this."""
    return start == b"-" or not start.rstrip(b"\r").strip(b" \t")


def _bad(text: str) -> ClientFault:
    return ClientFault(text, code="invalid_multipart")


def _read_head(head: bytes) -> PartBegan:
    lines = head.split(b"\r\n")
    if len(lines) > MAX_HEAD_FIELDS:
        raise _bad(f"a part's head has more than {MAX_HEAD_FIELDS} fields; send fewer")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None or _BAD_BYTES.search(line):
            raise _bad(
                "a part's head contains a line that is not a header field, or a control character"
            )
        name = found[1].lower()
        if name in fields:
            raise _bad(f"a part's head has {name.decode()[:40]} twice; send it once")
        fields[name] = found[2]
    encoding = fields.get(b"content-transfer-encoding", b"binary").lower()
    if encoding not in _PLAIN_ENCODINGS:
        # RFC 7578 section 4.7: senders must not use it; decoding would make the size a surprise.
        raise _bad("a part has a Content-Transfer-Encoding; send its bytes as they are")
    kind = fields.get(b"content-type", b"")
    if kind.lower().startswith(b"multipart/"):
        raise _bad("a part is multipart itself; send its parts one by one")
    name, filename = _disposition(fields.get(b"content-disposition", b""))
    return PartBegan(name, filename, kind.decode("latin-1"))


def _disposition(value: bytes) -> tuple[str, str | None]:
    kind, semicolon, rest = value.partition(b";")
    if kind.strip().lower() != b"form-data":
        raise _bad("a part has no Content-Disposition: form-data; every part needs one")
    found: dict[bytes, bytes] = {}
    for name, text in _parameters(semicolon + rest):
        if name in found:
            raise _bad(f"Content-Disposition has {name.decode()[:40]} twice; send it once")
        found[name] = text
    if not found.get(b"name"):
        raise _bad('a part has no name; expected Content-Disposition: form-data; name="..."')
    plain = found.get(b"filename")
    filename = None if plain is None else _utf8(plain)
    if b"filename*" in found:
        filename = _extended(_utf8(found[b"filename*"]))
    return _utf8(found[b"name"]), filename


def _parameters(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return the parameters of a header value that begins at its first semicolon, names in lower case."""
    found, at, end = [], 0, len(text.rstrip(b" \t;"))
    while at < end:
        one = _PARAMETER.match(text, at)
        if one is None:
            raise _bad('a header\'s parameters are malformed; expected name=value or name="value"')
        quoted = one[2]
        found.append((one[1].lower(), one[3] if quoted is None else _ESCAPE.sub(rb"\1", quoted)))
        at = one.end()
    return found


def _utf8(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad("a name in a part's head is not UTF-8; encode it as UTF-8") from error


def _extended(text: str) -> str:
    """Decode `UTF-8''na%C3%AFve.txt` (RFC 8187)."""
    found = _EXTENDED.fullmatch(text)
    if found is None:
        raise _bad("filename* is malformed; expected UTF-8''NAME with percent-encoded bytes")
    raw = _HEX.sub(lambda m: chr(int(m[1], 16)), found[2]).encode("latin-1")
    return _utf8(raw) if found[1].lower() == "utf-8" else raw.decode("latin-1")
