"""Ollama's API with a server that has this API: requests and answers are passed on unchanged. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airelays.app.forwarding import pass_stream, send_whole
from airelays.app.targets import Body
from airelays.dialects.ollama.passed import PassedLines, refusal_in, usage_in
from airelays.dialects.ollama.request import stream_of
from airelays.dialects.parameters import refuse_tools
from airelays.model import Route
from airelays.net.request import Request
from airelays.net.response import Response
from airelays.upstream.base import NetworkAnswer, Upstream
from airelays.upstream.compatible.refusal import passed_fields
from airelays.upstream.compatible.whole import not_json, read_answer
from airelays.upstream.encoding import encode
from airelays.upstream.target import Target

if TYPE_CHECKING:
    from airelays.app.desk import Desk


_STREAMED = ("ollama_chat", "ollama_generate")


async def passed_natively(
    desk: Desk, request: Request, route: Route, body: Body, target: Target
) -> bool:
    """Serve a request of `route` by the same route of an Ollama; False if the upstream is not an Ollama."""
    upstream = target.upstream
    if not await upstream.is_ollama():
        return False
    if route.no_tools:
        refuse_tools(body)
    # Embeddings have no stream.
    stream = route.name in _STREAMED and stream_of(body)
    flag = {"stream": stream} if route.name in _STREAMED else {}
    sent = await encode({**body, "model": target.model, **flag})
    response = await upstream.forward("POST", route.path, sent)
    if response.status != 200:
        refused = await upstream.refusal(response)
        raise await upstream.fault_of("POST", route.path, refused)
    if stream:
        reply = PassedLines(model=target.model)
        fields = passed_fields(response.head, upstream.redactor())
        await pass_stream(desk, request, upstream, NetworkAnswer(response, fields), reply)
        return True
    await _pass_whole(request, upstream, response)
    return True


async def _pass_whole(request: Request, upstream: Upstream, response: Response) -> None:
    whole, value = await read_answer(response, upstream.max_answer_bytes, upstream.name)
    if not isinstance(value, dict):
        raise not_json(upstream.name, "it is not a JSON object")
    if value.get("error") is not None:
        raise refusal_in(value, upstream.redactor())
    request.outcome.usage = usage_in(value)
    await send_whole(request, upstream, response, whole)
