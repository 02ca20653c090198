"""Defences of connections and of what goes over them, rows W9 to W16."""

from __future__ import annotations

from entry import Defence

CODING = "airelays/protocol/coding.py"
CONNECTION = "airelays/net/connection.py"
HTTP1 = "airelays/protocol/http1.py"
LISTENER = "airelays/net/listener.py"
REQUEST = "airelays/net/request.py"
SESSION = "airelays/net/session.py"
RELAY = "airelays/app/relay.py"
MALFORMED = ("tests/protocol/test_http1.py::test_a_malformed_head_is_refused",)

CONNECTIONS = (
    Defence(
        "W9",
        "one request at a time",
        SESSION,
        "                linger = not await self._serve(head)\n",
        """                linger = False
                asyncio.ensure_future(self._serve(head))
                await asyncio.sleep(0)
""",
        ("tests/net/test_live_wire.py::test_pipelined_requests_are_answered_in_order",),
    ),
    Defence(
        "W9",
        "what is read ahead is bounded",
        CONNECTION,
        "READ_AHEAD_BYTES = 32 * 1024",
        "READ_AHEAD_BYTES = 1 << 30",
        ("tests/net/test_live_bounds.py::test_what_is_sent_ahead_of_its_turn_is_held_back",),
    ),
    Defence(
        "W9",
        "a half-closed client is a short answer's reader or gone",
        SESSION,
        "        if request.body_done and self._half_closed is None:",
        "        if False:",
        ("tests/net/test_live_bounds.py::test_a_half_closed_client_of_a_long_wait_counts_as_gone",),
    ),
    Defence(
        "W10",
        "an early answer is followed by a lingering close",
        CONNECTION,
        "                await self._linger()\n",
        "                pass\n",
        ("tests/net/test_live_wire.py::test_the_answer_survives_a_body_that_nobody_reads",),
    ),
    Defence(
        "W10",
        "the linger is bounded in bytes",
        CONNECTION,
        "            while dropped < LINGER_BYTES:",
        "            while True:",
        ("tests/net/test_live_bounds.py::test_a_flood_behind_an_early_answer_is_cut",),
    ),
    Defence(
        "W10",
        "the linger is bounded in time",
        CONNECTION,
        "LINGER_SECONDS = 1.0",
        "LINGER_SECONDS = 60.0",
        ("tests/net/test_live_bounds.py::test_who_waits_behind_an_early_answer_is_let_go",),
    ),
    Defence(
        "W11",
        "a silent connection",
        SESSION,
        "else self._limits.first_byte_s\n",
        "else 60.0\n",
        ("tests/net/test_live_wire.py::test_a_silent_connection_is_closed_without_a_word",),
    ),
    Defence(
        "W11",
        "an idle connection",
        SESSION,
        "wait_s = self._limits.keep_alive_s() if",
        "wait_s = 3600.0 if",
        ("tests/net/test_live_wire.py::test_an_idle_connection_is_closed_in_the_end",),
    ),
    Defence(
        "W11",
        "idle for less when near the cap",
        RELAY,
        " if near else",
        " if False else",
        ("tests/net/test_live_bounds.py::test_idle_connections_make_room_near_the_cap",),
    ),
    Defence(
        "W11",
        "the gap of a body",
        REQUEST,
        "min(now_s + self._body_gap_s, by_rate_s)",
        "by_rate_s",
        ("tests/net/test_live_wire.py::test_a_body_that_stops_is_a_408",),
    ),
    Defence(
        "W11",
        "the rate of a body",
        REQUEST,
        "min(now_s + self._body_gap_s, by_rate_s)",
        "now_s + self._body_gap_s",
        ("tests/net/test_live_bounds.py::test_a_body_that_drips_is_a_408_in_the_end",),
    ),
    Defence(
        "W11",
        "the rate of a long body",
        REQUEST,
        "min(loop.time() + gap_s, _rate_deadline(start_s, length - left))",
        "loop.time() + 60.0",
        ("tests/state/test_live_files.py::test_a_long_upload_that_ends_early_or_drips_is_refused",),
    ),
    Defence(
        "W12",
        "a reader that takes nothing is cut",
        CONNECTION,
        "        if waiting >= self._stalled_bytes:",
        "        if False:",
        ("tests/net/test_live_wire.py::test_a_reader_that_takes_nothing_is_cut",),
    ),
    Defence(
        "W12",
        "the upstream is not read while the client is blocked",
        "airelays/app/streaming.py",
        "            self.answer.pause()\n",
        "            pass\n",
        (
            "tests/upstream/test_live_hell.py::test_a_flood_to_a_reader_that_does_not_read_stops_the_upstream",
        ),
    ),
    Defence(
        "W12",
        "what waits for a reader is bounded",
        REQUEST,
        """        if self.connection.blocked:
            await self.connection.drain()
        if self.connection.lost:""",
        "        if self.connection.lost:",
        (
            "tests/state/test_live_files.py::test_a_reader_that_does_not_read_costs_no_memory_and_stops_nobody",
        ),
    ),
    Defence(
        "W12",
        "nothing is written past the pause",
        CONNECTION,
        "        transport.write(data)\n        return True\n",
        "        transport.writelines([data])\n        return True\n",
        ("tests/architecture/test_layers.py::test_no_transport_is_given_many_pieces_at_once",),
    ),
    Defence(
        "W13",
        "connections of an address are capped",
        LISTENER,
        "self._connected >= self._max or self._per_address.get(host, 0) >= self._max_per_address",
        "self._connected >= self._max",
        ("tests/net/test_live_wire.py::test_connections_of_one_address_are_capped",),
    ),
    Defence(
        "W13",
        "all connections are capped",
        LISTENER,
        "self._connected >= self._max or self._per_address.get(host, 0) >= self._max_per_address",
        "self._per_address.get(host, 0) >= self._max_per_address",
        ("tests/net/test_live_bounds.py::test_all_connections_together_are_capped",),
    ),
    Defence(
        "W13",
        "out of descriptors the relay waits",
        LISTENER,
        "                    await asyncio.sleep(_ACCEPT_RETRY_SECONDS)\n",
        "                    raise\n",
        ("tests/net/test_live_machine.py::test_out_of_descriptors_is_waited_out",),
    ),
    Defence(
        "W13",
        "the limit of descriptors is raised at the start",
        "airelays/host/process.py",
        "    _raise_descriptor_limit(settings.max_connections)\n",
        "",
        ("tests/net/test_live_bounds.py::test_the_limit_of_descriptors_is_raised_at_the_start",),
    ),
    Defence(
        "W13",
        "out of descriptors one line is said",
        LISTENER,
        "        if now_s - self._complained_s >= _COMPLAINT_SECONDS:\n",
        "        if True:\n",
        ("tests/net/test_live_machine.py::test_out_of_descriptors_is_waited_out",),
    ),
    Defence(
        "W14",
        "an unknown method is 501",
        RELAY,
        "    known = method in KNOWN_METHODS",
        "    known = True",
        ("tests/net/test_live_wire.py::test_methods_are_refused_by_name",),
    ),
    Defence(
        "W14",
        "a method that a route does not take is 405",
        RELAY,
        "    if method in route.methods:\n        return\n",
        "    return\n",
        ("tests/net/test_live_wire.py::test_methods_are_refused_by_name",),
    ),
    Defence(
        "W14",
        "CONNECT is no proxy's",
        HTTP1,
        '    if method == "CONNECT":',
        "    if False:",
        MALFORMED,
    ),
    Defence(
        "W14",
        "an override header overrides nothing",
        RELAY,
        "        route, values = self._routes.find(head.path)\n",
        """        override = head.get(b"x-original-url")
        route, values = self._routes.find(override.decode() if override else head.path)
""",
        ("tests/net/test_live_wire.py::test_an_override_header_overrides_nothing",),
    ),
    Defence(
        "W14",
        "an upgrade is refused, never 101",
        RELAY,
        "        _refuse_upgrade(request, route)\n",
        "",
        ("tests/net/test_live_wire.py::test_a_websocket_upgrade_is_answered_426_at_once",),
    ),
    Defence(
        "W15",
        "no field can split an answer's head",
        HTTP1,
        "        if _FIELD_LINE.fullmatch(field) is None:",
        "        if False:",
        ("tests/protocol/test_http1.py::test_no_field_can_split_a_head",),
    ),
    Defence(
        "W15",
        "only listed fields of an upstream come back",
        "airelays/upstream/chatgpt/faults.py",
        '        if name.startswith(b"x-codex-") or name in _PASSED:\n',
        "        if True:\n",
        ("tests/upstream/test_backend.py::test_only_listed_fields_come_back",),
    ),
    Defence(
        "W15",
        "an upstream's request id is plain and short",
        "airelays/upstream/chatgpt/faults.py",
        "        elif name in _IDS and _SAFE_ID.fullmatch(value):",
        "        elif name in _IDS:",
        ("tests/upstream/test_backend.py::test_only_listed_fields_come_back",),
    ),
    Defence(
        "W16",
        "a coding that is not decoded is 415, the body unread",
        "airelays/app/bodies.py",
        "        check_coding(coding, has_zstd=zstd is not None)\n",
        "",
        (
            "tests/net/test_live_bounds.py::test_a_coding_that_is_not_decoded_is_refused_before_the_body",
        ),
    ),
    Defence(
        "W16",
        "an upload has no coding",
        RELAY,
        "            _refuse_coding(head)\n",
        "            pass\n",
        (
            "tests/net/test_live_bounds.py::test_a_coding_that_is_not_decoded_is_refused_before_the_body",
        ),
    ),
    Defence(
        "W16",
        "what is decoded is bounded while decoding",
        CODING,
        "    plain = decoder.decompress(raw, max_bytes + 1)\n",
        "    plain = decoder.decompress(raw)\n",
        ("tests/protocol/test_coding.py::test_a_bomb_is_refused_without_being_unpacked",),
    ),
    Defence(
        "W16",
        "what is decoded counts against the ceiling",
        CODING,
        "    if len(plain) > max_bytes:",
        "    if False:",
        ("tests/protocol/test_coding.py::test_the_decoded_size_is_bounded_exactly",),
    ),
)
