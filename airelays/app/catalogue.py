"""`/v1/models`, one body that OpenAI clients, JetBrains and Codex all read, and how much of the plan is used.

Layer: app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from airelays.app.query import query_of
from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps

if TYPE_CHECKING:
    from airelays.app.desk import Desk


async def models(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models. `?refresh=true` asks the upstream again."""
    refresh = "refresh=true" in request.head.query.split("&")
    listing = await desk.upstreams.listing(refresh=refresh)
    if request.words is None:
        await request.reply(200, listing.body)
        return
    from airelays.dialects.anthropic.listing import PREFIX, all_entries, page_of

    prefixed = not desk.upstreams.has_named(PREFIX.rstrip("/"))
    page = page_of(all_entries(listing.records(), prefixed=prefixed), query_of(request))
    await request.reply(200, dumps(page))


async def model(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models/{id}. An id may hold slashes and is compared without regard to case."""
    wanted = unquote(values["id"]).rstrip("/")
    listing = await desk.upstreams.listing()
    if request.words is None:
        await request.reply(200, dumps(listing.model(wanted)))
        return
    from airelays.app.messages import own_name
    from airelays.dialects.anthropic.listing import model_entry

    found = listing.model(await own_name(desk, wanted))
    await request.reply(200, dumps(model_entry(found, wanted)))


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
