"""Pass-through to compatible servers: requests and answers in their own API are passed on unchanged.

The gate, the limits, the journal and the truths of a stream stay the same. Client credentials never go on, and
upstream credentials never come back: every header of both directions is on an allow-list. Layer: app.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airelays.app.bodies import refuse
from airelays.app.gathering import gather
from airelays.app.query import query_of
from airelays.app.streaming import Keep, KeepingPump
from airelays.app.targets import Body, try_targets
from airelays.dialects.chat_server.messages import without_sealed
from airelays.dialects.parameters import refuse_tools
from airelays.dialects.reply import ReplyMap, chunk_usage, read_usage
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.gathered import is_stream
from airelays.dialects.stream.passed import PassedChunks, PassedEvents
from airelays.dialects.stream.told import tell_answer
from airelays.dialects.stream.whole import check_answer
from airelays.dialects.translated import ReplyOptions
from airelays.dialects.usage_found import Ends, usage_in
from airelays.errors import ClientFault, UpstreamFault
from airelays.guard.keys import check_form, check_model, check_upstream
from airelays.model import Fields, Route
from airelays.net.request import Request
from airelays.net.response import Response
from airelays.protocol.jsonio import dumps
from airelays.protocol.sse import MAX_EVENT_BYTES
from airelays.state.turn import no_response
from airelays.upstream.base import NetworkAnswer, PassedAnswer, Upstream
from airelays.upstream.compatible.refusal import passed_fields
from airelays.upstream.compatible.whole import not_json, read_answer
from airelays.upstream.encoding import encode
from airelays.upstream.target import Target

if TYPE_CHECKING:
    from airelays.app.desk import Desk

# An answer up to this size is sent with its length; a longer one as it comes.
WHOLE_BYTES = 256 * 1024
# Images come as base64 in JSON; other answers that are read whole have `max_answer_bytes`.
MAX_IMAGE_BYTES = 64 * 1024 * 1024
PEEK_BYTES = 64 * 1024
_SAFE_TYPE = re.compile(rb"[\x20-\x7e]{1,256}")
_MODEL_FIELD = re.compile(rb'name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,256})\r\n')
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


async def pass_text(
    desk: Desk,
    request: Request,
    route: Route,
    body: Body,
    target: Target,
    api: str,
    extra: Fields = (),
) -> bool:
    """Serve a text request in the server's own API; False when that has to be translated.

    `extra` are header fields of the client that go on.
    """
    upstream = target.upstream
    if route.no_tools:
        refuse_tools(body)
    stream = body.get("stream") is True
    # A budget of tokens needs the usage of a stream, whether or not the client does.
    counts = stream and _is_counted(request, api, body)
    asked = _with_usage(body) if counts else body
    sent, without = without_sealed({**asked, "model": target.model})
    answered = await upstream.ask(api, await encode(sent), stream=stream, extra=extra)
    if not isinstance(answered, PassedAnswer):
        if upstream.learn(api, target.model, answered):
            return False
        raise answered.fault(upstream.name)
    if without:
        request.fields.append((b"x-airelays-ignored-parameters", without.encode()))
    answered.watch = upstream.watch(api, target.model, body)
    keep = _keep_of(desk, request, api, body, upstream)
    reply = _reply_map(api, body, target, request, hides_usage=counts)
    if stream:
        options = body.get("stream_options")
        answered.usage = counts or (
            isinstance(options, dict) and options.get("include_usage") is True
        )
        await pass_stream(desk, request, upstream, answered, reply, keep)
        return True
    return await _pass_answer(request, upstream, answered, reply, api, keep)


async def _pass_answer(
    request: Request,
    upstream: Upstream,
    answered: PassedAnswer,
    reply: ReplyMap,
    api: str,
    keep: Keep | None,
) -> bool:
    """Answer with a whole answer, also when the server sent a stream; False when it has to be translated."""
    if answered.body is None or is_stream(answered.body):
        whole = await gather(request, upstream, answered, reply, api)
        said = dumps(whole)
        await request.reply(200, said, answered.fields)
    else:
        said, told = answered.body, await _pass_text(request, upstream, answered, api)
        if told is None:
            return False
        whole = told
    if keep is not None:
        keep(whole, len(said))
    return True


def _is_counted(request: Request, api: str, body: Body) -> bool:
    """Whether a stream of chunks has to be asked for its usage, for the budget of the caller's key."""
    key, options = request.caller.key, body.get("stream_options")
    if key is None or not key.tokens_per_day or api in ("responses", "messages"):
        return False
    return not isinstance(options, dict) or options.get("include_usage") is not True


def _with_usage(body: Body) -> Body:
    options = body.get("stream_options")
    return {
        **body,
        "stream_options": {**(options if isinstance(options, dict) else {}), "include_usage": True},
    }


def _keep_of(desk: Desk, request: Request, api: str, body: Body, upstream: Upstream) -> Keep | None:
    """Return what remembers a server's own answer, so that it can be looked at and continued as any other."""
    if api != "responses" or body.get("store") is False:
        return None
    # A request that continues an answer of the server does not contain the whole history.
    whole = desk.settings.store_responses and body.get("previous_response_id") is None
    keeper = desk.turns.keeper(body.get("input"), request.caller.owner) if whole else None

    def keep(response: dict[str, Any], size: int) -> None:
        desk.turns.makers.note(response, upstream.name)
        if keeper is not None:
            keeper(response, size)

    return keep


def check_maker(desk: Desk, body: Body, target: Target) -> None:
    """Raise ClientFault when a request goes on from an answer that another upstream keeps than the one it goes to."""
    previous = body.get("previous_response_id")
    maker = desk.turns.makers.of(previous) if isinstance(previous, str) else ""
    if maker and maker != target.upstream.name:
        raise ClientFault(
            f"the answer {previous} is stored by the upstream {maker}, but {body.get('model')} is a model of the "
            f"upstream {target.upstream.name}; use a model of {maker}, or send the whole history instead",
            status=404,
            param="previous_response_id",
            code="previous_response_not_found",
        )


async def _pass_text(
    request: Request, upstream: Upstream, answered: PassedAnswer, api: str
) -> dict[str, Any] | None:
    """Hand a whole answer on byte for byte, unless it has to be changed; return it.

    One that does not keep the format it was asked for is not handed on.
    """
    value = answered.value
    if isinstance(value, ValueError):
        raise not_json(upstream.name, str(value))
    if not isinstance(value, dict):
        raise not_json(upstream.name, "it is not a JSON object")
    told = check_answer(value, upstream.redactor())
    watch = answered.watch
    if watch is not None:
        told = {**told} if watch.ended(told) else told
        if not watch.keeps_format(told):
            return None
    request.outcome.usage = read_usage(chunk_usage(value))
    if api == "messages":
        from airelays.dialects.anthropic.passed import usage_in

        request.outcome.usage = usage_in(value.get("usage") or {})
    body = answered.body if told is value and answered.body is not None else dumps(told)
    await send_whole(request, upstream, answered.response, body)
    return told


async def pass_stream(
    desk: Desk,
    request: Request,
    upstream: Upstream,
    answer: NetworkAnswer,
    reply: ReplyMap,
    keep: Keep | None = None,
) -> None:
    reply.redactor = upstream.redactor
    ping_s, tap = desk.settings.ping_seconds, desk.notes.tap(request)
    pump = KeepingPump(request, answer, reply, ping_s=ping_s, tap=tap)
    pump.keep = keep
    desk.streams_open += 1
    try:
        await pump.run(answer.fields)
    finally:
        desk.streams_open -= 1
        request.outcome.usage = reply.usage


async def forward_json(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """Embeddings, rerank, moderations, speech, images: JSON in, whatever the server answers out."""
    from airelays.app.bodies import read_json

    body = await read_json(desk, request)
    if route.no_tools:
        refuse_tools(body)
    if request.caller.key is not None and body.get("previous_response_id") is not None:
        # Only the server knows whose answer it is, and it does not know our keys.
        raise no_response(str(body["previous_response_id"]), "previous_response_id")
    model = body.get("model")
    if not isinstance(model, str):
        check_model(request.caller.key, "", desk.upstreams.main.name, "")
        await _forward_body(desk, request, route, body, Target(desk.upstreams.main, ""))
    elif desk.upstreams.owner(model).passes:
        await try_targets(desk, request, route, body, _forward_body)
    else:
        # Before the list of models is checked: without the API, it does not matter whether the model exists.
        request.outcome.model = model
        check_model(request.caller.key, model, *desk.upstreams.destination(model))
        await refuse(desk, request, route, values)


async def _forward_body(
    desk: Desk, request: Request, route: Route, body: Body, target: Target
) -> None:
    upstream = target.upstream
    if not upstream.passes:
        await refuse(desk, request, route, {})
        return
    sent = {**body, "model": target.model} if target.model else body
    path = route.path.removeprefix("/v1")
    sent, _ = without_sealed(sent)
    response = await upstream.forward("POST", path, await encode(sent))
    streams = body.get("stream") is True or body.get("stream_format") == "sse"
    if response.status < 300 and _is_stream(response) and not streams:
        response.abort()
        raise UpstreamFault(
            f"the upstream {upstream.name} answered {path} with an event stream, which was not requested; set "
            "stream to true, or check the server's settings",
            code="upstream_malformed",
            type="upstream_error",
        )
    await _answer(desk, request, upstream, route, response)


async def forward_multipart(
    desk: Desk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """Transcriptions and other uploads: the body is streamed to the server, with constant memory."""
    check_form(request.caller.key, "a form")
    kind = request.head.get(b"content-type") or b""
    parts = request.body_parts(desk.settings.max_upload_bytes + 1024 * 1024)
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
    upstream = desk.upstreams.owner(model)
    check_upstream(request.caller.key, upstream.name)
    if not upstream.passes or _SAFE_TYPE.fullmatch(kind) is None:
        await refuse(desk, request, route, values)
        return
    request.outcome.upstream = upstream.name
    path = route.path.removeprefix("/v1")
    length = request.head.content_length
    response = await upstream.upload(path, _joined(seen, parts), length, kind)
    await _answer(desk, request, upstream, route, response)


def keeper_of(desk: Desk, request: Request, response_id: str) -> Upstream:
    """Return the upstream that is asked for an answer."""
    made = desk.upstreams.named(desk.turns.makers.of(response_id))
    if made is not None:
        return made
    model = query_of(request).get("model")
    return desk.upstreams.owner(model) if model else desk.upstreams.main


async def forward_stored(desk: Desk, request: Request, path: str) -> bool:
    """Hand a request on an answer that the relay does not keep to the upstream that may have it.

    That is the one that made it, else the one of the model in the query, else the main one.
    """
    if request.caller.key is not None:
        return False  # whose it is only the server knows, and it does not know our keys
    response_id = path.split("/")[2]
    upstream = keeper_of(desk, request, response_id)
    if (
        not upstream.passes
        or not upstream.speaks("responses")
        or not _SAFE_ID.fullmatch(response_id)
    ):
        return False
    request.outcome.upstream = upstream.name
    method = "GET" if request.head.method == "HEAD" else request.head.method
    response = await upstream.forward(method, path)
    if response.status >= 300:
        refused = await upstream.refusal(response)
        if response.status == 404:
            return False
        raise await upstream.fault_of(method, path, refused)
    await _pass_whole(request, upstream, response, upstream.max_answer_bytes)
    return True


async def _joined(seen: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while seen:
        yield seen.pop(0)
    async for part in rest:
        yield part


async def _answer(
    desk: Desk, request: Request, upstream: Upstream, route: Route, response: Response
) -> None:
    if response.status >= 300:
        refused = await upstream.refusal(response)
        raise await upstream.fault_of("POST", route.path.removeprefix("/v1"), refused)
    images = route.path.startswith("/v1/images/")
    if _is_stream(response):
        most = MAX_IMAGE_BYTES if images else MAX_EVENT_BYTES
        reply = PassedEvents(model=request.outcome.model, max_event_bytes=most)
        fields = passed_fields(response.head, upstream.redactor())
        await pass_stream(desk, request, upstream, NetworkAnswer(response, fields), reply)
    elif images:
        limit_bytes = max(MAX_IMAGE_BYTES, upstream.max_answer_bytes)
        await _pass_whole(request, upstream, response, limit_bytes)
    else:
        await _pass_body(request, upstream, response)


async def _pass_whole(
    request: Request, upstream: Upstream, response: Response, limit_bytes: int
) -> None:
    """Hand a JSON answer on byte for byte once all of it is there and known to be JSON."""
    body, value = await read_answer(response, limit_bytes, upstream.name)
    if not isinstance(value, dict):
        raise not_json(upstream.name, "it is not a JSON object")
    told = tell_answer(value, upstream.redactor())
    request.outcome.usage = read_usage(chunk_usage(value))
    await send_whole(request, upstream, response, body if told is value else dumps(told))


async def send_whole(request: Request, upstream: Upstream, response: Response, body: bytes) -> None:
    request.outcome.timings_ms.update(response.timings_ms)
    kind, *fields = _shown_fields(upstream, response)
    if len(body) <= WHOLE_BYTES:
        await request.reply(response.status, body, fields, kind[1])
        return
    request.begin_body(len(body), [kind, *fields], response.status)
    for at in range(0, len(body), WHOLE_BYTES):
        request.send(body[at : at + WHOLE_BYTES])
        await request.wait_writable()
    request.send_last(b"")


async def _pass_body(request: Request, upstream: Upstream, response: Response) -> None:
    """Pass the body on: with its length if it is short, otherwise as it arrives, and cut if the upstream cuts it."""
    request.outcome.timings_ms.update(response.timings_ms)
    kind, *fields = _shown_fields(upstream, response)
    length = response.head.content_length
    if length is not None and length <= WHOLE_BYTES:
        body = await response.read(WHOLE_BYTES, within_s=None)
        if request.caller.key is not None:
            request.outcome.usage = usage_in(body)
        await request.reply(response.status, body, fields, kind[1])
        return
    request.begin_stream([kind, *fields], response.status)
    request.connection.on_blocked = lambda blocked: (
        response.pause() if blocked else response.resume()
    )
    ends = Ends()
    counts = request.caller.key is not None

    def send(data: bytes) -> None:
        if counts:
            ends.feed(data)
        request.send(data)

    try:
        await response.pump(send)
    finally:
        response.abort()
        request.connection.on_blocked = None
        if counts:
            request.outcome.usage = usage_in(ends.head) or usage_in(ends.tail)
    request.send_last(b"")


def _type_of(response: Response) -> bytes:
    kind = response.head.get(b"content-type") or b""
    return kind if _SAFE_TYPE.fullmatch(kind) else b""


def _is_stream(response: Response) -> bool:
    return _type_of(response).lower().startswith(b"text/event-stream")


def _shown_fields(upstream: Upstream, response: Response) -> Fields:
    """Return the Content-Type of an answer, then its other fields that a client may see."""
    redactor = upstream.redactor()
    kind = _type_of(response) or b"application/octet-stream"
    return (
        *redactor.passed(((b"content-type", kind),)),
        *passed_fields(response.head, redactor),
    )


def _reply_map(
    api: str, body: Body, target: Target, request: Request, *, hides_usage: bool
) -> ReplyMap:
    if api == "messages":
        from airelays.app.words import words_of
        from airelays.dialects.anthropic.passed import PassedMessages

        return PassedMessages(model=target.model, words=words_of(request))
    if api != "responses":
        return PassedChunks(model=target.model, choices=_choices_of(body), hides_usage=hides_usage)
    options = ReplyOptions(model=str(body.get("model")), stream=True)
    return ResponsesStream(options, codex=False, now_s=time.time(), reply_id="")


def _choices_of(body: Body) -> int:
    """Return how many choices the answer has when it is complete."""
    count, prompts = body.get("n"), body.get("prompt")
    asked = count if type(count) is int and count > 0 else 1
    several = isinstance(prompts, list) and len(prompts) > 1 and not isinstance(prompts[0], int)
    return asked * len(prompts) if several and isinstance(prompts, list) else asked
