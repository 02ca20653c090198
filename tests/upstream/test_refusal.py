"""upstream.compatible.refusal: the server's words, and how long it asks to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.guard.redact import Redactor
from airelays.model import ResponseHead
from airelays.upstream.compatible.refusal import Refused, wait_s

SECRET = b"sEcReT-0123456789"


def head(status: int = 500, **fields: str) -> ResponseHead:
    shown = tuple((k.replace("_", "-").encode(), v.encode()) for k, v in fields.items())
    return ResponseHead(status, shown, None, True, True)


def said(kind: str, body: bytes) -> str:
    return Refused(head(content_type=kind), body, Redactor([SECRET])).message


PAGE = b"<html><head><title>502 Bad\n  Gateway &amp; more</title></head><body>secrets</body></html>"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("text/plain", b"no room\nmore", "no room"),
        ("", b"no room", "no room"),
        ("text/html", b"no room", "no room"),
        ("application/json", b"Internal Server Error", "Internal Server Error"),
        ("text/html; charset=utf-8", PAGE, "502 Bad Gateway & more"),
        ("", PAGE, "502 Bad Gateway & more"),
        ("text/html", b"<h1>no title</h1>", ""),
        ("text/html", b"<title>&lt;script&gt;x</title>", ""),
        ("text/html", b"<title>key " + SECRET + b"</title>", "key [REDACTED]"),
        ("text/html", b" " * 100_000 + b"<title>too far</title>", ""),
        ("application/octet-stream", b"no room", ""),
        ("application/json", b'{"error": {"message": "cut off', ""),
        ("text/plain", b"\xff\xfe", ""),
    ],
)
def test_words_that_are_not_json(kind: str, body: bytes, message: str) -> None:
    assert said(kind, body) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs"}]},
            "stream_options: Extra inputs",
        ),
        ({"object": "error", "message": "m", "type": "t", "code": 400}, "m"),
        ([{"error": {"message": "m"}}], "m"),
        ({"detail": [{"loc": ["body"], "msg": SECRET.decode()}]}, "body: [REDACTED]"),
    ],
)
def test_words_in_json(value: Any, message: str) -> None:
    fault = Refused(head(422), json.dumps(value).encode(), Redactor([SECRET])).fault("x")
    assert (fault.status, fault.message) == (422, message)


def test_halves_of_a_secret_do_not_meet_in_a_joined_message() -> None:
    half = len(SECRET) // 2
    parts = [{"loc": ["body"], "msg": part.decode()} for part in (SECRET[:half], SECRET[half:])]
    found = said("application/json", json.dumps({"detail": parts}).encode())
    assert SECRET[:half].decode() not in found and SECRET[half:].decode() not in found


def test_a_200_with_an_error_is_a_fault_with_its_words() -> None:
    body = json.dumps({"error": {"message": "too many", "code": 429}}).encode()
    fault = Refused(head(200), body, Redactor()).fault("x")
    assert (fault.status, fault.message) == (429, "too many")


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:50:07 GMT"


@pytest.mark.parametrize(
    ("fields", "wait"),
    [
        ({"retry_after": "30"}, 30.0),
        ({"retry_after": LATER, "date": DATE}, 30.0),
        ({"retry_after": DATE, "date": LATER}, 0.0),
        ({"retry_after": LATER}, 7.0),
        ({"retry_after": "Sunday, 06-Nov-94 08:50:07 GMT", "date": DATE}, 30.0),
        ({"retry_after": "Sun Nov  6 08:50:07 1994", "date": DATE}, 30.0),
        ({"retry_after": "Sun, 06 Nov 9999 08:50:07 GMT", "date": DATE}, 30 * 86400.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "9" * 30}, None),
        ({}, None),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(fields: dict[str, str], wait: float | None) -> None:
    assert wait_s(head(429, **fields), now_s=784111800.0) == wait


def test_a_wait_that_litellm_hides_behind_a_prefix_is_found() -> None:
    wait = (b"llm_provider-retry-after", b"7")
    assert wait_s(ResponseHead(429, (wait,), None, True, True), now_s=0.0) == 7.0
    date, later = (
        (b"llm_provider-date", DATE.encode()),
        (b"llm_provider-retry-after", LATER.encode()),
    )
    assert wait_s(ResponseHead(429, (date, later), None, True, True), now_s=0.0) == 30.0
    own = (b"retry-after", b"3")
    assert wait_s(ResponseHead(429, (wait, own), None, True, True), now_s=0.0) == 3.0
