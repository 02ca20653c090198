"""The stored ChatGPT sign-in as a value: the auth.json format, the claims, and when it is due.

Reads the format of earlier AIRelays releases and the Codex shape of `id_token`; keys that mean nothing here
survive a rewrite. The claims come over verified TLS from the issuer and are used for display and the
account id only, so no signature is checked (OIDC Core section 3.1.3.7).
Owns: what a sign-in is. Refuses to know: files, sockets, the clock. Layer: I/O room, but pure.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from airelays.errors import ConfigError, UpstreamFault
from airelays.hints import hint
from airelays.settings.record import Record

# Each is an error code, `upstream_auth_...`, with a row in airelays/docs/errors.md (tests/commands/test_docs.py).
SignInProblem = Literal[
    "missing", "incomplete", "account_mismatch", "rejected", "refresh_failed", "error"
]

# As the Codex CLI does: five minutes before `exp`, or eight days of age when `exp` cannot be read.
EARLY_S = 300.0
MAX_AGE_S = 8 * 86400.0
MAX_TOKEN_BYTES = 64 * 1024
_NAMESPACE = "https://api.openai.com/auth"
_PROFILE = "https://api.openai.com/profile"


def sign_in_fault(
    kind: SignInProblem, message: str, *, retry_after_s: float | None = None, local: str = ""
) -> UpstreamFault:
    """Return the 503 of a sign-in that cannot be used.

    Never a 401: a client would take that for its own relay token. Only a wait makes a retry worth while.
    """
    return UpstreamFault(
        message,
        local=local,
        hop="sign_in",
        sent=False,
        status=503,
        code=f"upstream_auth_{kind}",
        type="authentication_error",
        headers={"x-airelays-upstream-auth": kind},
        should_retry=None if retry_after_s is not None else False,
        retry_after_s=retry_after_s,
    )


def read_claims(token: str) -> dict[str, Any]:
    """Return the payload of a JWT, unverified; {} for anything that is none."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN_BYTES:
        return {}
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


class SignIn(Record, hidden=("access_token", "refresh_token", "id_token", "document")):
    """One stored sign-in. `last_refresh_s` is Unix time. `document` is the whole file it came from."""

    access_token: str = ""
    refresh_token: str = ""
    id_token: str = ""
    account_id: str = ""
    bound_account_id: str = ""
    last_refresh_s: float | None = None
    expires_s: float | None = None
    email: str = ""
    plan_type: str = ""
    fedramp: bool = False
    document: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def from_tokens(cls, tokens: dict[str, Any], now_s: float) -> SignIn:
        """Return a new sign-in from the token endpoint's answer; ValueError unless all three are there."""
        names = ("id_token", "access_token", "refresh_token")
        if not all(_text(tokens.get(name)) for name in names):
            raise ValueError("the issuer's answer has no token")
        kept = {name: tokens[name] for name in names}
        account_id = _table(read_claims(kept["id_token"]).get(_NAMESPACE)).get("chatgpt_account_id")
        kept["account_id"] = _text(account_id) or None
        document = {
            "bound_account_id": kept["account_id"],
            "tokens": kept,
            "last_refresh": _iso(now_s),
        }
        return cls.from_document(document)

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> SignIn:
        """Return the sign-in in a file's content. Raises ConfigError when that is no sign-in at all."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ConfigError(
                f"{path} is not a stored sign-in (no JSON object); run: {hint('login')}"
            )
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> SignIn:
        """Return the sign-in in a parsed auth.json; missing and mistyped parts are empty."""
        tokens = _table(document.get("tokens"))
        id_token = tokens.get("id_token")
        if isinstance(id_token, dict):
            id_token = id_token.get("raw_jwt")
        access_token = _text(tokens.get("access_token"))
        claims = read_claims(_text(id_token))
        space = _table(claims.get(_NAMESPACE))
        if not space:
            space = _table(read_claims(access_token).get(_NAMESPACE))
        return cls(
            access_token=access_token,
            refresh_token=_text(tokens.get("refresh_token")),
            id_token=_text(id_token),
            account_id=_text(tokens.get("account_id")) or _text(space.get("chatgpt_account_id")),
            bound_account_id=_text(document.get("bound_account_id")),
            last_refresh_s=_from_iso(_text(document.get("last_refresh"))),
            expires_s=_seconds(read_claims(access_token).get("exp")),
            email=_text(claims.get("email")) or _text(_table(claims.get(_PROFILE)).get("email")),
            plan_type=_text(space.get("chatgpt_plan_type")),
            fedramp=space.get("chatgpt_account_is_fedramp") is True,
            document=document,
        )

    def refreshed(self, answer: dict[str, Any], now_s: float) -> SignIn:
        """Return this sign-in with what the issuer sent; a token that is missing there is kept."""
        tokens = {**_table(self.document.get("tokens")), "account_id": self.account_id or None}
        for name in ("id_token", "access_token", "refresh_token"):
            kept = _text(answer.get(name)) or getattr(self, name)
            if kept or name in tokens:
                tokens[name] = kept
        return self.from_document({**self.document, "tokens": tokens, "last_refresh": _iso(now_s)})

    def to_bytes(self) -> bytes:
        """Return the content of auth.json."""
        return json.dumps(dict(self.document), indent=2).encode() + b"\n"

    def due_s(self) -> float:
        """Return the Unix time from which on it should be refreshed."""
        if not self.access_token:
            return 0.0
        if self.expires_s is not None:
            return self.expires_s - EARLY_S
        return 0.0 if self.last_refresh_s is None else self.last_refresh_s + MAX_AGE_S

    def has_expired(self, now_s: float) -> bool:
        """Whether the access token cannot be used any more, as far as can be told from here."""
        return not self.access_token or (self.expires_s is not None and self.expires_s <= now_s)

    def same_tokens(self, other: SignIn) -> bool:
        """Whether both are the same snapshot of the same sign-in."""
        return (self.access_token, self.refresh_token) == (other.access_token, other.refresh_token)

    @property
    def account_bound(self) -> bool:
        """Whether the tokens belong to the account that signed in."""
        if self.bound_account_id:
            return self.account_id == self.bound_account_id
        return bool(self.account_id)

    def describe(self) -> dict[str, Any]:
        """Return the public facts, for `status`; no token."""
        authenticated = bool(self.access_token or self.refresh_token)
        return {
            "authenticated": authenticated,
            "credentials_present": authenticated,
            "account_bound": self.account_bound,
            "ready_for_requests": authenticated and self.account_bound,
            "email": self.email or None,
            "plan_type": self.plan_type or None,
            "account_id": self.account_id or None,
            "bound_account_id": self.bound_account_id or None,
            "last_refresh": None if self.last_refresh_s is None else _iso(self.last_refresh_s),
            "expires_at": None if self.expires_s is None else _iso(self.expires_s),
        }


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def _from_iso(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
