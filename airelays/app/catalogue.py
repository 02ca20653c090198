"""`/v1/models` and `/v1/models/{id}`: one body that OpenAI clients, JetBrains and Codex all read. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.translate.models import nearest, to_list, to_record

if TYPE_CHECKING:
    from airelays.app.relay import Relay

__all__ = ["model", "models"]


async def models(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models. `?refresh=true` asks the upstream again."""
    refresh = "refresh=true" in request.head.query.split("&")
    entries = await relay.upstreams.catalogue(refresh=refresh)
    await request.reply(200, dumps(to_list(entries)))


async def model(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/models/{id}. An id may hold slashes and is compared without regard to case."""
    wanted = unquote(values["id"]).rstrip("/")
    entries = await relay.upstreams.catalogue()
    for entry in entries:
        if entry.id.lower() == wanted.lower():
            await request.reply(200, dumps(to_record(entry)))
            return
    names = nearest(wanted, [entry.id for entry in entries])
    raise unknown_model(wanted, names)


def unknown_model(wanted: str, names: list[str]) -> ClientFault:
    """Return the 404 of a model that no upstream has."""
    hint = (
        f"; did you mean {', '.join(names)}?" if names else "; GET /v1/models lists what there is"
    )
    return ClientFault(
        f"there is no model {wanted[:200]!r} here{hint}",
        status=404,
        code="model_not_found",
        param="model",
    )
