"""What a client leaves behind goes when the last reference does: the collector need not run often for it."""

from __future__ import annotations

import asyncio
import gc
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from airelays.app.relay import Relay
from airelays.app.streaming import collect
from airelays.credentials.token import TokenSource
from airelays.dialects.stream.collect import Collector
from airelays.errors import RelayError, UpstreamFault, forget_frames
from airelays.host.process import listen
from airelays.model import Door, Outcome
from airelays.net.client import Client
from airelays.net.listener import bind
from airelays.net.request import Request
from airelays.net.response import Response
from airelays.net.trust import Trust
from airelays.settings.values import Settings
from airelays.upstream.base import Answer
from tests.fakes.authority import Authority
from tests.fakes.scripted import ScriptedServer, Talk

CLIENTS = 20
OWN = "airelays."
THE_END = RelayError("the end")
BODY = b'{"model":"demo","stream":%s,"messages":[{"role":"user","content":"%s"}]}'


def request(stream: bytes, *, close: bool, said: bytes = b"hi") -> bytes:
    body = BODY % (stream, said)
    ending = b"close" if close else b"keep-alive"
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %s\r\n"
        b"connection: %s\r\ncontent-length: %d\r\n\r\n%s" % (b"t" * 40, ending, len(body), body)
    )


async def a_whole_visit(port: int) -> None:
    """One answer, and the relay closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"false", close=True))
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


async def an_idle_client_closes(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"false", close=False))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


async def a_stream_is_left(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"true", close=False))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.transport.abort()


async def a_bad_head(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
    writer.close()


async def a_refused_request(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"false", close=False).replace(b"tttt", b"wrong"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
    writer.close()


async def an_upstream_that_fails(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"false", close=False, said=b"demo:fail"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 502")
    writer.close()


VISITS = [
    a_whole_visit,
    an_idle_client_closes,
    a_stream_is_left,
    a_bad_head,
    a_refused_request,
    an_upstream_that_fails,
]


class Garbage:
    """Inside the block nothing is collected; `found` are then the objects that only the collector finds."""

    def __enter__(self) -> Garbage:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        return self

    def found(self, wanted: Callable[[object], bool]) -> Counter[str]:
        gc.collect()
        return Counter(type(one).__qualname__ for one in gc.garbage if wanted(one))

    def __exit__(self, *_: object) -> None:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def left_behind(visit: Callable[[int], Awaitable[None]], home: Path) -> Counter[str]:
    """Return the relay's own objects that only the collector finds after clients came and went."""
    settings = Settings(
        data_dir=str(home),
        logs_dir="",
        upstream_kind="demo",
        rate_limit_burst=10_000,
        rate_limit_per_minute=10_000,
        concurrent_requests_per_ip=10 * CLIENTS,
        failed_auth_max_attempts=10_000,
        demo_pace_ms=5,
    )
    token = TokenSource(str(home / "token"), {"AIRELAYS_BEARER_TOKEN": "t" * 40})
    complaints: list[str] = []
    relay = Relay(settings, token, complain=complaints.append)
    listener = listen(
        relay, {one: Door("127.0.0.1", one.getsockname()[1]) for one in bind("127.0.0.1", 0)}
    )
    relay.start()
    listener.start()

    async def come_and_go(clients: int) -> None:
        for _ in range(clients):
            await visit(relay.desk.port)
        await listener.drain(5.0, THE_END)
        assert not listener.sessions
        await asyncio.sleep(0.05)

    try:
        await come_and_go(1)  # what is made once
        with Garbage() as garbage:
            await come_and_go(CLIENTS)
            found = garbage.found(_is_ours)
    finally:
        await listener.stop_accepting()
        await listener.drain(0.1, THE_END)
        await relay.close()
    assert complaints == []
    return found


def _is_ours(one: object) -> bool:
    """Whether `one` is made by the relay, or a task that runs its code."""
    if isinstance(one, asyncio.Task):
        return "Listener" in repr(one.get_coro())
    return type(one).__module__.startswith(OWN)


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.__name__)
def test_a_client_that_is_gone_leaves_no_cycle(
    visit: Callable[[int], Awaitable[None]], tmp_path: Path
) -> None:
    assert asyncio.run(left_behind(visit, tmp_path)) == Counter()


# The far side: an upstream behind TLS, whose buffers are large.


def far_script(act: str) -> Callable[[Talk], Awaitable[None]]:
    async def script(talk: Talk) -> None:
        await talk.request()
        if act == "no head":
            talk.drop()
        elif act == "until close":
            await talk.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        else:
            await talk.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
            if act == "cut":
                talk.drop()
            elif act == "closed":
                await talk.send(b"0\r\n\r\n")
            else:
                await talk.gone()

    return script


async def far_side_left_behind(act: str, authority: Authority) -> Counter[str]:
    """Return what only the collector finds after upstream connections that ended."""
    context = authority.server_context("127.0.0.1")
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    async with ScriptedServer(far_script(act), tls=context, host="127.0.0.1") as server:
        client = Client([server.url], trust=Trust(authority.ca_file))

        async def visit() -> None:
            with suppress(UpstreamFault):
                response = await client.request(method="GET", url=server.url)
                await collect_as(act, response)
            await asyncio.sleep(0.05)

        try:
            await visit()
            with Garbage() as garbage:
                for _ in range(5):
                    await visit()
                await asyncio.sleep(0.1)
                found = garbage.found(is_far)
        finally:
            await client.close()
    assert troubles == []
    return found


async def collect_as(act: str, response: Response) -> None:
    """Read the answer: as one that is given up, as one whose body does not end, or to its end."""
    if act == "unended":
        await response.pump(lambda _: response.end_within(0.01))
    else:

        def feed(_: bytes) -> None:
            if act == "given up":
                response.abort()

        await response.pump(feed)


def is_far(one: object) -> bool:
    return isinstance(one, SSLProtocol | Exception) or type(one).__module__.startswith(OWN)


@pytest.mark.parametrize("act", ["no head", "cut", "closed", "until close", "given up", "unended"])
def test_an_upstream_connection_that_is_gone_leaves_no_cycle(act: str, tmp_path: Path) -> None:
    found = asyncio.run(far_side_left_behind(act, Authority(tmp_path)))
    assert found == Counter()


class EndlessAnswer:
    """An upstream's answer that says all of it and does not end before it is given up."""

    timings_ms: ClassVar[dict[str, float]] = {}
    watch = None

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        feed(b'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n')
        raise UpstreamFault("given up")

    def end_within(self, seconds: float) -> None:
        pass

    def abort(self) -> None:
        pass


def test_an_answer_that_does_not_end_leaves_no_cycle() -> None:
    async def visit() -> None:
        request = SimpleNamespace(outcome=Outcome(), started_s=0.0)
        collector = Collector(now_s=0, reply_id="r")
        await collect(cast(Request, request), cast(Answer, EndlessAnswer()), collector)
        assert collector.terminal == "completed"

    with Garbage() as garbage:
        asyncio.run(visit())
        assert garbage.found(is_far) == Counter()


def test_the_way_of_an_error_is_forgotten_however_its_causes_lie() -> None:
    first, second, third = RelayError("a"), RelayError("b"), RelayError("c")
    for error in (first, second, third):
        with suppress(RelayError):
            raise error
    first.__cause__, first.__context__, second.__context__ = second, third, first
    forget_frames(first)
    assert [error.__traceback__ for error in (first, second, third)] == [None] * 3
    forget_frames(None)
