"""Pass-through to compatible servers: what they speak goes there and back as it is.

The gate, the limits, the journal and the truths of a stream stay the same. Client credentials never go on, and
upstream credentials never come back: every header of both directions is on an allow-list. Layer: app.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airelays.app.streaming import StreamPump
from airelays.app.targets import Body, Target, try_targets
from airelays.app.unsupported import refuse
from airelays.model import Route
from airelays.net.request import Request
from airelays.net.response import Response
from airelays.translate.parameters import refuse_tools
from airelays.translate.passing import PassedChunks
from airelays.translate.stream import ReplyMap, ResponsesStream
from airelays.translate.values import ReplyOptions
from airelays.upstream.compatible import APIS, Compatible
from airelays.upstream.compatible.refusal import passed_fields
from airelays.upstream.encoding import encode

if TYPE_CHECKING:
    from airelays.app.relay import Relay

__all__ = ["forward_json", "forward_multipart", "pass_text"]

# An answer up to this size is sent with its length; a longer one as it comes.
WHOLE_BYTES = 256 * 1024
PEEK_BYTES = 64 * 1024
_SAFE_TYPE = re.compile(rb"[\x20-\x7e]{1,256}")
_MODEL_FIELD = re.compile(rb'name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,256})\r\n')
# These need the relay's own state, which the server does not have.
_OF_THE_RELAY = ("conversation", "previous_response_id")


async def pass_text(
    relay: Relay, request: Request, route: Route, body: Body, target: Target, api: str
) -> bool:
    """Serve a text request in the server's own API; False when that has to be translated."""
    upstream = target.upstream
    if not isinstance(upstream, Compatible) or not upstream.speaks(api) or _needs_relay(body):
        return False
    if route.no_tools:
        refuse_tools(body)
    response = await upstream.forward(
        "POST", APIS[api], await encode({**body, "model": target.model})
    )
    if response.status != 200:
        refused = await upstream.refusal(response)
        if upstream.learn(api, refused):
            return False
        raise refused.fault(upstream.name)
    if body.get("stream") is True or _type_of(response).startswith(b"text/event-stream"):
        reply = _reply_map(api, body, target)
        pump = StreamPump(
            request,
            _Passed(response),
            reply,
            ping_s=relay.settings.ping_seconds,
            tap=relay.recorder.tap(request),
        )
        relay.streams_open += 1
        try:
            await pump.run(passed_fields(response.head))
        finally:
            relay.streams_open -= 1
            request.outcome.usage = reply.usage
    else:
        await _pass_body(request, response)
    return True


async def forward_json(
    relay: Relay, request: Request, route: Route, values: dict[str, str]
) -> None:
    """Embeddings, rerank, moderations, speech, images: JSON in, whatever the server answers out."""
    from airelays.app.text import read_json

    body = await read_json(relay, request)
    model = body.get("model")
    if not isinstance(model, str):
        await _forward_body(relay, request, route, body, Target(relay.upstreams.main, ""))
    elif isinstance(relay.upstreams.owner(model), Compatible):
        await try_targets(relay, request, route, body, _forward_body)
    else:
        # Before any look at the catalogue: that a model is unknown is beside the point where no API is.
        request.outcome.model = model
        await refuse(relay, request, route, values)


async def _forward_body(
    relay: Relay, request: Request, route: Route, body: Body, target: Target
) -> None:
    upstream = target.upstream
    if not isinstance(upstream, Compatible):
        await refuse(relay, request, route, {})
        return
    sent = {**body, "model": target.model} if target.model else body
    path = route.path.removeprefix("/v1")
    await _answer(request, upstream, await upstream.forward("POST", path, await encode(sent)))


async def forward_multipart(
    relay: Relay, request: Request, route: Route, values: dict[str, str]
) -> None:
    """Transcriptions and other uploads: the body is streamed to the server, with constant memory."""
    kind = request.head.get(b"content-type") or b""
    parts = request.body_parts(relay.settings.max_upload_bytes + 1024 * 1024)
    seen: list[bytes] = []
    size = 0
    async for part in parts:
        seen.append(part)
        size += len(part)
        if size >= PEEK_BYTES:
            break
    named = _MODEL_FIELD.search(b"".join(seen))
    model = named[1].decode("utf-8", "replace") if named is not None else ""
    request.outcome.model = model
    upstream = relay.upstreams.owner(model)
    if not isinstance(upstream, Compatible) or _SAFE_TYPE.fullmatch(kind) is None:
        await refuse(relay, request, route, values)
        return
    request.outcome.upstream = upstream.name
    path = route.path.removeprefix("/v1")
    length = request.head.content_length
    response = await upstream.upload(path, _joined(seen, parts), length, kind)
    await _answer(request, upstream, response)


async def _joined(seen: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while seen:
        yield seen.pop(0)
    async for part in rest:
        yield part


async def _answer(request: Request, upstream: Compatible, response: Response) -> None:
    if response.status >= 300:
        raise (await upstream.refusal(response)).fault(upstream.name)
    await _pass_body(request, response)


async def _pass_body(request: Request, response: Response) -> None:
    """Hand the body on: with its length when it is short, else as it comes, cut when the upstream cuts it."""
    request.outcome.timings_ms.update(response.timings_ms)
    kind = _type_of(response) or b"application/octet-stream"
    fields = passed_fields(response.head)
    length = response.head.content_length
    if length is not None and length <= WHOLE_BYTES:
        body = await response.read(WHOLE_BYTES)
        await request.reply(response.status, body, fields, kind)
        return
    request.begin_stream([(b"content-type", kind), *fields], response.status)
    request.connection.on_blocked = lambda blocked: (
        response.pause() if blocked else response.resume()
    )
    try:
        await response.pump(request.send)
    finally:
        response.abort()
        request.connection.on_blocked = None
    request.send_last(b"")


def _type_of(response: Response) -> bytes:
    kind = response.head.get(b"content-type") or b""
    return kind if _SAFE_TYPE.fullmatch(kind) else b""


def _needs_relay(body: Body) -> bool:
    return any(body.get(name) is not None for name in _OF_THE_RELAY)


def _reply_map(api: str, body: Body, target: Target) -> ReplyMap:
    if api != "responses":
        return PassedChunks(model=target.model)
    options = ReplyOptions(model=str(body.get("model")), stream=True)
    return ResponsesStream(options, codex=False, now_s=time.time(), reply_id="")


class _Passed:
    """A server's stream in its own dialect, as an Answer."""

    ignored: tuple[str, ...] = ()

    def __init__(self, response: Response) -> None:
        self._response = response
        self.fields = passed_fields(response.head)
        self.timings_ms = response.timings_ms

    async def pump(self, feed: Any) -> None:
        await self._response.pump(feed)

    def offer_raw(self, take: Any) -> None:
        self._response.offer_raw(take)

    def pause(self) -> None:
        self._response.pause()

    def resume(self) -> None:
        self._response.resume()

    def end_within(self, seconds: float) -> None:
        self._response.end_within(seconds)

    def abort(self) -> None:
        self._response.abort()
