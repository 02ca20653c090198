"""One client request and its answer, as the app sees them.

Owns: reading the request body under its limits, writing the answer in one piece or as a stream, what the
answer's head always carries. Refuses to know: routes, tokens, dialects. Layer: I/O.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from functools import lru_cache
from time import monotonic
from typing import Protocol

from airelays.errors import ClientFault, RelayError, error_body
from airelays.guard.keys import OWNER, Caller
from airelays.model import Fields, Outcome, Peer, RequestHead
from airelays.net.connection import Connection, TimedOut
from airelays.protocol.chunked import ChunkDecoder, encode_chunk
from airelays.protocol.http1 import ProtocolFault, encode_response_head

# A body must come at 1 KiB/s on average, counted from its tenth second: only a rate stops a drip.
BODY_GRACE_SECONDS = 10.0
BODY_BYTES_PER_SECOND = 1024

# So much of an answer is kept for the journal, when bodies are logged.
MAX_KEPT_BYTES = 64 * 1024
JSON = b"application/json"
_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class ErrorWords(Protocol):
    """What puts an error into the form of one of the APIs."""

    def answer(self, error: RelayError) -> tuple[int, bytes]:
        """Return status and body."""


class Counted(Protocol):
    """What makes a stream, and counts its events."""

    events: int


class ClientGone(ConnectionError):
    """The client left before its answer was complete."""


class Request:
    """One request in flight on a connection. Used by one coroutine; `send` also from callbacks.

    `fields` are header fields that the app adds to whatever answer goes out. `outcome` is filled on the way and
    read by the journal. `body_done` says that the whole body was read, `head_sent` that the client has seen a
    status, `finished` that the answer is complete. `interrupted` is set before the coroutine is cancelled because
    the relay shuts down or a key was revoked; `on_eof` is called when the client will send no more. `caller` is who
    asks, as soon as the gate knows it. `before_end` is called once, before the last bytes of the answer go out,
    `on_head` after the first ones have. `words` puts errors into the form of a client's API that is not OpenAI's.
    `say_error` makes the last event of a stream that fails, in the client's dialect; an answer of any other
    kind has none. `reply_map` is what a stream is made by, as soon as it begins.
    """

    def __init__(
        self, connection: Connection, head: RequestHead, request_id: str, body_gap_s: float
    ) -> None:
        self.connection = connection
        self.head = head
        self.id = request_id
        self.started_s = connection.loop.time()
        self.fields: list[tuple[bytes, bytes]] = []
        self.outcome = Outcome()
        self.keep_alive = head.keep_alive
        self.body_done = not head.has_body
        self.head_sent = False
        self.finished = False
        self.unread = b""
        self.last_sent_s = self.started_s
        self.interrupted: RelayError | None = None
        self.on_eof: Callable[[], None] | None = None
        self.caller: Caller = OWNER
        self.before_end: Callable[[Request], None] | None = None
        self.on_head: Callable[[], None] | None = None
        self.say_error: Callable[[RelayError], bytes] | None = None
        self.words: ErrorWords | None = None
        self.reply_map: Counted | None = None
        self._body_gap_s = body_gap_s
        self._continue_due = head.expects_continue and head.has_body
        self._stream_head = b""
        self._chunked = head.http_version == "1.1"

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""
        return self.connection.peer

    # ---- the request body

    async def read_body(self, max_bytes: int) -> bytes | bytearray:
        """Return the whole body.

        Raises ClientFault: 413 beyond `max_bytes`, 408 when it comes too slowly, 400 when cut or malformed.
        """
        length = self.head.content_length
        if length is not None and len(self.unread) >= length > 0 and length <= max_bytes:
            # The usual case: the body came with its head, and no generator needs to be made for it.
            body, self.unread = self.unread[:length], self.unread[length:]
            self.body_done = True
            return body
        gathered = bytearray()
        async for part in self.body_parts(max_bytes):
            gathered += part
        return gathered

    async def body_parts(self, max_bytes: int, *, batch_bytes: int = 0) -> AsyncIterator[bytes]:
        """Yield the body as it comes, without its framing. Faults as in `read_body`.

        `batch_bytes` lets a long body with a length be gathered by so much at a time, past the stream reader.
        """
        if self.body_done:
            return
        _refuse_longer(self.head.content_length or 0, max_bytes)
        if self._continue_due:
            self._continue_due = False
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if self.head.chunked:
                async for part in self._chunked_parts(max_bytes):
                    yield part
            else:
                length = self.head.content_length or 0
                long = 0 < 4 * batch_bytes < length
                async for part in self._counted_parts(length, batch_bytes if long else 0):
                    yield part
        except TimedOut as late:
            raise ClientFault(
                "request body arrived too slowly; send at least 1 KiB per second", status=408
            ) from late
        except ProtocolFault as fault:
            text = f"request body is malformed: {fault.message}"
            raise ClientFault(text, status=fault.status) from fault

    async def _counted_parts(self, length: int, batch_bytes: int) -> AsyncIterator[bytes]:
        left = length
        start_s = self.connection.loop.time()
        data, self.unread = self.unread, b""
        while left:
            if not data:
                data = await self._read_part(start_s, length - left)
                # Only an empty reader can be passed by.
                if batch_bytes and len(data) < left and self.connection.nothing_waits:
                    async for part in self._bulk_parts(data, left, batch_bytes, start_s):
                        yield part
                    return
            part, rest = (data, b"") if len(data) <= left else (data[:left], data[left:])
            left -= len(part)
            if not left:
                self.unread = rest
                self.body_done = True
            data = b""
            yield part

    async def _bulk_parts(
        self, first: bytes, left: int, batch_bytes: int, start_s: float
    ) -> AsyncIterator[bytes]:
        from airelays.net.bulk import Bulk

        loop, gap_s, length = self.connection.loop, self._body_gap_s, self.head.content_length or 0

        def deadline_at(left: int) -> float:
            return min(loop.time() + gap_s, _rate_deadline(start_s, length - left))

        # No await may come between the read and this: the reader must still be empty.
        bulk = Bulk(self.connection, left - len(first), batch_bytes, deadline_at)
        try:
            yield first
            while bulk.left or bulk.held:
                for part in await bulk.batch():
                    self.outcome.bytes_in += len(part)
                    yield part
        except EOFError as ended:
            raise ClientFault("request body ended before it was complete") from ended
        finally:
            bulk.close()
        self.unread = bulk.rest
        self.body_done = True

    async def _chunked_parts(self, max_bytes: int) -> AsyncIterator[bytes]:
        decoder, total, received = ChunkDecoder(), 0, 0
        start_s = self.connection.loop.time()
        data, self.unread = self.unread, b""
        while True:
            part = decoder.feed(data) if data else b""
            received += len(data)
            total += len(part)
            _refuse_longer(total, max_bytes)
            if decoder.done:
                self.unread = decoder.rest
                self.body_done = True
            if part:
                yield part
            if decoder.done:
                return
            data = await self._read_part(start_s, received)

    async def _read_part(self, start_s: float, received: int) -> bytes:
        """Read under the gap rule and the rate rule, whichever comes first."""
        now_s = self.connection.loop.time()
        by_rate_s = _rate_deadline(start_s, received)
        data = await self.connection.read(min(now_s + self._body_gap_s, by_rate_s))
        if not data:
            raise ClientFault("request body ended before it was complete")
        self.outcome.bytes_in += len(data)
        return data

    # ---- an answer in one piece

    async def reply(
        self,
        status: int,
        body: bytes,
        fields: Iterable[tuple[bytes, bytes]] = (),
        kind: bytes = JSON,
    ) -> None:
        """Send a complete answer of content type `kind`. Nothing of it may hold a secret."""
        extra = [(b"content-type", kind), *fields]
        head = self._head(status, extra, None if status == 204 else len(body))
        self.outcome.status = status
        if self.before_end is not None:
            self.tell_end()
        self._write(head if self.head.method == "HEAD" or status == 204 else head + body)
        self.finished = True
        if self.outcome.sent is not None:
            self.outcome.sent += body[:MAX_KEPT_BYTES]
        if self.connection.blocked:
            await self.connection.drain()

    async def reply_error(self, error: RelayError) -> None:
        """Send `error` as a status with a body: OpenAI's, or that of `words`."""
        status, body = error.status, b""
        if self.words is None:
            body = error_body(error)
        else:
            status, body = self.words.answer(error)
        await self.reply(status, body, error_fields(error))

    # ---- an answer as a stream

    def begin_stream(self, fields: Iterable[tuple[bytes, bytes]] = (), status: int = 200) -> None:
        """Prepare the head; it goes out together with the first bytes that `send` is given."""
        self.outcome.status = status
        if not self._chunked:
            self.keep_alive = False
        framing = [(b"transfer-encoding", b"chunked")] if self._chunked else []
        self._stream_head = self._head(status, [*fields, *framing])

    def begin_body(
        self, length: int, fields: Iterable[tuple[bytes, bytes]], status: int = 200
    ) -> None:
        """Prepare the head of an answer of exactly `length` bytes, which `send` and `send_last` are given."""
        self.outcome.status = status
        self._chunked = False
        self._stream_head = self._head(status, fields, length)

    def send(self, data: bytes) -> None:
        """Send stream bytes now, in one write. Raises ClientGone when nobody is there to take them."""
        if not data:
            return
        if self.outcome.sent is not None:
            self._keep(data)
        framed = encode_chunk(data) if self._chunked else data
        if self._stream_head:
            framed, self._stream_head = self._stream_head + framed, b""
        self._write(framed)

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are chunks already, into a chunked stream whose head has gone out."""
        self._write(data)

    @property
    def chunked(self) -> bool:
        """Whether a stream of this answer is sent in chunks."""
        return self._chunked

    def send_last(self, data: bytes) -> None:
        """Send the last bytes of a stream and end it in good order, in one write."""
        if self.before_end is not None:
            self.tell_end()
        framed = self._stream_head
        self._stream_head = b""
        if self._chunked:
            framed += (encode_chunk(data) if data else b"") + b"0\r\n\r\n"
        else:
            framed += data
        if framed:
            self._write(framed)
        self.finished = True

    async def wait_writable(self) -> None:
        """Return when the client has taken what it was sent, bar a bounded rest."""
        if self.connection.blocked:
            await self.connection.drain()
        if self.connection.lost:
            raise ClientGone

    def end_stream(self, last: bytes = b"", error: RelayError | None = None) -> None:
        """End a begun answer, with `last` and then `error` if there is one. Every stream ends here, once.

        An error becomes the one typed event that `say_error` makes of it, before the last chunk. Where nothing
        can say it the connection is reset. Raises ClientGone when nobody takes it, and after a reset.
        """
        if self.finished:
            return
        if error is not None:
            self.outcome.error = error
            said = b"" if self.say_error is None else self.say_error(error)
            if not said:
                self.connection.reset()
                raise ClientGone
            last += said
        self._keep(last)
        self.send_last(last)

    def tell_end(self) -> None:
        """Call `before_end`, unless it was called."""
        told, self.before_end = self.before_end, None
        if told is not None:
            told(self)

    # ---- inside

    def _keep(self, data: bytes) -> None:
        """Gather the beginning of what the client got, when bodies are logged."""
        sent = self.outcome.sent
        if sent is not None and len(sent) < MAX_KEPT_BYTES:
            sent += data

    def _write(self, data: bytes) -> None:
        # connection.write, written out: this runs for each event of each stream.
        connection = self.connection
        transport = connection.transport
        if connection.lost or transport is None or transport.is_closing():
            raise ClientGone
        transport.write(data)
        if not self.head_sent:
            self.head_sent = True
            if self.on_head is not None:
                self.on_head()
        self.last_sent_s = monotonic()
        self.outcome.bytes_out += len(data)

    def _head(
        self, status: int, fields: Iterable[tuple[bytes, bytes]], length: int | None = None
    ) -> bytes:
        if not self.body_done:
            self.keep_alive = False
        head = _constant_head(status, self.keep_alive, (*self.fields, *fields))
        if length is not None:
            head += b"content-length: %d\r\n" % length
        request_id = self.id.encode()
        if self.words is not None:  # Anthropic's name for it
            head += b"request-id: %s\r\n" % request_id
        return head + b"date: %s\r\nx-request-id: %s\r\n\r\n" % (http_date(), request_id)


@lru_cache(maxsize=256)
def _constant_head(status: int, keep_alive: bool, fields: Fields) -> bytes:
    """Return a response head up to what changes with each answer; checked once, used often."""
    named = {name for name, _ in fields}
    connection = b"keep-alive" if keep_alive else b"close"
    own: Fields = ((b"connection", b"upgrade, close" if b"upgrade" in named else connection),)
    always = tuple(field for field in _ALWAYS if field[0] not in named)
    return encode_response_head(status, (*own, *always, *fields))[:-2]


def error_fields(error: RelayError) -> list[tuple[bytes, bytes]]:
    """Return the header fields that go with `error`: the true wait, and whether to try again."""
    fields = [(k.encode("ascii"), v.encode("latin-1")) for k, v in error.headers.items()]
    if error.retry_after_s is not None:
        wait_s = max(1, -int(-error.retry_after_s // 1))
        fields.append((b"retry-after", b"%d" % wait_s))
    if error.should_retry is not None:
        fields.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    return fields


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_date = (0, b"")


def http_date() -> bytes:
    """Return the Date field's value (RFC 9110 section 5.6.7); made once a second.

    By hand: email.utils costs 15 ms of start-up, and strftime would follow the locale.
    """
    global _date
    now = int(time.time())
    if _date[0] != now:
        t = time.gmtime(now)
        day, month = _DAYS[t.tm_wday], _MONTHS[t.tm_mon - 1]
        text = (
            f"{day}, {t.tm_mday:02} {month} {t.tm_year} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
        )
        _date = (now, text.encode("ascii") + b" GMT")
    return _date[1]


def _rate_deadline(start_s: float, received: int) -> float:
    return start_s + BODY_GRACE_SECONDS + received / BODY_BYTES_PER_SECOND


def _refuse_longer(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        raise ClientFault(
            f"request body is longer than {max_bytes:,} bytes, the limit of this route",
            status=413,
            code="request_too_large",
        )
