"""One HTTP/1.1 connection to an upstream: bytes are framed where they arrive and handed on at once.

`buffer_updated` parses the head, then gives each read's payload to the `feed` of whoever pumps the answer;
no task, queue or timer object lies between the socket and the client. One timer a connection watches the
deadlines; it is looked at when it fires, not moved for each read.

Owns: the state of one exchange. Refuses to know: pools, names, proxies. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import sys
from collections.abc import Callable
from time import monotonic

from airelays.errors import UpstreamFault
from airelays.model import ResponseHead
from airelays.net.dial import Dialled, let_go
from airelays.net.sharedread import read_view
from airelays.protocol.chunked import ChunkDecoder
from airelays.protocol.http1 import ProtocolFault, parse_response_head

MAX_HEAD_BYTES = 64 * 1024
MAX_INFORMATIONAL = 8
# Read ahead before somebody pumps, or while a paused transport still delivers.
MAX_EARLY_BYTES = 64 * 1024
# Bodies up to this size go out in one write with their head; a larger one is not copied for that.
JOIN_BYTES = 64 * 1024

_IDLE, _HEAD, _BODY, _CLOSED = range(4)

if sys.platform != "win32":
    _POLLIN = select.POLLIN | select.POLLHUP | select.POLLERR


class Exchange(Dialled):
    """A connected transport that serves one request at a time; `on_idle` gets it back when it is clean.

    `on_lost` is told when it dies while idle. `lost_unheard` is True after it died without a byte of reply.
    """

    transport: asyncio.Transport

    __slots__ = (
        "_blocked", "_closed_cleanly", "_decoder", "_done", "_due_s", "_early", "_early_bytes",
        "_ending", "_feed", "_gap_s", "_head_s", "_heard", "_interim", "_interim_bytes", "_keep_alive",
        "_last_s", "_loop", "_lost", "_method", "_on_idle", "_on_lost", "_partial", "_paused",
        "_poll", "_raw", "_remaining", "_state", "_timer", "_view", "_waiter", "idle_since_s", "key",
        "lost_unheard", "place", "reusable", "transport",
    )  # fmt: skip

    def __init__(
        self,
        place: str,
        key: object,
        on_idle: Callable[[Exchange], None],
        on_lost: Callable[[Exchange], None],
    ) -> None:
        self.place = place
        self.key = key
        self.lost_unheard = False
        self.reusable = True
        self.idle_since_s = 0.0
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._view = read_view()
        self._state = _IDLE
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = self._last_s = self._gap_s = self._head_s = 0.0
        self._waiter: asyncio.Future[ResponseHead] | None = None
        self._done: asyncio.Future[None] | None = None
        self._feed: Callable[[bytes], None] | None = None
        self._raw: Callable[[bytes], bool] | None = None
        self._decoder: ChunkDecoder | None = None
        self._remaining = -1
        self._partial = bytearray()
        self._interim_bytes = 0
        self._interim = 0
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._heard = self._keep_alive = self._paused = self._closed_cleanly = self._ending = False
        self._method = ""
        self._lost: Exception | None = None
        self._poll: select.poll | None = None
        self._blocked: asyncio.Future[None] | None = None

    def begin(
        self, method: str, head: bytes, body: bytes, *, head_s: float, gap_s: float
    ) -> asyncio.Future[ResponseHead]:
        """Send a request; the future gets the final response head, or an UpstreamFault."""
        self._state = _HEAD
        self._method = method
        self._heard = self.lost_unheard = False
        self._interim_bytes = self._interim = 0
        self._head_s, self._gap_s = head_s, gap_s
        self._due_s = self._loop.time() + head_s
        self._watch(self._due_s)
        self._waiter = waiter = self._loop.create_future()
        if len(body) <= JOIN_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        return waiter

    async def send(self, data: bytes) -> None:
        """Send a piece of the request body behind `begin`; returns when the upstream keeps up."""
        self.transport.write(data)
        if self._blocked is not None:
            await self._blocked

    def start(
        self, feed: Callable[[bytes], None], raw: Callable[[bytes], bool] | None = None
    ) -> asyncio.Future[None]:
        """Hand the body to `feed` from now on; the future ends with the body.

        `raw` is shown each read of a chunked body that begins at a chunk, still framed; when it returns True it
        has dealt with it, which it may only do with exactly one whole chunk that is not the last.
        """
        self._raw = raw
        self._done = done = self._loop.create_future()
        self._feed = feed
        early, self._early, self._early_bytes = self._early, [], 0
        self.resume()
        if self._state == _BODY and not early and self._remaining == 0 and self._decoder is None:
            self._complete(extra=False)
        for data in early:
            if self._state == _BODY:
                self._take(data)
        if self._state == _BODY and self._lost is not None:
            self._input_ended()
        elif self._state == _CLOSED and not done.done():
            done.set_exception(self._lost or self._cut())
        return done

    def serves(self, done: asyncio.Future[None]) -> bool:
        """Whether the exchange whose `start` returned `done` is still going on here."""
        return self._done is done

    def pause(self) -> None:
        """Stop reading. The gap deadline does not run while paused."""
        if not self._paused and self._state == _BODY and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            self._last_s = self._loop.time()
            if self._state == _BODY:
                self._watch(self._last_s + self._gap_s)
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def end_within(self, seconds: float) -> None:
        """Give the rest of the body so long, then do as `abort`; called by `feed`. Most bodies end in the same read."""
        self._ending = True
        self._due_s = monotonic() + seconds

    def abort(self) -> None:
        """Drop the connection at once; a waiting exchange ends with an UpstreamFault."""
        if self._state != _CLOSED:
            self._fail(self._fault("the exchange with {} was abandoned", "stream", code="aborted"))

    def close(self) -> None:
        """Close an idle connection properly."""
        self._state = _CLOSED
        self._stop_timer()
        if not self.transport.is_closing():  # asyncio's TLS breaks by the second time
            self.transport.close()

    def is_usable(self) -> bool:
        """Whether an idle connection may carry another request: open, and nothing waits to be read.

        Whatever an upstream sends unasked, or its FIN, is seen here even before the loop delivers it.
        """
        if self._state != _IDLE or self._closed_cleanly or self.transport.is_closing():
            return False
        if self._poll is not None:
            return not self._poll.poll(0)
        sock = self.transport.get_extra_info("socket")
        return not select.select([sock], [], [], 0)[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("an exchange needs a transport that reads and writes")
        self.transport = transport
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sys.platform != "win32" and sock is not None:
            self._poll = select.poll()
            self._poll.register(sock.fileno(), _POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the loop puts what arrives."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Frame one read."""
        data = bytes(self._view[:nbytes])
        if self._state == _BODY:
            self._last_s = monotonic()  # the loop's clock, without a call through the loop
            raw = self._raw
            if raw is not None and self._decoder is not None and self._decoder.at_chunk:
                try:
                    if raw(data):
                        return
                except Exception as error:
                    self._fail(error)
                    return
            if self._feed is None:
                self._keep_early(data)
            else:
                self._take(data)
        elif self._state == _HEAD:
            self._heard = True
            self._take_head(data)
        elif self._state == _IDLE:
            # Bytes that nobody asked for: response-queue poisoning if they were ever matched to a request.
            self._fail(self._cut())

    def eof_received(self) -> bool:
        """Note a clean end. asyncio calls this for a bare FIN beneath TLS too, which is none."""
        tls: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        try:
            self._closed_cleanly = tls is None or tls.read(1) == b""
        except ssl.SSLError:
            self._closed_cleanly = False
        return False

    def pause_writing(self) -> None:
        """The upstream does not take what it is sent."""
        self._blocked = self._loop.create_future()

    def resume_writing(self) -> None:
        """The upstream has caught up, or is gone."""
        blocked, self._blocked = self._blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End whatever was going on."""
        self._poll = None
        self.resume_writing()
        self._input_ended()
        let_go(self.transport)

    def _take_head(self, data: bytes) -> None:
        partial = self._partial  # empty for a head that comes in one read, as nearly every one does
        if partial:
            looked = max(0, len(partial) - 3)
            partial += data
            size = len(partial) + self._interim_bytes
            if partial.find(b"\r\n\r\n", looked) < 0 and size <= MAX_HEAD_BYTES:
                return None
            data = bytes(partial)
            partial.clear()
        while self._state == _HEAD:
            end = data.find(b"\r\n\r\n") + 4
            if (end if end >= 4 else len(data)) + self._interim_bytes > MAX_HEAD_BYTES:
                text = f"{{}} sent a response head of more than {MAX_HEAD_BYTES:,} bytes"
                return self._fail(self._fault(text, "upstream", code="upstream_malformed"))
            if end < 4:
                partial += data
                return None
            raw, data = data[:end], data[end:]
            try:
                head = parse_response_head(raw, method=self._method)
            except UpstreamFault as fault:
                text = f"{fault.message} ({{}})"
                return self._fail(self._fault(text, "upstream", code="upstream_malformed"))
            if head.status < 200:
                self._skip_interim(head, end)
            else:
                self._head_arrived(head, data)
        return None

    def _skip_interim(self, head: ResponseHead, size: int) -> None:
        self._interim_bytes += size
        self._interim += 1
        if head.status == 101 or self._interim > MAX_INFORMATIONAL:
            text = f"{{}} sent an unexpected interim answer {head.status}, or more than {MAX_INFORMATIONAL}"
            self._fail(self._fault(text, "upstream", code="upstream_malformed"))

    def _head_arrived(self, head: ResponseHead, rest: bytes) -> None:
        self._state = _BODY
        self._last_s = self._loop.time()
        self._watch(self._last_s + self._gap_s)
        self._keep_alive = head.keep_alive
        self._ending = False
        self._decoder = ChunkDecoder() if head.chunked else None
        self._remaining = -1 if head.content_length is None else head.content_length
        self._feed = self._raw = self._done = self._lost = None
        if rest:
            self._keep_early(rest)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(head)

    def _keep_early(self, data: bytes) -> None:
        self._early.append(data)
        self._early_bytes += len(data)
        if self._early_bytes > MAX_EARLY_BYTES:
            self.pause()

    def _take(self, data: bytes) -> None:
        feed = self._feed
        if feed is None:
            return
        try:
            decoder = self._decoder
            if decoder is not None:
                payload = decoder.feed(data)
                if payload:
                    feed(payload)
                if decoder.done and self._state == _BODY:
                    self._complete(extra=bool(decoder.rest))
            elif self._remaining < 0:
                feed(data)
            else:
                left = self._remaining - len(data)
                self._remaining = max(left, 0)
                payload = data if left >= 0 else data[:left]
                if payload:
                    feed(payload)
                if left <= 0 and self._state == _BODY:
                    self._complete(extra=left < 0)
            if self._ending and self._state == _BODY:
                self._watch(self._due_s)
        except ProtocolFault as fault:
            self._fail(self._malformed(feed, fault))
        except Exception as error:
            self._fail(error)

    def _malformed(self, feed: Callable[[bytes], None], fault: ProtocolFault) -> Exception:
        """The framing is broken. What stood before that in the read counts: it may hold the answer's end."""
        try:
            if self._decoder is not None and self._decoder.before_fault:
                feed(self._decoder.before_fault)
        except Exception as error:
            return error
        text = f"{{}} sent a malformed body: {fault.message}"
        return self._fault(text, "stream", code="upstream_malformed")

    def _complete(self, *, extra: bool) -> None:
        done, self._done, self._feed, self._decoder = self._done, None, None, None
        self._raw = None
        self._state = _IDLE
        self.resume()
        broken = extra or self._closed_cleanly or self._lost or self.transport.is_closing()
        # A reply that came before the whole request was sent leaves the connection out of step.
        if (
            self._keep_alive
            and self.reusable
            and not broken
            and not self.transport.get_write_buffer_size()
        ):
            self._on_idle(self)
        else:
            self.close()
        if done is not None and not done.done():
            done.set_result(None)

    def _input_ended(self) -> None:
        """The peer will send no more. What was buffered before somebody pumps is still good."""
        if self._state == _BODY and self._feed is None:
            self._lost = self._cut()
            self._stop_timer()
        elif self._state == _BODY:
            # RFC 9112 section 6.3 case 8 and section 9.8: over TLS only a close_notify ends a body.
            if self._decoder is None and self._remaining < 0 and self._closed_cleanly:
                self._complete(extra=False)
            else:
                self._fail(self._cut())
        elif self._state == _HEAD:
            self.lost_unheard = not self._heard
            text = "{} closed the connection before sending a reply; try again"
            self._fail(self._fault(text, "upstream", code="upstream_closed"))
        elif self._state == _IDLE:
            self._state = _CLOSED
            self._stop_timer()
            self._on_lost(self)

    def _fail(self, error: Exception) -> None:
        was_idle = self._state == _IDLE
        self._state = _CLOSED
        self._lost = error
        self._stop_timer()
        self._feed = self._raw = self._decoder = None
        self._early.clear()
        self.transport.abort()
        for future in (self._waiter, self._done):
            if future is not None and not future.done():
                future.set_exception(error)
                self._lost = None  # who waited has it, and its way up leads back here
        self._waiter = self._done = None
        if was_idle:
            self._on_lost(self)

    def _watch(self, due_s: float) -> None:
        """Have the timer fire at `due_s` or sooner; with one that fires sooner nothing is done."""
        timer = self._timer
        if timer is None or timer.when() > due_s:
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(due_s, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        if self._state == _HEAD or (self._state == _BODY and self._ending):
            due_s = self._due_s
        elif self._state == _BODY:
            due_s = (now_s if self._paused else self._last_s) + self._gap_s
        else:
            return
        if due_s > now_s:
            self._timer = self._loop.call_at(due_s, self._look_at_clock)
        elif self._state == _HEAD:
            text = f"{{}} sent no complete response head within {self._head_s:g} s"
            self._fail(self._fault(text, "upstream", status=504, code="upstream_timeout"))
        elif self._ending:
            self.abort()
        else:
            text = f"{{}} sent nothing for {self._gap_s:g} s in the middle of its answer"
            self._fail(self._fault(text, "stream", status=504, code="upstream_stalled"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> UpstreamFault:
        text = "{} closed the connection in the middle of its answer"
        return self._fault(text, "stream", code="incomplete_stream")

    def _fault(self, text: str, hop: str, *, code: str, status: int = 502) -> UpstreamFault:
        message = text.replace("{}", self.place, 1)
        return UpstreamFault(
            message, hop=hop, sent=True, status=status, code=code, type="upstream_error"
        )
