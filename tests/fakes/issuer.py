"""The sign-in service as the backend's fake plays it: single-use refresh tokens, device codes, revocation."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.http import Cut, Hang, Reply, Seen, json_reply

ACCOUNT = "11111111-2222-4333-8444-555555555555"
CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"


def jwt(claims: dict[str, Any]) -> str:
    """Return an unsigned token with these claims."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    coded = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*coded, "c2ln"))


class IssuerState:
    """What the issuer knows. Switches:

    refresh_fault   "" | "expired" | "reused" | "invalidated" | "invalid_grant" | "400" | "401" | "500" |
                    "cut" (rotates, answers nothing) | "hang" (rotates, answers nothing, stays)
    omit            token names left out of answers (live servers may)
    expires_in_s    life of access tokens
    pause           step name -> asyncio.Event waited for there: "refresh" (before rotating), "rotated"
    device_pending  how many polls say 403; device_answer: "" | "declined" | "expired" | "500" | "slow_down"
    device_off      404 on the start
    """

    # The server that it belongs to puts its own in.
    wait_for: Callable[[Callable[[], bool]], Awaitable[None]]

    def __init__(self) -> None:
        self.url = ""
        self.account_id = ACCOUNT
        self.email = "someone@example.test"
        self.expires_in_s = 864_000.0
        self.refresh_fault = ""
        self.omit: set[str] = set()
        self.pause: dict[str, asyncio.Event] = {}
        self.device_pending = 0
        self.device_answer = ""
        self.device_off = False
        self.refresh_calls = 0
        self.revoked: list[dict[str, Any]] = []
        self.codes: dict[str, tuple[str, str]] = {}
        self.used: set[str] = set()
        self.valid_access: set[str] = set()
        self.refresh_token = ""
        self.count = 0
        self.device_verifier = "device-verifier-" + "v" * 43
        self.issue()

    # --- what a test asks ----------------------------------------------------------------------------------

    def issue(self) -> dict[str, Any]:
        """Rotate: a new set of tokens; the refresh token before it is used up."""
        self.count += 1
        if self.refresh_token:
            self.used.add(self.refresh_token)
        self.refresh_token = f"rt_fake_{self.count}"
        now = time.time()
        space = {
            "chatgpt_account_id": self.account_id,
            "chatgpt_plan_type": "plus",
            "chatgpt_user_id": "user-FAKE",
            "chatgpt_account_is_fedramp": False,
        }
        access = jwt(
            {"exp": now + self.expires_in_s, "n": self.count, "https://api.openai.com/auth": space}
        )
        self.valid_access.add(access)
        claims = {"iss": "fake", "sub": "auth0|fake", "email": self.email, "n": self.count}
        return {
            "id_token": jwt({**claims, "https://api.openai.com/auth": space}),
            "access_token": access,
            "refresh_token": self.refresh_token,
        }

    def auth_json(self, **changes: Any) -> dict[str, Any]:
        """Return a document for auth.json with freshly issued tokens."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        tokens = {**self.issue(), "account_id": self.account_id}
        return {
            "bound_account_id": self.account_id,
            "tokens": tokens,
            "last_refresh": stamp,
            **changes,
        }

    def expire_access(self) -> None:
        """From now on every access token issued so far is answered 401."""
        self.valid_access.clear()

    def authorize(self, code: str, challenge: str, redirect_uri: str) -> None:
        """Let `code` be exchanged by whoever knows the verifier of `challenge`."""
        self.codes[code] = challenge, redirect_uri

    # --- routes --------------------------------------------------------------------------------------------

    async def handle(self, seen: Seen) -> Reply | None:
        """Answer an issuer route, or return None."""
        if seen.path == "/oauth/token":
            if (seen.get("content-type") or "").startswith("application/json"):
                return await self._refresh(seen.json)
            return self._exchange(dict(parse_qsl(seen.body.decode(), strict_parsing=True)))
        if seen.path == "/oauth/revoke":
            self.revoked.append(seen.json)
            return json_reply({})
        if seen.path == "/api/accounts/deviceauth/usercode":
            return self._device_start(seen.json)
        if seen.path == "/api/accounts/deviceauth/token":
            return self._device_poll(seen.json)
        return None

    async def _wait(self, step: str) -> None:
        if step in self.pause:
            await self.pause[step].wait()

    async def _refresh(self, body: dict[str, Any]) -> Reply:
        self.refresh_calls += 1
        await self._wait("refresh")
        wanted = {"client_id", "grant_type", "refresh_token", "refresh_reason"}
        if (
            set(body) != wanted
            or body["grant_type"] != "refresh_token"
            or body["client_id"] != CLIENT_ID
        ):
            return json_reply({"error": {"code": "invalid_request"}}, 400)
        if self.refresh_fault in ("expired", "reused", "invalidated"):
            return refused("refresh_token_" + self.refresh_fault)
        if self.refresh_fault == "invalid_grant":
            return json_reply({"error": "invalid_grant", "error_description": "no"}, 400)
        if self.refresh_fault in ("400", "401", "500"):
            return json_reply({"error": {"code": "odd"}}, int(self.refresh_fault))
        if body["refresh_token"] in self.used:
            return refused("refresh_token_reused")
        if body["refresh_token"] != self.refresh_token:
            return refused("refresh_token_invalidated")
        tokens = self.issue()
        await self._wait("rotated")
        if self.refresh_fault == "cut":
            raise Cut
        if self.refresh_fault == "hang":
            raise Hang
        return json_reply(
            {**{k: v for k, v in tokens.items() if k not in self.omit}, "expires_in": 864000}
        )

    def _exchange(self, form: dict[str, Any]) -> Reply:
        challenge, redirect_uri = self.codes.pop(form.get("code", ""), ("", ""))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        good = (
            form.get("grant_type") == "authorization_code"
            and form.get("client_id") == CLIENT_ID
            and form.get("redirect_uri") == redirect_uri
            and urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        )
        return json_reply(self.issue()) if good else json_reply({"error": "invalid_grant"}, 400)

    def _device_start(self, body: dict[str, Any]) -> Reply:
        if self.device_off or body != {"client_id": CLIENT_ID}:
            return json_reply({"error": "not_found"}, 404)
        return json_reply(
            {"device_auth_id": "deviceauth_fake", "user_code": "ABCD-12345", "interval": "0"}
        )

    def _device_poll(self, body: dict[str, Any]) -> Reply:
        if body != {"device_auth_id": "deviceauth_fake", "user_code": "ABCD-12345"}:
            return json_reply({"error": "bad"}, 400)
        if self.device_pending > 0:
            self.device_pending -= 1
            return json_reply({"error": {"code": "deviceauth_authorization_unknown"}}, 403)
        faults = {
            "declined": ("access_denied", 400),
            "expired": ("expired_token", 400),
            "500": ("odd", 500),
        }
        if self.device_answer in faults:
            code, status = faults[self.device_answer]
            return json_reply({"error": {"code": code}}, status)
        verifier = self.device_verifier
        challenge = (
            urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        )
        self.codes["ac_device"] = challenge, f"{self.url}/deviceauth/callback"
        return json_reply(
            {
                "authorization_code": "ac_device",
                "code_verifier": verifier,
                "code_challenge": challenge,
            }
        )


def refused(code: str) -> Reply:
    """The shape of a refused refresh."""
    error = {"message": "Fake: no.", "type": "invalid_request_error", "param": None, "code": code}
    return json_reply({"error": error}, 401 if code.endswith("expired") else 400)
