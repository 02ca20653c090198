"""Lines on requests, refusals and troubles: they fit, hold no control character, and sum up what repeats."""

from __future__ import annotations

import re

import pytest

from airelays.app.happenings import BLOCK, NOTICE, REFUSED, REQUEST, SIGN_IN, UPSTREAM, Happening
from airelays.app.records import from_record
from airelays.terminal.happening import (
    MAX_KINDS,
    Failures,
    Repeats,
    count_text,
    heads,
    lines_of,
    short_time,
)
from airelays.terminal.layout import width

AT_S = 1_800_000_000.0
ID = "req_" + "0a" * 16
HOSTILE = "x\x1b[2J\x07\u202e\u200b\n<b>\x9b31m" + "y" * 300
DONE = Happening(
    REQUEST,
    AT_S,
    state="ok",
    id=ID,
    client="127.0.0.1",
    method="POST",
    path="/v1/responses",
    route="responses",
    program="codex_cli_rs",
    model="gpt-5.5",
    status=200,
    first_ms=840.0,
    took_ms=12_340.0,
    input_tokens=12_345,
    output_tokens=678,
)
REFUSAL = Happening(
    REFUSED,
    AT_S,
    "auth_failed",
    id=ID,
    client="10.0.0.9",
    method="GET",
    path="/v1/models",
    status=401,
)
HOSTILES = [
    DONE._replace(program=HOSTILE, model=HOSTILE, state="failed", code=HOSTILE, client=HOSTILE),
    DONE._replace(program="模型" * 90, model="é\u0301" * 90),
    REFUSAL._replace(path=HOSTILE, client=HOSTILE, state=HOSTILE),
    Happening(NOTICE, AT_S, text=HOSTILE),
    Happening(UPSTREAM, AT_S, "fallback", upstream=HOSTILE, model=HOSTILE, code=HOSTILE),
    Happening(BLOCK, AT_S, "blocked", client=HOSTILE, seconds=900.0),
    Happening(SIGN_IN, float("nan"), "failing", HOSTILE),
]


@pytest.mark.parametrize("columns", [40, 60, 71, 72, 80, 99, 100, 120, 140, 200])
def test_every_line_fits_and_is_printable(columns: int) -> None:
    for one in [DONE, REFUSAL, *HOSTILES]:
        lines = lines_of(one, columns)
        assert all(width(line) <= columns and line.isprintable() for line in lines), one
        if one.kind in (REQUEST, REFUSED):
            assert len(lines) == 1
    assert width(heads(columns)) <= columns


def test_a_line_says_what_the_request_was_and_took() -> None:
    words = {
        60: ["codex_cl..", "gpt-5.5", "200", "840 ms", "678", "12.3 s"],
        80: ["codex_cli_rs", "gpt-5.5", "200", "840 ms", "678", "12.3 s"],
        120: ["codex_cli_rs", "gpt-5.5", "200", "840 ms", "12,345", "678", "12.3 s", ID[:12]],
        160: ["codex_cli_rs", "gpt-5.5", "200", "840 ms", "12,345", "678", "12.3 s", ID],
    }
    for columns, parts in words.items():
        (line,) = lines_of(DONE, columns)
        assert re.fullmatch(r"\d\d:\d\d:\d\d +" + " +".join(map(re.escape, parts)), line)


def test_a_key_is_named_before_the_program_and_an_address_where_it_is_not_this_machine() -> None:
    (line,) = lines_of(DONE._replace(key="laptop", client="10.0.0.9"), 120)
    assert " laptop@10.0.0.9 " in line and "codex" not in line


def test_a_failure_says_why() -> None:
    failed = DONE._replace(state="failed_upstream", status=503, code="upstream_unreachable")
    assert " 503  upstream_unreachable " in lines_of(failed, 100)[0]
    assert " 200  client_left " in lines_of(DONE._replace(state="client_left"), 100)[0]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, ""), (0.4, "<1 ms"), (999.4, "999 ms"), (1000, "1.0 s"), (99_900, "99.9 s"),
        (100_000, "100 s"), (9_999_000, "9999 s"), (11_000_000, "3 h"), (1e15, "999 h"),
    ],
)  # fmt: skip
def test_durations_take_six_columns(ms: float | None, text: str) -> None:
    assert short_time(ms) == text and len(text) <= 6


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, ""),
        (0, "0"),
        (99_999, "99,999"),
        (100_000, "100 k"),
        (12_345_678, "12 M"),
        (10**13, "many"),
    ],
)
def test_counts_take_six_columns(count: int | None, text: str) -> None:
    assert count_text(count) == text and len(text) <= 6


def test_what_repeats_is_shown_once_and_counted() -> None:
    repeats = Repeats(10.0)
    assert repeats.next_s() is None
    assert [repeats.is_new(REFUSAL, now_s) for now_s in (0.0, 1.0, 2.0)] == [True, False, False]
    assert repeats.is_new(REFUSAL._replace(client="10.0.0.10"), 2.0)
    assert repeats.is_new(DONE, 2.0) and repeats.is_new(DONE, 2.0)
    assert repeats.next_s() == 10.0 and repeats.due(9.9) == []
    assert repeats.due(10.0) == [(REFUSAL, 2)]
    skipped = Happening(UPSTREAM, AT_S, "skipped", upstream="a")
    assert repeats.is_new(skipped, 10.0) and repeats.is_new(skipped, 10.0)
    # It goes on: the next ones are counted too, until there was none for a whole window.
    assert not repeats.is_new(REFUSAL, 15.0)
    assert repeats.due(20.0) == [(REFUSAL, 1)]
    assert repeats.due(30.0) == [] and repeats.next_s() is None
    assert repeats.is_new(REFUSAL, 31.0)


def test_refusals_of_many_addresses_are_not_all_shown() -> None:
    repeats = Repeats(10.0)
    shown = [
        repeats.is_new(REFUSAL._replace(client=f"10.0.{n // 256}.{n % 256}"), 0.0)
        for n in range(3 * MAX_KINDS)
    ]
    assert sum(shown) == MAX_KINDS + 1
    assert repeats.due(10.0) == [(REFUSAL._replace(client="10.0.2.255"), 2 * MAX_KINDS - 1)]


def test_failures_are_told_of_when_they_repeat() -> None:
    failures = Failures()
    failures.add(REFUSAL)
    assert failures.take() is None
    for _ in range(3):
        failures.add(DONE._replace(state="failed_upstream", code="upstream_unreachable"))
    failures.add(REFUSAL)
    told = failures.take()
    assert told is not None and told.text.startswith(
        "4 requests failed in the last minute: 3 upstream_unreachable, 1 refused: auth_failed ("
    )
    assert failures.take() is None


def test_a_record_of_the_log_says_what_was_told_when_it_happened() -> None:
    record = {
        "phase": "outbound_response",
        "request_id": ID,
        "status_code": 200,
        "outcome": "ok",
        "method": "POST",
        "route": "responses",
        "client_ip": "127.0.0.1",
        "program": "codex_cli_rs",
        "model": "gpt-5.5",
        "usage": {"input_tokens": 12_345, "output_tokens": 678},
        "timings_ms": {"first_token": 840.0, "total": 12_340.0},
    }
    assert from_record(record, AT_S) == DONE._replace(path="")
    odd = {"phase": "outbound_response", "usage": 5, "timings_ms": "x", "status_code": [1]}
    found = from_record(odd, None)
    assert found is not None and lines_of(found, 80)[0].startswith("--:--:--")
    for phase in ("inbound_request", "upstream_response", "upstream_stream_line", "new", None, [1]):
        assert from_record({"phase": phase}, AT_S) is None
