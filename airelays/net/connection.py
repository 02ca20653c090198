"""One client connection as raw asyncio streams, with everything that a peer can do to it turned into a fact.

Owns: reading under a deadline, noticing that the client left, back-pressure in both directions, the cut of
a reader that takes nothing, the lingering close. Refuses to know: heads, routes. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable

from airelays.model import Door, Peer
from airelays.net.deadline import Deadline
from airelays.net.sharedread import READ_BYTES, read_view

# The stream reader pauses the transport at twice its limit: this is all that is read ahead of a request.
READ_AHEAD_BYTES = 32 * 1024
# nginx and Envoy hold 32 to 64 KiB a connection before they stop reading from the upstream.
WRITE_HIGH_WATER_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
LINGER_BYTES = 256 * 1024
# SO_LINGER on with no time: closing the socket sends a RST.
_LINGER_NOT = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class TimedOut(Exception):
    """What was waited for did not come before the deadline."""


class _Diverted(asyncio.Protocol):
    """In the place of a connection while `sink` gets what arrives, in pieces that nobody has to copy."""

    def __init__(self, connection: Connection, sink: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._sink = sink

    def data_received(self, data: bytes) -> None:
        """Hand on one read, of up to asyncio's 256 KiB."""
        self._sink(data)

    def eof_received(self) -> bool:
        """As the connection does."""
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        """As the connection does."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """As the connection does."""
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """As the connection does."""
        self._connection.connection_lost(exc)


class Connection(asyncio.StreamReaderProtocol, asyncio.BufferedProtocol):
    """The client's side. Made by the listener for an accepted socket.

    `here` is the address that the client connected to, `door` the listener, None for the first one.
    `on_gone` is called once when the connection is lost, `on_eof` when the client will send nothing more,
    `on_blocked` with True when it does not take what it is sent and with False when it does again.
    """

    __slots__ = (
        "_expired", "_fed", "_on_end", "_over", "_stall", "_stalled_bytes", "_view",
        "_write_stall_s", "blocked", "bytes_in", "deadline", "door", "here", "loop", "lost", "on_blocked",
        "on_eof", "on_gone", "peer", "reader", "transport", "writer",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, peer: Peer, here: str, write_stall_s: float
    ) -> None:
        self.reader = asyncio.StreamReader(limit=READ_AHEAD_BYTES, loop=loop)
        super().__init__(self.reader, loop=loop)
        self._view = read_view()
        self.loop = loop
        self.peer = peer
        self.here = here
        self.door: Door | None = None
        self.transport: asyncio.Transport | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.lost = False
        self.blocked = False
        self.on_gone: Callable[[], None] | None = None
        self.on_eof: Callable[[], None] | None = None
        self.on_blocked: Callable[[bool], None] | None = None
        self.deadline = Deadline(loop, self._expire)
        self.bytes_in = 0
        self._expired = False
        self._fed = 0
        self._on_end: Callable[[], None] | None = None
        self._over: asyncio.Future[None] | None = None
        self._write_stall_s = write_stall_s
        self._stall = Deadline(loop, self._check_stall)
        self._stalled_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and bound what may wait in it."""
        super().connection_made(transport)
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a client connection needs a two-way transport")
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self.transport = transport
        self.writer = asyncio.StreamWriter(transport, self, self.reader, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for this client that it is gone."""
        self.lost = True
        self.deadline.close()
        self._stall.close()
        if exc is not None:
            # The reader keeps `exc`, and the frames it came through would keep all of this.
            exc.__traceback__ = None
        super().connection_lost(exc)
        self._settle_linger()
        if self.on_gone is not None:
            self.on_gone()
        self.writer = None  # it refers to this connection

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the loop puts what arrives."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what came to the stream reader."""
        self._fed += nbytes
        self.reader.feed_data(self._view[:nbytes])

    def divert(
        self, sink: Callable[[bytes], None] | None, on_end: Callable[[], None] | None
    ) -> None:
        """Give what arrives to `sink` from now on, past the reader, which must be empty; None ends that.

        `on_end` is called when the client will send nothing more, and when the deadline has passed.
        """
        self._on_end = on_end
        if self.transport is not None and not self.lost:
            self.transport.set_protocol(self if sink is None else _Diverted(self, sink))

    def pause_reading(self) -> None:
        """Take nothing from the client for now."""
        if self.transport is not None and not self.lost:
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self.transport is not None and not self.lost and not self.transport.is_closing():
            self.transport.resume_reading()

    @property
    def nothing_waits(self) -> bool:
        """Whether all that arrived has been read."""
        return self._fed == 0

    @property
    def expired(self) -> bool:
        """Whether a deadline has ended the reading."""
        return self._expired

    def eof_received(self) -> bool:
        """Keep the sending side open: a client may shut its own side and wait for the answer."""
        super().eof_received()
        if self._on_end is not None:
            self._on_end()
        self._settle_linger()
        if self.on_eof is not None:
            self.on_eof()
        return True

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        super().pause_writing()
        self.blocked = True
        if self.transport is not None:
            self._stalled_bytes = self.transport.get_write_buffer_size()
        self._stall.set(self.loop.time() + self._write_stall_s)
        if self.on_blocked is not None:
            self.on_blocked(True)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self.blocked = False
        self._stall.clear()
        if self.on_blocked is not None:
            self.on_blocked(False)

    @property
    def at_eof(self) -> bool:
        """Whether the client will send nothing more and all of it has been read."""
        return self.reader.at_eof()

    async def read(self, at_s: float) -> bytes:
        """Return what has arrived, b"" at the end. Raises TimedOut when nothing came until `at_s`."""
        self.deadline.set(at_s)
        data = await self.reader.read(READ_BYTES)
        self.deadline.clear()
        if not data and self._expired:
            raise TimedOut
        self.bytes_in += len(data)
        self._fed -= len(data)
        return data

    def write(self, data: bytes) -> bool:
        """Send `data`; False when the client has gone, to which asyncio would write in silence."""
        transport = self.transport
        if self.lost or transport is None or transport.is_closing():
            return False
        transport.write(data)
        return True

    async def drain(self) -> None:
        """Wait until the client has taken enough. Raises ConnectionError when it has gone."""
        if self.writer is not None and not self.lost:
            await self.writer.drain()

    async def close(self, *, linger: bool) -> None:
        """Close; `linger` when the client may still be sending, so that it can read our last answer.

        Closing with unread bytes makes the kernel send a reset, which throws away what the client has
        not read yet (RFC 9112 section 9.6).
        """
        if self.transport is None or self.lost:
            return
        try:
            if linger:
                await self._linger()
        except OSError:
            pass
        finally:
            self.transport.close()

    async def _linger(self) -> None:
        if self.transport is None or not self.transport.can_write_eof():
            return
        await self.drain()
        self.transport.write_eof()
        end_s, dropped = self.loop.time() + LINGER_SECONDS, 0
        if (
            self._expired
        ):  # the reader was ended by our own deadline; what still comes is dropped unread
            self._over = self.loop.create_future()
            await asyncio.wait([self._over], timeout=LINGER_SECONDS)
            return
        try:
            while dropped < LINGER_BYTES:
                data = await self.read(end_s)
                if not data:
                    return
                dropped += len(data)
        except TimedOut:
            return

    def _settle_linger(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def abort(self) -> None:
        """Drop the connection now, with what is still unsent."""
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """Drop the connection with a RST, so that nobody takes what has arrived for a whole answer.

        An answer without chunks or length ends with the connection: there a FIN would say that it is complete.
        """
        if self.transport is None or self.lost:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.transport.abort()

    def _expire(self) -> None:
        self._expired = True
        self.reader.feed_eof()
        if self._on_end is not None:
            self._on_end()

    def _check_stall(self) -> None:
        """Cut a reader that took nothing since the last look; one that is only slow stays."""
        if self.transport is None or not self.blocked:
            return
        waiting = self.transport.get_write_buffer_size()
        if waiting >= self._stalled_bytes:
            self.reset()
            return
        self._stalled_bytes = waiting
        self._stall.set(self.loop.time() + self._write_stall_s)
