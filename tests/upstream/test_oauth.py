"""The issuer's endpoints: what is sent, how refusals are told apart, what a sign-in holds."""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from airelays.net.client import Client
from airelays.upstream.chatgpt.oauth import Issuer, Pkce, SlowDown, TokenRefused, authorize_url
from airelays.upstream.chatgpt.signin import SignIn, read_claims
from tests.fakes.backend import SAMPLES, FakeBackend
from tests.fakes.http import FakeServer, Reply, Seen, json_reply
from tests.fakes.issuer import ACCOUNT, CLIENT_ID, jwt

T = TypeVar("T")
Act = Callable[[Issuer], Awaitable[T]]
PKCE = Pkce.make(bytes(range(96)))


def test_pkce_is_s256_over_64_bytes_with_a_state_of_32() -> None:
    assert len(PKCE.verifier) == 86 and len(PKCE.state) == 43
    digest = hashlib.sha256(PKCE.verifier.encode()).digest()
    assert PKCE.challenge == urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert PKCE.verifier not in repr(PKCE) and PKCE.state not in repr(PKCE)


def test_authorize_url_has_the_parameters_in_order() -> None:
    url = authorize_url(
        "https://auth.example", CLIENT_ID, "http://localhost:1455/auth/callback", PKCE
    )
    assert url.startswith("https://auth.example/oauth/authorize?") and "+" not in url
    assert parse_qsl(urlsplit(url).query) == [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", "http://localhost:1455/auth/callback"),
        ("scope", "openid profile email offline_access"),
        ("code_challenge", PKCE.challenge),
        ("code_challenge_method", "S256"),
        ("id_token_add_organizations", "true"),
        ("codex_cli_simplified_flow", "true"),
        ("state", PKCE.state),
        ("originator", "codex_cli_rs"),
    ]
    forced = authorize_url("https://auth.example", CLIENT_ID, "http://x", PKCE, "ws 1")
    assert parse_qsl(urlsplit(forced).query)[-1] == ("allowed_workspace_id", "ws 1")


class Canned(FakeServer):
    """Answers everything with one reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply

    async def handle(self, seen: Seen) -> Reply:
        return self.reply


def against(reply: Reply, act: Act[T]) -> Any:
    """Run `act(issuer)` against an issuer that always answers `reply`; return (result, requests)."""

    async def main() -> Any:
        async with asyncio.timeout(10), Canned(reply) as server:
            client = Client([server.url])
            try:
                return await act(
                    Issuer(client, server.url, CLIENT_ID, "airelays/test")
                ), server.requests
            finally:
                await client.close()

    return asyncio.run(main())


def refusal(reply: Reply, act: Act[T]) -> Any:
    async def expect(issuer: Issuer) -> Any:
        with pytest.raises(TokenRefused) as caught:
            await act(issuer)
        return caught.value

    return against(reply, expect)[0]


def refresh(issuer: Issuer) -> Any:
    return issuer.refresh("rt_secret", "proactive_expiry")


def test_refresh_sends_exactly_four_fields_as_json() -> None:
    _, requests = against(json_reply({"access_token": "a"}), refresh)
    assert (
        requests[0].path == "/oauth/token" and requests[0].get("content-type") == "application/json"
    )
    assert requests[0].get("originator") == "codex_cli_rs"
    assert requests[0].json == {
        "client_id": CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_reason": "proactive_expiry",
        "refresh_token": "rt_secret",
    }


def test_code_exchange_is_a_form() -> None:
    act = lambda issuer: issuer.exchange_code("c/1", "http://localhost:1455/auth/callback", "v")  # noqa: E731
    _, requests = against(json_reply({"access_token": "a"}), act)
    assert parse_qsl(requests[0].body.decode()) == [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_ID),
        ("code", "c/1"),
        ("redirect_uri", "http://localhost:1455/auth/callback"),
        ("code_verifier", "v"),
    ]


@pytest.mark.parametrize(
    ("status", "body", "permanent", "code"),
    [
        (400, {"error": {"code": "refresh_token_expired"}}, True, "refresh_token_expired"),
        (401, {"error": {"code": "refresh_token_reused"}}, True, "refresh_token_reused"),
        (403, {"error": {"code": "refresh_token_invalidated"}}, True, "refresh_token_invalidated"),
        (400, {"code": "refresh_token_reused"}, True, "refresh_token_reused"),
        (401, {}, True, ""),
        (401, {"error": "odd"}, True, "odd"),
        (400, {"error": "invalid_grant"}, True, "invalid_grant"),
        (400, {"error": "invalid_request"}, False, "invalid_request"),
        (403, {"error": "invalid_grant"}, False, "invalid_grant"),
        (429, {}, False, ""),
        (500, {"error": {"code": "refresh_token_reused"}}, False, "refresh_token_reused"),
        (503, {}, False, ""),
    ],
)
def test_refusals_are_told_apart(
    status: int, body: dict[str, Any], permanent: bool, code: str
) -> None:
    found = refusal(json_reply(body, status), refresh)
    assert (found.permanent, found.code, found.status) == (permanent, code, status)


@pytest.mark.parametrize(
    "reply",
    [
        json_reply(
            {"error": {"code": "rt_secret\x1b[31m" + "x" * 500, "message": "rt_secret"}}, 400
        ),
        Reply(500, b"<html>rt_secret</html>"),
        Reply(200, b"[]"),
        Reply(200, b"\xff"),
        json_reply({"access_token": 5}),
    ],
)
def test_refusal_text_is_bounded_printable_and_repeats_no_free_text(reply: Reply) -> None:
    message = refusal(reply, refresh).message
    assert (
        message.isprintable()
        and len(message) < 200
        and "<" not in message
        and "\x1b" not in message
    )


def test_an_error_that_echoes_the_token_does_not_show_it() -> None:
    for hidden in ("rt_secret", "RT_SECRET", b"rt_secret".hex(), "72745f73656372"):
        for said in ({"error": hidden}, {"error": {"code": f"bad:{hidden}"}}, {"code": hidden}):
            found = refusal(json_reply(said, 400), refresh)
            assert hidden.lower() not in (found.message + found.code).lower()


def test_redirect_of_the_issuer_is_not_followed() -> None:
    from airelays.errors import UpstreamFault

    async def act(issuer: Issuer) -> None:
        with pytest.raises(UpstreamFault, match="not followed"):
            await refresh(issuer)

    _, requests = against(Reply(307, b"", {"location": "/elsewhere"}), act)
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("body", "interval_s"),
    [
        ({"interval": "5"}, 5.0),
        ({"interval": 7}, 7.0),
        ({}, 5.0),
        ({"interval": "x"}, 5.0),
        ({"interval": "nan"}, 5.0),
        ({"interval": "100000"}, 60.0),
        ({"interval": "-1"}, 0.05),
    ],
)
def test_device_interval_is_read_and_bounded(body: dict[str, Any], interval_s: float) -> None:
    reply = json_reply({"device_auth_id": "d", "usercode": "AB\x1b[2J-CD", **body})
    device, requests = against(reply, lambda issuer: issuer.start_device())
    assert device.interval_s == interval_s and device.user_code == "AB2J-CD"
    assert device.page.endswith("/codex/device") and requests[0].json == {"client_id": CLIENT_ID}


def test_device_sign_in_that_is_switched_off_says_so() -> None:
    found = refusal(json_reply({}, 404), lambda issuer: issuer.start_device())
    assert "no device sign-in" in found.message


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, {}, None),
        (404, {}, None),
        (400, {"error": "authorization_pending"}, None),
        (400, {"error": "slow_down"}, SlowDown),
        (400, {"error": "access_denied"}, TokenRefused),
        (400, {"error": {"code": "expired_token"}}, TokenRefused),
        (403, {"error": "access_denied"}, TokenRefused),
        (500, {}, TokenRefused),
        (200, {"authorization_code": "a"}, TokenRefused),
    ],
)
def test_device_poll_is_pending_slow_or_over(
    status: int, body: dict[str, Any], expected: type[Exception] | None
) -> None:
    from airelays.upstream.chatgpt.oauth import DeviceCode

    device = DeviceCode("d", "u", "page", 1.0)

    async def act(issuer: Issuer) -> Any:
        if expected is None:
            return await issuer.poll_device(device)
        with pytest.raises(expected):
            await issuer.poll_device(device)
        return None

    assert against(json_reply(body, status), act)[0] is None


def test_whole_device_flow_and_revocation_against_the_fake() -> None:
    async def main() -> Any:
        async with asyncio.timeout(10), FakeBackend() as backend:
            client = Client([backend.url])
            issuer = Issuer(client, backend.url, CLIENT_ID, "airelays/test")
            backend.issuer.device_pending = 2
            device = await issuer.start_device()
            found = [await issuer.poll_device(device) for _ in range(3)]
            assert found[:2] == [None, None] and found[2] is not None
            assert found[2]["refresh_token"] == backend.issuer.refresh_token
            assert await issuer.revoke("rt", "refresh_token") and await issuer.revoke(
                "at", "access_token"
            )
            await client.close()
            return backend.issuer.revoked

    assert asyncio.run(main()) == [
        {"token": "rt", "token_type_hint": "refresh_token", "client_id": CLIENT_ID},
        {"token": "at", "token_type_hint": "access_token"},
    ]


# --- what a sign-in holds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d",
        "a.!!.c",
        "a." + urlsafe_b64encode(b"[1]").decode() + ".c",
        "x." + "A" * 70_000 + ".y",
    ],
)
def test_token_that_is_no_jwt_has_no_claims(token: str) -> None:
    assert read_claims(token) == {}


@pytest.mark.parametrize(("size", "good"), [(65_000, True), (66_000, False)])
def test_a_token_is_bounded(size: int, good: bool) -> None:
    token = jwt({"email": "a@b"})
    token += "x" * (size - len(token))
    assert read_claims(token) == ({"email": "a@b"} if good else {})


def test_an_answer_of_the_issuer_is_bounded() -> None:
    from airelays.errors import UpstreamFault

    async def act(issuer: Issuer) -> None:
        with pytest.raises(UpstreamFault, match="larger than 262,144 bytes"):
            await refresh(issuer)

    against(Reply(200, b'{"access_token": "' + b"x" * 300_000 + b'"}'), act)


def test_claims_of_the_sample_are_read() -> None:
    claims = json.loads((SAMPLES / "55_id_token_claims.json").read_bytes())
    tokens = {
        "id_token": jwt(claims),
        "access_token": jwt({"exp": 1790003600}),
        "refresh_token": "r",
    }
    sign_in = SignIn.from_tokens(tokens, 1_790_000_000.0)
    assert (sign_in.email, sign_in.plan_type, sign_in.account_id) == (
        "someone@example.test",
        "plus",
        ACCOUNT,
    )
    assert sign_in.account_bound and sign_in.bound_account_id == ACCOUNT and not sign_in.fedramp
    assert (sign_in.expires_s, sign_in.due_s()) == (1790003600.0, 1790003300.0)
    again = SignIn.from_bytes(sign_in.to_bytes(), "x")
    assert again == sign_in and again.last_refresh_s == 1_790_000_000.0


def test_sample_auth_file_is_read() -> None:
    sign_in = SignIn.from_bytes((SAMPLES / "58_auth_json.json").read_bytes(), "x")
    assert sign_in.refresh_token == "rt_synthetic_1" and sign_in.account_id == ACCOUNT
    assert (
        sign_in.account_bound
        and sign_in.expires_s is None
        and sign_in.last_refresh_s == 1795424400.0
    )


def test_email_of_the_profile_claim_is_the_second_choice() -> None:
    claims = {"https://api.openai.com/profile": {"email": "p@example.test"}}
    assert SignIn.from_document({"tokens": {"id_token": jwt(claims)}}).email == "p@example.test"


@pytest.mark.parametrize(
    "document",
    [
        {"tokens": 5},
        {"tokens": {"access_token": 5, "id_token": [], "account_id": {}}, "last_refresh": 7},
        {},
    ],
)
def test_odd_documents_are_empty_sign_ins(document: dict[str, Any]) -> None:
    sign_in = SignIn.from_document(document)
    assert sign_in.describe()["authenticated"] is False and sign_in.due_s() == 0.0
