"""The lines of the traffic log, made of what the event loop hands over; and what a request costs there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.errors import ClientFault, RelayBug, RelayError, UpstreamFault
from airelays.guard.refused import Refused
from airelays.journal.lines import (
    EVENT,
    INBOUND,
    LINES,
    MAX_LINE_BYTES,
    OUTBOUND,
    UPSTREAM,
    Encoder,
)
from airelays.journal.notes import Pace, how_ended
from airelays.model import Fields, Outcome, RequestHead, Usage
from airelays.upstream.base import Answer

AT = 1_772_600_400.25
ID = "req_" + "0a" * 16
SECRET = b"s3cr3t-t0ken-0123456789-abcdefghijklm"
FIELDS: Fields = ((b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer " + SECRET))


def head(**fields: Any) -> RequestHead:
    plain = RequestHead(
        "POST", "/v1/responses", "", "127.0.0.1:8080", "1.1", FIELDS, 12, False, True, False
    )
    return plain._replace(**fields)


def lines(*records: tuple[Any, ...], known: frozenset[bytes] = frozenset({SECRET})) -> list[Any]:
    text = b"".join(Encoder(lambda: known)(records))
    assert text.isascii() and text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def ended(outcome: Outcome, word: str = "ok") -> tuple[Any, ...]:
    return (AT, 0, OUTBOUND, ID, head(), "127.0.0.1", outcome, word, 12.5)


def test_an_inbound_record_has_what_was_asked_without_its_content() -> None:
    asked = head(query="limit=5&key=x")
    assert lines((AT, 0, INBOUND, ID, asked, "127.0.0.1", "responses", None)) == [
        {
            "phase": "inbound_request",
            "request_id": ID,
            "logged_at": "2026-03-04T05:00:00.250Z",
            "method": "POST",
            "path": "/v1/responses",
            "query": "limit=5&key=[REDACTED]",
            "route": "responses",
            "client_ip": "127.0.0.1",
            "headers": {"host": "127.0.0.1:8080", "authorization": "[REDACTED]"},
            "body": {"bytes": 12},
        }
    ]


def test_an_end_tells_the_upstreams_part_and_the_clients() -> None:
    outcome = Outcome()
    outcome.status, outcome.route = 200, "responses"
    outcome.model, outcome.upstream = "gpt-5.5", "chatgpt"
    outcome.usage = Usage(10, 5, 15, 4, None, 2)
    outcome.bytes_in, outcome.bytes_out, outcome.events = 12, 900, 7
    outcome.timings_ms = {
        "gate": 0.1,
        "dial": 20.0,
        "tls": 30.0,
        "head": 100.0,
        "first_byte": 150.5,
    }
    upstream, out = lines(ended(outcome))
    assert upstream["phase"] == "upstream_response"
    assert upstream["timings_ms"] == {"dial": 20.0, "tls": 30.0, "head": 100.0}
    assert out["timings_ms"] == {"gate": 0.1, "first_byte": 150.5, "total": 12.5}
    assert out["usage"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "cached_tokens": 4,
        "reasoning_tokens": 2,
    }
    assert (out["status_code"], out["outcome"], out["stream"], out["events"]) == (
        200,
        "ok",
        True,
        7,
    )


def test_a_request_without_an_upstream_has_one_record_at_its_end() -> None:
    outcome = Outcome()
    outcome.status, outcome.route = 404, "unknown"
    outcome.error = ClientFault(f"there is no {SECRET.decode()}", status=404, code="unknown_route")
    (out,) = lines(ended(outcome, "bad_request"))
    assert out["error"] == {
        "message": "there is no [REDACTED]",
        "type": "invalid_request_error",
        "code": "unknown_route",
    }


def test_an_upstream_that_never_answered_left_no_record() -> None:
    outcome = Outcome()
    outcome.route, outcome.upstream = "chat", "chatgpt"
    assert [r["phase"] for r in lines(ended(outcome, "client_left"))] == ["outbound_response"]


@pytest.mark.parametrize(
    ("hop", "status", "phase"),
    [
        ("dns", 502, "upstream_response_error"),
        ("upstream", 429, "upstream_response_error"),
        ("stream", 502, "upstream_stream_error"),
        ("upstream", 200, "upstream_stream_error"),
    ],
)
def test_a_failure_upstream_says_where(hop: str, status: int, phase: str) -> None:
    outcome = Outcome()
    outcome.status, outcome.upstream = status, "chatgpt"
    outcome.error = UpstreamFault("it broke", hop=hop, code="c", status=502)
    failed, out = lines(ended(outcome, "failed_upstream"))
    assert (failed["phase"], failed["hop"], failed["status_code"]) == (phase, hop, 502)
    assert failed["error"] == out["error"]
    assert out["error"]["hop"] == hop


def test_what_a_request_presents_is_taken_out_of_all_its_records() -> None:
    wrong = "unknown-t0ken-for-this-request"
    fields: Fields = (
        (b"authorization", b"Bearer " + wrong.encode()),
        (b"user-agent", wrong.encode()),
    )
    asked = head(fields=fields, path="/v1/" + wrong)
    outcome = Outcome()
    outcome.model = wrong
    made = lines(
        (AT, 0, INBOUND, ID, asked, "1.2.3.4", "chat", None),
        (AT, 0, OUTBOUND, ID, asked, "1.2.3.4", outcome, "ok", 1.0),
        (AT, 0, EVENT, "endpoint_auth_failed", ID, {"headers": fields, "path": "/x/" + wrong}),
        (AT, 0, UPSTREAM, ID, fields, "demo", {"input": wrong}),
        (AT, 0, LINES, ID, fields, f"data: {wrong}\n\n".encode()),
    )
    assert len(made) == 5
    assert wrong not in json.dumps(made)


def test_a_secret_stays_one_after_it_was_replaced() -> None:
    known = [frozenset({b"old-token-0123456789"})]
    encoder = Encoder(lambda: known[0])
    encoder([])
    known[0] = frozenset({b"new-token-9876543210"})
    fields = {"message": "old-token-0123456789 new-token-9876543210"}
    (line,) = encoder([(AT, 0, EVENT, "p", ID, fields)])
    assert json.loads(line)["message"] == "[REDACTED] [REDACTED]"


def test_a_record_that_still_holds_a_secret_is_withheld() -> None:
    """The names of fields are ours, so this cannot happen: the last look is for what nobody thought of."""
    encoder = Encoder(lambda: frozenset({SECRET}))
    bad = (AT, 0, EVENT, "p", ID, {SECRET.decode(): 1})
    made = encoder([bad, (AT, 0, EVENT, "p", ID, {"a": 1})])
    assert json.loads(made[0])["phase"] == "log_record_withheld"
    assert json.loads(made[1])["a"] == 1
    assert encoder.withheld == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "empty"),
        (b'{"a": "b"}', "json"),
        (b'data: {"type": "response.output_text.delta", "delta": "x"}\n\n', "stream"),
        (b"\x00\x01", "binary_summary"),
        (b"x" * (1024 * 1024 + 1), "large"),
    ],
)
def test_bodies_are_shown_by_their_kind(body: bytes, kind: str) -> None:
    (made,) = lines((AT, 0, INBOUND, ID, head(), "127.0.0.1", "chat", body))
    assert made["body"]["kind"] == kind
    assert made["body"]["bytes"] == len(body)
    assert ("sha256" in made["body"]) == bool(body)


@pytest.mark.parametrize("size", [MAX_LINE_BYTES // 2, MAX_LINE_BYTES * 2])
def test_a_record_stays_below_its_bound(size: int) -> None:
    body = json.dumps({"items": ["word " * 200] * (size // 1000)}).encode()
    (line,) = Encoder(frozenset)([(AT, 0, INBOUND, ID, head(), "127.0.0.1", "chat", body)])
    assert len(line) < 64 * 1024
    assert (b'"omitted":true' in line) == (size > MAX_LINE_BYTES)


def test_a_secret_cut_into_two_deltas_is_whole_again_and_taken_out() -> None:
    first, second = SECRET[:9].decode(), SECRET[9:].decode()
    outcome = Outcome()
    outcome.sent = bytearray()
    for text in ("say ", first, second, " now"):
        delta = json.dumps({"choices": [{"delta": {"content": text}}]})
        outcome.sent += f"data: {delta}\n\n".encode()
    outcome.sent += b"data: [DONE]\n\n"
    made = lines(ended(outcome))
    assert made[-1]["body"]["text"] == {"content": "say [REDACTED] now"}


def test_texts_of_a_stream_are_gathered_by_kind() -> None:
    call = {
        "choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}]
    }
    outcome = Outcome()
    outcome.sent = bytearray()
    event: Any
    for event in (
        {"type": "response.output_text.delta", "delta": "a"},
        call,
        {"choices": [{"text": "b"}]},
        {"error": {"message": "m", "code": "c"}},
        {"choices": "odd"},
        [],
    ):
        outcome.sent += b"data: " + json.dumps(event).encode() + b"\n\n"
    (made,) = lines(ended(outcome))
    assert made["body"]["text"] == {
        "response.output_text.delta": "a",
        "function.name": "f",
        "function.arguments": "{}",
        "text": "b",
        "error": '{"message": "m", "code": "c"}',
    }


def test_stream_lines_are_written_one_by_one_without_secrets() -> None:
    data = (
        b'event: x\r\ndata: {"a": {"api_key": "k"}, "b": "' + SECRET + b'"}\r\n\r\n: ping\n\xff\n'
    )
    made = lines((AT, 0, LINES, ID, FIELDS, data))
    assert [r["line"] for r in made] == [
        "event: x",
        'data: {"a":{"api_key":"[REDACTED]"},"b":"[REDACTED]"}',
        ": ping",
        "\ufffd",
    ]


def test_other_records_carry_their_fields() -> None:
    (made,) = lines(
        (AT, 0, EVENT, "p", ID, {"n": 1, "t": True, "x": None, "s": "a\nb", "l": ["a"]})
    )
    assert {k: made[k] for k in "ntxsl"} == {"n": 1, "t": True, "x": None, "s": "a\nb", "l": ["a"]}
    (long,) = lines((AT, 0, EVENT, "p", ID, {"l": ["word " * 1000] * 100}))
    assert long["omitted"] is True


# ---- how a request ended


class FakeRequest:
    """What `how_ended` looks at."""

    def __init__(self, error: RelayError | None, *, finished: bool, head_sent: bool) -> None:
        self.outcome = Outcome()
        self.outcome.error = error
        self.finished = finished
        self.head_sent = head_sent
        self.interrupted: RelayError | None = None


@pytest.mark.parametrize(
    ("error", "finished", "head_sent", "word"),
    [
        (None, True, True, "ok"),
        (None, False, False, "client_left"),
        (None, False, True, "client_left"),
        (ClientFault("x"), True, True, "bad_request"),
        (ClientFault("x"), False, False, "client_left"),
        (Refused("x", "host"), True, True, "refused"),
        (RelayBug("x"), True, True, "relay_bug"),
        (RelayError("x"), True, True, "failed"),
        (UpstreamFault("x", hop="dns"), True, True, "failed_upstream"),
        (UpstreamFault("x", hop="stream", code="server_error"), True, True, "failed_upstream"),
        (UpstreamFault("x", hop="stream", code="incomplete_stream"), True, True, "cut_by_upstream"),
        (UpstreamFault("x", hop="stream", code="upstream_stalled"), False, True, "cut_by_upstream"),
    ],
)
def test_an_end_has_one_word(
    error: RelayError | None, finished: bool, head_sent: bool, word: str
) -> None:
    request = FakeRequest(error, finished=finished, head_sent=head_sent)
    assert how_ended(request) == word  # type: ignore[arg-type]  # only these attributes are read


def test_a_shutdown_is_told_apart() -> None:
    last_word = RelayError("the relay is shutting down", status=503)
    request = FakeRequest(last_word, finished=True, head_sent=True)
    request.interrupted = last_word
    assert how_ended(request) == "shut_down"  # type: ignore[arg-type]


def test_the_pace_of_a_stream_needs_one_look_at_the_clock_a_read() -> None:
    pace, outcome = Pace(), Outcome()
    pace.note(outcome, 0.0, Answer())
    assert outcome.timings_ms == {}
    for _ in range(3):
        pace.read()
    pace.token()
    token_s = pace.token_s
    pace.read()
    pace.token()
    assert pace.token_s == token_s
    pace.note(outcome, pace.first_s - 1.0, Answer())
    assert outcome.timings_ms["first_byte"] == pytest.approx(1000.0)
    assert set(outcome.timings_ms) == {"first_byte", "first_token", "longest_gap"}
