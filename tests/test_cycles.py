"""What a client leaves behind goes when the last reference does: the collector need not run often for it."""

from __future__ import annotations

import asyncio
import gc
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from airelays.app.process import listen
from airelays.app.relay import Relay
from airelays.disk.token import TokenSource
from airelays.errors import RelayError, UpstreamFault
from airelays.net.client import Client
from airelays.net.listener import bind
from airelays.net.trust import Trust
from airelays.settings import Settings
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


async def left_behind(visit: object, home: Path) -> Counter[str]:
    """Return the relay's own objects that only the collector finds after clients came and went."""
    assert callable(visit)
    settings = Settings(
        data_dir=str(home),
        logs_dir="",
        upstream_kind="demo",
        rate_limit_burst=10_000,
        failed_auth_max_attempts=10_000,
        concurrent_requests_per_ip=100,
        rate_limit_per_minute=10_000,
        demo_pace_ms=5,
    )
    token = TokenSource(str(home / "token"), {"AIRELAYS_BEARER_TOKEN": "t" * 40})
    complaints: list[str] = []
    relay = Relay(settings, token, complain=complaints.append)
    listener = listen(relay, bind("127.0.0.1", 0))
    relay.start()
    listener.start()

    async def clients_gone() -> None:
        await listener.drain(5.0, THE_END)
        assert not listener.sessions
        await asyncio.sleep(0.05)

    try:
        await visit(relay.port)  # what is made once
        await clients_gone()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(CLIENTS):
            await visit(relay.port)
        await clients_gone()
        gc.collect()
        found = Counter(type(one).__qualname__ for one in gc.garbage if _is_ours(one))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
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
def test_a_client_that_is_gone_leaves_no_cycle(visit: object, tmp_path: Path) -> None:
    assert asyncio.run(left_behind(visit, tmp_path)) == Counter()


# The far side: an upstream behind TLS, whose buffers are large.


def far_script(act: str) -> Callable[[Talk], Awaitable[None]]:
    async def script(talk: Talk) -> None:
        await talk.request()
        if act == "no head":
            talk.drop()
            return
        await talk.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        if act == "cut":
            talk.drop()
            return
        if act == "closed":
            await talk.send(b"0\r\n\r\n")
            return
        await talk.gone()

    return script


async def far_side_left_behind(act: str, authority: Authority) -> Counter[str]:
    """Return what only the collector finds after upstream connections that ended."""
    context = authority.server_context("127.0.0.1")
    async with ScriptedServer(far_script(act), tls=context, host="127.0.0.1") as server:
        client = Client([server.url], trust=Trust(authority.ca_file))

        async def visit() -> None:
            with suppress(UpstreamFault):
                response = await client.request(method="GET", url=server.url)
                await response.pump(lambda _: act == "given up" and response.abort())
            await asyncio.sleep(0.05)

        try:
            await visit()
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            for _ in range(5):
                await visit()
            await asyncio.sleep(0.1)
            gc.collect()
            return Counter(type(one).__qualname__ for one in gc.garbage if is_far(one))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
            await client.close()


def is_far(one: object) -> bool:
    return isinstance(one, SSLProtocol | Exception) or type(one).__module__.startswith(OWN)


@pytest.mark.parametrize("act", ["no head", "cut", "closed", "given up"])
def test_an_upstream_connection_that_is_gone_leaves_no_cycle(act: str, tmp_path: Path) -> None:
    found = asyncio.run(far_side_left_behind(act, Authority(tmp_path)))
    assert found == Counter()
