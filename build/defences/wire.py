"""Defences of the HTTP wire, rows W1 to W8."""

from __future__ import annotations

import ast

from change import always, before, call, condition, expression, instead, never, removed, text, value
from entry import Defence

HTTP1 = "airelays/protocol/http1.py"
CHUNKED = "airelays/protocol/chunked.py"
HEADCACHE = "airelays/protocol/headcache.py"
REQUEST = "airelays/net/request.py"
SESSION = "airelays/net/session.py"
RELAY = "airelays/app/relay.py"
ROUTES = "airelays/app/routes.py"
MALFORMED = ("tests/protocol/test_http1.py::test_a_malformed_head_is_refused",)
BAD_CHUNKS = ("tests/protocol/test_chunked.py::test_a_malformed_body_is_refused",)

WIRE = (
    Defence(
        "W1",
        "length beside Transfer-Encoding is refused",
        HTTP1,
        "_request_framing",
        never("head has both"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "a malformed request ends its connection",
        SESSION,
        "Session._refuse",
        call("RequestHead", put="{it}._replace(keep_alive=True)"),
        ("tests/net/test_live_wire.py::test_nothing_behind_a_malformed_request_is_served",),
    ),
    Defence(
        "W1",
        "two Transfer-Encoding fields are refused",
        HTTP1,
        "_require_chunked",
        never("len"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "Transfer-Encoding is exactly chunked",
        HTTP1,
        "_require_chunked",
        condition("lower", put="b'chunked' in {it.left}", at=0),
        MALFORMED,
    ),
    Defence(
        "W1",
        "Transfer-Encoding in HTTP/1.0 is refused",
        HTTP1,
        "_request_framing",
        never("1.1"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "two Content-Length fields are refused",
        HTTP1,
        "_content_length",
        call("len", put="len(set({it.args[0]}))"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "a list, sign, underscore or blank is no length",
        HTTP1,
        "_content_length",
        condition("_LENGTH", put="not {it.left.args[0]}.split(b',')[0].strip().isdigit()"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "a length has at most 15 digits",
        HTTP1,
        "",
        text(b"{1,15}", b"+"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "another coding is 501",
        HTTP1,
        "_require_chunked",
        instead(501, put="return"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "chunked that is not last, or comes twice, is 400",
        HTTP1,
        "_require_chunked",
        condition(501, put="{it.comparators[0].value} != [b'chunked']"),
        MALFORMED,
    ),
    Defence(
        "W1",
        "a length is never taken from a remembered head",
        HEADCACHE,
        "HeadCache.parse",
        always("fields"),
        ("tests/protocol/test_headcache.py::test_only_the_length_changes",),
    ),
    Defence(
        "W1",
        "no head is taken for another one with the length cut out",
        HEADCACHE,
        "HeadCache.parse",
        expression(ast.Tuple, "start", put="{it.elts[0]} + {it.elts[1]}"),
        ("tests/protocol/test_headcache.py::test_a_head_reads_the_same_whatever_came_before_it",),
    ),
    Defence(
        "W2",
        "bare LF, folding, control bytes, odd names",
        HTTP1,
        "_check_lines",
        never("FIELD_LINES"),
        MALFORMED,
    ),
    Defence(
        "W2",
        "control bytes in values",
        HTTP1,
        "",
        text(b"\\t\\x20-\\x7e\\x80-\\xff", b"^\\r\\n"),
        MALFORMED,
    ),
    Defence(
        "W2",
        "a name is a token",
        HTTP1,
        "",
        value("FIELD_LINES", r're.compile(rb"(?:[^:\r\n]*:" + _VALUE + rb"\r\n)*\r\n")'),
        MALFORMED,
    ),
    Defence(
        "W2",
        "the request line is read strictly",
        HTTP1,
        "",
        value("_REQUEST_LINE", r're.compile(rb"\s*(\S+)\s+(\S+)\s+HTTP/([0-9])\.([0-9])\s*")'),
        MALFORMED,
    ),
    Defence(
        "W3",
        "Host missing",
        HTTP1,
        "_host_field",
        never("head has no Host field"),
        MALFORMED,
    ),
    Defence(
        "W3",
        "Host twice",
        HTTP1,
        "_host_field",
        never("len"),
        MALFORMED,
    ),
    Defence(
        "W3",
        "Host malformed",
        HTTP1,
        "_host_field",
        never("_AUTHORITY"),
        MALFORMED,
    ),
    Defence(
        "W3",
        "the authority of an absolute target counts",
        HTTP1,
        "_split_target",
        removed("decode", at=1),
        ("tests/net/test_live_wire.py::test_an_absolute_target_counts_instead_of_host",),
    ),
    Defence(
        "W4",
        "only a path is a target",
        HTTP1,
        "_split_target",
        call("_ORIGIN_FORM", put="{it} or re.fullmatch(b'([^?]*)(?:[?](.*))?', {it.args[0]})"),
        MALFORMED,
    ),
    Defence(
        "W4",
        "an asterisk goes with OPTIONS only",
        HTTP1,
        "_split_target",
        never("OPTIONS"),
        MALFORMED,
    ),
    Defence(
        "W4",
        "no path is normalised before the match",
        ROUTES,
        "Routes.find",
        instead(
            "get",
            put=(
                "import posixpath\n"
                "{it.targets[0]} = {it.value} or {it.value.func}(posixpath.normpath({it.value.args[0]}))"
            ),
        ),
        ("tests/net/test_live_wire.py::test_unknown_paths_are_told_only_to_who_has_the_token",),
    ),
    Defence(
        "W4",
        "no path is decoded before the match",
        ROUTES,
        "Routes.find",
        instead(
            "get",
            put=(
                "from urllib.parse import unquote\n"
                "{it.targets[0]} = {it.value.func}(unquote({it.value.args[0]}))"
            ),
        ),
        ("tests/net/test_live_wire.py::test_unknown_paths_are_told_only_to_who_has_the_token",),
    ),
    Defence(
        "W4",
        "aliases are protected entries of the table",
        ROUTES,
        "_spellings",
        never("endswith"),
        ("tests/net/test_live_wire.py::test_every_spelling_of_a_path_reaches_it_and_is_protected",),
    ),
    Defence(
        "W5",
        "request line of at most 8 KiB",
        HTTP1,
        "_check_request_line",
        never("MAX_LINE_BYTES"),
        ("tests/protocol/test_http1.py::test_the_request_line_is_bounded",),
    ),
    Defence(
        "W5",
        "head of at most 32 KiB",
        HTTP1,
        "_check_request_line",
        never("MAX_HEAD_BYTES"),
        ("tests/protocol/test_http1.py::test_the_head_is_bounded",),
    ),
    Defence(
        "W5",
        "at most 100 fields",
        HTTP1,
        "_check_lines",
        never("MAX_FIELDS"),
        ("tests/protocol/test_http1.py::test_the_number_of_fields_is_bounded",),
    ),
    Defence(
        "W5",
        "bytes are counted before CRLF arrives: line",
        HTTP1,
        "check_partial_head",
        never("MAX_LINE_BYTES"),
        ("tests/protocol/test_http1.py::test_a_head_that_is_not_complete_is_bounded_too",),
    ),
    Defence(
        "W5",
        "bytes are counted before CRLF arrives: head",
        HTTP1,
        "check_partial_head",
        never("MAX_HEAD_BYTES"),
        ("tests/protocol/test_http1.py::test_a_head_that_is_not_complete_is_bounded_too",),
    ),
    Defence(
        "W5",
        "the connection asks for that bound",
        SESSION,
        "Session._read_head",
        removed("check_partial_head"),
        ("tests/net/test_live_bounds.py::test_a_head_without_end_is_refused_while_it_comes",),
    ),
    Defence(
        "W5",
        "the head's deadline is absolute",
        SESSION,
        "Session._read_head",
        always("head_s", at=1),
        ("tests/net/test_live_wire.py::test_a_head_must_arrive_in_time_however_it_drips",),
    ),
    Defence(
        "W6",
        "a declared length is judged before the body",
        "airelays/guard/gate.py",
        "_check_length",
        never("content_length"),
        (
            "tests/guard/test_gate.py::test_a_declared_length_is_checked_last_and_gives_its_slot_back",
        ),
    ),
    Defence(
        "W6",
        "a chunked body is counted as it comes",
        REQUEST,
        "Request._chunked_parts",
        removed("_refuse_longer"),
        ("tests/net/test_live_wire.py::test_json_bodies_are_bounded_exactly[True-1]",),
    ),
    Defence(
        "W6",
        "a route without a body takes a small one at most",
        RELAY,
        "Relay._admitted",
        expression(ast.Name, "SMALL_BODY_BYTES", put="1 << 40"),
        (
            "tests/net/test_live_bounds.py::test_a_route_without_a_body_takes_a_small_one_at_most[True-65537-413]",
        ),
    ),
    Defence(
        "W6",
        "a stored file is counted before it is written",
        "airelays/app/files.py",
        "_Upload._take",
        removed("grow"),
        ("tests/state/test_live_files.py::test_the_ceiling_of_a_file_is_exact[False-1001-413]",),
    ),
    Defence(
        "W7",
        "100 only when the body is wanted",
        SESSION,
        "Session._serve",
        before(
            "_handle",
            put=(
                "if {it.value.value.args[0]}.head.expects_continue:\n"
                "    {it.value.value.args[0]}.connection.write(b'HTTP/1.1 100 Continue\\r\\n\\r\\n')\n"
                "    {it.value.value.args[0]}._continue_due = False"
            ),
        ),
        ("tests/net/test_live_wire.py::test_100_continue_comes_only_after_the_gate",),
    ),
    Defence(
        "W7",
        "another expectation is 417",
        HTTP1,
        "_expects_continue",
        never("lower"),
        MALFORMED,
    ),
    Defence(
        "W8",
        "a size has 1 to 16 hexadecimal digits",
        CHUNKED,
        "ChunkDecoder",
        text(b"([0-9A-Fa-f]{1,16})(", b"(?:0x)?([0-9A-Fa-f]+)("),
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "the two bytes behind a chunk are CRLF",
        CHUNKED,
        "ChunkDecoder._step",
        never("not followed by CRLF"),
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "extensions of a chunk are bounded",
        CHUNKED,
        "ChunkDecoder._take_size",
        expression(ast.BoolOp, "MAX_EXTENSION_BYTES", put="{it.values[1]}"),
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "extensions of a body are bounded",
        CHUNKED,
        "ChunkDecoder._take_size",
        expression(ast.BoolOp, "MAX_EXTENSION_BYTES", put="{it.values[0]}"),
        ("tests/protocol/test_chunked.py::test_extensions_are_bounded_over_the_whole_body",),
    ),
    Defence(
        "W8",
        "a size line without end is refused",
        CHUNKED,
        "ChunkDecoder._refuse_partial_size",
        never("len"),
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "trailers are bounded in bytes",
        CHUNKED,
        "ChunkDecoder._take_trailers",
        never("MAX_TRAILER_BYTES"),
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "trailers are bounded in fields",
        CHUNKED,
        "ChunkDecoder._take_trailers",
        never("MAX_TRAILER_FIELDS"),
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "trailers are checked like fields",
        CHUNKED,
        "ChunkDecoder._take_trailers",
        never("FIELD_LINES"),
        BAD_CHUNKS,
    ),
)
