"""A stream whose turn is stored before the client sees its end. Layer: app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from airelays.app.streaming import StreamPump
from airelays.dialects.reply import ReplyMap
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.collect import Collector
from airelays.errors import RelayError
from airelays.net.request import ClientGone, Request
from airelays.state.turn import Turn
from airelays.upstream.base import Answer

Keep = Callable[[dict[str, Any], int], None]


class KeepingPump(StreamPump):
    """A stream of `/v1/responses` whose answer is remembered in memory; costs one call an answer."""

    keep: Keep | None = None

    def _finish(self, out: bytes, error: RelayError | None) -> None:
        if error is None:
            self._remember(len(out))
        super()._finish(out, error)

    def _remember(self, size: int) -> None:
        keep, reply = self.keep, self.reply
        if keep is not None and isinstance(reply, ResponsesStream) and reply.response is not None:
            self.keep = None
            keep(reply.response, size)


class TurnPump(StreamPump):
    """Holds back the last bytes of a success until `turn` is stored; says so when it cannot be."""

    def __init__(
        self,
        request: Request,
        answer: Answer,
        reply: ReplyMap,
        turn: Turn,
        *,
        ping_s: float,
        tap: Callable[[bytes], None] | None = None,
    ) -> None:
        super().__init__(request, answer, reply, ping_s=ping_s, tap=tap)
        self._turn = turn
        self._ending: asyncio.Task[None] | None = None
        self._watched: Collector | None = None
        if isinstance(reply, ResponsesStream):
            reply.extra = turn.extra
        else:
            self._watched = Collector(now_s=0.0, reply_id=reply.response_id, model=reply.model)

    async def run(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Stream until the terminal event, and store the turn."""
        try:
            await super().run(fields)
            if self._ending is not None:
                await self._ending
        finally:
            if self._ending is not None:
                self._ending.cancel()
        if self._lost:
            raise ClientGone

    def _offer_raw(self) -> None:
        if self._watched is None:
            super()._offer_raw()

    def _feed(self, data: bytes) -> None:
        if self._ending is not None:
            return
        if self._watched is not None:
            self._watched.feed(data)
        super()._feed(data)

    def _finish(self, out: bytes, error: RelayError | None) -> None:
        """A success waits until the turn is stored; the upstream's body may end meanwhile."""
        if error is not None:
            super()._finish(out, error)
        elif self._ending is None:
            self._hold(out)

    def _body_ended(self, fault: RelayError | None) -> None:
        if self._ending is None:
            super()._body_ended(fault)

    def _hold(self, last: bytes) -> None:
        # Nothing has been said yet: if the turn cannot be stored, or the relay stops, the stream ends with that.
        self.reply.terminal, self.reply.done = "", False
        self._ending = self._loop.create_task(self._store(last), name="turn")

    async def _store(self, last: bytes) -> None:
        await self._turn.commit(self._response(), len(last))
        if not self._lost:
            self.request.end_stream(last)

    def _response(self) -> dict[str, Any]:
        if isinstance(self.reply, ResponsesStream):
            return self.reply.response or {}
        watched = self._watched
        if watched is None:
            return {}
        if self.reply.stopped and not watched.terminal:
            return watched.so_far()
        watched.end()
        return watched.result()
