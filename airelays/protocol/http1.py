"""HTTP/1.1 messages as bytes: heads parsed by h11 behind our own stricter check.

h11 takes bare LF, obs-fold, control bytes, `Content-Length: 5, 5` and any target, so every head passes the
byte check below first (RFC 9112 sections 2.2, 3, 5, 6; RFC 9110 sections 5 and 7.2).

Owns: what a well-formed head is. Refuses to know: sockets, deadlines, routes.
Layer: rules. The only module that imports h11, and only its public names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import h11

from airelays.errors import UpstreamFault
from airelays.model import Fields, RequestHead, ResponseHead

# nginx takes 4 x 8 KiB, gunicorn 4094 bytes a line and 100 fields, hyper 100 fields.
MAX_HEAD_BYTES = 32 * 1024
MAX_LINE_BYTES = 8 * 1024
MAX_FIELDS = 100

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
FIELD_LINES = re.compile(rb"(?:" + _TOKEN + rb":" + _VALUE + rb"\r\n)*\r\n")
_FIELD_LINE = re.compile(_TOKEN + rb":" + _VALUE)
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9]{2}(?: " + _VALUE + rb")?")
# RFC 3986 pchar, "/" and "?"; brackets are tolerated in a query, where clients send them raw.
_PCHARS = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*"
_QUERY = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]]|%[0-9A-Fa-f]{2})*"
_ORIGIN_FORM = re.compile(rb"(/" + _PCHARS + rb")(?:\?(" + _QUERY + rb"))?")
_HOST = rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]{0,5})?"
_AUTHORITY = re.compile(_HOST)
_ABSOLUTE_FORM = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://(" + _HOST + rb")(/[^#]*|\?[^#]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_LENGTH_FIELD = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
# How a TLS client begins (RFC 8446 section 5.1): it would wait for an answer until its patience ends.
_TLS_HANDSHAKE = b"\x16\x03"
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade"))
_CODINGS = re.compile(rb"[ \t]*" + _TOKEN + rb"[ \t]*(?:,[ \t]*" + _TOKEN + rb"[ \t]*)*")


class ProtocolFault(Exception):
    """The peer's bytes are not HTTP as we accept it. `status` is the answer a server gives."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def find_head_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """Return the index just behind the blank line that ends a head, or -1. `start`: where to look from."""
    at = buffer.find(b"\r\n\r\n", max(0, start - 3))
    return -1 if at < 0 else at + 4


def check_partial_head(buffer: bytes | bytearray) -> None:
    """Raise ProtocolFault if a head that is not complete yet is too long already (414, 431), or is TLS (400)."""
    if buffer.startswith(_TLS_HANDSHAKE):
        raise ProtocolFault("this port speaks HTTP without TLS; use http:// instead of https://")
    line_end = buffer.find(b"\r\n", 0, MAX_LINE_BYTES + 2)
    if line_end < 0 and len(buffer) > MAX_LINE_BYTES:
        raise ProtocolFault(
            f"request line is longer than {MAX_LINE_BYTES:,} bytes, which is the limit", 414
        )
    if len(buffer) > MAX_HEAD_BYTES:
        raise ProtocolFault(
            f"request head is longer than {MAX_HEAD_BYTES:,} bytes, which is the limit", 431
        )


def parse_request_head(raw: bytes) -> RequestHead:
    """Return the head in `raw`, which ends with its blank line. Raises ProtocolFault."""
    line, version = _check_request_line(raw)
    fields = _read_fields(raw, len(line) + 2, server=True)
    method = line[: line.index(b" ")].decode("ascii")
    host = _host_field(fields, version)
    path, query, authority = _split_target(method, line.split(b" ")[1], host)
    length, chunked = _request_framing(fields, version)
    connection = _connection_options(fields)
    return RequestHead(
        method=method,
        path=path,
        query=query,
        authority=authority,
        http_version=version,
        fields=fields,
        content_length=length,
        chunked=chunked,
        keep_alive=(b"close" not in connection)
        if version == "1.1"
        else (b"keep-alive" in connection and b"close" not in connection),
        expects_continue=_expects_continue(fields, version),
    )


def parse_response_head(raw: bytes, *, method: str) -> ResponseHead:
    """Return the head of an upstream's answer to `method`. Raises UpstreamFault on anything malformed."""
    line_end = raw.find(b"\r\n")
    if _STATUS_LINE.fullmatch(raw, 0, max(line_end, 0)) is None:
        raise UpstreamFault("upstream answered with something that is not HTTP/1.1")
    try:
        _check_lines(raw, line_end + 2)
        fields = _split_fields(raw, line_end + 2)
        framing = [b"\r\n" + n + b": " + v for n, v in fields if n in _FRAMING]
        framed = _read_framing(raw[:line_end] + b"".join(framing) + b"\r\n\r\n", method)
    except ProtocolFault as fault:
        raise UpstreamFault(f"upstream sent a malformed response head: {fault.message}") from fault
    return ResponseHead(framed.status, fields, *framed[2:])


def encode_request_head(method: str, target: str, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a request head. Raises ValueError on a target or field that would split it."""
    line = f"{method} {target} HTTP/1.1".encode("ascii")
    if _REQUEST_LINE.fullmatch(line) is None:
        raise ValueError("request line would not be one line of HTTP")
    return _join_head(line, fields)


def encode_response_head(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a response head. Raises ValueError on a field that would split it."""
    return _join_head(b"HTTP/1.1 %d %s" % (status, REASONS.get(status, b"Unknown")), fields)


def _join_head(line: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    parts = [line]
    for name, value in fields:
        field = name + b": " + value
        if _FIELD_LINE.fullmatch(field) is None:
            raise ValueError("header field contains a byte that HTTP does not allow")
        parts.append(field)
    parts.append(b"\r\n")
    return b"\r\n".join(parts)


def _check_request_line(raw: bytes) -> tuple[bytes, str]:
    line_end = raw.find(b"\r\n")
    if line_end > MAX_LINE_BYTES:
        raise ProtocolFault(
            f"request line is {line_end:,} bytes; at most {MAX_LINE_BYTES:,} are accepted", 414
        )
    if len(raw) > MAX_HEAD_BYTES:
        raise ProtocolFault(
            f"request head is {len(raw):,} bytes; at most {MAX_HEAD_BYTES:,} are accepted", 431
        )
    match = _REQUEST_LINE.fullmatch(raw, 0, line_end)
    if match is None:
        raise ProtocolFault("request line is not METHOD SP TARGET SP HTTP/1.1")
    version = f"{int(match[3])}.{int(match[4])}"
    if version not in ("1.0", "1.1"):
        raise ProtocolFault(f"HTTP/{version} is not supported; use HTTP/1.1", 505)
    return raw[:line_end], version


@lru_cache(maxsize=64)
def _read_framing(raw: bytes, method: str) -> ResponseHead:
    """Return the head of an answer of which only the status line and what frames the body are left; h11 judges it.

    Those bytes repeat from answer to answer, the others (dates, ids) never do: h11 sees each kind of framing
    once. Reading 11 fields cost 105 us with h11, 8 us so.
    """
    fields = _read_fields(raw, raw.index(b"\r\n") + 2, server=False, method=method)
    status = int(raw[9:12])
    length, chunked = _response_framing(fields, status, method)
    connection = _connection_options(fields)
    keep = b"close" not in connection and (raw[7:8] == b"1" or b"keep-alive" in connection)
    return ResponseHead(status, fields, length, chunked, keep and (chunked or length is not None))


def _check_lines(raw: bytes, start: int) -> None:
    if FIELD_LINES.fullmatch(raw, start) is None:
        raise ProtocolFault(_bad_field_text(raw[start:]))
    count = raw.count(b"\r\n", start) - 1
    if count > MAX_FIELDS:
        raise ProtocolFault(
            f"head has {count} header fields; at most {MAX_FIELDS} are accepted", 431
        )


def _read_fields(raw: bytes, start: int, *, server: bool, method: str = "GET") -> Fields:
    """Check the field lines byte by byte, then let h11 read them."""
    _check_lines(raw, start)
    # h11 merges equal lengths into one ("5, 5", or the field twice), so they are looked at before it.
    _content_length(_LENGTH_FIELD.findall(raw, start - 2))
    try:
        event = _parse_with_h11(raw, server=server, method=method)
    except h11.ProtocolError as error:
        if server:
            _explain(_split_fields(raw, start), "1.0" if b" HTTP/1.0\r\n" in raw else "1.1")
        raise ProtocolFault("head is not valid HTTP/1.1") from error
    if not isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse)):
        raise ProtocolFault("not a complete HTTP head")
    return tuple((bytes(name), bytes(value)) for name, value in event.headers)


def _split_fields(raw: bytes, start: int) -> Fields:
    lines = [line.partition(b":") for line in raw[start:-4].split(b"\r\n") if line]
    return tuple([(name.lower(), value.strip(b" \t")) for name, _, value in lines])


def _explain(fields: Fields, version: str) -> None:
    """Raise the precise fault of a head that h11 refused, where our own checks know it."""
    _host_field(fields, version)
    _request_framing(fields, version)


@lru_cache(maxsize=16)
def _sent(method: str) -> h11.Request:
    """Return a request of `method` as h11 needs to see it sent before it reads the answer."""
    return h11.Request(method=method, target="/", headers=[("host", "x")])


def _parse_with_h11(raw: bytes, *, server: bool, method: str) -> object:
    # A fresh connection object a message costs 1 us and carries nothing over from the one before.
    if server:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * MAX_HEAD_BYTES)
    else:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=4 * MAX_HEAD_BYTES)
        connection.send(_sent(method))
    connection.receive_data(raw)
    return connection.next_event()


def _bad_field_text(block: bytes) -> str:
    """Say which rule the first bad line breaks, without repeating its bytes."""
    for number, line in enumerate(block.split(b"\r\n"), start=1):
        if not line:
            continue
        if line[:1] in (b" ", b"\t"):
            return f"header line {number} begins with white space (line folding is not accepted)"
        if b"\n" in line or b"\r" in line:
            return f"header line {number} contains a bare CR or LF; lines end with CRLF"
        if b":" not in line:
            return f"header line {number} has no colon"
        name = line[: line.index(b":")]
        if re.fullmatch(_TOKEN, name) is None:
            return f"header line {number} has a name that is not a token"
        if _FIELD_LINE.fullmatch(line) is None:
            return f"header line {number} contains a control character"
    return "header lines are malformed"


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


def _host_field(fields: Fields, version: str) -> bytes | None:
    hosts = _values(fields, b"host")
    if len(hosts) > 1:
        raise ProtocolFault(f"head has {len(hosts)} Host fields; exactly one is allowed")
    if not hosts:
        if version == "1.1":
            raise ProtocolFault("head has no Host field; HTTP/1.1 requires one")
        return None
    if _AUTHORITY.fullmatch(hosts[0]) is None:
        raise ProtocolFault("Host field is not a host name or address with an optional port")
    return hosts[0]


def _split_target(method: str, target: bytes, host: bytes | None) -> tuple[str, str, str]:
    """Return path, query and authority. Only origin-form, absolute-form and `OPTIONS *` are taken."""
    authority = (host or b"").decode("ascii")
    if method == "CONNECT":
        raise ProtocolFault("CONNECT is not supported; this is not a proxy", 501)
    if target == b"*":
        if method != "OPTIONS":
            raise ProtocolFault('request target "*" is only allowed with OPTIONS')
        return "*", "", authority
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is not None:
        authority = absolute[1].decode("ascii")
        target = absolute[2] or b"/"
        target = b"/" + target if target[:1] == b"?" else target
    match = _ORIGIN_FORM.fullmatch(target)
    if match is None:
        raise ProtocolFault("request target is not a path of allowed, percent-encoded characters")
    return match[1].decode("ascii"), (match[2] or b"").decode("ascii"), authority


def _request_framing(fields: Fields, version: str) -> tuple[int | None, bool]:
    """Return (content length, chunked). RFC 9112 section 6.3, without its leniencies."""
    codings = _values(fields, b"transfer-encoding")
    lengths = _values(fields, b"content-length")
    if codings:
        if lengths:
            raise ProtocolFault("head has both Transfer-Encoding and Content-Length")
        if version != "1.1":
            raise ProtocolFault("Transfer-Encoding does not exist in HTTP/1.0")
        _require_chunked(codings)
        return None, True
    return _content_length(lengths), False


def _require_chunked(codings: list[bytes]) -> None:
    if len(codings) > 1:
        raise ProtocolFault("head has more than one Transfer-Encoding field")
    if codings[0].lower() == b"chunked":
        return
    if _CODINGS.fullmatch(codings[0]) is not None:
        names = [name.strip().lower() for name in codings[0].split(b",")]
        if b"chunked" not in names[:-1]:
            raise ProtocolFault("only the transfer coding chunked is supported", 501)
        # RFC 9112 section 6.3: where such a body ends cannot be told. Nor with chunked twice (section 6.1).
    raise ProtocolFault('Transfer-Encoding must be exactly "chunked"')


def _content_length(lengths: list[bytes]) -> int | None:
    if not lengths:
        return None
    if len(lengths) > 1:
        raise ProtocolFault("head has more than one Content-Length field")
    if _LENGTH.fullmatch(lengths[0]) is None:
        raise ProtocolFault("Content-Length must be 1 to 15 decimal digits")
    return int(lengths[0])


def _response_framing(fields: Fields, status: int, method: str) -> tuple[int | None, bool]:
    codings = _values(fields, b"transfer-encoding")
    length = _content_length(_values(fields, b"content-length"))
    if codings:
        if length is not None:
            raise ProtocolFault("both Transfer-Encoding and Content-Length")
        _require_chunked(codings)
    if method == "HEAD" or status < 200 or status in (204, 304):
        return 0, False
    return length, bool(codings)


def _connection_options(fields: Fields) -> set[bytes]:
    options: set[bytes] = set()
    for key, value in fields:
        if key == b"connection":
            options.update(option.strip().lower() for option in value.split(b","))
    return options


def _expects_continue(fields: Fields, version: str) -> bool:
    expectations = _values(fields, b"expect")
    if not expectations or version == "1.0":
        return False
    if len(expectations) > 1 or expectations[0].lower() != b"100-continue":
        raise ProtocolFault("the only supported expectation is 100-continue", 417)
    return True


REASONS: dict[int, bytes] = {
    100: b"Continue",
    200: b"OK",
    201: b"Created",
    204: b"No Content",
    206: b"Partial Content",
    304: b"Not Modified",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    411: b"Length Required",
    413: b"Content Too Large",
    414: b"URI Too Long",
    415: b"Unsupported Media Type",
    416: b"Range Not Satisfiable",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    422: b"Unprocessable Content",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
    507: b"Insufficient Storage",
    529: b"Overloaded",
}
