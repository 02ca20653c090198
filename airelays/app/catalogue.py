"""`/v1/models` and `/v1/models/{id}`: one body that OpenAI clients, JetBrains and Codex all read. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps

if TYPE_CHECKING:
    from airelays.app.relay import Relay

__all__ = ["model", "models"]


async def models(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models. `?refresh=true` asks the upstream again."""
    refresh = "refresh=true" in request.head.query.split("&")
    await request.reply(200, (await relay.upstreams.listing(refresh=refresh)).body)


async def model(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models/{id}. An id may hold slashes and is compared without regard to case."""
    wanted = unquote(values["id"]).rstrip("/")
    await request.reply(200, dumps((await relay.upstreams.listing()).model(wanted)))
