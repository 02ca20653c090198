"""The whole answer from a server that answers with an event stream that was not requested. Layer: app."""

from __future__ import annotations

import asyncio
from typing import Any

from airelays.app.streaming import AFTER_TERMINAL_SECONDS
from airelays.dialects.reply import ReplyMap
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.gathered import whole_answer
from airelays.errors import UpstreamFault
from airelays.net.request import Request
from airelays.upstream.base import PassedAnswer, Upstream
from airelays.upstream.compatible.whole import too_large


async def gather(
    request: Request, upstream: Upstream, answered: PassedAnswer, reply: ReplyMap, api: str
) -> dict[str, Any]:
    """Return what a stream is as a whole; `reply` reads it as it would for a client of `api`.

    Raises UpstreamFault for one that failed, was cut, or is larger than an answer may be.
    """
    reply.redactor = upstream.redactor
    if isinstance(reply, ResponsesStream):
        reply.watch = answered.watch
    frames: list[bytes] = []
    left = upstream.max_answer_bytes

    def feed(data: bytes) -> None:
        nonlocal left
        left -= len(data)
        if left < 0:
            raise too_large(upstream.name, upstream.max_answer_bytes)
        frames.append(reply.feed(data))
        if reply.done:
            answered.end_within(AFTER_TERMINAL_SECONDS)

    try:
        await answered.pump(feed)
    except UpstreamFault:
        if not reply.done:
            raise
    finally:
        answered.abort()
    frames.append(reply.end())
    request.outcome.usage = reply.usage
    if reply.failure is not None:
        raise reply.failure
    if isinstance(reply, ResponsesStream):
        return reply.response or {}
    if api == "messages":
        from airelays.dialects.anthropic.made import message_of

        return await asyncio.to_thread(message_of, b"".join(frames))
    return await asyncio.to_thread(whole_answer, b"".join(frames), chat=api == "chat")
