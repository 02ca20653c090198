"""An HTTP proxy on loopback: CONNECT tunnels and absolute-form requests, with optional Basic credentials."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any


class FakeProxy:
    """`async with FakeProxy() as proxy`. `seen` holds the request heads; `resolve` maps names to ports here.

    `refuse` is a status that every CONNECT gets instead; `mute` makes it say nothing.
    """

    def __init__(
        self, *, user: str = "", password: str = "", refuse: int = 0, mute: bool = False
    ) -> None:
        self.wanted = b64encode(f"{user}:{password}".encode()) if user else b""
        self.refuse, self.mute = refuse, mute
        self.seen: list[bytes] = []
        self.resolve: dict[str, int] = {}
        self.tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> FakeProxy:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in list(self.tasks):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._proxy(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen.append(head)
        if self.mute:
            await reader.read()
            return
        if self.wanted and b"proxy-authorization: Basic " + self.wanted not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        if self.refuse:
            writer.write(b"HTTP/1.1 %d Refused\r\ncontent-length: 0\r\n\r\n" % self.refuse)
            return
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        name = target if method == "CONNECT" else target.split("/")[2]
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.resolve[name])
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            far_writer.write(head.replace(b"http://" + name.encode(), b"", 1))
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
