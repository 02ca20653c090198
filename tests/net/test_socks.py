"""Upstreams behind a SOCKS5 proxy: names go to it unresolved, and what it says wrong is one sentence."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from airelays.errors import UpstreamFault
from airelays.net.address import split_url
from airelays.net.client import Client
from airelays.net.dial import Dialled, open_connection
from airelays.net.proxy import ProxyRules
from airelays.protocol.socks5 import SocksError, chosen_method
from tests.fakes.openai_server import openai_server
from tests.live import wait_for
from tests.upstream.test_live_compatible import ALL

MICROSOCKS = shutil.which("microsocks")
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def asked_by(
    answer: Answer,
    *,
    credentials: str = "",
    url: str = "http://far.test/p",
    connect_s: float = 20.0,
) -> tuple[int, bytes]:
    """Return status and body of a GET through a proxy that does as `answer`; raises what the client raises."""

    async def run() -> tuple[int, bytes]:
        tasks: list[asyncio.Task[None] | None] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.current_task())
            try:
                with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await answer(reader, writer)
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = Client(
            [url], proxy=f"socks5h://{credentials}127.0.0.1:{port}", connect_s=connect_s
        )
        try:
            response = await client.request(method="GET", url=url)
            return response.status, await response.read(1000)
        finally:
            await client.close()
            server.close()
            begun = [task for task in tasks if task is not None]
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)

    return asyncio.run(run())


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sign in, connect by name, then be the server, with its first bytes in the same packet as the reply."""
    assert await reader.readexactly(4) == b"\x05\x02\x00\x02"
    writer.write(b"\x05\x02")
    assert await reader.readexactly(12) == b"\x01\x02me\x07p@ss:1\xc3"[:12]
    writer.write(b"\x01\x00")
    assert await reader.readexactly(15) == b"\x05\x01\x00\x03\x08far.test\x00\x50"
    writer.write(b"\x05\x00\x00\x03\x04")
    await writer.drain()
    writer.write(b"here\x04\x38")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"GET /p HTTP/1.1\r\nhost: far.test\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    await writer.drain()


def test_a_name_goes_to_the_proxy_with_user_and_password() -> None:
    assert asked_by(tunnel, credentials="me:p%40ss:1%C3@") == (200, b"ok")


def saying(*replies: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.read(1000)
            writer.write(reply)
            await writer.drain()
        await asyncio.Event().wait()

    return answer


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        (
            (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
            "does not speak SOCKS5; check its address and port",
        ),
        ((b"\x05\xff",), "requires other credentials"),
        ((b"\x05\x02", b"\x01\x01"), "refused the user name or the password"),
        (
            (b"\x05\x00", b"\x05\x05\x00\x01\x00"),
            "refused the connection: the connection was refused",
        ),
        ((b"\x05\x00", b"\x05\x00\x00\x07\x00"), "gave no usable answer"),
        ((b"\x05\x00", b""), "did not connect to far.test:80 within 0.3 s"),
        ((), "within 0.3 s"),
    ],
)
def test_garbage_and_refusals_are_one_sentence_without_a_secret(
    replies: tuple[bytes, ...], said: str
) -> None:
    with pytest.raises(UpstreamFault) as caught:
        asked_by(
            saying(*replies),
            credentials="me:hunter2@",
            connect_s=0.3 if "within" in said else 20.0,
        )
    fault = caught.value
    assert said in fault.message and "hunter2" not in fault.message
    assert (fault.hop, fault.sent) == ("proxy", False)


def test_a_proxy_chooses_what_it_was_offered() -> None:
    with pytest.raises(SocksError, match=r"was not offered \(2\)"):
        chosen_method(b"\x05\x02", with_password=False)
    with pytest.raises(SocksError, match=r"was not offered \(1\)"):
        chosen_method(b"\x05\x01", with_password=True)
    assert chosen_method(b"\x05\x00", with_password=True) == 0


def test_a_socks_proxy_is_read_from_the_environment_too() -> None:
    found = ProxyRules({"ALL_PROXY": "socks5h://u:hunter2@p"}).choose("https", "far.example", 443)
    assert found is not None and (found.host, found.port, found.socks) == ("p", 1080, True)
    assert "hunter2" not in repr(found)
    with pytest.raises(UpstreamFault, match="longer than 255 bytes"):
        ProxyRules({"ALL_PROXY": "socks5h://u:" + "x" * 256 + "@p"}).choose("https", "f.test", 443)


class Kept(Dialled):
    """Keeps its transport, to be closed."""

    gone: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.gone = transport


@pytest.mark.skipif(MICROSOCKS is None, reason="microsocks is not installed")
def test_a_real_proxy(tmp_path: Path) -> None:
    port = free_port()
    words = [MICROSOCKS or "", "-i", "127.0.0.1", "-p", str(port), "-u", "me", "-P", "s3cret"]
    with openai_server(*ALL) as server, subprocess.Popen(words, stderr=subprocess.DEVNULL) as proxy:
        try:

            def connected(password: str, host: str) -> bool:
                rules = ProxyRules(url=f"socks5h://me:{password}@127.0.0.1:{port}")
                target = split_url(server.url.replace("127.0.0.1", host))

                async def run() -> bool:
                    one = await open_connection(
                        target,
                        Kept,
                        proxy=rules.choose("http", "far.test", 80),
                        context=None,
                        connect_s=10.0,
                        tls_s=10.0,
                    )
                    one.gone.abort()
                    return True

                return asyncio.run(run())

            def up() -> bool:
                try:
                    return connected("s3cret", "127.0.0.1")
                except UpstreamFault as fault:
                    assert "connection refused" in fault.message
                    return False

            assert wait_for(up)
            with pytest.raises(UpstreamFault, match="refused the user name or the password"):
                connected("wrong", "127.0.0.1")
            with pytest.raises(UpstreamFault, match="refused the connection"):
                connected("s3cret", "no-such-name.invalid")
        finally:
            proxy.terminate()


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
