"""The life of one client connection: read a head, run the handler, answer, and again.

Strictly one request at a time. A client that leaves cancels the handler; what it waits for upstream is
ended in its `finally`. Owns: that loop, its deadlines, the last word when something is wrong.
Refuses to know: what a handler does. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator

from airelays.errors import ClientFault, RelayBug, RelayError, forget_frames
from airelays.model import RequestHead
from airelays.net.connection import Connection, TimedOut
from airelays.net.request import ClientGone, Request
from airelays.protocol.headcache import HeadCache
from airelays.protocol.http1 import (
    ProtocolFault,
    check_partial_head,
    find_head_end,
)
from airelays.settings.record import Record

Handler = Callable[[Request], Awaitable[None]]
# A client that shut its sending side still gets an answer that is nearly there; then it counts as gone.
HALF_CLOSED_SECONDS = 0.9
# How long a stop waits for the first request of a connection.
FIRST_REQUEST_SECONDS = 0.5


class SessionLimits(Record):
    """Deadlines of one connection, in seconds. `keep_alive_s` is asked before each wait."""

    first_byte_s: float
    head_s: float
    body_gap_s: float
    keep_alive_s: Callable[[], float]


class Session:
    """Serves one connection until it ends. `interrupt` is how a shutdown reaches a running request."""

    def __init__(
        self,
        connection: Connection,
        handler: Handler,
        limits: SessionLimits,
        *,
        heads: HeadCache,
        on_refused: Callable[[Request, RelayError], None],
        on_done: Callable[[Request], None],
        on_bug: Callable[[str, BaseException], None],
    ) -> None:
        self.connection = connection
        self.request: Request | None = None
        self._handler = handler
        self._limits = limits
        self._heads = heads
        self._on_refused = on_refused
        self._on_done = on_done
        self._on_bug = on_bug
        self._task: asyncio.Task[None] | None = None
        self._buffer = b""
        self._served = 0
        self._stopping = False
        self._half_closed: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve requests until the client, a fault or `stop` ends it. Never raises but CancelledError."""
        self._task = asyncio.current_task()
        self.connection.on_gone = self._client_gone
        self.connection.on_eof = self._client_half_closed
        linger = False
        try:
            while not self._stopping or not self._served:
                head = await self._next_head()
                if head is None:
                    break
                linger = not await self._serve(head)
                if linger:
                    break
        except ClientGone:
            pass
        except ConnectionError:
            pass
        finally:
            if self._half_closed is not None:
                self._half_closed.cancel()
            await self._close(linger)
            # Nothing that refers to itself is left behind: the collector would have to find each client that went.
            self._task = self.connection.on_gone = self.connection.on_eof = None

    def stop(self) -> None:
        """Serve no further request; an idle connection is closed now.

        One that has just come is answered first: its client knows no other relay, and would see a reset.
        """
        self._stopping = True
        if self._served:
            self._end_idle()
        else:
            self.connection.loop.call_later(FIRST_REQUEST_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        if self.request is None and self._task is not None:
            self.connection.abort()

    def interrupt(self, error: RelayError) -> None:
        """End the running request with `error`: as a status, or as the last event of a stream."""
        if self.request is not None and self._task is not None:
            self.request.interrupted = error
            self._task.cancel()

    # ---- heads

    async def _next_head(self) -> RequestHead | None:
        """Return the next request's head; None when there is none to come or it was refused."""
        try:
            raw = await self._read_head()
            return self._heads.parse(raw) if raw else None
        except ProtocolFault as fault:
            await self._refuse(ClientFault(fault.message, status=fault.status))
        except TimedOut:
            if self._buffer:
                text = f"request head did not arrive within {self._limits.head_s:g} s"
                await self._refuse(ClientFault(text, status=408))
        return None

    async def _read_head(self) -> bytes:
        """Return one whole head, b"" when the client has ended. Raises TimedOut, ProtocolFault."""
        loop, looked, skipped = self.connection.loop, 0, False
        wait_s = self._limits.keep_alive_s() if self._served else self._limits.first_byte_s
        at_s = loop.time() + wait_s
        if self._buffer:
            at_s = loop.time() + self._limits.head_s
        while True:
            if not skipped and self._buffer[:2] == b"\r\n":
                # RFC 9112 section 2.2: an empty line ahead of a request. One: more would be a way to stay for ever.
                self._buffer, skipped = self._buffer[2:], True
            if self._buffer:
                end = find_head_end(self._buffer, looked)
                if end >= 0:
                    raw, self._buffer = self._buffer[:end], self._buffer[end:]
                    return raw
                check_partial_head(self._buffer)
                looked = len(self._buffer)
            data = await self.connection.read(at_s)
            if not data:
                if self._buffer:
                    raise ProtocolFault("request head ended before it was complete")
                return b""
            if not self._buffer:
                at_s = loop.time() + self._limits.head_s  # absolute: a drip does not move it
            self._buffer += data

    async def _refuse(self, error: RelayError) -> None:
        """Answer bytes that never became a request, then close: nothing behind them is believed."""
        head = RequestHead("GET", "", "", "", "1.1", (), None, False, False, False)
        request = Request(self.connection, head, new_request_id(), self._limits.body_gap_s)
        self._on_refused(request, error)
        await request.reply_error(error)
        await self.connection.close(linger=True)

    # ---- requests

    async def _serve(self, head: RequestHead) -> bool:
        """Run the handler for `head`; return whether the connection can serve another request."""
        request = Request(self.connection, head, new_request_id(), self._limits.body_gap_s)
        request.unread, self._buffer = self._buffer, b""
        self.request = request
        self._served += 1
        try:
            if self.connection.at_eof:
                self._client_half_closed()
            await self._handle(request)
        finally:
            if request.head_sent and not request.finished:
                self.connection.reset()
            self.request = None
            forget_frames(request.outcome.error)
            self._on_done(request)
            self.connection.on_blocked = None
            if self._half_closed is not None:
                self._half_closed.cancel()
                self._half_closed = None
        if not request.finished or not request.keep_alive:
            return False
        if not request.body_done:
            return False
        self._buffer = request.unread
        return True

    async def _handle(self, request: Request) -> None:
        try:
            await self._handler(request)
        except RelayError as error:
            await self._answer(request, error)
        except asyncio.CancelledError:
            if request.interrupted is None or self.connection.lost:
                raise
            if self._task is not None:
                self._task.uncancel()
            await self._answer(request, request.interrupted)
        except (ClientGone, ConnectionError):
            raise
        except Exception as bug:
            self._on_bug(request.id, bug)
            text = f"the relay failed on this request; the log has the details under {request.id}"
            await self._answer(request, RelayBug(text, code="relay_bug"))

    async def _answer(self, request: Request, error: RelayError) -> None:
        """Say `error`: as a status before the head, as the last event of a stream after it."""
        request.outcome.error = error
        if request.head_sent:
            request.keep_alive = False
            request.end_stream(error=error)
            return
        if not request.body_done:
            request.keep_alive = False
        await request.reply_error(error)

    async def _close(self, linger: bool) -> None:
        try:
            await self.connection.close(linger=linger)
        except (ConnectionError, asyncio.CancelledError):
            self.connection.reset()

    # ---- what the client does meanwhile

    def _client_gone(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _client_half_closed(self) -> None:
        """The client sends no more. It may be gone for good, or wait for its answer: nobody can tell yet.

        A short answer still goes out. A stream finds out by its next write; when nothing has been
        sent by then, the client counts as gone, and the upstream request is ended.
        """
        request = self.request
        if request is None:
            return
        if request.on_eof is not None:
            request.on_eof()
        if request.body_done and self._half_closed is None:
            self._half_closed = self.connection.loop.call_later(
                HALF_CLOSED_SECONDS, self._give_up, request
            )

    def _give_up(self, request: Request) -> None:
        if request is self.request and not request.head_sent:
            self.connection.abort()


def new_request_id() -> str:
    """Return "req_" and 32 hexadecimal digits, random."""
    return next(_ids)


def _make_ids() -> Iterator[str]:
    """Yield ids; the system is asked for the random bytes of sixty-four at a time."""
    while True:
        digits = os.urandom(64 * 16).hex()
        for at in range(0, len(digits), 32):
            yield "req_" + digits[at : at + 32]


_ids = _make_ids()
