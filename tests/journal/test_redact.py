"""Redaction: no secret in any form comes through; what is needed to find a fault does."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airelays.guard.disguise import encodings
from airelays.guard.redact import (
    LOGGED_FIELDS,
    MAX_SHORT_CHARS,
    MAX_TEXT_CHARS,
    REDACTED,
    Redactor,
    presented_secrets,
)

SECRET = "kV9-3xQ_zT7wLmPq0sYbA2cD4eF6gH8i"

FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda s: s,
    "upper": lambda s: s.upper(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 behind one byte": lambda s: base64.b64encode(b"u" + s.encode()).decode(),
    "base64 as Basic": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "base64 amid others": lambda s: base64.b64encode(f"ab{s}xyz".encode()).decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(f"?{s}?>".encode()).decode().rstrip("="),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "percent": lambda s: quote(s, safe=""),
    "percent all": lambda s: "".join(f"%{b:02X}" for b in s.encode()),
    "percent twice": lambda s: quote("".join(f"%{b:02x}" for b in s.encode()), safe=""),
    "json escapes": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "json in json": lambda s: json.dumps(json.dumps({"k": s})),
    "half escaped": lambda s: s[:5] + f"\\x{ord(s[5]):02x}" + s[6:],
    "spaces between": lambda s: s[:10] + "\n " + s[10:],
}


def traces(secret: str) -> list[str]:
    """What must not be found, in lower case."""
    raw = secret.encode()
    return [
        secret.lower(),
        raw.hex(),
        base64.b64encode(raw).decode().lower()[:-4],
        quote(secret, safe="").lower(),
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", ["{}", "a {} b", "x={}&y", '{{"k":"{}"}}', "{}{}"])
def test_a_known_secret_is_cut_out_in_every_form(form: str, around: str) -> None:
    hidden = FORMS[form](SECRET)
    shown = Redactor([SECRET.encode()]).text(around.replace("{}", hidden))
    assert REDACTED in shown
    assert hidden.lower() not in shown.lower()
    for trace in traces(SECRET):
        assert trace not in shown.lower()


_SECRETS = st.text(string.ascii_letters + string.digits + "-_/+=.~!$*", min_size=12, max_size=80)


@settings(max_examples=200, deadline=None)
@example(secret="00000000000=", form="json in json", before="", after="", key="text")
@example(secret="0000&0000=00", form="plain", before="", after="", key="text")
@given(
    secret=_SECRETS,
    form=st.sampled_from(sorted(set(FORMS) - {"half escaped", "spaces between"})),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    key=st.sampled_from(["text", "content", "note", "name", "messages"]),
)
def test_random_secrets_in_random_places_never_come_through(
    secret: str, form: str, before: str, after: str, key: str
) -> None:
    hidden = FORMS[form](secret)
    redactor = Redactor([secret.encode()])
    tree = {key: [{"a": before + hidden + after}, hidden], hidden: 1, "n": {"deep": {"x": hidden}}}
    for shown in (
        redactor.text(before + hidden + after),
        redactor.short(before + hidden + after),
        json.dumps(redactor.value(tree)),
        redactor.query(f"limit={hidden}&{hidden}&x={hidden}&{hidden}=1"),
        redactor.fields(((b"user-agent", hidden.encode()), (b"x-other", hidden.encode()))),
    ):
        assert secret.lower() not in shown.lower()
        assert secret.encode().hex() not in shown.lower()
        assert hidden.lower() not in shown.lower()


def test_ordinary_texts_stay_as_they_are() -> None:
    redactor = Redactor([SECRET.encode()])
    for text in (
        "OpenAI/Python 2.3.0",
        "/v1/responses/resp_0123456789abcdef0123456789abcdef",
        "/v1/chat/completions",
        "gpt-5.5-codex-mini-2026-01-31",
        "accounts/fireworks/models/llama-v3p1-405b-instruct",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        "the upstream sent no complete response head within 120 s",
        "req_0123456789abcdef0123456789abcdef",
        "123e4567-e89b-12d3-a456-426614174000",
        "messages[3].content[0].image_url: not a URL",
    ):
        assert redactor.short(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh",
        "bearer\tx",
        "Basic dXNlcjpwYXNzd29yZA==",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "sk-proj-abcdefgh12345678",
        "key=sk-abcdefgh",
        "ghp_0123456789abcdefghij",
        "http://user:hunter22@proxy.example:3128",
    ],
)
def test_what_looks_like_a_credential_is_cut_out(text: str) -> None:
    shown = Redactor().text(text)
    assert REDACTED in shown
    for part in ("abcdefgh", "dXNlcjp", "eyJ", "hunter22", "0123456789"):
        assert part not in shown


def test_short_texts_lose_runs_that_look_random() -> None:
    redactor = Redactor()
    assert redactor.short("/v1/AbC123xyz987AbC123xyz987") == f"/v1/{REDACTED}"
    assert redactor.short("agent/1.0 (dGhpcyBpcyBhIHNlY3JldCBvZiAxMiBieXRlcw)").endswith(
        f"{REDACTED})"
    )


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_short_texts_are_bounded(extra: int) -> None:
    shown = Redactor().short("word " * ((MAX_SHORT_CHARS + extra) // 5) + "x" * 0)
    assert len(shown) <= MAX_SHORT_CHARS + 3
    plain = "a b" * ((MAX_SHORT_CHARS + extra) // 3)
    assert Redactor().short(plain) == plain or len(plain) > MAX_SHORT_CHARS


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_long_contents_are_shortened(extra: int) -> None:
    text = "a " * (MAX_TEXT_CHARS // 2 - 1) + "b" * (2 + extra)
    shown = Redactor().value(text)
    assert shown == text if extra <= 0 else shown.endswith("...[1 more characters]")


# ---- parts of a request


def test_header_values_are_written_by_allow_list_only() -> None:
    fields = (
        (b"host", b"127.0.0.1:8080"),
        (b"user-agent", b"curl/8"),
        (b"x-api-key", b"k"),
        (b"x-stainless-os", b"Linux"),
    )
    shown = json.loads(Redactor().fields(fields))
    assert shown == {
        "host": "127.0.0.1:8080",
        "user-agent": "curl/8",
        "x-api-key": REDACTED,
        "x-stainless-os": REDACTED,
    }
    assert {name for name, value in shown.items() if value != REDACTED} <= {
        n.decode() for n in LOGGED_FIELDS
    }


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ""),
        ("limit=20&after=file_1", "limit=20&after=file_1"),
        ("token=abc&limit=2", f"token={REDACTED}&limit=2"),
        ("bare", REDACTED),
        ("refresh", "refresh"),
        ("a=b=c", f"a={REDACTED}"),
    ],
)
def test_query_values_are_written_by_allow_list_only(query: str, shown: str) -> None:
    assert Redactor().query(query) == shown


def test_values_under_secret_names_are_cut_out_at_any_depth() -> None:
    tree = {
        "max_tokens": 5,
        "usage": {"input_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}},
        "api_key": "x",
        "client-secret": ["a", {"b": "c"}],
        "Password": 12345,
        "nested": [{"refresh_token": "r", "ok": "fine", "token": None}],
        "max_output_tokens": "text",
        "code": "oauth-code",
        "error": {"message": "m", "code": "rate_limit"},
        "file_data": "data",
        "image_url": "data:image/png;base64," + "A" * 400,
    }
    assert Redactor().value(tree) == {
        "max_tokens": 5,
        "usage": {"input_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}},
        "api_key": REDACTED,
        "client-secret": REDACTED,
        "Password": REDACTED,
        "nested": [{"refresh_token": REDACTED, "ok": "fine", "token": None}],
        "max_output_tokens": REDACTED,
        "code": REDACTED,
        "error": {"message": "m", "code": "rate_limit"},
        "file_data": REDACTED,
        "image_url": "data:image/png;base64,[300 bytes]",
    }


def test_depth_and_length_of_json_are_bounded() -> None:
    deep: object = "x"
    for _ in range(200):
        deep = [deep]
    assert REDACTED in json.dumps(Redactor().value(deep))
    assert len(Redactor().value(list(range(5000)))) == 1001


def test_control_characters_are_escaped_in_literals() -> None:
    shown = Redactor().literal('a\n{"phase":"forged"}\x1b[2J\u2028\ud800')
    assert shown.isascii() and "\n" not in shown and "\x1b" not in shown
    json.loads(shown)


def test_what_a_request_presents_becomes_a_secret_of_its_own() -> None:
    fields = (
        (b"authorization", b"Bearer wrong-token-0123"),
        (b"cookie", b"session=cookie-value-1; theme=dark"),
        (b"x-api-key", b"another-key-9"),
        (b"user-agent", b"tool/1"),
    )
    found = presented_secrets(fields)
    assert {b"wrong-token-0123", b"cookie-value-1", b"another-key-9"} <= set(found)
    assert b"Bearer" not in found and b"tool/1" not in found
    redactor = Redactor([b"known-before"]).extended(found)
    assert redactor.text("cookie-value-1 another-key-9 known-before") == " ".join([REDACTED] * 3)
    assert redactor.extended([b"known-before"]) is redactor


def test_the_last_look_sees_a_secret_in_an_encoded_line() -> None:
    redactor = Redactor([SECRET.encode()])
    assert redactor.is_clean(b'{"a":"b"}\n')
    assert not redactor.is_clean(b'{"a":"' + SECRET.upper().encode() + b'"}\n')


def test_a_secret_that_is_no_text_is_found_too() -> None:
    redactor = Redactor([b"\xff\xfe-binary-secret-\x80"])
    assert REDACTED in redactor.text("x" + b"\xff\xfe-binary-secret-\x80".decode("latin-1"))
    assert REDACTED in redactor.text(b"\xff\xfe-binary-secret-\x80".hex())


@pytest.mark.parametrize(("secret", "cut"), [(b"abc", False), (b"abcd", True)])
def test_shorter_secrets_than_four_bytes_are_words(secret: bytes, cut: bool) -> None:
    assert (REDACTED in Redactor([secret]).text(f"x {secret.decode()} y")) is cut


def test_a_redactor_does_not_show_what_it_knows() -> None:
    assert SECRET not in repr(Redactor([SECRET.encode()]))
    assert encodings(SECRET.encode())[0] == SECRET.lower().encode()
