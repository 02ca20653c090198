"""The ChatGPT subscription behind the `Upstream` interface: Responses calls, images, catalogue, usage.

One retry of its own at most for each cause, and only before a byte was handed on: a refresh after a 401, each
parameter that the model does not take, encrypted content of another account, a broken connection.
`retry_attempts` adds waits and tries for overload. Owns: the life of one call. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airelays.dialects.chat_server.messages import without_sealed
from airelays.dialects.responses.request import DEFAULT_INSTRUCTIONS
from airelays.dialects.takes import Takes
from airelays.errors import ConfigError, UpstreamFault
from airelays.guard.redact import Redactor
from airelays.hints import hint
from airelays.model import Call, Fields, ResponseHead
from airelays.net.client import Client
from airelays.net.response import Response
from airelays.settings.values import Settings
from airelays.upstream.base import NetworkAnswer, Place, Upstream
from airelays.upstream.chatgpt import resets
from airelays.upstream.chatgpt.body import TAKES, drop_encrypted, prepare, session_id
from airelays.upstream.chatgpt.calls import (
    USER_AGENT,
    AccountCalls,
    account_fields,
    may_reconnect,
    read_refusal,
)
from airelays.upstream.chatgpt.catalogue import CLIENT_VERSION, Catalogue, Fetched
from airelays.upstream.chatgpt.faults import Refusal, passed_fields
from airelays.upstream.chatgpt.oauth import Issuer
from airelays.upstream.chatgpt.signin import SignIn
from airelays.upstream.chatgpt.store import SignInStore
from airelays.upstream.chatgpt.tokens import Tokens, rejected
from airelays.upstream.chatgpt.usage import limits_from_fields, shape_usage
from airelays.upstream.encoding import encode

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MODELS_S = 5.0
USAGE_S = 15.0
REDEEM_S = 60.0
USAGE_TTL_S = 60.0
# A parameter that was refused may be taken tomorrow.
REFUSED_S = 86_400.0
MAX_REFUSED_MODELS = 256
# How many parameters of one request are left out after a refusal each.
MAX_NARROWED = 4
_SAFE_SESSION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_SESSION = (b"session-id", b"thread-id")


def make_tokens(settings: Settings, warn: Callable[[str], None] | None = None) -> Tokens:
    """Return the Tokens of these settings. A refresh opens its own connections, in its own loop."""
    store = SignInStore(settings.data_dir, settings.auth_storage, warn=warn)

    async def ask(refresh_token: str, reason: str) -> dict[str, Any]:
        client = Client.for_settings([settings.issuer_base_url], settings)
        try:
            issuer = Issuer(client, settings.issuer_base_url, settings.client_id, USER_AGENT)
            return await issuer.refresh(refresh_token, reason)
        finally:
            await client.close()

    return Tokens(store, ask)


@dataclass(slots=True)
class _Try:
    """What one call has used up of its second chances."""

    sent: dict[str, Any]
    ignored: tuple[str, ...]
    extra: Fields
    refreshed: bool = False
    narrowed: int = 0
    unsealed: bool = False
    reconnected: bool = False
    again: int = 0


class ChatGPTUpstream(Upstream):
    """The user's own ChatGPT sign-in. `client` and `tokens` are made from the settings unless given."""

    kind = "chatgpt"
    knows_its_models = True
    offers = frozenset({"image", "resets", "usage"})

    def __init__(
        self,
        settings: Settings,
        *,
        name: str = "chatgpt",
        client: Client | None = None,
        tokens: Tokens | None = None,
        warn: Callable[[str], None] | None = None,
        redactor: Callable[[], Redactor] | None = None,
    ) -> None:
        """`redactor` returns what takes secrets out of errors; without it the sign-in's own are taken out."""
        self.name = name
        self.settings = settings
        self.tokens = make_tokens(settings, warn) if tokens is None else tokens
        self._base = settings.upstream_base_url.rstrip("/")
        self._account_base = self._base.removesuffix("/codex")
        self.client = Client.for_settings([self._base], settings) if client is None else client
        version = settings.client_version
        self.redactor = redactor or (lambda: Redactor(self.secrets()))
        self._calls = AccountCalls(self.client, self.tokens, self.redactor)
        self._version = CLIENT_VERSION if version in ("", "auto") else version
        self.catalogue = Catalogue(
            self._fetch_models,
            ttl_s=settings.models_cache_ttl_seconds,
            path=f"{settings.data_dir}/models.json" if settings.data_dir else "",
            identity=f"{self._base} {self._version}",
        )
        self._responses_url = f"{self._base}/responses"
        self._fields: tuple[SignIn, Fields] | None = None
        self._refused: dict[str, dict[str, float]] = {}
        self._limits: ResponseHead | None = None
        self._usage: tuple[float, SignIn, dict[str, Any]] | None = None
        self._usage_lock = asyncio.Lock()

    # --- the interface of upstream.base ----------------------------------------------------------------

    def takes(self, model: str) -> Takes:
        """Return the backend's allow-list without what it refused for `model`, for a day."""
        refused = self._refused_by(model)
        return TAKES._replace(refused=frozenset(refused)) if refused else TAKES

    async def respond(self, body: dict[str, Any], call: Call) -> NetworkAnswer:
        """Send one Responses request and return when its head said 200. Raises UpstreamFault."""
        body, without = without_sealed(body)
        sent = prepare(body, codex=call.codex)
        work = _Try(sent, (without,) if without else (), self._name_session(sent, call))
        while True:
            sign_in = await self.tokens.current()
            payload = await encode(work.sent)
            try:
                response = await self.client.request(
                    method="POST",
                    url=self._responses_url,
                    fields=self._stream_fields(sign_in),
                    extra=work.extra,
                    body=payload,
                )
            except UpstreamFault as fault:
                await self._after_fault(fault, work)
                continue
            if response.status == 200:
                self._note_head(response.head)
                fields = passed_fields(response.head, self.redactor())
                return NetworkAnswer(response, fields, work.ignored)
            await self._after_refusal(response, work, sign_in, call)

    async def models(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """Return the catalogue; see Catalogue.models."""
        return await self.catalogue.models(refresh=refresh)

    async def models_for_request(self, *, patient: bool) -> list[dict[str, Any]] | None:
        """Return the catalogue; see Catalogue.for_request. None while this release's table stands in for it."""
        found = await self.catalogue.for_request(patient=patient)
        return found if self.catalogue.certain else None

    @property
    def catalogue_certain(self) -> bool:
        """Whether `models` comes from the upstream; False while it is the table of this release."""
        return self.catalogue.certain

    async def status(self) -> dict[str, Any]:
        """Return the facts of sign-in, catalogue and last seen limits; no network, no secret."""
        facts = await asyncio.to_thread(self.tokens.describe)
        limits = {} if self._limits is None else limits_from_fields(self._shown(self._limits))
        return {
            "kind": self.kind,
            "ready": bool(facts["ready_for_requests"]),
            **facts,
            "refreshes": self.tokens.refreshes,
            "models_cache": self.catalogue.describe(),
            "last_limits": limits or None,
        }

    def secrets(self) -> list[bytes]:
        """Return what must never be written down. Any thread may ask."""
        return self.tokens.secrets()

    async def warm(self) -> None:
        """Prepare what the first request would wait for; what is wrong is said by that request."""
        with contextlib.suppress(UpstreamFault):
            if self._base.startswith("https:"):
                await self.client.trust.context()
            await self.tokens.current()

    def problem(self) -> str:
        """Return why requests will fail when no sign-in is stored; a keyring is not asked, which may ask the user."""
        if self.settings.auth_storage != "file":
            return ""
        try:
            if self.tokens.store.load() is None:
                return f"no ChatGPT sign-in is stored; sign in: {hint('login')}"
        except ConfigError as error:
            return str(error)
        return ""

    def forget_sign_in(self) -> None:
        """Read the sign-in again before the next request."""
        self.tokens.forget()

    def places(self) -> list[Place]:
        """Return the backend and the sign-in service."""
        return [
            Place(f"upstream {self.name}", self._base),
            Place("sign-in", self.settings.issuer_base_url),
        ]

    async def close(self) -> None:
        """Close idle connections, after a running refresh is on disk."""
        await self.catalogue.close()
        await self.tokens.settle()
        await self.client.close()

    # --- what this upstream has beyond it ----------------------------------------------------------------

    async def usage(self, *, refresh: bool = False, raw: bool = False) -> dict[str, Any]:
        """Return the subscription status (existing shape); one upstream call a minute at most."""
        async with self._usage_lock:
            sign_in = await self.tokens.current()
            kept = self._usage
            now_s = time.monotonic()
            fresh = (
                kept is not None and now_s - kept[0] < USAGE_TTL_S and kept[1].same_tokens(sign_in)
            )
            if refresh or kept is None or not fresh:
                url = f"{self._account_base}/wham/usage"
                payload, _ = await self._calls.json("GET", url, head_s=USAGE_S)
                kept = self._usage = (now_s, sign_in, {"at": time.time(), "payload": payload})
        found = kept[2]
        path = "/backend-api/wham/usage"
        return shape_usage(found["payload"], now_s=found["at"], path=path, raw=raw)

    async def resets(self) -> dict[str, Any]:
        """Return the resets that can be redeemed, as the backend lists them now."""
        url = f"{self._account_base}{resets.PATH}"
        payload, _ = await self._calls.json("GET", url, head_s=USAGE_S)
        return resets.shape_resets(payload, time.time())

    async def redeem(self, credit_id: str | None, request_id: str) -> dict[str, Any]:
        """Redeem one reset; the windows are asked for anew afterwards."""
        url = f"{self._account_base}{resets.PATH}/consume"
        body = {"redeem_request_id": request_id, **({"credit_id": credit_id} if credit_id else {})}
        payload, _ = await self._calls.json("POST", url, body, head_s=REDEEM_S)
        self._usage = None
        return resets.shape_redeemed(payload, credit_id, request_id)

    async def image(self, operation: str, body: dict[str, Any]) -> tuple[dict[str, Any], Fields]:
        """Make or edit one image: `operation` is "generations" or "edits". Returns the answer and its fields."""
        url = f"{self._base}/images/{operation}"
        seconds = self.settings.image_timeout_seconds
        answer, head = await self._calls.json(
            "POST", url, body, head_s=seconds, limit_bytes=MAX_IMAGE_BYTES
        )
        return answer, passed_fields(head, self.redactor())

    # --- one call ----------------------------------------------------------------------------------------

    async def _after_fault(self, fault: UpstreamFault, work: _Try) -> None:
        """Return when the call may be tried again after the transport failed; raise otherwise."""
        if not work.reconnected and may_reconnect(fault):
            work.reconnected = True
            return
        if fault.hop == "sign_in" or not await self._wait_for_retry(fault, work):
            raise fault

    async def _after_refusal(
        self, response: Response, work: _Try, sign_in: SignIn, call: Call
    ) -> None:
        """Return when the call may be tried again after the upstream refused it; raise otherwise."""
        refusal = await read_refusal(response, self.redactor())
        if response.status == 401 and not refusal.is_challenge:
            if work.refreshed:
                raise rejected()
            work.refreshed = True
            await self.tokens.after_rejection(sign_in)
            return
        if (
            self._narrow(refusal, work, call)
            or self._unseal(refusal, work)
            or self._instruct(refusal, work)
        ):
            return
        if response.status == 429:
            self._note_head(response.head)
        fault = refusal.fault(now_s=time.time(), codex=call.codex)
        if not (response.status == 429 or response.status >= 500) or not await self._wait_for_retry(
            fault, work
        ):
            raise fault

    def _narrow(self, refusal: Refusal, work: _Try, call: Call) -> bool:
        """Leave out a parameter that the upstream does not take, and remember that for the model."""
        name = refusal.unsupported_parameter
        if (
            not name
            or name not in work.sent
            or name in ("model", "input", "stream", "store")
            or call.codex
        ):
            return False
        self._remember(work.sent.get("model"), name)
        if work.narrowed >= MAX_NARROWED:
            return False
        work.narrowed += 1
        work.sent = {key: value for key, value in work.sent.items() if key != name}
        work.ignored = (*work.ignored, name)
        return True

    def _unseal(self, refusal: Refusal, work: _Try) -> bool:
        if work.unsealed or refusal.code != "invalid_encrypted_content":
            return False
        without = drop_encrypted(work.sent)
        if without is None:
            return False
        work.sent, work.unsealed = without, True
        return True

    def _instruct(self, refusal: Refusal, work: _Try) -> bool:
        if not refusal.wants_instructions or work.sent.get("instructions"):
            return False
        work.sent = {**work.sent, "instructions": DEFAULT_INSTRUCTIONS}
        return True

    async def _wait_for_retry(self, fault: UpstreamFault, work: _Try) -> bool:
        """Wait for one of the tries that the user allowed; False when none is left or none can help."""
        waits = self.settings.retry_backoff_seconds
        if work.again >= self.settings.retry_attempts or not waits or fault.should_retry is False:
            return False
        left = [
            waits[min(n, len(waits) - 1)] for n in range(work.again, self.settings.retry_attempts)
        ]
        if (fault.retry_after_s or 0.0) > sum(left):
            return False
        work.again += 1
        # Up to a tenth more, so that several clients do not come back in one moment.
        await asyncio.sleep(max(left[0], 0.0) * (1 + os.urandom(1)[0] / 2560))
        return True

    def _refused_by(self, model: object) -> list[str]:
        known = self._refused.get(model) if isinstance(model, str) else None
        if not known:
            return []
        now_s = time.monotonic()
        return [name for name, until_s in known.items() if until_s > now_s]

    def _remember(self, model: object, name: str) -> None:
        if isinstance(model, str):
            if len(self._refused) >= MAX_REFUSED_MODELS:
                self._refused.clear()
            self._refused.setdefault(model, {})[name] = time.monotonic() + REFUSED_S

    def _name_session(self, sent: dict[str, Any], call: Call) -> Fields:
        """Return the fields that differ between calls; gives `sent` its cache key when it has none."""
        passed = call.passed
        if call.codex:
            if any(name in _SESSION for name, _ in passed):
                return passed
            key = sent.get("prompt_cache_key") or session_id(sent, call.conversation)
        else:
            key = session_id(sent, call.conversation)
            sent.setdefault("prompt_cache_key", key)
        if not _SAFE_SESSION.fullmatch(str(key)):
            key = session_id(sent, str(key))
        value = str(key).encode("ascii")
        return (*passed, (b"session-id", value), (b"thread-id", value))

    def _stream_fields(self, sign_in: SignIn) -> Fields:
        kept = self._fields
        if kept is None or kept[0] is not sign_in:
            fields = (
                *account_fields(sign_in),
                (b"accept", b"text/event-stream"),
                (b"content-type", b"application/json"),
            )
            kept = self._fields = (sign_in, fields)
        return kept[1]

    def _shown(self, head: ResponseHead) -> dict[str, str]:
        fields = passed_fields(head, self.redactor())
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}

    def _note_head(self, head: ResponseHead) -> None:
        """Keep the limits that an answer told, and compare the catalogue's ETag."""
        self._limits = head
        etag = head.get(b"x-models-etag")
        if etag is not None:
            self.catalogue.seen_etag(etag.decode("latin-1"))

    async def alive(self) -> bool:
        """Whether the backend answers at all; the catalogue keeps its copy."""
        try:
            await self._fetch_models("")
        except UpstreamFault as fault:
            return fault.status < 500
        return True

    async def _fetch_models(self, etag: str) -> Fetched:
        url = f"{self._base}/models?client_version={self._version}"
        extra: Fields = ((b"if-none-match", etag.encode("latin-1")),) if etag else ()
        answer, head = await self._calls.json("GET", url, head_s=MODELS_S, extra=extra)
        seen = (head.get(b"etag") or b"").decode("latin-1")
        if head.status == 304:
            return Fetched(None, seen or etag)
        found = answer.get("models")
        models = [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []
        if not models:
            raise UpstreamFault(
                "ChatGPT sent an empty model catalog",
                code="upstream_malformed",
                type="upstream_error",
            )
        return Fetched(models, seen)
