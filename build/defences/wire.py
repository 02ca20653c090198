"""Defences of the HTTP wire, rows W1 to W8."""

from __future__ import annotations

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
        """        if lengths:
            raise ProtocolFault("head has both Transfer-Encoding and Content-Length")
""",
        "",
        MALFORMED,
    ),
    Defence(
        "W1",
        "a malformed request ends its connection",
        SESSION,
        '"1.1", (), None, False, False, False)',
        '"1.1", (), None, False, True, False)',
        ("tests/net/test_live_wire.py::test_nothing_behind_a_malformed_request_is_served",),
    ),
    Defence(
        "W1",
        "two Transfer-Encoding fields are refused",
        HTTP1,
        "    if len(codings) > 1:\n",
        "    if False:\n",
        MALFORMED,
    ),
    Defence(
        "W1",
        "Transfer-Encoding is exactly chunked",
        HTTP1,
        """    if codings[0].lower() == b"chunked":
        return
""",
        """    if b"chunked" in codings[0].lower():
        return
""",
        MALFORMED,
    ),
    Defence(
        "W1",
        "Transfer-Encoding in HTTP/1.0 is refused",
        HTTP1,
        'if version != "1.1":',
        "if False:",
        MALFORMED,
    ),
    Defence(
        "W1",
        "two Content-Length fields are refused",
        HTTP1,
        "    if len(lengths) > 1:\n",
        "    if len(set(lengths)) > 1:\n",
        MALFORMED,
    ),
    Defence(
        "W1",
        "a list, sign, underscore or blank is no length",
        HTTP1,
        "    if _LENGTH.fullmatch(lengths[0]) is None:",
        "    if not lengths[0].split(b',')[0].strip().isdigit():",
        MALFORMED,
    ),
    Defence(
        "W1",
        "a length has at most 15 digits",
        HTTP1,
        '_LENGTH = re.compile(rb"[0-9]{1,15}")',
        '_LENGTH = re.compile(rb"[0-9]+")',
        MALFORMED,
    ),
    Defence(
        "W1",
        "another coding is 501",
        HTTP1,
        'raise ProtocolFault("only the transfer coding chunked is understood", 501)',
        "return",
        MALFORMED,
    ),
    Defence(
        "W1",
        "chunked that is not last, or comes twice, is 400",
        HTTP1,
        'if b"chunked" not in names[:-1]:',
        'if names != [b"chunked"]:',
        MALFORMED,
    ),
    Defence(
        "W1",
        "a length is never taken from a remembered head",
        HEADCACHE,
        "if found is None or found[1] == head.fields[at][1]:",
        "if True:",
        ("tests/protocol/test_headcache.py::test_only_the_length_changes",),
    ),
    Defence(
        "W1",
        "no head is taken for another one with the length cut out",
        HEADCACHE,
        "(raw[: found.start(1)], raw[found.end(1) :])",
        "raw[: found.start(1)] + raw[found.end(1) :]",
        ("tests/protocol/test_headcache.py::test_a_head_reads_the_same_whatever_came_before_it",),
    ),
    Defence(
        "W2",
        "bare LF, folding, control bytes, odd names",
        HTTP1,
        "    if FIELD_LINES.fullmatch(raw, start) is None:",
        "    if False:",
        MALFORMED,
    ),
    Defence(
        "W2",
        "control bytes in values",
        HTTP1,
        r"""_VALUE = rb"[\t\x20-\x7e\x80-\xff]*""",
        r"""_VALUE = rb"[^\r\n]*""",
        MALFORMED,
    ),
    Defence(
        "W2",
        "a name is a token",
        HTTP1,
        r"""FIELD_LINES = re.compile(rb"(?:" + _TOKEN + rb":" """,
        r"""FIELD_LINES = re.compile(rb"(?:[^:\r\n]*:" """,
        MALFORMED,
    ),
    Defence(
        "W2",
        "the request line is read strictly",
        HTTP1,
        '_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\\x21-\\x7e]+) HTTP/([0-9])\\.([0-9])")',
        '_REQUEST_LINE = re.compile(rb"\\\\s*(\\\\S+)\\\\s+(\\\\S+)\\\\s+HTTP/([0-9])\\\\.([0-9])\\\\s*")',
        MALFORMED,
    ),
    Defence(
        "W3",
        "Host missing",
        HTTP1,
        """        if version == "1.1":
            raise ProtocolFault("head has no""",
        """        if version == "9.9":
            raise ProtocolFault("head has no""",
        MALFORMED,
    ),
    Defence(
        "W3",
        "Host twice",
        HTTP1,
        "    if len(hosts) > 1:",
        "    if False:",
        MALFORMED,
    ),
    Defence(
        "W3",
        "Host malformed",
        HTTP1,
        "    if _AUTHORITY.fullmatch(hosts[0]) is None:",
        "    if False:",
        MALFORMED,
    ),
    Defence(
        "W3",
        "the authority of an absolute target counts",
        HTTP1,
        '        authority = absolute[1].decode("ascii")\n',
        "",
        ("tests/net/test_live_wire.py::test_an_absolute_target_counts_instead_of_host",),
    ),
    Defence(
        "W4",
        "only a path is a target",
        HTTP1,
        """    match = _ORIGIN_FORM.fullmatch(target)
    if match is None:""",
        """    match = _ORIGIN_FORM.fullmatch(target) or re.fullmatch(rb"([^?]*)(?:[?](.*))?", target)
    if match is None:""",
        MALFORMED,
    ),
    Defence(
        "W4",
        "an asterisk goes with OPTIONS only",
        HTTP1,
        '        if method != "OPTIONS":',
        "        if False:",
        MALFORMED,
    ),
    Defence(
        "W4",
        "no path is normalised before the match",
        ROUTES,
        "        route = self._exact.get(path)\n",
        """        import posixpath

        route = self._exact.get(path) or self._exact.get(posixpath.normpath(path))
""",
        ("tests/net/test_live_wire.py::test_unknown_paths_are_told_only_to_who_has_the_token",),
    ),
    Defence(
        "W4",
        "no path is decoded before the match",
        ROUTES,
        "        route = self._exact.get(path)\n",
        """        from urllib.parse import unquote

        route = self._exact.get(unquote(path))
""",
        ("tests/net/test_live_wire.py::test_unknown_paths_are_told_only_to_who_has_the_token",),
    ),
    Defence(
        "W4",
        "aliases are protected entries of the table",
        ROUTES,
        'ends = [s + "/" for s in spelled if not s.endswith("...}")]',
        "ends: list[str] = []",
        ("tests/net/test_live_wire.py::test_every_spelling_of_a_path_reaches_it_and_is_protected",),
    ),
    Defence(
        "W5",
        "request line of at most 8 KiB",
        HTTP1,
        "    if line_end > MAX_LINE_BYTES:",
        "    if False:",
        ("tests/protocol/test_http1.py::test_the_request_line_is_bounded",),
    ),
    Defence(
        "W5",
        "head of at most 32 KiB",
        HTTP1,
        "    if len(raw) > MAX_HEAD_BYTES:",
        "    if False:",
        ("tests/protocol/test_http1.py::test_the_head_is_bounded",),
    ),
    Defence(
        "W5",
        "at most 100 fields",
        HTTP1,
        "    if count > MAX_FIELDS:",
        "    if False:",
        ("tests/protocol/test_http1.py::test_the_number_of_fields_is_bounded",),
    ),
    Defence(
        "W5",
        "bytes are counted before CRLF arrives: line",
        HTTP1,
        "    if line_end < 0 and len(buffer) > MAX_LINE_BYTES:",
        "    if False:",
        ("tests/protocol/test_http1.py::test_a_head_that_is_not_complete_is_bounded_too",),
    ),
    Defence(
        "W5",
        "bytes are counted before CRLF arrives: head",
        HTTP1,
        "    if len(buffer) > MAX_HEAD_BYTES:",
        "    if False:",
        ("tests/protocol/test_http1.py::test_a_head_that_is_not_complete_is_bounded_too",),
    ),
    Defence(
        "W5",
        "the connection asks for that bound",
        SESSION,
        "            check_partial_head(self._buffer)\n",
        "",
        ("tests/net/test_live_bounds.py::test_a_head_without_end_is_refused_while_it_comes",),
    ),
    Defence(
        "W5",
        "the head's deadline is absolute",
        SESSION,
        """            if not self._buffer:
                at_s = loop.time() + self._limits.head_s  # absolute""",
        """            if True:
                at_s = loop.time() + self._limits.head_s  # absolute""",
        ("tests/net/test_live_wire.py::test_a_head_must_arrive_in_time_however_it_drips",),
    ),
    Defence(
        "W6",
        "a declared length is judged before the body",
        "airelays/guard/gate.py",
        "    if head.content_length is not None and head.content_length > max_body_bytes:",
        "    if False:",
        (
            "tests/guard/test_gate.py::test_a_declared_length_is_checked_last_and_gives_its_slot_back",
        ),
    ),
    Defence(
        "W6",
        "a chunked body is counted as it comes",
        REQUEST,
        "            _refuse_longer(total, max_bytes)\n",
        "",
        ("tests/net/test_live_wire.py::test_json_bodies_are_bounded_exactly[True-1]",),
    ),
    Defence(
        "W6",
        "a route without a body takes a small one at most",
        RELAY,
        """        if route.body == "none" and head.has_body:
            await request.read_body(SMALL_BODY_BYTES)
""",
        """        if route.body == "none" and head.has_body:
            await request.read_body(1 << 40)
""",
        (
            "tests/net/test_live_bounds.py::test_a_route_without_a_body_takes_a_small_one_at_most[True-65537-413]",
        ),
    ),
    Defence(
        "W6",
        "a stored file is counted before it is written",
        "airelays/app/files.py",
        "        self.store.grow(reservation, len(data))\n",
        "",
        ("tests/state/test_live_files.py::test_the_ceiling_of_a_file_is_exact[False-1001-413]",),
    ),
    Defence(
        "W7",
        "100 only when the body is wanted",
        SESSION,
        "            await self._handle(request)\n",
        """            if head.expects_continue:
                self.connection.write(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")
                request._continue_due = False
            await self._handle(request)
""",
        ("tests/net/test_live_wire.py::test_100_continue_comes_only_after_the_gate",),
    ),
    Defence(
        "W7",
        "another expectation is 417",
        HTTP1,
        '    if len(expectations) > 1 or expectations[0].lower() != b"100-continue":',
        "    if False:",
        MALFORMED,
    ),
    Defence(
        "W8",
        "a size has 1 to 16 hexadecimal digits",
        CHUNKED,
        '_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(',
        '_SIZE_LINE = re.compile(rb"(?:0x)?([0-9A-Fa-f]+)(',
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "the two bytes behind a chunk are CRLF",
        CHUNKED,
        '            if mark != b"\\r":',
        "            if False:",
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "extensions of a chunk are bounded",
        CHUNKED,
        "extension > self.MAX_EXTENSION_BYTES or ",
        "",
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "extensions of a body are bounded",
        CHUNKED,
        " or self._extensions > self.MAX_EXTENSIONS_BYTES",
        "",
        ("tests/protocol/test_chunked.py::test_extensions_are_bounded_over_the_whole_body",),
    ),
    Defence(
        "W8",
        "a size line without end is refused",
        CHUNKED,
        "        if len(line) > limit + 1:",
        "        if False:",
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "trailers are bounded in bytes",
        CHUNKED,
        "            if len(buffer) - at > self.MAX_TRAILER_BYTES + 3:",
        "            if False:",
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "trailers are bounded in fields",
        CHUNKED,
        '        if buffer.count(b"\\r\\n", at, end + 2) > self.MAX_TRAILER_FIELDS:',
        "        if False:",
        BAD_CHUNKS,
    ),
    Defence(
        "W8",
        "trailers are checked like fields",
        CHUNKED,
        "        if FIELD_LINES.fullmatch(buffer, at, end + 4) is None:",
        "        if False:",
        BAD_CHUNKS,
    ),
)
