"""What a client leaves behind goes when the last reference does: the collector need not run often for it."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path

import pytest

from airelays.app.process import listen
from airelays.app.relay import Relay
from airelays.disk.token import TokenSource
from airelays.errors import RelayError
from airelays.net.listener import bind
from airelays.settings import Settings

CLIENTS = 20
OWN = "airelays."
THE_END = RelayError("the end")
BODY = b'{"model":"demo","stream":%s,"messages":[{"role":"user","content":"hi"}]}'


def request(stream: bytes, *, close: bool) -> bytes:
    body = BODY % stream
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


VISITS = [a_whole_visit, an_idle_client_closes, a_stream_is_left, a_bad_head]


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
