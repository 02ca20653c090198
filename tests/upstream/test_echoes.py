"""An upstream that echoes credentials in an error: none reaches a client, in any form, shape or dialect."""

from __future__ import annotations

import base64
import functools
import html
import json
import quopri
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.chunks import CompletionStream
from airelays.dialects.stream.collect import Collector
from airelays.dialects.stream.passed import PassedChunks, PassedEvents
from airelays.dialects.stream.told import TOLD_BYTES, tell_answer
from airelays.dialects.translated import ReplyOptions
from airelays.errors import UpstreamFault, error_body
from airelays.guard.redact import MAX_SAID_CHARS, MAX_TOLD_CHARS, REDACTED, Redactor
from airelays.model import ResponseHead
from airelays.net.request import error_fields
from airelays.upstream.chatgpt import faults
from airelays.upstream.compatible import refusal

SECRET = "kV9-3xQ_zT7wLmPq0sYbA2cD4eF6gH8i"

# Every secret that a relay holds, by what it is.
SECRETS = {
    "relay token": "rt-" + SECRET,
    "upstream key": "mykey/" + SECRET + "+x=",
    "access token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjE5OTk5OTk5OTl9." + SECRET,
    "refresh token": "refresh." + SECRET[::-1],
    "proxy password": "p@ss & w<o>rd/" + SECRET[:8],
    "cookie": "session-" + SECRET[4:20],
}


def _b64(text: str, before: str) -> str:
    return base64.b64encode((before + text + "~").encode()).decode()


def _wrapped(text: str, width: int, between: str) -> str:
    return between.join(text[i : i + width] for i in range(0, len(text), width))


FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda s: s,
    "percent": lambda s: quote(s, safe=""),
    "percent all": lambda s: "".join(f"%{b:02x}" for b in s.encode()),
    "percent twice": lambda s: quote("".join(f"%{b:02x}" for b in s.encode()), safe=""),
    "base64 at 0": lambda s: _b64(s, ""),
    "base64 at 1": lambda s: _b64(s, "u"),
    "base64 at 2": lambda s: _b64(s, "u:"),
    "base64 in lines": lambda s: _wrapped(_b64(s, "uu:"), 12, "\n"),
    "base64url": lambda s: base64.urlsafe_b64encode(f"?{s}>".encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "json": lambda s: json.dumps(s),
    "json escapes": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "json in json": lambda s: json.dumps(json.dumps({"k": "".join(f"\\u{ord(c):04x}" for c in s)})),
    "quoted-printable": lambda s: quopri.encodestring(s.encode(), quotetabs=True).decode(),
    "quoted-printable all": lambda s: "".join(f"={b:02X}" for b in s.encode()),
    "quoted-printable in lines": lambda s: _wrapped(s, 7, "=\n"),
    "html": lambda s: html.escape(s),
    "html decimal": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "html hex": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "html names": lambda s: (
        s.replace("+", "&plus;").replace("_", "&lowbar;").replace("=", "&equals;")
    ),
    "percent in html": lambda s: html.escape("".join(f"%{b:02x}" for b in s.encode())),
}
CASES: dict[str, Callable[[str], str]] = {"as it is": str, "upper": str.upper, "lower": str.lower}


def hidden_forms(secret: str) -> list[tuple[str, str]]:
    """Return every form of `secret` in every case, each once."""
    made: dict[str, str] = {}
    for name, form in FORMS.items():
        for case, turn in CASES.items():
            made.setdefault(turn(form(secret)), f"{name}, {case}")
    return [(name, hidden) for hidden, name in made.items()]


@functools.cache
def the_redactor(*more: str) -> Redactor:
    return Redactor([s.encode() for s in (*SECRETS.values(), *more)])


def head(status: int, *fields: tuple[bytes, bytes]) -> ResponseHead:
    return ResponseHead(status, tuple(fields), None, False, False)


# ---- the shapes of an error: what an upstream sends -> all that a client gets of it


def _error(text: str) -> dict[str, Any]:
    return {
        "message": f"no: {text}",
        "type": text,
        "code": text,
        "param": text,
        "seen": {text: [text]},
    }


def _answer(fault: UpstreamFault) -> bytes:
    fields = [name + b": " + value for name, value in error_fields(fault)]
    return b"\n".join([*fields, error_body(fault)])


def _refused(body: bytes, kind: bytes, text: str) -> bytes:
    fields = (
        (b"content-type", kind),
        (b"x-request-id", text.encode("ascii", "replace")),
        (b"x-ratelimit-key", text.encode("ascii", "replace")),
        (b"x-codex-plan", text.encode("ascii", "replace")),
        (b"cf-ray", text.encode("ascii", "replace")),
    )
    out = b""
    for status in (400, 401, 429):
        seen = head(status, *fields)
        out += _answer(refusal.Refused(seen, body, the_redactor()).fault("local"))
        for codex in (False, True):
            out += _answer(faults.Refusal(seen, body, the_redactor()).fault(now_s=0.0, codex=codex))
    return out


def http_json(text: str) -> bytes:
    out = _refused(json.dumps({"error": _error(text)}).encode(), b"application/json", text)
    out += _refused(json.dumps({"error": text}).encode(), b"application/json", text)
    out += _refused(json.dumps({"detail": text}).encode(), b"application/json", text)
    return out + _refused(json.dumps({"detail": _error(text)}).encode(), b"application/json", text)


def http_plain(text: str) -> bytes:
    return _refused(f"Bad key {text}\nsecond line".encode(), b"text/plain", text)


def http_html(text: str) -> bytes:
    page = f"<html><title>cloudflare {text}</title><p>{text}</html>".encode()
    return _refused(page, b"text/html", text)


def fields_of_success(text: str) -> bytes:
    value = text.encode("ascii", "replace")
    seen = head(
        200, (b"x-request-id", value), (b"x-codex-turn-state", value), (b"openai-model", value)
    )
    kept = (
        *refusal.passed_fields(seen, the_redactor()),
        *faults.passed_fields(seen, the_redactor()),
    )
    return b"\n".join(value for _, value in kept)


def _maps() -> list[Any]:
    options = ReplyOptions(model="m", stream=True)
    made: list[Any] = [
        ResponsesStream(options, codex=codex, now_s=0.0, reply_id="r", fast=fast)
        for codex in (False, True)
        for fast in (False, True)
    ]
    made += [kind(options, now_s=0.0, reply_id="r") for kind in (ChatStream, CompletionStream)]
    made.append(Collector(now_s=0.0, reply_id="r", model="m"))
    for one in made:
        one.redactor = the_redactor
    return made


CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"output_index":0,"delta":"Hi"}\n\n'
)


def _stream(*events: dict[str, Any], name: str = "") -> bytes:
    """Return what every dialect makes of a stream that fails, at its beginning and amid text."""
    raw = b"".join(
        f"event: {name or event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events
    )
    out = b""
    for begun in (CREATED, CREATED + DELTA):
        for reply in _maps():
            out += reply.feed(begun) + reply.feed(raw) + reply.end()
            if reply.failure is not None:
                out += _answer(reply.failure) + reply.fail(reply.failure)
            elif isinstance(reply, Collector):
                out += json.dumps(reply.result()).encode()
    return out


def event_error(text: str) -> bytes:
    return _stream({**_error(text), "type": "error"}) + _stream(
        {"type": "error", "error": _error(text)}
    )


def response_failed(text: str) -> bytes:
    response = {"id": "r", "status": "failed", "error": _error(text), "instructions": text}
    return _stream({"type": "response.failed", "response": response})


def error_of_an_item(text: str) -> bytes:
    item = {"type": "mcp_call", "id": "m", "error": {"message": text}, "output": "fine"}
    response = {"id": "r", "status": "completed", "output": [item], "error": {"message": text}}
    return _stream(
        {"type": "response.mcp_call.failed", "output_index": 0, "why": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    )


def event_of_another_name(text: str) -> bytes:
    name = "".join(c for c in text if c not in "\r\n")
    return _stream({"type": "response.failed", "response": {"error": _error(text)}}, name=name)


CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'


def _chunks(*frames: bytes) -> bytes:
    out = b""
    for begun in (b"", CHUNK):
        for kind in (PassedChunks, PassedEvents):
            for joined in (True, False):
                reply = kind(model="m")
                reply.redactor = the_redactor
                out += reply.feed(begun)
                for part in [b"".join(frames)] if joined else frames:
                    out += reply.feed(part)
                out += reply.end()
                if reply.failure is not None:
                    out += _answer(reply.failure) + reply.fail(reply.failure)
    return out


def _data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def error_in_band(text: str) -> bytes:
    out = _chunks(_data({"error": _error(text)}), CHUNK)
    out += _chunks(_data({"error": text}), CHUNK)
    out += _chunks(_data({"object": "error", **_error(text)}))
    out += _chunks(b"event: error\n" + _data(_error(text)))
    out += _chunks(_data({"choices": [{"index": 0, "delta": {}, "error": _error(text)}]}))
    return out + _chunks(json.dumps({"error": _error(text)}, indent=1).encode())


def error_that_is_no_json(text: str) -> bytes:
    line = "".join(c for c in text if c not in "\r\n")
    out = _chunks(b"event: error\ndata: key " + line.encode() + b"\n\n")
    out += _chunks(f"data: Error: {line}\n\n".encode(), CHUNK)
    out += _chunks(f'data: {{"error": {{"message": "{line}\n\n'.encode(), CHUNK)
    out += _chunks(f": went wrong: {line}\n\n".encode(), CHUNK)
    return out + _chunks(f"Traceback\n  {text}\nKeyError: {line}\n\n".encode(), CHUNK)


def whole_answer(text: str) -> bytes:
    out = b""
    for value in (
        {"error": _error(text)},
        {"error": text},
        {"object": "error", **_error(text)},
        {"object": "response", "status": "failed", "output": [], "error": _error(text)},
        {"output": [{"type": "mcp_call", "error": _error(text)}]},
        {"choices": [{"index": 0, "error": _error(text)}]},
    ):
        try:
            out += json.dumps(tell_answer(value, the_redactor())).encode()
        except UpstreamFault as fault:
            out += _answer(fault)
    return out


SHAPES: list[Callable[[str], bytes]] = [
    http_json, http_plain, http_html, fields_of_success, event_error, response_failed, error_of_an_item,
    event_of_another_name, error_in_band, error_that_is_no_json, whole_answer,
]  # fmt: skip


def said_by(out: bytes) -> list[str]:
    """Return what a reader could make of `out`: as it is, and with the JSON escapes of its own undone."""
    text = out.decode("utf-8", "replace").lower()
    return [text, text.replace("\\\\", "\\"), text.replace('\\"', '"').replace("\\n", "\n")]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("what", SECRETS)
def test_no_secret_in_any_form_gets_through_an_error(
    shape: Callable[[str], bytes], what: str
) -> None:
    for name, hidden in hidden_forms(SECRETS[what]):
        for said in said_by(shape(f"key {hidden} is wrong")):
            assert hidden.lower() not in said, name
            assert SECRETS[what].lower() not in said, name


_SECRETS = st.text(string.ascii_letters + string.digits + "-_/+=.~!$*&%<", min_size=12, max_size=80)


@settings(max_examples=150, deadline=None)
@given(
    secret=_SECRETS,
    form=st.sampled_from(sorted(FORMS)),
    case=st.sampled_from(sorted(CASES)),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
@example(secret="a=41bcdefghijk", form="json escapes", case="upper", before="", after="")
@example(secret="a&lt;b%41cdefgh", form="html", case="as it is", before="", after="")
def test_random_secrets_never_get_into_what_is_said_of_an_error(
    secret: str, form: str, case: str, before: str, after: str
) -> None:
    hidden = CASES[case](FORMS[form](secret))
    redactor = the_redactor(secret)
    told = json.dumps(redactor.told({"a": [before + hidden + after], hidden: {"b": hidden}}))
    for shown in (redactor.said(before + hidden + after), *said_by(told.encode())):
        assert hidden.lower() not in shown.lower()
        assert secret.lower() not in shown.lower()


# ---- split over two events


@pytest.mark.parametrize("form", ["plain", "base64 at 1", "hex", "percent all", "json escapes",
                                  "quoted-printable all", "html hex"])  # fmt: skip
@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_that_is_split_over_two_texts_cannot_be_put_together(form: str, what: str) -> None:
    secret = SECRETS[what]
    hidden = FORMS[form](secret)
    redactor = the_redactor()
    for at in range(1, len(hidden)):
        first, second = (
            redactor.said("bad key " + hidden[:at]),
            redactor.said(hidden[at:] + " given"),
        )
        kept = first.removeprefix("bad key ").removesuffix(REDACTED)
        kept += second.removesuffix(" given").removeprefix(REDACTED)
        # What is left of a torn secret is less than two pieces too short to be known.
        assert hidden.lower() not in (first + second).lower()
        assert len(kept) <= 2 * max(16, len(hidden) // 4 + 8), (first, second)


def test_two_failures_are_one_error_for_the_client_without_the_halves() -> None:
    secret = SECRETS["upstream key"]
    for at in range(6, len(secret) - 6):
        left, right = secret[:at], secret[at:]
        out = _stream(
            {"type": "error", "message": f"key {left}"},
            {"type": "response.failed", "response": {"error": {"message": f"{right} is wrong"}}},
        )
        out += _chunks(
            _data({"error": {"message": f"key {left}"}}), _data({"error": {"message": right}})
        )
        text = out.decode().lower()
        assert secret.lower() not in text
        # The longer half is cut out wherever it stands.
        assert max(left, right, key=len).lower() not in text


def test_the_second_half_after_text_of_the_model_is_cut_out() -> None:
    secret = SECRETS["relay token"]
    delta = json.dumps(
        {"type": "response.output_text.delta", "output_index": 0, "delta": secret[:16]}
    )
    raw = f"event: response.output_text.delta\ndata: {delta}\n\n".encode()
    error = {"type": "error", "message": secret[16:] + " was sent", "code": "x"}
    for reply in _maps():
        out = reply.feed(CREATED + raw + b"data: " + json.dumps(error).encode() + b"\n\n")
        out += reply.fail(reply.failure or the_fault())
        assert secret[16:] not in out.decode()


# ---- what stays as it is


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "Rate limit reached for gpt-5.5 in organization org-abc on tokens per min. Try again in 2.3s.",
        "Invalid value: 'lo%w'. Supported values are: 'a&b', 'x=1' and \\u00e9.",
        "50% of A&amp;B = 3D",
    ],
)
def test_ordinary_errors_stay_as_they_are(text: str) -> None:
    redactor = the_redactor()
    error = {"message": text, "type": "invalid_request_error", "param": "input[0]", "n": 123456.75}
    assert redactor.told({"error": error, "ok": [True, None, 1, 10**20]}) == {
        "error": error, "ok": [True, None, 1, 10**20]
    }  # fmt: skip
    reply = PassedChunks(model="m")
    reply.redactor = the_redactor
    assert reply.feed(CHUNK + _data({"error": error})) == CHUNK
    said = json.loads(reply.fail(reply.failure or the_fault()).removeprefix(b"data: "))
    assert said == {"error": {**error, "code": None}}
    event = {"type": "response.failed", "response": {"id": "r", "error": error, "tools": []}}
    raw = f"event: response.failed\ndata: {json.dumps(event)}\n\n".encode()
    responses = ResponsesStream(
        ReplyOptions(model="m", stream=True), codex=False, now_s=0.0, reply_id="r"
    )
    responses.redactor = the_redactor
    responses.feed(CREATED + DELTA + raw)
    assert responses.fail(responses.failure or the_fault()) == raw, "byte for byte"


def the_fault() -> UpstreamFault:
    raise AssertionError("the stream did not fail")


def test_the_redactor_is_asked_for_failures_only() -> None:
    def never() -> Redactor:
        raise AssertionError("an ordinary event was looked through")

    usage = _data({"choices": [], "usage": {"prompt_tokens": 1}})
    for kind in (PassedChunks, PassedEvents):
        reply = kind(model="m")
        reply.redactor = never
        frames = (
            CHUNK + _data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + usage
        )
        assert reply.feed(frames) == frames
    for one in _maps():
        one.redactor = never
        one.feed(CREATED + DELTA + DELTA)
        one.feed(b'data: {"type":"response.completed","response":{"error":null,"output":[]}}\n\n')
        assert one.terminal == "completed"


# ---- bounds


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_secret_at_the_end_of_what_is_looked_through(extra: int) -> None:
    redactor = Redactor([SECRET.encode()])
    for back in range(0, 6 * len(SECRET), 5):
        text = "x" * (MAX_SAID_CHARS - back + extra) + FORMS["json escapes"](SECRET)
        shown = redactor.said(text)
        assert "\\u00" not in shown
    assert redactor.said("a" * (MAX_SAID_CHARS + min(extra, 0))) == "a" * (
        MAX_SAID_CHARS + min(extra, 0)
    )


def test_a_huge_error_object_costs_no_more_than_its_bound() -> None:
    told = the_redactor().told([["word"] * 900 for _ in range(900)])
    kept = sum(text == "word" for row in told if isinstance(row, list) for text in row)
    assert 0 < kept <= MAX_TOLD_CHARS // 64


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_long_failed_response_goes_on_without_its_copy_of_the_request(extra: int) -> None:
    response = {"id": "r", "instructions": "", "error": {"message": "m", "code": "c"}}
    event = {"type": "response.failed", "response": response}
    response["instructions"] = "i" * (TOLD_BYTES - len(json.dumps(event)) + extra)
    reply = ResponsesStream(
        ReplyOptions(model="m", stream=True), codex=False, now_s=0.0, reply_id="r"
    )
    reply.feed(CREATED + DELTA)
    reply.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    out = reply.fail(reply.failure or the_fault())
    assert (b"iiii" in out) is (extra <= 0)
    assert b'"message"' in out


def test_numbers_and_names_are_looked_at_too() -> None:
    redactor = Redactor([b"4815162342108"])
    assert redactor.told({"4815162342108": 4815162342108}) == {REDACTED: REDACTED}


def test_what_is_told_can_always_be_written_as_json() -> None:
    frame = b'data: {"error":{"message":"m","n":NaN,"m":[-Infinity]}}\n\n'
    reply = PassedChunks(model="m")
    reply.feed(CHUNK + frame)
    said = reply.fail(reply.failure or the_fault()).removeprefix(b"data: ")
    assert json.loads(said, parse_constant=pytest.fail)["error"]["n"] == "nan"
    refused = refusal.Refused(head(400), frame.removeprefix(b"data: "), the_redactor())
    assert json.loads(error_body(refused.fault("x")), parse_constant=pytest.fail)


@pytest.mark.parametrize("depth", [10, 100, 400, 900, 990, 5000])
def test_an_error_that_nests_deeply_is_still_one_error(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for value in (b'{"error":%s}', b'{"error":{"message":"m"},"x":%s}', b'{"x":%s,"error":null}'):
        frame = b"data: " + value % deep + b"\n\n"
        for reply in (PassedChunks(model="m"), *_maps()):
            reply.feed(CREATED + DELTA if not isinstance(reply, PassedChunks) else CHUNK)
            reply.feed(frame)
            reply.end()
            json.loads(error_body(reply.failure or the_fault()))
        kinds = (head(400), (value % deep), the_redactor())
        json.loads(error_body(refusal.Refused(*kinds).fault("x")))
        json.loads(error_body(faults.Refusal(*kinds).fault(now_s=0.0, codex=False)))
