"""Ollama's API: `/api/*`, for programs that support no other local server.

A request becomes a Responses request, as in the other text APIs (`text.py`). Its lists are built from those of the
relay.
Layer: app.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from airelays.app.bodies import read_json
from airelays.app.catalogue import may_use
from airelays.app.names import own_name
from airelays.app.targets import Body, try_targets
from airelays.app.text import answer_stream, answer_whole, reply_id
from airelays.dialects.checks import missing
from airelays.dialects.listing import Listing
from airelays.dialects.ollama import listing as lists
from airelays.dialects.ollama.options import loads
from airelays.dialects.ollama.request import CHAT, GENERATE, Plan, from_ollama, stream_of
from airelays.dialects.ollama.stream import CONTENT_TYPE, OllamaStream
from airelays.dialects.ollama.whole import Meter, empty, to_ollama
from airelays.dialects.parameters import model_of
from airelays.dialects.translated import Translated
from airelays.errors import ClientFault, UpstreamFault
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.upstream.target import Target

if TYPE_CHECKING:
    from airelays.app.desk import Desk, OperatorDesk

# How long a model counts as loaded after it was used, as at the original.
LOADED_SECONDS = 300.0
MAX_LOADED = 256


async def version(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /api/version."""
    await request.reply(200, dumps({"version": lists.VERSION}))


async def tags(desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /api/tags."""
    records = await _records(desk, request)
    await request.reply(200, dumps(lists.tags(records, desk.started_wall_s)))


async def ps(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /api/ps: the models that were used within five minutes."""
    now_s, mono_s = time.time(), time.monotonic()
    ends_s = {name: now_s + until - mono_s for name, until in desk.loaded.items() if until > mono_s}
    records = await _records(desk, request) if ends_s else []
    await request.reply(200, dumps(lists.running(records, ends_s)))


async def show(desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /api/show."""
    model = _named(await read_json(desk, request))
    record = _find(await _records(desk, request), model)
    await request.reply(200, dumps(lists.show(record, desk.started_wall_s)))


async def pull(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /api/pull: a model in the list is already there."""
    body = await read_json(desk, request)
    stream = stream_of(body)
    _find(await _records(desk, request), _named(body))
    await _one_line(request, {"status": "success"}, stream=stream)


async def absent(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """What manages a server's own models."""
    raise ClientFault(
        f"{request.head.path[:200]} is not available: the relay does not store models",
        status=501,
        code="unsupported_route",
        should_retry=False,
    )


async def chat(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /api/chat."""
    await _text(desk, request, route, CHAT)


async def generate(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /api/generate."""
    await _text(desk, request, route, GENERATE)


# ---- lists


async def _records(desk: Desk, request: Request) -> list[lists.Record]:
    """Return the models for text that the caller may use, from the cache where there is one."""
    listing: Listing = await desk.upstreams.listing()
    key = request.caller.key
    records = lists.texts_only(listing.records())
    return records if key is None else [one for one in records if may_use(desk, key, one["id"])]


def _named(body: Body) -> str:
    """Return the model of a request that says `model`, or `name` as in earlier versions."""
    if not body.get("model") and body.get("name"):
        body = {"model": body["name"]}
    if not body.get("model"):
        raise missing("model", "the name of a model; GET /api/tags lists them")
    return model_of(body)


def _find(records: Iterable[lists.Record], model: str) -> lists.Record:
    wanted = {
        model.casefold(),
        lists.untagged(model).casefold(),
        lists.shown_name(model).casefold(),
    }
    found = [one for one in records if one["id"].casefold() in wanted]
    if not found:
        raise lists.unknown(model)
    return next((one for one in found if one["id"].casefold() == model.casefold()), found[0])


# ---- text


async def _text(desk: Desk, request: Request, route: Route, api: str) -> None:
    body = await read_json(desk, request)
    asked = model_of(body)
    body["model"] = await own_name(desk, asked)
    reason = loads(body, api)
    serve = partial(_answer, api=api, asked=asked)
    if reason:
        serve = partial(_loaded, plan=Plan(api, asked), reason=reason)
    await serve_named(desk, request, route, body, asked, serve)


async def serve_named(
    desk: Desk, request: Request, route: Route, body: Body, asked: str, serve: Any
) -> None:
    """Let a target serve the request; an unknown model is reported in the words that clients expect."""
    try:
        await try_targets(desk, request, route, body, serve)
    except ClientFault as fault:
        if fault.code == "model_not_found" and fault.status == 404:
            raise lists.unknown(asked) from fault
        raise


async def _loaded(
    desk: Desk,
    request: Request,
    route: Route,
    body: Body,
    target: Target,
    *,
    plan: Plan,
    reason: str,
) -> None:
    """Answer a request without content; no upstream is needed."""
    stream = stream_of(body)
    _note(desk, body["model"], 0.0 if reason == "unload" else LOADED_SECONDS)
    await _one_line(request, empty(plan, reason, meter_of(request, "")), stream=stream)


async def _answer(
    desk: Desk, request: Request, route: Route, body: Body, target: Target, *, api: str, asked: str
) -> None:
    if target.upstream.passes:
        from airelays.app.native import passed_natively

        if await passed_natively(desk, request, route, body, target):
            _note(desk, body["model"], LOADED_SECONDS)
            return
    takes = target.upstream.takes(target.model)
    efforts = await _efforts(target) if body.get("think") is not None else []
    translated, plan = from_ollama(
        body, api, tools_allowed=not route.no_tools, takes=takes, efforts=efforts
    )
    agent = request.head.get(b"user-agent") or b""
    plan = plan._replace(model=asked, ids=not agent.startswith(b"Zed/"))
    meter = meter_of(request, translated.body["input"])
    _note(desk, body["model"], LOADED_SECONDS)
    if translated.options.stream:
        reply = OllamaStream(
            translated.options, plan, meter, now_s=time.time(), reply_id=reply_id("msg_", request)
        )
        await answer_stream(desk, request, target, translated, reply)
    else:
        whole = partial(_whole, request, translated, plan, meter)
        await answer_whole(desk, request, target, translated, whole)


def _whole(
    request: Request, translated: Translated, plan: Plan, meter: Meter, response: dict[str, Any]
) -> dict[str, Any]:
    first_ms = request.outcome.timings_ms.get("first_byte")
    if first_ms is not None:
        meter.first_s = request.started_s + first_ms / 1000
    return to_ollama(response, translated.options, plan, meter)


def meter_of(request: Request, prompt: Any) -> Meter:
    """Return what counts for the last line of an answer to `prompt`."""
    return Meter(begun_s=request.started_s, now_s=time.time(), clock=time.monotonic, prompt=prompt)


async def _efforts(target: Target) -> list[str]:
    """Return the words for reasoning effort in the list of models for a model; [] if it has none."""
    try:
        catalogue = await target.upstream.models()
    except UpstreamFault:
        return []
    wanted = target.model.casefold()
    for entry in catalogue:
        levels = entry.get("supported_reasoning_levels")
        if str(entry.get("slug")).casefold() == wanted and isinstance(levels, list):
            return [str(level.get("effort")) for level in levels if isinstance(level, dict)]
    return []


def _note(desk: Desk, model: str, seconds: float) -> None:
    """Remember until when a model counts as loaded."""
    desk.loaded.pop(model.casefold(), None)
    if seconds:
        desk.loaded[model.casefold()] = time.monotonic() + seconds
    while len(desk.loaded) > MAX_LOADED:
        del desk.loaded[next(iter(desk.loaded))]


async def _one_line(request: Request, said: dict[str, Any], *, stream: bool) -> None:
    body = dumps(said)
    if stream:
        await request.reply(200, body.rstrip() + b"\n", (), CONTENT_TYPE)
    else:
        await request.reply(200, body)
