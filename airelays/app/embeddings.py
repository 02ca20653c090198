"""Ollama's `/api/embed` and `/api/embeddings`, by the embeddings of a compatible server. Layer: app."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airelays.app.bodies import read_json
from airelays.app.names import own_name
from airelays.app.ollama import meter_of, serve_named
from airelays.app.targets import Body
from airelays.dialects.ollama.embed import from_embed, to_embed, to_embedding
from airelays.dialects.parameters import model_of
from airelays.dialects.reply import chunk_usage, read_usage
from airelays.dialects.stream.told import tell_answer
from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.upstream.base import Upstream
from airelays.upstream.compatible.whole import not_json, read_answer
from airelays.upstream.encoding import encode
from airelays.upstream.target import Target

if TYPE_CHECKING:
    from airelays.app.desk import Desk

OLD = "ollama_embeddings"


async def embed(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /api/embed, and /api/embeddings of earlier versions."""
    body = await read_json(desk, request)
    asked = model_of(body)
    sent = from_embed(body, old=route.name == OLD)
    sent["model"] = await own_name(desk, asked)
    await serve_named(desk, request, route, sent, asked, partial(_embedded, asked=asked, own=body))


async def _embedded(
    desk: Desk,
    request: Request,
    route: Route,
    body: Body,
    target: Target,
    *,
    asked: str,
    own: Body,
) -> None:
    upstream = target.upstream
    if not upstream.passes:
        raise ClientFault(
            f"{route.path} is not available: the upstream in use ({upstream.kind}) does not offer embeddings",
            status=501,
            code="unsupported_route",
            should_retry=False,
        )
    from airelays.app.native import passed_natively

    if await passed_natively(desk, request, route, own, target):
        return
    meter = meter_of(request, body["input"])
    answer = await _asked(request, upstream, "/embeddings", {**body, "model": target.model})
    old = route.name == OLD
    made = to_embedding(answer) if old else to_embed(answer, asked, meter)
    await request.reply(200, dumps(made))


async def _asked(request: Request, upstream: Upstream, path: str, body: Body) -> dict[str, Any]:
    """Return the JSON object that a server answers; the usage in it is noted."""
    response = await upstream.forward("POST", path, await encode(body))
    if response.status >= 300:
        raise await upstream.fault_of("POST", path, await upstream.refusal(response))
    _, value = await read_answer(response, upstream.max_answer_bytes, upstream.name)
    if not isinstance(value, dict):
        raise not_json(upstream.name, "it is not a JSON object")
    request.outcome.usage = read_usage(chunk_usage(value))
    return tell_answer(value, upstream.redactor())
