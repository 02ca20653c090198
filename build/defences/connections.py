"""Defences of connections and of what goes over them, rows W9 to W16."""

from __future__ import annotations

import ast

from change import always, call, dropped, expression, instead, never, removed, value
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
        "Session.run",
        instead(
            "_serve",
            put=(
                "{it.targets[0]} = False\n"
                "asyncio.ensure_future({it.value.operand.value})\n"
                "await asyncio.sleep(0)"
            ),
        ),
        ("tests/net/test_live_wire.py::test_pipelined_requests_are_answered_in_order",),
    ),
    Defence(
        "W9",
        "what is read ahead is bounded",
        CONNECTION,
        "",
        value("READ_AHEAD_BYTES", "1 << 30"),
        ("tests/net/test_live_bounds.py::test_what_is_sent_ahead_of_its_turn_is_held_back",),
    ),
    Defence(
        "W9",
        "a half-closed client is a short answer's reader or gone",
        SESSION,
        "Session._client_half_closed",
        never("body_done"),
        ("tests/net/test_live_bounds.py::test_a_half_closed_client_of_a_long_wait_counts_as_gone",),
    ),
    Defence(
        "W10",
        "an early answer is followed by a lingering close",
        CONNECTION,
        "Connection.close",
        removed("_linger"),
        ("tests/net/test_live_wire.py::test_the_answer_survives_a_body_that_nobody_reads",),
    ),
    Defence(
        "W10",
        "the linger is bounded in bytes",
        CONNECTION,
        "Connection._linger",
        always("LINGER_BYTES"),
        ("tests/net/test_live_bounds.py::test_a_flood_behind_an_early_answer_is_cut",),
    ),
    Defence(
        "W10",
        "the linger is bounded in time",
        CONNECTION,
        "",
        value("LINGER_SECONDS", "60.0"),
        ("tests/net/test_live_bounds.py::test_who_waits_behind_an_early_answer_is_let_go",),
    ),
    Defence(
        "W11",
        "a silent connection",
        SESSION,
        "Session._read_head",
        expression(ast.Attribute, "first_byte_s", put="60.0"),
        ("tests/net/test_live_wire.py::test_a_silent_connection_is_closed_without_a_word",),
    ),
    Defence(
        "W11",
        "an idle connection",
        SESSION,
        "Session._read_head",
        call("keep_alive_s", put="3600.0"),
        ("tests/net/test_live_wire.py::test_an_idle_connection_is_closed_in_the_end",),
    ),
    Defence(
        "W11",
        "idle for less when near the cap",
        RELAY,
        "Relay._keep_alive_s",
        never("min"),
        ("tests/net/test_live_bounds.py::test_idle_connections_make_room_near_the_cap",),
    ),
    Defence(
        "W11",
        "the gap of a body",
        REQUEST,
        "Request._read_part",
        call("min", put="{it.args[1]}"),
        ("tests/net/test_live_wire.py::test_a_body_that_stops_is_a_408",),
    ),
    Defence(
        "W11",
        "the rate of a body",
        REQUEST,
        "Request._read_part",
        call("min", put="{it.args[0]}"),
        ("tests/net/test_live_bounds.py::test_a_body_that_drips_is_a_408_in_the_end",),
    ),
    Defence(
        "W11",
        "the rate of a long body",
        REQUEST,
        "Request._bulk_parts",
        call("min", put="{it.args[0].left} + 60.0"),
        ("tests/state/test_live_files.py::test_a_long_upload_that_ends_early_or_drips_is_refused",),
    ),
    Defence(
        "W12",
        "a reader that takes nothing is cut",
        CONNECTION,
        "Connection._check_stall",
        never("_stalled_bytes"),
        ("tests/net/test_live_wire.py::test_a_reader_that_takes_nothing_is_cut",),
    ),
    Defence(
        "W12",
        "the upstream is not read while the client is blocked",
        "airelays/app/streaming.py",
        "StreamPump._blocked",
        removed("pause"),
        (
            "tests/upstream/test_live_hell.py::test_a_flood_to_a_reader_that_does_not_read_stops_the_upstream",
        ),
    ),
    Defence(
        "W12",
        "what waits for a reader is bounded",
        REQUEST,
        "Request.wait_writable",
        removed("blocked"),
        (
            "tests/state/test_live_files.py::test_a_reader_that_does_not_read_costs_no_memory_and_stops_nobody",
        ),
    ),
    Defence(
        "W12",
        "nothing is written past the pause",
        CONNECTION,
        "Connection.write",
        call("write", put="{it.func.value}.writelines([{it.args[0]}])"),
        ("tests/architecture/test_layers.py::test_no_transport_is_given_many_pieces_at_once",),
    ),
    Defence(
        "W13",
        "connections of an address are capped",
        LISTENER,
        "Listener._is_full",
        dropped("_max_per_address"),
        ("tests/net/test_live_wire.py::test_connections_of_one_address_are_capped",),
    ),
    Defence(
        "W13",
        "all connections are capped",
        LISTENER,
        "Listener._is_full",
        dropped("_connected"),
        ("tests/net/test_live_bounds.py::test_all_connections_together_are_capped",),
    ),
    Defence(
        "W13",
        "out of descriptors the relay waits",
        LISTENER,
        "Listener._accept",
        instead("_ACCEPT_RETRY_SECONDS", put="raise"),
        ("tests/net/test_live_machine.py::test_out_of_descriptors_is_waited_out",),
    ),
    Defence(
        "W13",
        "the limit of descriptors is raised at the start",
        "airelays/host/process.py",
        "run",
        removed("max_connections"),
        ("tests/net/test_live_bounds.py::test_the_limit_of_descriptors_is_raised_at_the_start",),
    ),
    Defence(
        "W13",
        "out of descriptors one line is said",
        LISTENER,
        "Listener._complain_once",
        always("_COMPLAINT_SECONDS"),
        ("tests/net/test_live_machine.py::test_out_of_descriptors_is_waited_out",),
    ),
    Defence(
        "W14",
        "an unknown method is 501",
        RELAY,
        "_check_method",
        expression(ast.Compare, "KNOWN_METHODS", put="True"),
        ("tests/net/test_live_wire.py::test_methods_are_refused_by_name",),
    ),
    Defence(
        "W14",
        "a method that a route does not take is 405",
        RELAY,
        "_check_method",
        always("methods"),
        ("tests/net/test_live_wire.py::test_methods_are_refused_by_name",),
    ),
    Defence(
        "W14",
        "CONNECT is no proxy's",
        HTTP1,
        "_split_target",
        never("CONNECT"),
        MALFORMED,
    ),
    Defence(
        "W14",
        "an override header overrides nothing",
        RELAY,
        "Relay.handle",
        instead(
            "find",
            put=(
                "override = {it.value.args[0].value}.get(b'x-original-url')\n"
                "{it.targets[0]} = {it.value.func}(override.decode() if override else {it.value.args[0]})"
            ),
        ),
        ("tests/net/test_live_wire.py::test_an_override_header_overrides_nothing",),
    ),
    Defence(
        "W14",
        "an upgrade is refused, never 101",
        RELAY,
        "Relay._admitted",
        removed("_refuse_upgrade"),
        ("tests/net/test_live_wire.py::test_a_websocket_upgrade_is_answered_426_at_once",),
    ),
    Defence(
        "W15",
        "no field can split an answer's head",
        HTTP1,
        "_join_head",
        never("_FIELD_LINE"),
        ("tests/protocol/test_http1.py::test_no_field_can_split_a_head",),
    ),
    Defence(
        "W15",
        "only listed fields of an upstream come back",
        "airelays/upstream/chatgpt/faults.py",
        "passed_fields",
        always("_PASSED"),
        ("tests/upstream/test_backend.py::test_only_listed_fields_come_back",),
    ),
    Defence(
        "W15",
        "an upstream's request id is plain and short",
        "airelays/upstream/chatgpt/faults.py",
        "passed_fields",
        dropped("_SAFE_ID"),
        ("tests/upstream/test_backend.py::test_only_listed_fields_come_back",),
    ),
    Defence(
        "W16",
        "a coding that is not decoded is 415, the body unread",
        "airelays/app/bodies.py",
        "read_json",
        removed("check_coding"),
        (
            "tests/net/test_live_bounds.py::test_a_coding_that_is_not_decoded_is_refused_before_the_body",
        ),
    ),
    Defence(
        "W16",
        "an upload has no coding",
        RELAY,
        "Relay._admitted",
        removed("_refuse_coding"),
        (
            "tests/net/test_live_bounds.py::test_a_coding_that_is_not_decoded_is_refused_before_the_body",
        ),
    ),
    Defence(
        "W16",
        "what is decoded is bounded while decoding",
        CODING,
        "_inflate",
        call("decompress", put="{it.func}({it.args[0]})"),
        ("tests/protocol/test_coding.py::test_a_bomb_is_refused_without_being_unpacked",),
    ),
    Defence(
        "W16",
        "what is decoded counts against the ceiling",
        CODING,
        "decode_body",
        never("len"),
        ("tests/protocol/test_coding.py::test_the_decoded_size_is_bounded_exactly",),
    ),
)
