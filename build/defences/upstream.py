"""Defences against upstreams and the way to them, rows U1 to U4 and U8."""

from __future__ import annotations

import ast

from change import (
    before,
    call,
    condition,
    dropped,
    instead,
    never,
    removed,
)
from entry import Defence

CLIENT = "airelays/net/client.py"
DIAL = "airelays/net/dial.py"
EXCHANGE = "airelays/net/exchange.py"
HTTP1 = "airelays/protocol/http1.py"
FAULTS = "airelays/upstream/chatgpt/faults.py"
RESPONSE = "airelays/net/response.py"
SSE = "airelays/protocol/sse.py"
STREAMING = "airelays/app/streaming.py"
BAD_ANSWER = ("tests/net/test_client.py::test_malformed_answer_is_refused",)
BAD_HEAD = ("tests/protocol/test_http1.py::test_a_malformed_response_head_is_the_upstreams_fault",)
CUT_STREAM = "tests/upstream/test_live_hell.py::test_a_stream_cut_anywhere_is_never_an_answer"

UPSTREAM = (
    Defence(
        "U1",
        "a stream without its last event is no answer: streamed",
        "airelays/dialects/stream/events.py",
        "EventMap.end",
        removed("incomplete_stream"),
        (
            "tests/upstream/test_live_hell.py::test_a_stream_that_ends_properly_but_too_early_is_no_answer",
        ),
    ),
    Defence(
        "U1",
        "a stream that is passed on is no answer without its last event",
        "airelays/dialects/stream/passed.py",
        "PassedChunks._finish",
        never("incomplete_stream"),
        (
            "tests/dialects/test_passed.py::test_a_cut_at_every_byte_is_an_error_until_the_answer_was_finished",
        ),
    ),
    Defence(
        "U1",
        "a finish_reason that means a failure is one: passed on",
        "airelays/dialects/stream/finish.py",
        "chunk_ends",
        never("FAILED"),
        (
            "tests/dialects/test_passed.py::test_a_finish_reason_that_means_a_failure_is_one",
            "tests/dialects/test_whole.py::test_a_whole_answer_that_was_broken_off_is_a_failure",
        ),
    ),
    Defence(
        "U1",
        "a finish_reason that means a failure is one: translated",
        "airelays/dialects/chat_server/events.py",
        "ChatEvents._choice",
        never("FAILED"),
        (
            "tests/dialects/test_chat_server_events.py::test_a_finish_reason_that_means_a_failure_fails",
        ),
    ),
    Defence(
        "U1",
        "an answer of several choices is complete when each is",
        "airelays/dialects/stream/passed.py",
        "PassedChunks._finish",
        condition("_choices", put="not {it.left.args[0]}"),
        ("tests/dialects/test_passed.py::test_each_choice_has_to_finish",),
    ),
    Defence(
        "U1",
        "a 200 with an error is no answer",
        "airelays/upstream/compatible/__init__.py",
        "Compatible.ask",
        never("is_failure"),
        (
            "tests/upstream/test_live_servers.py::test_an_api_that_is_missing_in_any_words_is_translated",
        ),
    ),
    Defence(
        "U1",
        "a stream without its last event is no answer: whole",
        STREAMING,
        "collect",
        instead("pump", put="try:\n    {it}\nexcept UpstreamFault:\n    pass\nreturn"),
        (f"{CUT_STREAM}[chat]", f"{CUT_STREAM}[responses]"),
    ),
    Defence(
        "U1",
        "a cut answer ends typed, its chunks properly",
        "airelays/net/request.py",
        "Request.end_stream",
        removed(kind=ast.AugAssign),
        (f"{CUT_STREAM}[chat stream]",),
    ),
    Defence(
        "U1",
        "before the first byte a failure is a status",
        STREAMING,
        "StreamPump._finish",
        never("committed"),
        ("tests/upstream/test_live_hell.py::test_a_failure_before_the_first_byte_is_a_status",),
    ),
    Defence(
        "U1",
        "a body that ends early is a cut",
        EXCHANGE,
        "Exchange._input_ended",
        condition("_closed_cleanly", put="{it.values[2]}"),
        ("tests/net/test_client.py::test_body_that_ends_early_is_a_cut",),
    ),
    Defence(
        "U2",
        "the head's deadline does not move",
        EXCHANGE,
        "Exchange.buffer_updated",
        before(
            "_take_head",
            put=(
                "{it.value.func.value}._due_s = {it.value.func.value}._loop.time() + "
                "{it.value.func.value}._head_s"
            ),
        ),
        ("tests/net/test_client.py::test_dripped_head_does_not_move_its_deadline",),
    ),
    Defence(
        "U2",
        "the gap of a stream",
        EXCHANGE,
        "Exchange._look_at_clock",
        instead("sent nothing for", put="return"),
        ("tests/net/test_client.py::test_silence_in_a_body_ends_it",),
    ),
    Defence(
        "U2",
        "connecting has a deadline",
        DIAL,
        "_connect",
        call("timeout_at", put="asyncio.timeout_at(None)"),
        ("tests/net/test_client.py::test_an_address_that_says_nothing_is_given_up_in_time",),
    ),
    Defence(
        "U2",
        "a TLS handshake has a deadline",
        DIAL,
        "_start_tls",
        call("timeout", "asyncio", put="asyncio.timeout(None)"),
        ("tests/net/test_client.py::test_mute_handshake_ends_at_its_deadline",),
    ),
    Defence(
        "U2",
        "silence is filled for the client",
        STREAMING,
        "StreamPump._tick",
        removed("_ping"),
        ("tests/net/test_live_wire.py::test_silence_is_filled_with_comments",),
    ),
    Defence(
        "U3",
        "a response head is bounded",
        EXCHANGE,
        "Exchange._take_head",
        never("response head of more than"),
        ("tests/net/test_client.py::test_response_head_is_bounded",),
    ),
    Defence(
        "U3",
        "interim answers are counted",
        EXCHANGE,
        "Exchange._skip_interim",
        dropped("MAX_INFORMATIONAL", "_interim"),
        BAD_ANSWER,
    ),
    Defence(
        "U3",
        "a JSON answer is bounded",
        RESPONSE,
        "Response.read.keep",
        never("_too_large"),
        ("tests/net/test_client.py::test_read_is_bounded",),
    ),
    Defence(
        "U3",
        "a compressed answer is bounded while decoding",
        RESPONSE,
        "_decode",
        never("len"),
        ("tests/net/test_client.py::test_compressed_json_is_decoded_within_the_limit",),
    ),
    Defence(
        "U3",
        "an event is bounded: a line",
        SSE,
        "Parser._hold",
        never("_max_bytes"),
        ("tests/protocol/test_sse.py::test_a_line_may_be_as_large_as_the_bound",),
    ),
    Defence(
        "U3",
        "an event is bounded: many lines",
        SSE,
        "Parser._field",
        never("_data_size"),
        ("tests/protocol/test_sse.py::test_many_short_data_lines_cannot_outgrow_the_bound",),
    ),
    Defence(
        "U3",
        "length beside Transfer-Encoding is refused",
        HTTP1,
        "_response_framing",
        never("both Transfer-Encoding and Content-Length"),
        BAD_HEAD,
    ),
    Defence(
        "U3",
        "two lengths are refused",
        HTTP1,
        "_content_length",
        never("len"),
        BAD_HEAD,
    ),
    Defence(
        "U3",
        "the status line is read strictly",
        HTTP1,
        "parse_response_head",
        never("_STATUS_LINE"),
        BAD_HEAD,
    ),
    Defence(
        "U4",
        "no page of an upstream is passed on",
        FAULTS,
        "Refusal.__init__",
        call(
            "loads",
            put="{it} if {it.args[0]}[:1] in b'{{[' else {{'detail': {it.args[0]}.decode('latin-1')}}",
        ),
        ("tests/upstream/test_backend.py::test_html_and_garbage_never_reach_the_client",),
    ),
    Defence(
        "U4",
        "a message is printable and short",
        FAULTS,
        "_clean",
        instead("MAX_TEXT", put="return {it.value.test.left.args[0]}"),
        ("tests/upstream/test_backend.py::test_hostile_message_is_made_printable_and_short",),
    ),
    Defence(
        "U4",
        "401 and 403 become 503",
        FAULTS,
        "Refusal._classify",
        never("_POLICY"),
        ("tests/upstream/test_backend.py::test_refusal_is_mapped",),
    ),
    Defence(
        "U4",
        "401 of another server becomes 502",
        "airelays/upstream/compatible/refusal.py",
        "Refused.fault",
        never(401),
        ("tests/upstream/test_live_compatible.py::test_errors_keep_status_and_body_but_never_401",),
    ),
    Defence(
        "U4",
        "429 keeps its wait",
        FAULTS,
        "Refusal._limited",
        dropped("retry_after_s"),
        (
            "tests/upstream/test_backend.py::test_usage_limit_keeps_the_upstreams_words_and_the_true_reset",
        ),
    ),
    Defence(
        "U8",
        "a client that leaves ends the request",
        "airelays/net/session.py",
        "Session._client_gone",
        never("_task"),
        (
            "tests/net/test_live_wire.py::test_a_client_that_leaves_ends_the_request",
            "tests/upstream/test_live_chatgpt.py::test_client_that_leaves_ends_the_upstream_request",
        ),
    ),
    Defence(
        "U8",
        "the upstream's connection goes with the request",
        CLIENT,
        "_exchange",
        removed("abort"),
        ("tests/net/test_client.py::test_cancelled_request_closes_its_connection",),
    ),
)
