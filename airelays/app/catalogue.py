"""`/v1/models` and `/v1/models/{id}`: one body that OpenAI clients, JetBrains and Codex all read. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.translate.models import find

if TYPE_CHECKING:
    from airelays.app.relay import Relay

__all__ = ["model", "models"]


async def models(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models. `?refresh=true` asks the upstream again."""
    refresh = "refresh=true" in request.head.query.split("&")
    await request.reply(200, dumps(await relay.upstreams.list_body(refresh=refresh)))


async def model(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models/{id}. An id may hold slashes and is compared without regard to case."""
    wanted = unquote(values["id"]).rstrip("/")
    listed = (await relay.upstreams.list_body())["data"]
    for one in listed:
        if one["id"].casefold() == wanted.casefold():
            await request.reply(200, dumps(one))
            return
    find(wanted, [{"slug": one["id"]} for one in listed])  # raises the 404 that names the nearest
