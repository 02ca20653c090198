"""From an upstream's answer to the client: streamed through a reply map, or collected and sent whole.

The rules that every answer keeps (threat-model.md, U1): exactly one terminal event; nothing is promised before the
upstream has shown that it works; a cut is never passed off as an end. Layer: app.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from airelays.dialects.reply import ReplyMap
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.collect import Collector
from airelays.dialects.stream.events import EventMap
from airelays.errors import RelayError, UpstreamFault
from airelays.journal.notes import Pace
from airelays.net.request import ClientGone, Request
from airelays.upstream.base import Answer

if TYPE_CHECKING:
    from airelays.state.turn import Turn

_AS_IT_COMES: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
STREAM_FIELDS = ((b"content-type", EventMap.content_type), *_AS_IT_COMES)
# How long an upstream can take to end its body after the terminal event, before the connection is abandoned.
AFTER_TERMINAL_SECONDS = 0.25
# A client that sent FIN is either waiting or gone; the second write after a reset tells which.
PROBE_SECONDS = (0.0, 0.05, 0.5)


class StreamPump:
    """Feeds one answer through `reply` to the client.

    `feed` runs inside the upstream connection's read callback: the client gets what one read brought in one
    write, and no task or queue lies between the two sockets.
    """

    def __init__(
        self,
        request: Request,
        answer: Answer,
        reply: ReplyMap,
        *,
        ping_s: float,
        tap: Callable[[bytes], None] | None = None,
    ) -> None:
        self.request = request
        self.answer = answer
        self.reply = reply
        self._ping_s = ping_s
        self._loop = request.connection.loop
        self._timer: asyncio.TimerHandle | None = None
        self._probes: list[asyncio.TimerHandle] = []
        self._lost = False
        self._pace = Pace()
        self._tap = tap
        if answer.watch is not None and isinstance(reply, EventMap):
            reply.watch = answer.watch

    async def run(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Stream until the terminal event.

        Raises the fault of an answer that failed before anything was sent: it becomes a status. Whatever else is
        raised from here, a bug or a shutdown, the session ends the stream with: `say_error` is set.
        """
        request = self.request
        kind = (b"content-type", self.reply.content_type)
        request.begin_stream([kind, *_AS_IT_COMES, *fields])
        request.say_error = self.reply.fail
        request.reply_map = self.reply
        request.connection.on_blocked = self._blocked
        request.on_eof = self._probe
        self._timer = self._loop.call_later(self._ping_s, self._tick)
        self._offer_raw()
        try:
            try:
                await self.answer.pump(self._feed)
            except UpstreamFault as fault:
                self._body_ended(fault)
            else:
                self._body_ended(None)
        finally:
            self._stop()
        if request.connection.blocked:
            await request.connection.drain()

    def _offer_raw(self) -> None:
        """Pass reads that are one whole chunk on directly, if both sides use chunks and nothing has to see the
        content."""
        request = self.request
        raw = self.reply.raw
        if raw is None or not request.chunked:
            return
        if self._tap is not None or request.outcome.sent is not None:
            return
        pace = self._pace.read

        def take(data: bytes) -> bool:
            out = raw(data)  # nothing before the first text, and with that the head went out
            if not out:
                return False
            pace()
            try:
                request.send_raw(out)
            except ClientGone:
                self._lost = True
                self.answer.abort()
            return True

        self.answer.offer_raw(take)

    def _feed(self, data: bytes) -> None:
        if self.request.finished:
            return  # what comes behind the terminal event is nobody's
        reply = self.reply
        self._pace.read()
        if self._tap is not None:
            self._tap(data)
        out = reply.feed(data)
        if reply.first_text:
            self._pace.token()
        if reply.done or reply.stopped:
            self._last_event(out)
        elif out:
            self._send(out)

    def _send(self, out: bytes) -> None:
        try:
            self.request.send(out)
        except ClientGone:
            self._lost = True
            self.answer.abort()

    def _last_event(self, out: bytes) -> None:
        """The upstream has sent its last event, or a stop sequence was found: end the stream with this write."""
        failure = self.reply.failure
        self._finish(out if failure is not None else out + self.reply.end(), failure)
        if self.reply.stopped or failure is not None:
            self.answer.abort()
        else:
            self.answer.end_within(AFTER_TERMINAL_SECONDS)

    def _body_ended(self, fault: RelayError | None) -> None:
        """The upstream's body is over. Decide what that means for a client that has no terminal event yet."""
        if self._lost:
            raise ClientGone
        if self.request.finished:
            return
        # An upstream can leave out the blank line after its last event: `end` still reads that event.
        out = self.reply.end() if fault is None else b""
        self._finish(out, self.reply.failure or fault)

    def _finish(self, out: bytes, error: RelayError | None) -> None:
        """End the stream; raise `error` while it can still become a status."""
        if error is not None and not (self.request.head_sent or self.reply.committed):
            raise error
        self._note_before_end()
        self.request.end_stream(out, error)

    def _note_before_end(self) -> None:
        self.request.outcome.usage = self.reply.usage
        self._pace.note_token(self.request.outcome, self.request.started_s)

    def _blocked(self, blocked: bool) -> None:
        if blocked:
            self.answer.pause()
        else:
            self.answer.resume()

    def _tick(self) -> None:
        """Send a keep-alive after `ping_s` of silence; also the head, once the upstream said 200."""
        silent_s = self._loop.time() - self.request.last_sent_s
        if silent_s >= self._ping_s - 0.001:
            self._ping()
            silent_s = 0.0
        self._timer = self._loop.call_later(self._ping_s - silent_s, self._tick)

    def _ping(self) -> None:
        if not self.request.finished and not self.request.connection.blocked:
            self._send(self.reply.ping())

    def _probe(self) -> None:
        if self.request.head_sent and not self._probes:
            self._probes = [self._loop.call_later(s, self._ping) for s in PROBE_SECONDS]

    def _stop(self) -> None:
        self.request.outcome.events = self.reply.events
        self._pace.note(self.request.outcome, self.request.started_s, self.answer)
        self.request.connection.on_blocked = None
        self.request.on_eof = None
        self.answer.abort()
        if self._timer is not None:
            self._timer.cancel()
        for probe in self._probes:
            probe.cancel()
        self._probes.clear()  # those that have fired still refer to this pump


async def collect(
    request: Request,
    answer: Answer,
    collector: Collector,
    tap: Callable[[bytes], None] | None = None,
) -> None:
    """Read `answer` to its terminal event. Raises the fault that the client gets as a status."""
    pace = Pace()
    collector.watch = answer.watch

    def feed(data: bytes) -> None:
        if not collector.done:
            pace.read()
            if tap is not None:
                tap(data)
            collector.feed(data)
            if collector.terminal:
                answer.end_within(AFTER_TERMINAL_SECONDS)

    try:
        await answer.pump(feed)
    except UpstreamFault:
        if not collector.done:
            raise
    finally:
        pace.note(request.outcome, request.started_s, answer)
        answer.abort()
    collector.end()
    if collector.failure is not None:
        raise collector.failure


Keep = Callable[[dict[str, Any], int], None]


class KeepingPump(StreamPump):
    """A stream of `/v1/responses` whose answer is remembered in memory; costs one call per answer."""

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
        # Nothing has been sent yet. If the turn cannot be stored, or the relay stops, the stream ends with that
        # error.
        self.reply.terminal, self.reply.done = "", False
        self._ending = self._loop.create_task(self._store(last), name="turn")

    async def _store(self, last: bytes) -> None:
        await self._turn.commit(self._response(), len(last))
        if not self._lost:
            self._note_before_end()
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
