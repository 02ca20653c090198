"""Anthropic's Messages API: `/v1/messages` and its count of tokens.

A server with this API gets the request unchanged; for every other upstream, it becomes a Responses request, as in the
other text APIs (`text.py`). Layer: app.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airelays.app.bodies import read_json
from airelays.app.targets import Body, try_targets
from airelays.app.text import answer_stream, answer_whole, passed, reply_id
from airelays.app.words import words_of
from airelays.dialects.anthropic.errors import Room, is_full
from airelays.dialects.anthropic.listing import PREFIX
from airelays.dialects.anthropic.request import Asked, Plan, from_messages, without_private
from airelays.dialects.anthropic.signature import Sealer, is_too_long
from airelays.dialects.anthropic.stream import MessageStream
from airelays.dialects.anthropic.whole import to_message
from airelays.dialects.parameters import model_of
from airelays.dialects.translated import Translated
from airelays.errors import UpstreamFault
from airelays.model import Fields, Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.upstream.target import Target

if TYPE_CHECKING:
    from airelays.app.desk import Desk

USUAL_VERSION = b"2023-06-01"
MAX_FIELD_BYTES = 2048


async def messages(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/messages."""
    body = await read_json(desk, request)
    asked = model_of(body)
    body["model"] = await own_name(desk, asked)
    await try_targets(desk, request, route, body, partial(_message, asked=asked))


async def count_tokens(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/messages/count_tokens. No upstream is asked: the answer is an estimate, and says so."""
    body = await read_json(desk, request)
    model = request.outcome.model = await own_name(desk, model_of(body))
    target = (await desk.upstreams.targets(model, request.caller.key))[0]
    request.outcome.upstream = target.upstream.name
    takes = target.upstream.takes(target.model)
    asked = await _asked(desk, request, target)
    from_messages(body, asked, tools_allowed=not route.no_tools, takes=takes, counting=True)
    tokens, ratio = desk.counts.tokens(target, body)
    how = f"estimate; ratio={ratio:.2f}".encode()
    await request.reply(200, dumps({"input_tokens": tokens}), [(b"x-airelays-token-count", how)])
    desk.counts.ask_tokenizer(target, body)


async def own_name(desk: Desk, model: str) -> str:
    """Return a model's name without the prefix that it is listed with for Claude Code."""
    rest = model.removeprefix(PREFIX)
    if rest == model or not rest or desk.upstreams.has_named(PREFIX.rstrip("/")):
        return model
    try:
        listing = await desk.upstreams.listing()
    except UpstreamFault:
        return rest
    return model if listing.has(model) else rest


async def _message(
    desk: Desk, request: Request, route: Route, body: Body, target: Target, *, asked: str
) -> None:
    try:
        if target.upstream.speaks("messages", target.model):
            native = without_private(body)
            extra = _native_fields(request)
            if await passed(desk, request, route, native, target, "messages", extra):
                return
        await _translated(desk, request, route, body, target, asked)
    except UpstreamFault as fault:
        if is_full(fault):
            words_of(request).room = partial(Room, *await _room(desk, target, body))
        raise
    finally:
        desk.counts.learn(target, body, request.outcome.bytes_in, request.outcome.usage)


async def _translated(
    desk: Desk, request: Request, route: Route, body: Body, target: Target, asked: str
) -> None:
    takes = target.upstream.takes(target.model)
    says = await _asked(desk, request, target)
    translated, plan = from_messages(body, says, tools_allowed=not route.no_tools, takes=takes)
    # What the client called it: that is what it gets back.
    options = translated.options._replace(model=asked)
    translated = translated._replace(options=options)
    if options.stream:
        words, now_s, made_id = words_of(request), time.time(), reply_id("msg_", request)
        reply = MessageStream(options, plan, words, now_s=now_s, reply_id=made_id)
        await answer_stream(desk, request, target, translated, reply)
    else:
        await answer_whole(
            desk, request, target, translated, partial(_whole, request, translated, plan)
        )


def _whole(
    request: Request, translated: Translated, plan: Plan, response: dict[str, Any]
) -> dict[str, Any]:
    output = response.get("output")
    items = [
        item for item in (output if isinstance(output, list) else []) if isinstance(item, dict)
    ]
    if plan.thinking and any(is_too_long(item) for item in items):
        request.fields.append((b"x-airelays-quirks", b"signature_too_long"))
    return to_message(response, translated.options, plan)


async def _asked(desk: Desk, request: Request, target: Target) -> Asked:
    upstream = target.upstream
    places = [place.url for place in upstream.places()[:1]]
    sealer = Sealer(await desk.signing_key(), (upstream.kind, upstream.name, *places, target.model))
    return Asked(
        sealer,
        version=_field(request, b"anthropic-version"),
        session=_field(request, b"x-claude-code-session-id"),
    )


def _field(request: Request, name: bytes) -> str:
    return (request.head.get(name) or b"").decode("latin-1").strip()


def _native_fields(request: Request) -> Fields:
    """Return the client's fields that a server of this API reads."""
    version = request.head.get(b"anthropic-version") or USUAL_VERSION
    betas = request.head.get(b"anthropic-beta")
    found = ((b"anthropic-version", version), (b"anthropic-beta", betas or b""))
    return tuple((name, value) for name, value in found if 0 < len(value) <= MAX_FIELD_BYTES)


async def _room(desk: Desk, target: Target, body: Body) -> tuple[int, int]:
    """Return how many tokens a prompt has by estimate, and how many its model accepts, 0 if unknown."""
    tokens, _ = desk.counts.tokens(target, body)
    try:
        catalogue = await target.upstream.models()
    except UpstreamFault:
        return tokens, 0
    wanted = target.model.casefold()
    for entry in catalogue:
        window = entry.get("context_window")
        if str(entry.get("slug")).casefold() == wanted and type(window) is int:
            return tokens, window
    return tokens, 0
