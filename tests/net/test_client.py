"""The upstream client on real sockets against scripted servers."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import sys
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.errors import RelayBug, UpstreamFault
from airelays.net import dial
from airelays.net.client import Client
from airelays.net.request import _constant_head
from airelays.net.trust import Trust
from airelays.settings.values import Settings
from tests.fakes.authority import Authority
from tests.fakes.clock import run_fast
from tests.fakes.proxy import FakeProxy
from tests.fakes.scripted import ScriptedServer, Talk

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
MS = 0.001
# What a script and the one who acts tell each other.
begun: asyncio.Event
closed: asyncio.Event
poison: asyncio.Event
sent: asyncio.Event
T = TypeVar("T")
Script = Callable[[Talk], Coroutine[Any, Any, None]]
Act = Callable[[Client, ScriptedServer], Awaitable[T]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def play(
    script: Script,
    act: Act[T],
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    **options: Any,
) -> T:
    """Run `act(client, server)` against a server that plays `script`."""

    async def run() -> T:
        async with asyncio.timeout(20), ScriptedServer(script, tls=tls, host=host) as server:
            origin = options.pop("origin", server.url)
            client = Client([origin], **options)
            try:
                return await act(client, server)
            finally:
                await client.close()

    return asyncio.run(run())


def answers(*replies: bytes) -> Script:
    """A script that gives each request of a connection the next of `replies`, then closes."""

    async def script(talk: Talk) -> None:
        for reply in replies:
            await talk.request()
            await talk.send(reply)
        await talk.gone()

    return script


async def fetch(
    client: Client, server: ScriptedServer, path: str = "/x", **rest: Any
) -> tuple[int, bytes]:
    response = await client.request(method="GET", url=server.url + path, **rest)
    return response.status, await response.read()


def fault_of(script: Script, **options: Any) -> UpstreamFault:
    """Return the fault that one GET with a full read of the body ends in."""

    async def act(client: Client, server: ScriptedServer) -> UpstreamFault:
        with pytest.raises(UpstreamFault) as caught:
            await fetch(client, server)
        caught.value.add_note(f"127.0.0.1:{server.port}")
        return caught.value

    return play(script, act, **options)


def place_of(fault: UpstreamFault) -> str:
    """Return the address that `fault_of` noted."""
    return str(fault.__notes__[-1])


def test_request_goes_out_as_one_head_with_our_own_fields() -> None:
    seen = []

    async def script(talk: Talk) -> None:
        seen.append(await talk.request())
        await talk.send(OK)

    async def act(client: Client, server: ScriptedServer) -> Any:
        response = await client.request(
            method="POST",
            url=server.url + "/path?q=1",
            fields=((b"user-agent", b"airelays/1"),),
            extra=((b"session-id", b"s1"),),
            body=b"{}",
        )
        assert await response.read() == b"ok"
        return server.port

    port = play(script, act)
    assert seen == [
        (
            b"POST /path?q=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept-encoding: identity\r\n"
            b"user-agent: airelays/1\r\nsession-id: s1\r\ncontent-length: 2\r\n\r\n" % port,
            b"{}",
        )
    ]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    "reply",
    [
        OK,
        CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK,
    ],
    ids=["length", "chunked", "close", "interim"],
)
def test_body_is_whole_however_it_is_cut_into_reads(reply: bytes, piece: int) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        for at in range(0, len(reply), piece):
            await talk.send(reply[at : at + piece])
            await asyncio.sleep(0)

    assert play(script, fetch) == (200, b"ok")


def test_pump_hands_on_each_read_as_it_comes() -> None:
    step = asyncio.Event

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(CHUNKED)
        for n in range(3):
            await talk.send(b"2\r\n%02d\r\n" % n)
            await taken[n].wait()
        await talk.send(b"0\r\n\r\n")

    taken: list[asyncio.Event] = []

    async def act(client: Client, server: ScriptedServer) -> Any:
        taken.extend(step() for _ in range(3))
        got = []

        def feed(data: bytes) -> None:
            got.append(data)
            taken[len(got) - 1].set()

        response = await client.request(method="GET", url=server.url + "/")
        await response.pump(feed)
        return got

    assert play(script, act) == [b"00", b"01", b"02"]


def test_connection_is_kept_and_used_again() -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        for _ in range(3):
            assert await fetch(client, server) == (200, b"ok")
        return server.accepted

    assert play(answers(OK, OK, OK), act) == 1


@pytest.mark.parametrize(
    "reply",
    [
        OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
        OK + b"HTTP/1.1 200 OK\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\nX",
        OK.replace(b"1.1", b"1.0"),
    ],
    ids=["close", "extra-length", "extra-chunked", "http10"],
)
def test_connection_out_of_step_is_not_used_again(reply: bytes) -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        for _ in range(2):
            assert await fetch(client, server) == (200, b"ok")
        return server.accepted

    assert play(answers(reply, reply), act) == 2


def test_bytes_on_an_idle_connection_close_it() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK)
        if talk.number == 1:
            await poison.wait()
            await talk.send(OK.replace(b"ok", b"no"))
            sent.set()
        await talk.gone()

    async def act(client: Client, server: ScriptedServer) -> Any:
        global poison, sent
        poison, sent = asyncio.Event(), asyncio.Event()
        await fetch(client, server)
        poison.set()
        await sent.wait()
        assert await fetch(client, server) == (200, b"ok")
        return server.accepted

    assert play(script, act) == 2


def test_bytes_on_an_idle_connection_that_were_read_close_it_at_once() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK)
        await poison.wait()
        await talk.send(OK.replace(b"ok", b"no"))
        await talk.gone()
        closed.set()

    async def act(client: Client, server: ScriptedServer) -> None:
        global poison, closed
        poison, closed = asyncio.Event(), asyncio.Event()
        assert await fetch(client, server) == (200, b"ok")
        poison.set()
        async with asyncio.timeout(3):  # an idle one would stay for 5 s
            await closed.wait()

    play(script, act)


def test_a_connection_that_was_idle_for_five_seconds_is_closed() -> None:
    closed_s = []

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK)
        await talk.gone()
        closed_s.append(asyncio.get_running_loop().time())

    async def main() -> Any:
        async with ScriptedServer(script) as server:
            client = Client([server.url])
            await fetch(client, server)
            begun_s = asyncio.get_running_loop().time()
            while not closed_s:
                await asyncio.sleep(0.2)
                assert asyncio.get_running_loop().time() - begun_s < 30
            await client.close()
            return closed_s[0] - begun_s

    assert 4.0 < run_fast(main()) < 12.0


def test_kept_connection_that_died_is_replaced_without_a_word() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(OK)
        if talk.number == 1:
            # Swallow the second request, then die: the client cannot have known.
            await talk.request()
            talk.reset()
        else:
            await talk.gone()

    async def act(client: Client, server: ScriptedServer) -> Any:
        assert await fetch(client, server) == (200, b"ok")
        assert await fetch(client, server) == (200, b"ok")
        return server.accepted

    assert play(script, act) == 2


def test_fresh_connection_that_dies_before_a_reply_is_not_tried_again() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()

    async def act(client: Client, server: ScriptedServer) -> Any:
        with pytest.raises(UpstreamFault) as caught:
            await fetch(client, server)
        assert server.accepted == 1
        return caught.value, server.port

    fault, port = play(script, act)
    assert fault.message == (
        f"127.0.0.1:{port} closed the connection before sending a reply; try again"
    )
    assert (fault.hop, fault.sent, fault.status) == ("upstream", True, 502)


def test_redirect_is_given_back_not_followed() -> None:
    reply = b"HTTP/1.1 307 T\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    assert play(answers(reply), fetch) == (307, b"")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
        CHUNKED + b"2\r\nok\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n",
        CHUNKED,
    ],
    ids=["length", "chunked", "no-last-line", "nothing"],
)
def test_body_that_ends_early_is_a_cut(reply: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(reply)

    fault = fault_of(script)
    assert (fault.hop, fault.status, fault.code) == ("stream", 502, "incomplete_stream")
    assert fault.message == f"{place_of(fault)} closed the connection in the middle of its answer"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/2 200\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK,
        CHUNKED + b"zz\r\nok\r\n0\r\n\r\n",
    ],
)
def test_malformed_answer_is_refused(reply: bytes) -> None:
    fault = fault_of(answers(reply))
    assert (fault.status, fault.code, fault.sent) == (502, "upstream_malformed", True)


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_response_head_is_bounded(extra: int, good: bool) -> None:
    start = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: "
    head = start + b"a" * (65536 - len(start) - 4 + extra) + b"\r\n\r\n"
    script = answers(head + b"ok")
    if good:
        assert play(script, fetch) == (200, b"ok")
    else:
        assert fault_of(script).message.endswith("sent a response head of more than 65,536 bytes")


def test_dripped_head_does_not_move_its_deadline() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000:
            await talk.send(bytes((byte,)))
            await asyncio.sleep(5 * MS)

    fault = fault_of(script, head_s=150 * MS)
    assert (fault.status, fault.hop) == (504, "upstream")
    assert fault.message == f"{place_of(fault)} sent no complete response head within 0.15 s"


def test_silence_in_a_body_ends_it() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(CHUNKED + b"2\r\nok\r\n")
        await talk.gone()

    fault = fault_of(script, gap_s=100 * MS)
    assert (fault.status, fault.hop, fault.code) == (504, "stream", "upstream_stalled")
    assert fault.message == f"{place_of(fault)} sent nothing for 0.1 s in the middle of its answer"


def test_slow_but_steady_body_outlives_the_gap_and_the_head_deadline() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(CHUNKED)
        for _ in range(8):
            await asyncio.sleep(40 * MS)
            await talk.send(b"1\r\nx\r\n")
        await talk.send(b"0\r\n\r\n")

    async def act(client: Client, server: ScriptedServer) -> Any:
        return await fetch(client, server)

    assert play(script, act, head_s=150 * MS, gap_s=150 * MS) == (200, b"x" * 8)


def test_paused_reader_stops_the_upstream_and_gets_everything_after() -> None:
    size = 8 * 1024 * 1024

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        await talk.send(b"x" * size)
        await talk.gone()

    async def act(client: Client, server: ScriptedServer) -> Any:
        got = 0

        def feed(data: bytes) -> None:
            nonlocal got
            if got == 0:
                response.pause()
            got += len(data)

        response = await client.request(method="GET", url=server.url + "/")
        pump = asyncio.ensure_future(response.pump(feed))
        done, _ = await asyncio.wait([pump], timeout=150 * MS)
        assert not done and 0 < got < size // 2
        response.resume()
        await pump
        return got

    assert play(script, act, gap_s=100 * MS) == size


def test_abort_ends_the_pump_and_the_connection() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(CHUNKED + b"2\r\nok\r\n")
        await talk.gone()
        closed.set()

    async def act(client: Client, server: ScriptedServer) -> None:
        global closed
        closed = asyncio.Event()
        response = await client.request(method="GET", url=server.url + "/")
        with pytest.raises(UpstreamFault):
            await response.pump(lambda data: response.abort())
        response.abort()
        await asyncio.wait_for(closed.wait(), 2)

    play(script, act)


@pytest.mark.parametrize("pieces", [0, 100], ids=["silent", "dripping"])
def test_a_body_that_should_end_is_given_so_long_and_no_longer(pieces: int) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(CHUNKED + b"4\r\nlast\r\n")
        for _ in range(pieces):
            await asyncio.sleep(20 * MS)
            await talk.send(b"1\r\n.\r\n")
        await talk.gone()

    async def act(client: Client, server: ScriptedServer) -> Any:
        response = await client.request(method="GET", url=server.url)
        started_s = asyncio.get_running_loop().time()

        def feed(data: bytes) -> None:
            if data == b"last":
                response.end_within(150 * MS)

        with pytest.raises(UpstreamFault) as caught:
            await response.pump(feed)
        return caught.value, asyncio.get_running_loop().time() - started_s

    fault, took_s = play(script, act)
    assert fault.code == "aborted"
    assert 0.14 < took_s < 1


def test_a_body_that_ends_at_once_leaves_its_connection_to_the_next_request() -> None:
    served = []

    async def script(talk: Talk) -> None:
        served.append(talk)
        for _ in range(2):
            await talk.request()
            await asyncio.sleep(100 * MS)
            await talk.send(CHUNKED + b"4\r\nlast\r\n0\r\n\r\n")
        await talk.gone()

    async def ask(client: Client, server: ScriptedServer) -> None:
        response = await client.request(method="GET", url=server.url)
        await response.pump(lambda data: response.end_within(50 * MS))

    async def act(client: Client, server: ScriptedServer) -> None:
        await ask(client, server)
        await ask(client, server)

    play(script, act)
    assert len(served) == 1


def test_cancelled_request_closes_its_connection() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        begun.set()
        await talk.gone()
        closed.set()

    async def act(client: Client, server: ScriptedServer) -> None:
        global begun, closed
        begun, closed = asyncio.Event(), asyncio.Event()
        task = asyncio.ensure_future(client.request(method="GET", url=server.url + "/"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 2)

    play(script, act)


def test_what_feed_raises_comes_out_of_the_pump() -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        def feed(data: bytes) -> None:
            raise ValueError("mine")

        response = await client.request(method="GET", url=server.url + "/")
        with pytest.raises(ValueError, match="mine"):
            await response.pump(feed)
        assert await fetch(client, server) == (200, b"ok")
        return server.accepted

    assert play(answers(OK, OK), act) == 2


@pytest.mark.parametrize(
    "reply",
    [OK, CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nok"],
    ids=["length", "chunked", "close"],
)
@pytest.mark.parametrize(("limit", "good"), [(3, True), (2, True), (1, False)])
def test_read_is_bounded(limit: int, good: bool, reply: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(reply)

    async def act(client: Client, server: ScriptedServer) -> bytes:
        response = await client.request(method="GET", url=server.url + "/")
        return await response.read(limit)

    if good:
        assert play(script, act) == b"ok"
    else:
        with pytest.raises(UpstreamFault, match="larger than 1 bytes"):
            play(script, act)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_json_is_decoded_within_the_limit(coding: str) -> None:
    def reply(plain: bytes) -> Any:
        packed = gzip.compress(plain) if coding == "gzip" else zlib.compress(plain)
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(packed)}\r\n\r\n"
        return head.encode() + packed

    async def act(client: Client, server: ScriptedServer) -> Any:
        response = await client.request(method="GET", url=server.url + "/")
        return await response.read(100_000)

    assert play(answers(reply(b"a" * 100_000)), act) == b"a" * 100_000
    with pytest.raises(UpstreamFault, match="larger than 100,000 bytes"):
        play(answers(reply(b"a" * 100_001)), act)


def test_compressed_stream_is_refused() -> None:
    async def act(client: Client, server: ScriptedServer) -> None:
        response = await client.request(method="GET", url=server.url + "/")
        await response.pump(lambda data: None)

    with pytest.raises(UpstreamFault, match="compressed"):
        play(answers(OK.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")), act)


def test_early_answer_to_a_large_request_does_not_leave_a_connection_out_of_step() -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.send(OK.replace(b"200 OK", b"413 Large"))
        await talk.gone()

    async def act(client: Client, server: ScriptedServer) -> Any:
        response = await client.request(method="POST", url=server.url + "/", body=b"x" * 2**24)
        assert (response.status, await response.read()) == (413, b"ok")
        response = await client.request(method="POST", url=server.url + "/", body=b"")
        assert await response.read() == b"ok"
        return server.accepted

    assert play(script, act) == 2


def test_host_that_the_settings_do_not_name_is_never_dialled() -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        with pytest.raises(RelayBug, match="which the settings do not name"):
            await client.request(method="GET", url="http://127.0.0.1:1/")
        with pytest.raises(RelayBug):
            await client.request(method="GET", url=server.url.replace("http", "https") + "/")
        return client.egress(), server.url, server.accepted

    egress, url, accepted = play(answers(OK), act)
    assert (egress, accepted) == ([url], 0)


def test_field_that_would_split_the_head_is_refused() -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        with pytest.raises(RelayBug):
            await client.request(method="GET", url=server.url, extra=((b"x", b"a\r\nb: c"),))
        with pytest.raises(RelayBug):
            await client.request(method="GET", url=server.url, fields=((b"x", b"a\r\nb: c"),))
        return server.accepted

    assert play(answers(OK), act) == 0


def test_refused_connection_names_host_and_port() -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        server.server.close()
        await server.server.wait_closed()
        with pytest.raises(UpstreamFault) as caught:
            await fetch(client, server)
        return caught.value, server.port

    fault, port = play(answers(OK), act)
    assert fault.message == (
        f"cannot connect to 127.0.0.1:{port} (connection refused); check network and address"
    )
    assert (fault.hop, fault.sent, fault.status) == ("tcp", False, 502)


def test_unknown_name_is_a_dns_fault() -> None:
    async def run() -> Any:
        client = Client(["http://no-such-host.invalid"])
        with pytest.raises(UpstreamFault) as caught:
            await client.request(method="GET", url="http://no-such-host.invalid/")
        return caught.value

    fault = asyncio.run(run())
    assert (fault.hop, fault.sent) == ("dns", False)
    assert fault.message.startswith("the name of no-such-host.invalid:80 could not be resolved (")


def test_localhost_is_reached_when_only_one_family_listens() -> None:
    async def run() -> Any:
        async with ScriptedServer(answers(OK)) as server:
            url = f"http://localhost:{server.port}"
            client = Client([url])
            response = await client.request(method="GET", url=url + "/")
            return await response.read()

    assert asyncio.run(asyncio.wait_for(run(), 5)) == b"ok"


WIRE = CHUNKED + b"5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nx: y\r\n\r\n"


@pytest.mark.parametrize("end", ["fin", "reset"])
def test_cut_at_every_byte_is_a_fault_and_never_a_clean_end(end: str) -> None:
    async def script(talk: Talk) -> None:
        while True:
            head, _ = await talk.request()
            at = int(head.split(b" ")[1][1:])
            await talk.send(WIRE[:at])
            if at < len(WIRE):
                if end == "reset":
                    await asyncio.sleep(0)
                    talk.reset()
                return

    async def act(client: Client, server: ScriptedServer) -> None:
        for at in range(len(WIRE)):
            with pytest.raises(UpstreamFault) as caught:
                await fetch(client, server, f"/{at}")
            assert caught.value.code in ("upstream_closed", "incomplete_stream"), at
            assert caught.value.status == 502
        assert await fetch(client, server, f"/{len(WIRE)}") == (200, b"hello0123456789abcdef")

    play(script, act)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors")
def test_no_descriptor_is_left_of_aborted_and_cancelled_exchanges() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(CHUNKED + b"2\r\nok\r\n")
        await talk.gone()

    async def act(client: Client, server: ScriptedServer) -> None:
        await asyncio.sleep(0)
        before = len(os.listdir("/proc/self/fd"))
        for turn in range(150):
            if turn % 3 == 0:
                response = await client.request(method="GET", url=server.url + "/")
                response.abort()
                continue
            task = asyncio.ensure_future(fetch(client, server))
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        for _ in range(1000):
            if len(os.listdir("/proc/self/fd")) <= before:
                return
            await asyncio.sleep(0)
        pytest.fail("descriptors are left over")

    play(script, act)


# --- TLS ----------------------------------------------------------------------------------------------


def trusting(authority: Authority) -> Any:
    return {"trust": Trust(authority.ca_file, env={})}


def test_the_times_of_dial_handshake_and_head_are_told_apart(authority: Authority) -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        times = []
        for _ in range(2):
            response = await client.request(method="GET", url=server.url + "/")
            times.append(response.timings_ms)
            await response.read()
        return times

    context = authority.server_context("127.0.0.1")
    first, second = play(answers(OK, OK), act, tls=context, **trusting(authority))
    assert set(first) == {"dial", "tls", "head"}
    assert all(ms > 0 for ms in first.values())
    assert second["dial"] == 0.0 and set(second) == {"dial", "head"}
    plain, _ = play(answers(OK, OK), act)
    assert set(plain) == {"dial", "head"}


def test_tls_round_trip_reuses_its_connection_and_shows_the_issuer(authority: Authority) -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        for _ in range(2):
            response = await client.request(method="GET", url=server.url + "/")
            issuer = response.tls_issuer()
            assert await response.read() == b"ok"
        return server.accepted, issuer

    context = authority.server_context("127.0.0.1")
    assert play(answers(OK, OK), act, tls=context, **trusting(authority)) == (
        1,
        "Throw-away Test CA",
    )


@pytest.mark.parametrize(
    ("names", "common_name", "days", "said"),
    [
        (("example.test",), "127.0.0.1", (-1, 30), "something else answers at this name"),
        ((), "127.0.0.1", (-1, 30), "something else answers at this name"),
        (("127.0.0.1",), "x", (-9, -3), "check this machine's clock"),
    ],
    ids=["other-name", "common-name-only", "expired"],
)
def test_wrong_certificate_is_refused_with_advice(
    authority: Authority,
    names: tuple[str, ...] | tuple[Any, ...],
    common_name: str,
    days: tuple[int, int],
    said: str,
) -> None:
    context = authority.server_context(*names, common_name=common_name, days=days)
    fault = fault_of(answers(OK), tls=context, **trusting(authority))
    assert (fault.hop, fault.sent, fault.code) == ("tls", False, "upstream_certificate")
    assert said in fault.message and place_of(fault) in fault.message


def test_unknown_authority_is_refused_with_advice(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    fault = fault_of(answers(OK), tls=authority.server_context("127.0.0.1"), **trusting(other))
    assert fault.hop == "tls" and "upstream.ca_file or SSL_CERT_FILE" in fault.message


def test_server_that_does_not_speak_tls_is_a_tls_fault(authority: Authority) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(b"220 mail ready\r\n")
        await talk.gone()

    async def act(client: Client, server: ScriptedServer) -> Any:
        with pytest.raises(UpstreamFault) as caught:
            await client.request(method="GET", url=server.url.replace("http", "https") + "/")
        return caught.value

    async def run() -> Any:
        async with ScriptedServer(script) as server:
            url = server.url.replace("http", "https")
            client = Client([url], **trusting(authority))
            with pytest.raises(UpstreamFault) as caught:
                await client.request(method="GET", url=url + "/")
            return caught.value

    fault = asyncio.run(run())
    assert (fault.hop, fault.sent) == ("tls", False)


def test_the_server_is_offered_http_1_1_and_told_the_name(authority: Authority) -> None:
    names = []

    async def script(talk: Talk) -> None:
        tls = talk.writer.get_extra_info("ssl_object")
        names.append(tls.selected_alpn_protocol())
        await talk.request()
        await talk.send(OK)
        await talk.gone()

    context = authority.server_context("localhost", "127.0.0.1")
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _, name, __: names.append(name)

    async def run() -> None:
        async with asyncio.timeout(20), ScriptedServer(script, tls=context) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            client = Client([url], **trusting(authority))
            response = await client.request(method="GET", url=url + "/")
            assert await response.read() == b"ok"
            await client.close()

    asyncio.run(run())
    assert names == ["localhost", "http/1.1"]


def test_mute_handshake_ends_at_its_deadline(authority: Authority) -> None:
    async def run() -> Any:
        async with ScriptedServer(lambda talk: talk.gone()) as server:
            url = server.url.replace("http", "https")
            client = Client([url], tls_s=100 * MS, **trusting(authority))
            with pytest.raises(UpstreamFault) as caught:
                await client.request(method="GET", url=url + "/")
            return caught.value

    fault = asyncio.run(run())
    assert (fault.hop, fault.status) == ("tls", 504)
    assert "did not finish the TLS handshake within 0.1 s" in fault.message


@pytest.mark.parametrize("clean", [True, False])
def test_body_ended_by_close_needs_a_close_notify(authority: Authority, clean: bool) -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        if not clean:
            # End TCP beneath the TLS layer: a FIN without close_notify.
            tls: Any = talk.writer.transport
            tls = tls._ssl_protocol
            tls._transport.close()

    context = authority.server_context("127.0.0.1")
    if clean:
        assert play(script, fetch, tls=context, **trusting(authority)) == (200, b"ok")
    else:
        fault = fault_of(script, tls=context, **trusting(authority))
        assert fault.code == "incomplete_stream"


# --- proxies --------------------------------------------------------------------------------------------


def through_proxy(
    proxy: FakeProxy,
    env: dict[str, str],
    *,
    tls: bool,
    authority: Authority,
    url_host: str = "far.test",
) -> Any:
    """GET https://far.test (or http://) through `proxy`; return (status, body) or the fault."""

    async def run() -> Any:
        context = authority.server_context("far.test") if tls else None
        async with (
            asyncio.timeout(10),
            proxy,
            ScriptedServer(answers(OK, OK), tls=context) as server,
        ):
            name = f"{url_host}:{server.port}"
            proxy.resolve[name] = server.port
            url = f"{'https' if tls else 'http'}://{name}"
            filled = {key: value.format(port=proxy.port) for key, value in env.items()}
            client = Client([url], env=filled, connect_s=300 * MS, **trusting(authority))
            try:
                for _ in range(2):
                    response = await client.request(method="GET", url=url + "/p")
                    body = await response.read()
                return (response.status, body), server
            except UpstreamFault as fault:
                return fault, server
            finally:
                await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_https_goes_through_connect_with_credentials(authority: Authority, variable: str) -> None:
    proxy = FakeProxy(user="me", password="p@ss:1")
    env = {variable: "http://me:p%40ss%3A1@127.0.0.1:{port}"}
    result, server = through_proxy(proxy, env, tls=True, authority=authority)
    assert result == (200, b"ok")
    assert len(proxy.seen) == 1 and server.accepted == 1
    assert proxy.seen[0].startswith(f"CONNECT far.test:{server.port} HTTP/1.1\r\n".encode())


def test_http_goes_to_the_proxy_in_absolute_form(authority: Authority) -> None:
    proxy = FakeProxy(user="me", password="secret")
    env = {"http_proxy": "me:secret@127.0.0.1:{port}"}
    result, server = through_proxy(proxy, env, tls=False, authority=authority)
    assert result == (200, b"ok")
    assert proxy.seen[0].startswith(f"GET http://far.test:{server.port}/p HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        (FakeProxy(user="me", password="other"), "requires other credentials (407)"),
        (FakeProxy(refuse=403), "refused CONNECT far.test:"),
        (FakeProxy(mute=True), "did not answer CONNECT far.test:"),
    ],
    ids=["407", "403", "mute"],
)
def test_proxy_failure_names_the_hop_and_no_credentials(
    authority: Authority, proxy: FakeProxy, said: str
) -> None:
    env = {"HTTPS_PROXY": "http://me:hunter2@127.0.0.1:{port}"}
    fault, _ = through_proxy(proxy, env, tls=True, authority=authority)
    assert isinstance(fault, UpstreamFault)
    assert (fault.hop, fault.sent) == ("proxy", False)
    assert said in fault.message and "(from HTTPS_PROXY)" in fault.message
    assert "hunter2" not in fault.message and "hunter2" not in repr(fault)


@pytest.mark.parametrize("told", [True, False])
def test_proxy_variables_count_only_when_told(monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    settings = Settings(data_dir="/x", use_env_proxy=told)
    client = Client.for_settings(["https://far.test"], settings)
    assert (client.proxy_for("https://far.test/") is not None) is told


def test_loopback_is_never_proxied() -> None:
    async def act(client: Client, server: ScriptedServer) -> Any:
        return await fetch(client, server)

    env = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    assert play(answers(OK), act, env=env) == (200, b"ok")


# --- dialling -------------------------------------------------------------------------------------------


def test_address_families_alternate_beginning_with_the_resolvers_choice() -> None:
    four: list[tuple[int, tuple[object, ...]]] = [(2, ("a", n)) for n in range(3)]
    six: list[tuple[int, tuple[object, ...]]] = [(10, ("b", n)) for n in range(2)]
    assert dial._interleave([*six, *four]) == [six[0], four[0], six[1], four[1], four[2]]
    assert dial._interleave(four) == four
    assert len(dial._interleave([(2, ("a", n)) for n in range(50)])) == dial.MAX_ADDRESSES


def test_address_that_refuses_gives_way_at_once_and_one_that_says_nothing_soon() -> None:
    async def run() -> Any:
        async with asyncio.timeout(5), ScriptedServer(answers(OK)) as server:
            # A full backlog: connecting hangs, as towards a host behind a firewall that drops.
            mute = socket.socket()
            mute.bind(("127.0.0.1", 0))
            mute.listen(0)
            fillers = []
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(mute.getsockname())
                fillers.append(filler)
            refusing = socket.socket()
            refusing.bind(("127.0.0.1", 0))
            places = (refusing.getsockname(), mute.getsockname(), ("127.0.0.1", server.port))
            loop = asyncio.get_running_loop()
            started_s = loop.time()
            addresses = [(int(socket.AF_INET), place) for place in places]
            found = await dial._connect(addresses, "x", "tcp", started_s + 4, 4)
            took_s = loop.time() - started_s
            peer = found.getpeername()
            for sock in (found, refusing, mute, *fillers):
                sock.close()
            return peer[1] == server.port, took_s

    right, took_s = asyncio.run(run())
    assert right and took_s < 4 * dial.STAGGER_S


def test_every_address_that_fails_is_one_fault_within_the_deadline() -> None:
    async def run() -> Any:
        loop = asyncio.get_running_loop()
        addresses: list[tuple[int, tuple[object, ...]]] = [
            (int(socket.AF_INET), ("127.0.0.1", 1)),
            (int(socket.AF_INET6), ("::1", 1, 0, 0)),
        ]
        with pytest.raises(UpstreamFault) as caught:
            await dial._connect(addresses, "h:1", "tcp", loop.time() + 2, 2)
        return caught.value

    fault = asyncio.run(run())
    assert (fault.hop, fault.sent) == ("tcp", False) and "connection refused" in fault.message


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog is silent on Linux")
def test_an_address_that_says_nothing_is_given_up_in_time() -> None:
    async def run() -> Any:
        loop = asyncio.get_running_loop()
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(mute.getsockname())
            addresses = [(int(socket.AF_INET), mute.getsockname())]
            with pytest.raises(UpstreamFault) as caught:
                async with asyncio.timeout(5):
                    await dial._connect(addresses, "h:1", "tcp", loop.time() + 0.2, 0.2)
            for filler in fillers:
                filler.close()
        return caught.value

    fault = asyncio.run(run())
    assert (fault.hop, fault.status, fault.sent) == ("tcp", 504, False)


NAMES = st.sampled_from([b"a", b"accept", b"authorization", b"host", b"A b"])
SENT = st.tuples(
    st.sampled_from(["GET", "POST", "G T"]),
    st.sampled_from(["http://one:1/v1", "http://two:1/v1", "https://one:1/v1?x", "http://one:1/v"]),
    st.lists(st.tuples(NAMES, st.sampled_from([b"", b"x", b"y", b"x\r\ny: z"])), max_size=2),
    st.sampled_from([(), ((b"b", b"1"),), ((b"content-length", b"1"),)]),
)


@given(st.lists(SENT, max_size=12))
def test_a_kept_request_head_is_what_a_new_one_is(requests: Any) -> None:
    # One client keeps what is constant of each head; each of the others meets only one request.
    def encode(client: Client, method: Any, url: Any, fields: Any, extra: Any) -> object:
        try:
            found = client._targets.get(url) or client._admit(url)
            return client._encode(method, url, *found, tuple(fields), extra, b"content-length: 5")
        except (RelayBug, UpstreamFault) as fault:
            return fault.message

    def client() -> Client:
        urls = ["http://one:1", "http://two:1", "https://one:1"]
        return Client(urls, env={"http_proxy": "http://u:p@px:2", "no_proxy": "two"})

    kept = client()
    for request in requests * 2:
        assert encode(kept, *request) == encode(client(), *request)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([200, 204, 500]),
            st.booleans(),
            st.lists(
                st.tuples(
                    st.sampled_from([b"a", b"connection", b"upgrade", b"content-type"]),
                    st.sampled_from([b"", b"x", b"x\r\ny: z"]),
                ),
                max_size=2,
            ),
        ),
        max_size=12,
    )
)
def test_a_kept_answer_head_is_what_a_new_one_is(answered: Any) -> None:
    def encode(make: Any, status: Any, keep_alive: Any, fields: Any) -> object:
        try:
            return make(status, keep_alive, tuple(fields))
        except ValueError as error:
            return str(error)

    for one in answered * 2:
        assert encode(_constant_head, *one) == encode(_constant_head.__wrapped__, *one)
