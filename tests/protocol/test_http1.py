"""protocol.http1: which heads are accepted, and what each refusal says."""

from __future__ import annotations

import pytest

from airelays.errors import UpstreamFault
from airelays.protocol.http1 import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    MAX_LINE_BYTES,
    ProtocolFault,
    check_partial_head,
    encode_request_head,
    encode_response_head,
    find_head_end,
    parse_request_head,
    parse_response_head,
)


def head(line: bytes = b"GET / HTTP/1.1", *fields: bytes, host: bytes | None = b"Host: h") -> bytes:
    lines = [line, *([host] if host else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def refusal(raw: bytes) -> tuple[int, str]:
    with pytest.raises(ProtocolFault) as caught:
        parse_request_head(raw)
    return caught.value.status, caught.value.message


def test_a_plain_head_is_read() -> None:
    parsed = parse_request_head(
        head(b"POST /v1/x?a=b HTTP/1.1", b"Content-Length: 5", b"X-A:  v \t")
    )
    assert (parsed.method, parsed.path, parsed.query) == ("POST", "/v1/x", "a=b")
    assert parsed.authority == "h"
    assert parsed.content_length == 5
    assert parsed.get(b"x-a") == b"v"
    assert parsed.keep_alive and not parsed.chunked and not parsed.expects_continue


MALFORMED = [
    (head(b"GET /"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"GET  / HTTP/1.1"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"GET / HTTP/1.1 "), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b" GET / HTTP/1.1"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"GET /\t HTTP/1.1"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"G@T / HTTP/1.1"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"GET / http/1.1"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"GET / HTTP/11"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"GET / HTTP/1.1\x00"), 400, "request line is not METHOD SP TARGET SP HTTP/1.1"),
    (head(b"GET / HTTP/2.0"), 505, "HTTP/2.0 is not supported; use HTTP/1.1"),
    (head(b"GET / HTTP/1.2"), 505, "HTTP/1.2 is not supported; use HTTP/1.1"),
    (head(b"GET / HTTP/0.9"), 505, "HTTP/0.9 is not supported; use HTTP/1.1"),
    (head(b"GET v1/models HTTP/1.1"), 400, "request target is not a path"),
    (head(b"GET example.com:80 HTTP/1.1"), 400, "request target is not a path"),
    (head(b"GET * HTTP/1.1"), 400, 'request target "*" is only allowed with OPTIONS'),
    (head(b"GET /a#b HTTP/1.1"), 400, "request target is not a path"),
    (head(b"GET /a\\b HTTP/1.1"), 400, "request target is not a path"),
    (head(b"GET /a%zz HTTP/1.1"), 400, "request target is not a path"),
    (head(b"GET /a% HTTP/1.1"), 400, "request target is not a path"),
    (head("GET /ä HTTP/1.1".encode()), 400, "not"),
    (head(b"GET http://u:p@h/ HTTP/1.1"), 400, "request target is not a path"),
    (head(b"GET ftp://h/ HTTP/1.1"), 400, "request target is not a path"),
    (head(b"CONNECT h:443 HTTP/1.1"), 501, "CONNECT is not supported; this is not a proxy"),
    (head(host=None), 400, "head has no Host field; HTTP/1.1 requires one"),
    (head(b"GET / HTTP/1.1", b"Host: h"), 400, "head has 2 Host fields; exactly one is allowed"),
    (head(host=b"Host: a b"), 400, "Host field is not a host name"),
    (head(host=b"Host: a/b"), 400, "Host field is not a host name"),
    (head(host=b"Host: h:port"), 400, "Host field is not a host name"),
    (head(host=b"Host: u@h"), 400, "Host field is not a host name"),
    (head(b"GET / HTTP/1.1", b"A : b"), 400, "header line 2 has a name that is not a token"),
    (head(b"GET / HTTP/1.1", b": b"), 400, "header line 2 has a name that is not a token"),
    (head(b"GET / HTTP/1.1", b"AB"), 400, "header line 2 has no colon"),
    (head(b"GET / HTTP/1.1", b"A: b", b" c"), 400, "header line 3 begins with white space"),
    (head(b"GET / HTTP/1.1", b"A: b", b"\tc"), 400, "header line 3 begins with white space"),
    (head(b"GET / HTTP/1.1", b"A: b\nB: c"), 400, "header line 2 contains a bare CR or LF"),
    (head(b"GET / HTTP/1.1", b"A: b\rB: c"), 400, "header line 2 contains a bare CR or LF"),
    (head(b"GET / HTTP/1.1", b"A: b\x00"), 400, "header line 2 contains a control character"),
    (head(b"GET / HTTP/1.1", b"A: b\x7f"), 400, "header line 2 contains a control character"),
    (head(b"GET / HTTP/1.1", b"A: b\x0b"), 400, "header line 2 contains a control character"),
    (head(b"GET / HTTP/1.1", b"\xc3\xa4: b"), 400, "header line 2 has a name that is not a token"),
    (b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400, "request line is not METHOD"),
    (head(b"P / HTTP/1.1", b"Content-Length: +5"), 400, "Content-Length must be 1 to 15"),
    (head(b"P / HTTP/1.1", b"Content-Length: -0"), 400, "Content-Length must be 1 to 15"),
    (head(b"P / HTTP/1.1", b"Content-Length: 5, 5"), 400, "Content-Length must be 1 to 15"),
    (head(b"P / HTTP/1.1", b"Content-Length: 0x5"), 400, "Content-Length must be 1 to 15"),
    (head(b"P / HTTP/1.1", b"Content-Length: 5_0"), 400, "Content-Length must be 1 to 15"),
    (head(b"P / HTTP/1.1", b"Content-Length: "), 400, "Content-Length must be 1 to 15"),
    (head(b"P / HTTP/1.1", b"Content-Length: " + b"1" * 16), 400, "Content-Length must be 1 to 15"),
    (head(b"P / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 5"), 400, "more than one"),
    (head(b"P / HTTP/1.1", b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400, "both"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: chunked, chunked"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: chunked, gzip"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: chunked, identity"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: Chunked\t,\tgzip"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: gzip, chunked, br"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: gzip, chunked, chunked"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: chunked, gzip, chunked"), 400, "must be exactly"),
    (
        head(b"P / HTTP/1.1", b"Transfer-Encoding: gzip, br, chunked"),
        501,
        "only the transfer coding",
    ),
    (head(b"P / HTTP/1.1", b'Transfer-Encoding: "chunked"'), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: chunked;q=1"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: \x0bchunked"), 400, "control character"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding:"), 400, "must be exactly"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: gzip, chunked"), 501, "only the transfer coding"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: identity"), 501, "only the transfer coding"),
    (head(b"P / HTTP/1.1", b"Transfer-Encoding: xchunked"), 501, "only the transfer coding"),
    (
        head(b"P / HTTP/1.1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        400,
        "head has more than one Transfer-Encoding field",
    ),
    (head(b"P / HTTP/1.0", b"Transfer-Encoding: chunked"), 400, "does not exist in HTTP/1.0"),
    (head(b"P / HTTP/1.1", b"Expect: 200-ok"), 417, "the only supported expectation"),
]


@pytest.mark.parametrize(("raw", "status", "text"), MALFORMED)
def test_a_malformed_head_is_refused(raw: bytes, status: int, text: str) -> None:
    found_status, found_text = refusal(raw)
    assert (found_status, text in found_text) == (status, True), found_text


def test_there_are_forty_kinds_of_malformed_heads() -> None:
    assert len(MALFORMED) >= 40


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED"])
def test_chunked_is_read_in_any_case(value: bytes) -> None:
    assert parse_request_head(head(b"P / HTTP/1.1", b"Transfer-Encoding: " + value)).chunked


@pytest.mark.parametrize(
    ("target", "path", "query", "authority"),
    [
        (b"/", "/", "", "h"),
        (b"/v1/models?limit=5&a[]=%20", "/v1/models", "limit=5&a[]=%20", "h"),
        (b"//v1//x", "//v1//x", "", "h"),
        (b"/v1/%2e%2e/x", "/v1/%2e%2e/x", "", "h"),
        (b"http://other:81/v1/x?q", "/v1/x", "q", "other:81"),
        (b"HTTP://[::1]:8080", "/", "", "[::1]:8080"),
        (b"http://other?q", "/", "q", "other"),
    ],
)
def test_a_target_is_split_and_never_decoded(
    target: bytes, path: str, query: str, authority: str
) -> None:
    parsed = parse_request_head(head(b"GET " + target + b" HTTP/1.1"))
    assert (parsed.path, parsed.query, parsed.authority) == (path, query, authority)


def test_the_asterisk_goes_with_options() -> None:
    assert parse_request_head(head(b"OPTIONS * HTTP/1.1")).path == "*"


@pytest.mark.parametrize(
    ("version", "fields", "keep"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: close",), False),
        (b"1.1", (b"Connection: foo, Close",), False),
        (b"1.1", (b"Connection: keep-alive",), True),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: Keep-Alive",), True),
        (b"1.0", (b"Connection: keep-alive", b"Connection: close"), False),
    ],
)
def test_keep_alive_follows_version_and_connection(
    version: bytes, fields: tuple[bytes, ...], keep: bool
) -> None:
    assert parse_request_head(head(b"GET / HTTP/" + version, *fields)).keep_alive is keep


def test_http_1_0_needs_no_host() -> None:
    assert parse_request_head(head(b"GET / HTTP/1.0", host=None)).authority == ""


def test_an_expectation_is_read_and_means_nothing_in_http_1_0() -> None:
    assert parse_request_head(head(b"P / HTTP/1.1", b"Expect: 100-Continue")).expects_continue
    assert not parse_request_head(head(b"P / HTTP/1.0", b"Expect: 100-continue")).expects_continue


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_request_line_is_bounded(over: int) -> None:
    fixed = len(b"GET / HTTP/1.1")
    line = b"GET /" + b"a" * (MAX_LINE_BYTES - fixed + over) + b" HTTP/1.1"
    assert len(line) == MAX_LINE_BYTES + over
    if over <= 0:
        assert parse_request_head(head(line)).method == "GET"
    else:
        assert refusal(head(line)) == (
            414,
            "request line is 8,193 bytes; at most 8,192 are accepted",
        )


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_head_is_bounded(over: int) -> None:
    rest = MAX_HEAD_BYTES - len(head(b"GET / HTTP/1.1", b"A: "))
    raw = head(b"GET / HTTP/1.1", b"A: " + b"x" * (rest + over))
    assert len(raw) == MAX_HEAD_BYTES + over
    if over <= 0:
        assert parse_request_head(raw).method == "GET"
    else:
        assert refusal(raw) == (431, "request head is 32,769 bytes; at most 32,768 are accepted")


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_number_of_fields_is_bounded(over: int) -> None:
    raw = head(b"GET / HTTP/1.1", *[b"A: b"] * (MAX_FIELDS - 1 + over))
    if over <= 0:
        assert len(parse_request_head(raw).fields) == MAX_FIELDS + over
    else:
        assert refusal(raw) == (431, "head has 101 header fields; at most 100 are accepted")


@pytest.mark.parametrize("over", [0, 1])
def test_a_head_that_is_not_complete_is_bounded_too(over: int) -> None:
    for partial, status in (
        (b"G" * (MAX_LINE_BYTES + over), 414),
        (b"GET / HTTP/1.1\r\n" + b"a" * (MAX_HEAD_BYTES - 16 + over), 431),
    ):
        if not over:
            check_partial_head(partial)
            continue
        with pytest.raises(ProtocolFault) as caught:
            check_partial_head(partial)
        assert caught.value.status == status


def test_the_end_of_a_head_is_found_wherever_it_is_cut() -> None:
    raw = head() + b"rest"
    for cut in range(len(raw)):
        end = find_head_end(raw[:cut])
        assert end == (len(head()) if cut >= len(head()) else -1)
        assert find_head_end(raw, cut) in (len(head()), -1)
    for looked in range(len(head())):
        assert find_head_end(raw, looked) == len(head())


def response(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, *fields]) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "method", "length", "chunked", "keep"),
    [
        (response(b"HTTP/1.1 200 OK", b"Content-Length: 5"), "GET", 5, False, True),
        (response(b"HTTP/1.1 200", b"Transfer-Encoding: chunked"), "GET", None, True, True),
        (response(b"HTTP/1.1 200 OK"), "GET", None, False, False),
        (response(b"HTTP/1.1 204 No Content"), "GET", 0, False, True),
        (response(b"HTTP/1.1 200 OK", b"Content-Length: 5"), "HEAD", 0, False, True),
        (
            response(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Connection: close"),
            "GET",
            5,
            False,
            False,
        ),
        (response(b"HTTP/1.0 200 OK", b"Content-Length: 5"), "GET", 5, False, False),
        (response(b"HTTP/1.1 100 Continue"), "POST", 0, False, True),
    ],
)
def test_a_response_head_is_read(
    raw: bytes, method: str, length: int | None, chunked: bool, keep: bool
) -> None:
    parsed = parse_response_head(raw, method=method)
    assert (parsed.content_length, parsed.chunked, parsed.keep_alive) == (length, chunked, keep)


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        response(b"HTTP/1.1 2000 OK"),
        response(b"HTTP/1.1 099 OK"),
        response(b"HTTP/2 200 OK"),
        response(b"HTTP/2.0 200 OK"),
        response(b"HTTP/1.1 600 OK"),
        response(b"ICY 200 OK"),
        response(b"HTTP/1.1 200 OK", b"A b"),
        response(b"HTTP/1.1 200 OK", b"A: b\nC: d"),
        response(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 5"),
        response(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        response(b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip"),
        response(b"HTTP/1.1 200 OK", b"Content-Length: x"),
        response(b"HTTP/1.1 200 OK", *[b"A: b"] * 101),
    ],
)
def test_a_malformed_response_head_is_the_upstreams_fault(raw: bytes) -> None:
    with pytest.raises(UpstreamFault) as caught:
        parse_response_head(raw, method="GET")
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "fields",
    [
        [(b"a", b"b\r\nc: d")],
        [(b"a", b"b\nc")],
        [(b"a b", b"c")],
        [(b"a", b"b\x00")],
        [(b"", b"b")],
    ],
)
def test_no_field_can_split_a_head(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ValueError, match="header field"):
        encode_response_head(200, fields)
    with pytest.raises(ValueError, match="header field"):
        encode_request_head("GET", "/", fields)


@pytest.mark.parametrize("target", ["/a b", "/a\r\n", "", "/\n"])
def test_no_target_can_split_a_request_line(target: str) -> None:
    with pytest.raises(ValueError, match="request line"):
        encode_request_head("GET", target, [])


def test_encoded_heads_are_exact() -> None:
    assert encode_request_head("POST", "/x?y", [(b"host", b"h")]) == (
        b"POST /x?y HTTP/1.1\r\nhost: h\r\n\r\n"
    )
    assert encode_response_head(413, [(b"a", b"b")]) == (
        b"HTTP/1.1 413 Content Too Large\r\na: b\r\n\r\n"
    )
