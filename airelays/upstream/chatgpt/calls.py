"""Calls to the ChatGPT backend as the signed-in account: header fields, bodies, one retry after a 401.

Owns: what every call has in common. Refuses to know: streams, caches. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from airelays import __version__
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Fields, ResponseHead
from airelays.net.client import Client
from airelays.net.response import Response
from airelays.protocol.jsonio import loads_answer
from airelays.upstream.chatgpt.faults import Refusal
from airelays.upstream.chatgpt.oauth import ORIGINATOR
from airelays.upstream.chatgpt.signin import SignIn
from airelays.upstream.chatgpt.tokens import Tokens, rejected
from airelays.upstream.encoding import encode

USER_AGENT = f"airelays/{__version__}"
MAX_ERROR_BYTES = 64 * 1024
# Decoding more than this takes milliseconds: a thread does it.
SMALL_BYTES = 256 * 1024
# A dial that failed after longer is not tried again: it would take twice what the settings allow for it.
SHORT_STEP_S = 1.0
MAX_JSON_BYTES = 16 * 1024 * 1024


class AccountCalls:
    """JSON requests with the account's token."""

    def __init__(self, client: Client, tokens: Tokens, redactor: Callable[[], Redactor]) -> None:
        self._client = client
        self._redactor = redactor
        self._tokens = tokens

    async def json(
        self,
        method: str,
        url: str,
        body: dict[str, Any] | None = None,
        *,
        head_s: float,
        extra: Fields = (),
        limit_bytes: int = MAX_JSON_BYTES,
    ) -> tuple[dict[str, Any], ResponseHead]:
        """Return a JSON answer and its head; one retry after a 401. {} stands for a 304."""
        data = b"" if body is None else await encode(body)
        fields: Fields = extra if body is None else (*extra, (b"content-type", b"application/json"))

        async def ask(sign_in: SignIn) -> Response:
            return await self._client.request(
                method=method,
                url=url,
                fields=account_fields(sign_in),
                extra=((b"accept", b"application/json"), *fields),
                body=data,
                head_s=head_s,
                gap_s=head_s,
            )

        sign_in = await self._tokens.current()
        response = await self._once_more(ask, sign_in)
        if response.status == 401:
            refusal = await self._refusal(response)
            if refusal.is_challenge:
                raise refusal.fault(now_s=time.time(), codex=False)
            response = await ask(await self._tokens.after_rejection(sign_in))
            if response.status == 401:
                response.abort()
                raise rejected()
        if response.status == 304:
            await response.read(MAX_ERROR_BYTES)
            return {}, response.head
        if response.status != 200:
            raise (await self._refusal(response)).fault(now_s=time.time(), codex=False)
        return await _decode(await response.read(limit_bytes, within_s=head_s)), response.head

    async def _refusal(self, response: Response) -> Refusal:
        return await read_refusal(response, self._redactor())

    @staticmethod
    async def _once_more(ask: Callable[[SignIn], Awaitable[Response]], sign_in: SignIn) -> Response:
        try:
            return await ask(sign_in)
        except UpstreamFault as fault:
            if not may_reconnect(fault):
                raise
        return await ask(sign_in)


def account_fields(sign_in: SignIn) -> Fields:
    fields = [
        (b"authorization", b"Bearer " + sign_in.access_token.encode("ascii", "replace")),
        (b"user-agent", USER_AGENT.encode()),
        (b"originator", ORIGINATOR.encode()),
    ]
    if sign_in.account_id:
        fields.append((b"chatgpt-account-id", sign_in.account_id.encode("ascii", "replace")))
    if sign_in.fedramp:
        fields.append((b"x-openai-fedramp", b"true"))
    return tuple(fields)


def may_reconnect(fault: UpstreamFault) -> bool:
    """Whether one more connection is worth it: nothing of an answer came, and no deadline has passed."""
    final = fault.status == 504 or fault.should_retry is False or fault.hop == "sign_in"
    if final or fault.tried_twice:
        return False
    if not fault.sent and (fault.step_s or 0.0) > SHORT_STEP_S:
        return False
    return not fault.sent or fault.code == "upstream_closed"


async def read_refusal(response: Response, redactor: Redactor) -> Refusal:
    """Read an error body as far as it is worth reading; one that is too long or cut counts as empty."""
    try:
        body = await response.read(MAX_ERROR_BYTES, within_s=10.0)
    except UpstreamFault:
        body = b""
    return Refusal(response.head, body, redactor)


async def _decode(data: bytes) -> dict[str, Any]:
    return _object(data) if len(data) <= SMALL_BYTES else await asyncio.to_thread(_object, data)


def _object(data: bytes) -> dict[str, Any]:
    why = "it is not an object"
    try:
        value = loads_answer(data)
    except ValueError as error:
        value, why = None, str(error)
    if not isinstance(value, dict):
        raise UpstreamFault(
            f"ChatGPT answered 200 with a body that isn't a JSON object: {why}; a proxy in between may "
            "have replaced it",
            code="upstream_malformed",
            type="upstream_error",
        )
    return value
