"""A stream in any order of events: read, ping, pause, failure, end of the body, disconnect, shutdown.

Hypothesis drives a real pump, request, connection and reply map; only the transport is a recorder. Whatever the
order, a client whose head went out sees exactly one terminal and then the last chunk, or a reset: never a clean end
without one.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airelays.app.streaming import StreamPump
from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.reply import ReplyMap
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.chunks import CompletionStream
from airelays.dialects.stream.passed import PassedChunks
from airelays.dialects.translated import ReplyOptions
from airelays.errors import RelayError, UpstreamFault
from airelays.model import Fields, Peer, RequestHead
from airelays.net.connection import Connection
from airelays.net.request import ClientGone
from airelays.net.session import Session, SessionLimits
from airelays.protocol.headcache import HeadCache
from airelays.upstream.base import Answer
from tests.app.test_truth import end_of, events_of
from tests.fakes.truth import failure_event, opening

OPTIONS = ReplyOptions(model="m", stream=True)
SHARED: dict[str, Any] = {"now_s": 1.0, "reply_id": "r"}
MAPS: dict[str, tuple[str, Callable[[], ReplyMap]]] = {
    "chat": ("responses", lambda: ChatStream(OPTIONS, **SHARED)),
    "completions": ("responses", lambda: CompletionStream(OPTIONS, **SHARED)),
    "responses": ("responses", lambda: ResponsesStream(OPTIONS, codex=False, **SHARED)),
    "codex": ("responses", lambda: ResponsesStream(OPTIONS, codex=True, **SHARED)),
    "passed": ("chat", lambda: PassedChunks(model="m")),
}
STOPPING = RelayError("the relay is shutting down", status=503, code="relay_shutting_down")


class Recorder(asyncio.Transport):
    """A transport that keeps what is written and remembers how it was ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop, self.raw, self.closing, self.was_reset = loop, b"", False, False
        self.sock, self.other = socket.socketpair()
        self.protocol: Connection | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default

    def write(self, data: Any) -> None:
        assert not self.closing, "written to a transport that closes"
        self.raw += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        self._end()

    def abort(self) -> None:
        linger = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        self.was_reset = linger[0] == 1 and not any(linger[4:])
        self._end()

    def _end(self) -> None:
        if not self.closing and self.protocol is not None:
            self.closing = True
            self.loop.call_soon(self.protocol.connection_lost, None)


class Scripted(Answer):
    """An upstream's answer that does what the machine says."""

    fields: Fields = ()
    ignored: tuple[str, ...] = ()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.over: asyncio.Future[None] = loop.create_future()
        self.feed: Callable[[bytes], None] | None = None
        self.paused = self.aborted = False

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        self.feed = feed
        await self.over

    def read(self, data: bytes) -> None:
        """As an exchange does: what `feed` raises ends the pump."""
        if self.feed is not None and not self.over.done():
            try:
                self.feed(data)
            except Exception as error:
                self.fail(error)

    def fail(self, error: Exception) -> None:
        if not self.over.done():
            self.over.set_exception(error)

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def end_within(self, seconds: float) -> None:
        """The machine decides when."""

    def abort(self) -> None:
        self.aborted = True
        self.fail(UpstreamFault("given up", hop="stream", code="aborted"))


class Streams(RuleBasedStateMachine):
    """One stream, from its first read to its end."""

    name = "chat"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.wire, make = MAPS[self.name]
        self.answer, self.reply = Scripted(self.loop), make()
        self.transport = Recorder(self.loop)
        self.connection = Connection(self.loop, Peer("127.0.0.1", 1), "127.0.0.1", 60.0)
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)
        self.outcomes: list[str] = []
        self.pump: StreamPump | None = None
        limits = SessionLimits(60.0, 60.0, 60.0, lambda: 60.0)
        self.session = Session(
            self.connection,
            self.handle,
            limits,
            heads=HeadCache(),
            on_refused=lambda request, error: None,
            on_done=lambda request: self.outcomes.append("done"),
            on_bug=lambda request_id, bug: self.outcomes.append(f"bug: {bug!r}"),
        )
        self.task = self.loop.create_task(self.session.run())
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        self.connection.reader.feed_data(head)
        self.interrupted = self.left = False
        self.turn()

    async def handle(self, request: Any) -> None:
        assert isinstance(request.head, RequestHead)
        self.pump = StreamPump(request, self.answer, self.reply, ping_s=3600.0)
        await self.pump.run()

    def turn(self) -> None:
        """Let everything that can go on do so."""
        for _ in range(12):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule(
        position=st.sampled_from(["created", "text", "tool", "after_terminal"]),
        step=st.integers(1, 400),
    )
    def read(self, position: str, step: int) -> None:
        data = opening(self.wire, position)
        for at in range(0, len(data), step):
            self.answer.read(data[at : at + step])
        self.turn()

    @rule(kind=st.sampled_from(["failed", "error", "in_band"]), cut=st.integers(0, 60))
    def read_failure(self, kind: str, cut: int) -> None:
        data = failure_event(self.wire, kind)
        self.answer.read(data[: len(data) - cut])
        self.turn()

    @rule(
        data=st.sampled_from(
            [b"\n", b"\n\n", b"\r\n", b"data: {", b": c\n\n", b"data: nonsense\n\n", b"\xff\x00"]
        )
    )
    def read_scrap(self, data: bytes) -> None:
        self.answer.read(data)
        self.turn()

    @rule()
    def ping(self) -> None:
        if self.pump is not None and not self.task.done():
            self.pump._ping()
        self.turn()

    @rule(blocked=st.booleans())
    def block(self, blocked: bool) -> None:
        if not self.transport.closing and blocked != self.connection.blocked:
            (self.connection.pause_writing if blocked else self.connection.resume_writing)()
        self.turn()

    @rule()
    def upstream_cut(self) -> None:
        self.answer.fail(UpstreamFault("cut", hop="stream", code="incomplete_stream"))
        self.turn()

    @rule()
    def defect(self) -> None:
        self.answer.fail(KeyError("a defect of ours"))
        self.turn()

    @rule()
    def upstream_ends(self) -> None:
        self.answer.end()
        self.turn()

    @precondition(lambda self: not self.interrupted)
    @rule()
    def stop(self) -> None:
        self.interrupted = True
        self.session.interrupt(STOPPING)
        self.turn()

    @precondition(lambda self: not self.left)
    @rule()
    def disconnect(self) -> None:
        self.left = True
        self.transport._end()
        self.turn()

    @invariant()
    def nothing_but_the_truth(self) -> None:
        if self.transport.was_reset or self.left:
            return
        raw = self.transport.raw
        head, _, body = raw.partition(b"\r\n\r\n")
        if not head:
            return
        if b"transfer-encoding" not in head:
            assert head[9:12] != b"200" and json.loads(body)["error"]
            return
        ended = body.endswith(b"0\r\n\r\n")
        payload = b""
        while body and not body.startswith(b"0\r\n"):
            line, _, body = body.partition(b"\r\n")
            size = int(line, 16)
            payload, body = payload + body[:size], body[size + 2 :]
        ends = [end for event in events_of(payload) if (end := end_of(event))]
        assert len(ends) == (1 if ended else 0), payload
        if self.task.done():
            assert ended, "the connection was ended without a terminal"
        if not ended:
            assert not self.transport.closing

    def teardown(self) -> None:
        self.answer.end()
        self.turn()
        if self.connection.blocked and not self.transport.closing:
            self.connection.resume_writing()
            self.turn()
        self.nothing_but_the_truth()
        if not self.task.done():
            self.transport._end()
            self.turn()
        assert self.task.done() and self.outcomes.count("done") == 1
        if self.transport.raw:
            assert self.answer.aborted, "the upstream was left alone"
        if not self.task.cancelled() and self.task.exception() is not None:
            assert isinstance(self.task.exception(), (ClientGone, asyncio.CancelledError))
        self.transport.sock.close()
        self.transport.other.close()
        self.loop.close()


@pytest.mark.parametrize("name", MAPS)
def test_any_order_ends_truthfully(name: str) -> None:
    machine: Any = type(f"Streams_{name}", (Streams,), {"name": name})
    case = machine.TestCase
    case.settings = settings(max_examples=120, stateful_step_count=14, deadline=None)
    case("runTest").runTest()
