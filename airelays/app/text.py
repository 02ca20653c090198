"""The three text APIs: chat completions, responses, legacy completions.

Each is read, translated to one Responses request, sent to an upstream, and its answer mapped back, streamed
or whole. Layer: app.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airelays.app.bodies import read_json
from airelays.app.streaming import STREAM_FIELDS, StreamPump, collect
from airelays.app.targets import Body, try_targets
from airelays.dialects.chat.request import from_chat, to_chat
from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.completions import from_completion, joined, prompts_of, to_completion
from airelays.dialects.reply import ReplyMap, summed
from airelays.dialects.responses.request import from_responses
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.chunks import CompletionStream
from airelays.dialects.stream.collect import Collector
from airelays.dialects.stream.events import encode
from airelays.dialects.translated import Translated
from airelays.model import Call, Fields, Route, Usage
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.upstream.base import Answer
from airelays.upstream.target import Target

if TYPE_CHECKING:
    from airelays.app.desk import Desk
    from airelays.state.turn import Turn

MAX_IGNORED_BYTES = 2048
# These can need what the relay keeps.
_OF_THE_RELAY = ("conversation", "previous_response_id", "store")
_CODEX_FIELDS = (b"x-codex-", b"session-id", b"thread-id", b"session_id", b"x-client-request-id")
_CODEX_LITE = b"x-openai-internal-codex-responses-lite"


async def chat(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/chat/completions."""
    body = await read_json(desk, request)
    await try_targets(desk, request, route, body, _chat)


async def completions(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/completions."""
    body = await read_json(desk, request)
    await try_targets(desk, request, route, body, _completion)


async def responses(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/responses."""
    body = await read_json(desk, request)
    await try_targets(desk, request, route, body, _responses)


async def _chat(desk: Desk, request: Request, route: Route, body: Body, target: Target) -> None:
    if await passed(desk, request, route, body, target, "chat"):
        return
    takes = target.upstream.takes(target.model)
    translated = from_chat(body, tools_allowed=not route.no_tools, takes=takes)
    options = translated.options
    if options.stream:
        reply = ChatStream(options, now_s=time.time(), reply_id=reply_id("chatcmpl-", request))
        await answer_stream(desk, request, target, translated, reply)
    else:
        await answer_whole(desk, request, target, translated, lambda r: to_chat(r, options))


async def _completion(
    desk: Desk, request: Request, route: Route, body: Body, target: Target
) -> None:
    if await passed(desk, request, route, body, target, "completions"):
        return
    takes = target.upstream.takes(target.model)
    prompts = prompts_of(body)
    if len(prompts) > 1:
        each = [from_completion({**body, "prompt": prompt}, takes=takes) for prompt in prompts]
        await _many(desk, request, target, each)
        return
    translated = from_completion(body, takes=takes)
    options = translated.options
    if options.stream:
        reply = CompletionStream(options, now_s=time.time(), reply_id=reply_id("cmpl-", request))
        await answer_stream(desk, request, target, translated, reply)
    else:
        await answer_whole(desk, request, target, translated, lambda r: to_completion(r, options))


async def _responses(
    desk: Desk, request: Request, route: Route, body: Body, target: Target
) -> None:
    if await passed(desk, request, route, body, target, "responses"):
        return
    codex = is_codex(request)
    takes = target.upstream.takes(target.model)
    translated = from_responses(body, tools_allowed=not route.no_tools, codex=codex, takes=takes)
    # OpenAI's default is to store; without a word of the client the answer is remembered, in memory only.
    keep = body.get("store") is not False and desk.settings.store_responses
    if translated.options.stream:
        reply = ResponsesStream(
            translated.options, codex=codex, now_s=time.time(), reply_id=reply_id("resp_", request)
        )
        await answer_stream(desk, request, target, translated, reply, keep=keep)
    else:
        await answer_whole(desk, request, target, translated, lambda r: r, keep=keep)


async def passed(
    desk: Desk,
    request: Request,
    route: Route,
    body: Body,
    target: Target,
    api: str,
    extra: Fields = (),
) -> bool:
    """Whether a server that speaks the client's dialect served the request as it is, with `extra` header fields."""
    if not target.upstream.speaks(api, target.model):
        return False
    if desk.store.in_use or any(body.get(name) is not None for name in _OF_THE_RELAY):
        from airelays.state.needs import is_ours, names_own_file

        if names_own_file(body) or await is_ours(
            desk.store, desk.turns, body, request.caller.owner
        ):
            return False
    from airelays.app.forwarding import check_maker, pass_text

    check_maker(desk, body, target)
    return await pass_text(desk, request, route, body, target, api, extra)


def is_codex(request: Request) -> bool:
    """Whether the Codex CLI is the caller: its body must reach the upstream as it is."""
    originator = request.head.get(b"originator") or b""
    return originator.lower().startswith(b"codex")


def reply_id(prefix: str, request: Request) -> str:
    """Return the id that an answer has until the upstream names one."""
    return prefix + request.id[4:28]


def _call(request: Request, translated: Translated) -> Call:
    codex = is_codex(request)
    passed: Fields = ()
    if codex:
        passed = tuple(
            (name, value)
            for name, value in request.head.fields
            if name.startswith(_CODEX_FIELDS) or name == _CODEX_LITE
        )
    return Call(request.id, translated.conversation or "", passed, codex)


async def _open(desk: Desk, request: Request, target: Target, translated: Translated) -> Answer:
    """Send the request upstream; return the answer with its head known to be good."""
    body = translated.body
    if target.model != translated.options.model:
        body = {**body, "model": target.model}
    if desk.notes.bodies:
        desk.notes.calls(request, target.upstream.name, body)
    return await target.upstream.respond(body, _call(request, translated))


def _disclose(
    answer: Answer, translated: Translated, turn: Turn | None = None
) -> list[tuple[bytes, bytes]]:
    """Return the header fields that say what was adapted, and what the upstream has to say."""
    fields = list(answer.fields)
    ignored = [*translated.ignored, *(n for n in answer.ignored if n not in translated.ignored)]
    if ignored:
        fields.append((b"x-airelays-ignored-parameters", _names(ignored)))
    quirks = translated.quirks if turn is None else translated.quirks + turn.quirks
    if quirks:
        fields.append((b"x-airelays-quirks", _names(quirks)))
    return fields


def _names(names: list[str] | tuple[str, ...]) -> bytes:
    text = ",".join(quote(name, safe="_-.[]") for name in names).encode()
    if len(text) <= MAX_IGNORED_BYTES:
        return text
    return text[: text.rindex(b",", 0, MAX_IGNORED_BYTES - 4)] + b",..."


async def _begin_turn(
    desk: Desk, request: Request, translated: Translated, keep: bool
) -> Turn | None:
    """Return the turn of a request that needs the relay's own state; it is to be closed. Most need none."""
    if not (
        translated.conversation is not None
        or translated.previous_response_id is not None
        or translated.store
        or translated.file_refs
        or translated.item_refs
    ):
        return None
    from airelays.state.turn import Turn

    owner = request.caller.owner
    turn = Turn(desk.store, desk.turns, desk.settings, translated, keep=keep, owner=owner)
    try:
        await turn.begin()
    except BaseException:
        turn.close()
        raise
    return turn


async def answer_stream(
    desk: Desk,
    request: Request,
    target: Target,
    translated: Translated,
    reply: ReplyMap,
    *,
    keep: bool = False,
) -> None:
    """Answer with a stream that `reply` makes of the upstream's. With `keep` the answer is remembered."""
    turn = await _begin_turn(desk, request, translated, keep)
    try:
        answer = await _open(desk, request, target, translated)
        tap, ping_s = desk.notes.tap(request), desk.settings.ping_seconds
        reply.redactor = desk.notes.redactor
        if turn is not None:
            from airelays.app.streaming import TurnPump

            pump: StreamPump = TurnPump(request, answer, reply, turn, ping_s=ping_s, tap=tap)
        elif keep:
            from airelays.app.streaming import KeepingPump

            pump = KeepingPump(request, answer, reply, ping_s=ping_s, tap=tap)
            pump.keep = desk.turns.keeper(translated.body["input"], request.caller.owner)
        else:
            pump = StreamPump(request, answer, reply, ping_s=ping_s, tap=tap)
        desk.streams_open += 1
        try:
            await pump.run(_disclose(answer, translated, turn))
        finally:
            desk.streams_open -= 1
            request.outcome.usage = reply.usage
    finally:
        if turn is not None:
            turn.close()


async def answer_whole(
    desk: Desk,
    request: Request,
    target: Target,
    translated: Translated,
    convert: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    keep: bool = False,
) -> None:
    """Answer whole, with what `convert` makes of the finished Responses object."""
    turn = await _begin_turn(desk, request, translated, keep)
    try:
        answer, result = await _collected(desk, request, target, translated)
        if turn is not None:
            await turn.commit(result, request.outcome.bytes_in)
        said = dumps(convert(result))
        if turn is None and keep:
            keeper = desk.turns.keeper(translated.body["input"], request.caller.owner)
            keeper(result, len(said))
        await request.reply(200, said, _disclose(answer, translated, turn))
    finally:
        if turn is not None:
            turn.close()


async def _collected(
    desk: Desk, request: Request, target: Target, translated: Translated
) -> tuple[Answer, dict[str, Any]]:
    """Return an answer read to its end, and the Responses object that it was."""
    answer = await _open(desk, request, target, translated)
    model = translated.options.model
    collector = Collector(now_s=time.time(), reply_id=reply_id("resp_", request), model=model)
    collector.redactor = desk.notes.redactor
    try:
        await collect(request, answer, collector, desk.notes.tap(request))
    finally:
        request.outcome.usage = collector.usage
    return answer, collector.result()


async def _many(desk: Desk, request: Request, target: Target, each: list[Translated]) -> None:
    """Answer a completion of several prompts, one after the other; as a stream it comes when all are there."""
    options = each[0].options
    made: list[dict[str, Any]] = []
    fields: list[tuple[bytes, bytes]] = []
    usages: list[Usage] = []
    for translated in each:
        answer, result = await _collected(desk, request, target, translated)
        if request.outcome.usage is not None:
            usages.append(request.outcome.usage)
        request.outcome.usage = summed(usages)
        made.append(to_completion(result, options))
        fields = fields or _disclose(answer, translated)
    whole = joined(made)
    if not options.stream:
        await request.reply(200, dumps(whole), fields)
        return
    request.begin_stream([*STREAM_FIELDS, *fields])
    frames = [
        *({**whole, "choices": [choice], "usage": None} for choice in whole["choices"]),
        *([{**whole, "choices": []}] if options.include_usage else ()),
    ]
    request.end_stream(
        b"".join(b"data: " + encode(frame) + b"\n\n" for frame in frames) + b"data: [DONE]\n\n"
    )
