"""What the page asks for: a session for its code, the feed, the past, models, windows, blocks. Layer: app."""

from __future__ import annotations

import asyncio
import json
import os
import time
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from airelays.app.feed import FIELDS, RECONNECT_S, event, last_word
from airelays.app.query import paging_of, query_of
from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.guard import auth
from airelays.guard.network import limiter_key
from airelays.guard.pagetokens import IDLE_S, LONGEST_S, RANDOM_BYTES
from airelays.guard.refused import wrong_code
from airelays.hints import told
from airelays.model import Route
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.app.desk import OperatorDesk

MAX_REQUESTS = 500


async def page_session(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """POST /v1/relay/page-session with a code as Bearer: a token for the page.

    In protected mode the gate has counted a wrong code; in open mode it opens nothing and costs nothing.
    """
    presented = auth.credentials(request.head)
    token = desk.gate.pages.redeem(
        presented, os.urandom(RANDOM_BYTES), time.monotonic(), desk.token.current()
    )
    if token is None:
        raise ClientFault(wrong_code(), status=401, code="page_code_wrong", should_retry=False)
    request.outcome.sent = None  # a body that is never logged, also where bodies are
    desk.notes.event("page_session_began", request.id, client_ip=request.outcome.client)
    await _reply(
        request,
        {
            "object": "relay.page_session",
            "token": token,
            "expires_in": int(LONGEST_S),
            "idle_seconds": int(IDLE_S),
        },
    )


async def feed(desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/relay/feed: events until the client leaves, the relay stops, or a request needs the slot."""
    refuse_keys(request)
    if request.head.method == "HEAD":
        await request.reply(200, b"", FIELDS[1:], FIELDS[0][1])
        return
    opened = desk.feeds.open(request, limiter_key(desk.gate.client_of(request.head, request.peer)))
    request.on_eof = lambda: opened.end("gone")
    request.say_error = last_word
    try:
        request.begin_stream(FIELDS)
        request.send(event("hello", {"started": desk.started_wall_s, "at": time.time()}))
        reason = await opened.ended
        request.keep_alive = False
        request.end_stream(event("bye", {"reason": reason, "reconnect_s": RECONNECT_S}))
    finally:
        desk.feeds.close(opened)


async def requests(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /v1/relay/requests?failed=true&limit=N: the last requests in the traffic log, the newest first."""
    from airelays.app.records import last_requests

    refuse_keys(request)
    query = query_of(request)
    limit = paging_of(query, default=50, most=MAX_REQUESTS).limit
    journal = desk.notes.journal
    found: list[dict[str, Any]] = []
    if journal is not None:
        try:
            found = await asyncio.to_thread(
                last_requests, journal.logs_dir, limit, failed=query.get("failed") == "true"
            )
        except (OSError, ConfigError) as error:
            text = f"the traffic log cannot be read; `{told('logs')}` says why"
            raise RelayError(
                text, status=503, code="log_storage_error", local=str(error)
            ) from error
    body = {"object": "relay.requests", "enabled": journal is not None, "data": found}
    await _reply(request, body)


async def models(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /v1/relay/models: the models by name, upstream and context window."""
    refuse_keys(request)
    listed: dict[str, Any] = json.loads((await desk.upstreams.listing()).body)
    data = []
    for one in listed["data"]:
        about = one.get("airelays") or {}
        data.append(
            {
                "id": one["id"],
                "upstream": desk.upstreams.destination(one["id"])[0],
                "owned_by": one.get("owned_by"),
                "description": about.get("description"),
                "context_window": about.get("context_window"),
                "default": one["id"] == desk.upstreams.default_model(),
            }
        )
    await _reply(request, {"object": "relay.models", "data": data})


async def windows(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /v1/relay/windows: how much of each subscription's windows is used."""
    refuse_keys(request)
    data: list[dict[str, Any]] = []
    for upstream in desk.upstreams.every():
        try:
            usage = await upstream.usage()
        except RelayError as error:
            if error.code != "unsupported_for_upstream":
                data.append({"upstream": upstream.name, "problem": error.message, "windows": []})
            continue
        plan = (usage.get("account") or {}).get("plan_type")
        data.append({"upstream": upstream.name, "plan": plan, "windows": bars(usage)})
    await _reply(request, {"object": "relay.windows", "data": data})


def bars(usage: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the windows of a subscription as one list."""
    limits = usage.get("rate_limits") or {}
    named = [("", limits.get("default")), ("code review", limits.get("code_review"))]
    for one in limits.get("additional") or []:
        named.append((str(one.get("limit_name") or "more"), one.get("rate_limit")))
    found = []
    for name, limit in named:
        for which in ("primary_window", "secondary_window"):
            window = (limit or {}).get(which)
            if window and window.get("used_percent") is not None:
                found.append(
                    {
                        "name": name,
                        "label": window.get("window_label"),
                        "used_percent": window["used_percent"],
                        "reset_at": window.get("reset_at"),
                    }
                )
    return found


async def blocks(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /v1/relay/blocks: which addresses are blocked after failed attempts, and for how long."""
    refuse_keys(request)
    found = desk.gate.blocklist.listing(time.monotonic())
    data = [{"client": client, "seconds": round(left_s)} for client, left_s in found]
    await _reply(request, {"object": "relay.blocks", "data": data})


async def unblock(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """POST /v1/relay/unblock {"client": ADDRESS}: lift one block; in open mode with a page's token only."""
    from airelays.app.bodies import read_json

    refuse_keys(request)
    if not desk.settings.require_bearer_auth and not request.caller.page:
        raise ClientFault(
            f"to lift a block, open the page with `{told('open')}`",
            status=401,
            code="page_session_needed",
            should_retry=False,
        )
    client = (await read_json(desk, request)).get("client")
    key = _key_of(client) if isinstance(client, str) else None
    if key is None:
        raise ClientFault("client is not an IP address", code="invalid_value", param="client")
    await _reply(request, {"lifted": desk.unblock(str(client), key)})


def _key_of(client: str) -> str | None:
    """Return what `client`, an address or the /64 that is listed as blocked, is counted by; None for anything else."""
    try:
        if "/" in client:
            return str(ip_network(client))
        return limiter_key(str(ip_address(client)))
    except ValueError:
        return None


def refuse_keys(request: Request) -> None:
    """Raise ClientFault (403) for a named key: it sees its own requests only, and this shows those of all."""
    if request.caller.key is not None:
        raise ClientFault(
            f"the key {request.caller.key.name} cannot see the requests of others; use the relay token",
            status=403,
            code="route_not_allowed",
            should_retry=False,
        )


async def _reply(request: Request, body: dict[str, Any]) -> None:
    await request.reply(200, json.dumps(body).encode() + b"\n")
