"""The issuer's endpoints: authorize, token, revoke, device codes (RFC 6749, 7636, 8628, 7009).

Owns: what is sent to the issuer and how its refusals are told apart. No code, verifier or token gets into
an error text. Refuses to know: where tokens are kept, when to refresh. Layer: I/O.
"""

from __future__ import annotations

import json
from typing import Any

from airelays.errors import UpstreamFault
from airelays.hints import hint
from airelays.model import Fields
from airelays.net.client import Client
from airelays.settings.record import Record

CALLBACK_PATH = "/auth/callback"
# The issuer knows this value together with the client id; another one fails at the consent page.
ORIGINATOR = "codex_cli_rs"
SCOPE = "openid profile email offline_access"
CALL_S = 30.0
REVOKE_S = 10.0
MAX_ANSWER_BYTES = 256 * 1024
_FORM: Fields = (
    (b"accept", b"application/json"),
    (b"content-type", b"application/x-www-form-urlencoded"),
)
_JSON: Fields = ((b"accept", b"application/json"), (b"content-type", b"application/json"))
_PERMANENT = frozenset(
    ("refresh_token_expired", "refresh_token_reused", "refresh_token_invalidated")
)


class TokenRefused(Exception):
    """The issuer refused. `permanent`: the same token will never work again. The text holds no secret."""

    def __init__(
        self, message: str, *, status: int, code: str = "", permanent: bool = False
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.code, self.permanent = message, status, code, permanent


class SlowDown(Exception):
    """The issuer wants the device code polled less often (RFC 8628 section 3.5: 5 s more)."""


class Pkce(Record, hidden=("verifier", "state")):
    """One attempt's verifier, its S256 challenge, and the state; from `make`, with 64 and 32 random bytes."""

    verifier: str
    challenge: str
    state: str

    @classmethod
    def make(cls, random: bytes) -> Pkce:
        """Return the values for 96 random bytes."""
        import hashlib
        from base64 import urlsafe_b64encode

        if len(random) != 96:
            raise ValueError("96 random bytes are needed")
        verifier = urlsafe_b64encode(random[:64]).rstrip(b"=")
        challenge = urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=")
        state = urlsafe_b64encode(random[64:]).rstrip(b"=")
        return cls(verifier.decode(), challenge.decode(), state.decode())


class DeviceCode(Record, hidden=("device_auth_id",)):
    """A started device sign-in; the user types `user_code` at `page`."""

    device_auth_id: str
    user_code: str
    page: str
    interval_s: float


def authorize_url(
    issuer: str, client_id: str, redirect_uri: str, pkce: Pkce, workspace_id: str = ""
) -> str:
    """Return the page where the user consents. Blanks are %20: that form is known to work."""
    pairs = [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("scope", SCOPE),
        ("code_challenge", pkce.challenge),
        ("code_challenge_method", "S256"),
        ("id_token_add_organizations", "true"),
        ("codex_cli_simplified_flow", "true"),
        ("state", pkce.state),
        ("originator", ORIGINATOR),
    ]
    if workspace_id:
        pairs.append(("allowed_workspace_id", workspace_id))
    from urllib.parse import quote, urlencode

    return f"{issuer}/oauth/authorize?{urlencode(pairs, quote_via=quote)}"


class Issuer:
    """The issuer at `base_url`, spoken to through `client` as `client_id`."""

    def __init__(self, client: Client, base_url: str, client_id: str, user_agent: str) -> None:
        self._client = client
        self.base_url = base_url.rstrip("/")
        self.client_id = client_id
        self._agent: Fields = ((b"user-agent", user_agent.encode()),)

    async def exchange_code(self, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """Return the tokens for an authorization code. Raises TokenRefused or UpstreamFault."""
        form = [
            ("grant_type", "authorization_code"),
            ("client_id", self.client_id),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ]
        from urllib.parse import urlencode

        data, secrets = urlencode(form).encode(), (code, verifier)
        status, body = await self._post("/oauth/token", _FORM, data, secrets)
        return _tokens(status, body, "the sign-in code")

    async def refresh(self, refresh_token: str, reason: str) -> dict[str, Any]:
        """Return the tokens for a refresh token, which is used up by this. Raises as exchange_code."""
        request = {
            "client_id": self.client_id,
            "grant_type": "refresh_token",
            "refresh_reason": reason,
            "refresh_token": refresh_token,
        }
        extra: Fields = ((b"originator", ORIGINATOR.encode()), *_JSON)
        data, secrets = json.dumps(request).encode(), (refresh_token,)
        status, body = await self._post("/oauth/token", extra, data, secrets)
        return _tokens(status, body, "the refresh token")

    async def revoke(self, token: str, kind: str) -> bool:
        """Ask for a token to be made useless; return whether the issuer said yes. `kind` as RFC 7009."""
        request = {"token": token, "token_type_hint": kind}
        if kind == "refresh_token":
            request["client_id"] = self.client_id
        data = json.dumps(request).encode()
        status, _ = await self._post("/oauth/revoke", _JSON, data, within_s=REVOKE_S)
        return 200 <= status < 300

    async def start_device(self) -> DeviceCode:
        """Begin a device sign-in. Raises TokenRefused, with status 404 when that is switched off."""
        data = json.dumps({"client_id": self.client_id}).encode()
        status, body = await self._post("/api/accounts/deviceauth/usercode", _JSON, data)
        if status == 404:
            raise TokenRefused(
                "the issuer offers no device sign-in for this client or account", status=404
            )
        if status >= 300:
            raise _refusal(status, body, "the request for a device code")
        device_auth_id, user_code = (
            body.get("device_auth_id"),
            body.get("user_code") or body.get("usercode"),
        )
        if not isinstance(device_auth_id, str) or not isinstance(user_code, str):
            raise TokenRefused("the issuer's answer has no device code", status=status)
        page = f"{self.base_url}/codex/device"
        return DeviceCode(
            device_auth_id, _printable(user_code, 40), page, _interval_s(body.get("interval"))
        )

    async def poll_device(self, device: DeviceCode) -> dict[str, Any] | None:
        """Return the tokens once the user has agreed, None while that is open.

        Raises TokenRefused when the user said no or the code has run out, and SlowDown.
        """
        request = {"device_auth_id": device.device_auth_id, "user_code": device.user_code}
        data = json.dumps(request).encode()
        secrets = (device.device_auth_id,)
        status, body = await self._post("/api/accounts/deviceauth/token", _JSON, data, secrets)
        code = _error_code(body)
        if code in ("access_denied", "authorization_declined"):
            raise TokenRefused("the sign-in was declined in the browser", status=status, code=code)
        if code in ("expired_token", "code_expired", "device_code_expired"):
            text = f"the device code has expired; run: {hint('login --device')}"
            raise TokenRefused(text, status=status, code=code)
        if code == "slow_down":
            raise SlowDown
        if status in (403, 404) or code == "authorization_pending":
            return None
        if status >= 300:
            raise _refusal(status, body, "the device code")
        grant, verifier = body.get("authorization_code"), body.get("code_verifier")
        if not isinstance(grant, str) or not isinstance(verifier, str):
            raise TokenRefused(
                "the issuer's answer to the device code has no authorization code", status=status
            )
        return await self.exchange_code(grant, f"{self.base_url}/deviceauth/callback", verifier)

    async def _post(
        self,
        path: str,
        extra: Fields,
        data: bytes,
        secrets: tuple[str, ...] = (),
        *,
        within_s: float = CALL_S,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON object of the answer; of a refusal without the `secrets` that were sent."""
        response = await self._client.request(
            method="POST",
            url=self.base_url + path,
            fields=self._agent,
            extra=extra,
            body=data,
            head_s=within_s,
            gap_s=within_s,
        )
        raw = await response.read(MAX_ANSWER_BYTES, within_s=within_s)
        if 300 <= response.status < 400:
            raise UpstreamFault(
                f"the issuer answered with a redirect ({response.status}), and redirects are not followed;"
                " check upstream.issuer_base_url",
                hop="sign_in",
            )
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = {}
        if not isinstance(body, dict):
            body = {}
        if response.status >= 300 and body:
            from airelays.guard.redact import Redactor

            body = Redactor(secret.encode() for secret in secrets).told(body)
        return response.status, body


def _tokens(status: int, body: dict[str, Any], what: str) -> dict[str, Any]:
    if status >= 300:
        raise _refusal(status, body, what)
    if not isinstance(body.get("access_token"), str):
        raise TokenRefused(f"the issuer's answer to {what} has no access token", status=status)
    return body


def _refusal(status: int, body: dict[str, Any], what: str) -> TokenRefused:
    """Classify a refusal: permanent for the three token codes, 401, and 400 invalid_grant."""
    code = _error_code(body)
    permanent = 400 <= status < 500 and (
        code in _PERMANENT or status == 401 or (status == 400 and code == "invalid_grant")
    )
    said = f"{status} {code}" if code else str(status)
    return TokenRefused(
        f"the issuer refused {what} ({said})", status=status, code=code, permanent=permanent
    )


def _error_code(body: dict[str, Any]) -> str:
    error = body.get("error")
    found = error.get("code") if isinstance(error, dict) else error
    if not isinstance(found, str):
        found = body.get("code")
    return _printable(found, 64) if isinstance(found, str) else ""


def _printable(text: str, limit: int) -> str:
    """Return `text` without anything that could move a terminal, cut to `limit`."""
    return "".join(c for c in text[:limit] if c.isascii() and (c.isalnum() or c in "_-.:"))


def _interval_s(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) else 5.0
    except ValueError:
        seconds = 5.0
    return min(max(seconds, 0.05), 60.0) if seconds == seconds else 5.0
