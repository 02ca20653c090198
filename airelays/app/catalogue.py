"""`/v1/models`, one body that OpenAI clients, JetBrains and Codex all read, and how much of the plan is used.

Layer: app.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airelays.app.query import query_of
from airelays.dialects.listing import Listing
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
    listing, key = await desk.upstreams.listing(refresh=refresh), request.caller.key
    if request.words is not None:
        await _anthropic_list(desk, request, listing, key)
        return
    body = listing.body
    if key is not None and (key.models or key.upstreams):
        body = await asyncio.to_thread(_allowed, desk, key, body)
    await request.reply(200, body)


async def _anthropic_list(desk: Desk, request: Request, listing: Listing, key: Key | None) -> None:
    """Answer with the list in Anthropic's form, of the models that `key` may use."""
    from airelays.dialects.anthropic.listing import PREFIX, all_entries, page_of

    records = [one for one in listing.records() if key is None or may_use(desk, key, one["id"])]
    prefixed = not desk.upstreams.has_named(PREFIX.rstrip("/"))
    page = page_of(all_entries(records, prefixed=prefixed), query_of(request))
    await request.reply(200, dumps(page))


def may_use(desk: Desk, key: Key, model: str) -> bool:
    """Whether a key may use a model of the list."""
    upstream, there = desk.upstreams.destination(model)
    return allows_upstream(key, upstream) and allows_model(key, model, upstream, there)


def _allowed(desk: Desk, key: Key, body: bytes) -> bytes:
    """Return the list with the models only that `key` may use."""
    listed: dict[str, Any] = json.loads(body)
    listed["data"] = [one for one in listed["data"] if may_use(desk, key, one["id"])]
    # As the Codex CLI reads them: those of the main upstream, by their slug.
    listed["models"] = [one for one in listed["models"] if may_use(desk, key, one["slug"])]
    return dumps(listed)


async def model(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models/{id}. An id may hold slashes and is compared without regard to case."""
    wanted = unquote(values["id"]).rstrip("/")
    listing, key = await desk.upstreams.listing(), request.caller.key
    if request.words is None:
        check_model(key, wanted, *desk.upstreams.destination(wanted))
        await request.reply(200, dumps(listing.model(wanted)))
        return
    from airelays.app.messages import own_name
    from airelays.dialects.anthropic.listing import model_entry

    own = await own_name(desk, wanted)
    check_model(key, own, *desk.upstreams.destination(own))
    await request.reply(200, dumps(model_entry(listing.model(own), wanted)))


async def subscription(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET. `?raw=true` adds what the upstream sent, `?refresh=true` asks it now, `all_accounts` wraps a list.

    `?provider=openai` is what it answers for in any case; another one's numbers it does not have.
    """
    query = query_of(request)
    provider = query.get("provider", "openai")
    if provider not in ("openai", "chatgpt"):
        raise ClientFault(
            f'provider is "{provider[:40]}"; only "openai", the ChatGPT subscription, is supported',
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
