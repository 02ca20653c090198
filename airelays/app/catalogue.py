"""`/v1/models`, one body that OpenAI clients, JetBrains and Codex all read, and how much of the plan is used.

Layer: app.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airelays.app.query import query_of
from airelays.errors import ClientFault
from airelays.guard.keys import Key, allows_model, allows_upstream, check_model
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps

if TYPE_CHECKING:
    from airelays.app.desk import Desk


async def models(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models. `?refresh=true` asks the upstream again."""
    refresh = "refresh=true" in request.head.query.split("&")
    body = (await desk.upstreams.listing(refresh=refresh)).body
    key = request.caller.key
    if key is not None and (key.models or key.upstreams):
        body = await asyncio.to_thread(_allowed, desk, key, body)
    await request.reply(200, body)


def _allowed(desk: Desk, key: Key, body: bytes) -> bytes:
    """Return the list with the models only that `key` may use."""
    listed: dict[str, Any] = json.loads(body)

    def may(name: str, full: str) -> bool:
        upstream, there = desk.upstreams.destination(full)
        return allows_upstream(key, upstream) and allows_model(key, name, upstream, there)

    listed["data"] = [one for one in listed["data"] if may(one["id"], one["id"])]
    # As the Codex CLI reads them: those of the main upstream, by their slug.
    listed["models"] = [one for one in listed["models"] if may(one["slug"], one["slug"])]
    return dumps(listed)


async def model(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models/{id}. An id may hold slashes and is compared without regard to case."""
    wanted = unquote(values["id"]).rstrip("/")
    check_model(request.caller.key, wanted, *desk.upstreams.destination(wanted))
    await request.reply(200, dumps((await desk.upstreams.listing()).model(wanted)))


async def subscription(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET. `?raw=true` adds what the upstream sent, `?refresh=true` asks it now, `all_accounts` wraps a list.

    `?provider=openai` is what it answers for in any case; another one's numbers it does not have.
    """
    query = query_of(request)
    provider = query.get("provider", "openai")
    if provider not in ("openai", "chatgpt"):
        raise ClientFault(
            f'provider is "{provider[:40]}"; only "openai", the ChatGPT subscription, can be looked at',
            status=501,
            code="unsupported_for_upstream",
            param="provider",
            should_retry=False,
        )
    asked = {f"{name}={value}" for name, value in query.items()}
    upstream = desk.upstreams.main
    body = await upstream.usage(raw="raw=true" in asked, refresh="refresh=true" in asked)
    if "all_accounts=true" in asked:
        account = {"slug": "default", "email": body["account"]["email"], "status": body}
        body = {"object": "subscription_status_list", "accounts": [account]}
    await request.reply(200, dumps(body))
