"""A small HTTP/1.1 server for fakes: records requests, answers whole or in scripted pieces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Seen:
    """One request that arrived."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Cut(Exception):
    """Raised by a handler's body to break the connection there."""


class Hang(Exception):
    """Raised by a handler to say nothing more and keep the connection until the peer leaves."""


@dataclass
class Reply:
    """An answer. `body` is bytes (sent with its length) or an async iterator of pieces (sent chunked)."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    fields = {"content-type": "application/json"}
    fields.update({key.replace("_", "-"): text for key, text in headers.items()})
    return Reply(status, json.dumps(value).encode(), fields)


class FakeServer:
    """Serves `handle(seen) -> Reply`. Use as `async with`, or `with` for one in a thread of its own."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.tls, self.wanted_port = tls, port
        self.requests: list[Seen] = []
        self.open_connections = 0
        self.accepted = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def handle(self, seen: Seen) -> Reply:
        raise NotImplementedError

    # --- life ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.wanted_port, ssl=self.tls, backlog=1024
        )
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self.loop = asyncio.get_running_loop()
        self.changed = asyncio.Condition()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    def __enter__(self) -> Self:
        """Start in a thread; attributes may be set from the test's thread."""
        ready = threading.Event()

        async def main() -> None:
            async with self:
                self._stop = asyncio.Event()
                ready.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def wait_for(self, met: Callable[[], bool], within_s: float = 5.0) -> None:
        """Wait until `met()`; it is looked at when a request comes or a connection changes, and now and then."""
        async with asyncio.timeout(within_s):
            while not met():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.005), self.changed:
                        await self.changed.wait()

    def wait_until(self, met: Callable[[], bool], within_s: float = 5.0) -> None:
        """The same from another thread."""
        asyncio.run_coroutine_threadsafe(self.wait_for(met, within_s), self.loop).result(
            within_s + 1
        )

    # --- one connection ----------------------------------------------------------------------------------

    async def _note(self, connections: int = 0) -> None:
        async with self.changed:
            self.open_connections += connections
            self.accepted += connections > 0
            self.changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        await self._note(1)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            writer.transport.abort()
        except Cut:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()
            await self._note(-1)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = line.split(" ")
        headers = [(n.lower(), v.strip()) for n, _, v in (field.partition(":") for field in rest)]
        length = int(next((v for n, v in headers if n == "content-length"), 0))
        body = await reader.readexactly(length)
        path, _, query = target.partition("?")
        seen = Seen(method, path, query, headers, body)
        self.requests.append(seen)
        await self._note()
        gone = asyncio.ensure_future(self._watch(reader, writer))
        answer = asyncio.ensure_future(self._answer(seen, writer))
        try:
            await asyncio.wait((gone, answer), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return await answer
            raise ConnectionResetError
        except Hang:
            await gone
            return False
        finally:
            for task in (gone, answer):
                task.cancel()
            await asyncio.wait((gone, answer))

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Return when the peer has gone; requests are never pipelined by our client."""
        while not reader.at_eof():
            await reader._wait_for_data("watch")  # type: ignore[attr-defined]  # waits without taking
            if reader._buffer:  # type: ignore[attr-defined]
                await asyncio.Event().wait()

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        reply = await self.handle(seen)
        body = reply.body
        lines = [f"HTTP/1.1 {reply.status} X"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines.append(
            f"content-length: {len(body)}"
            if isinstance(body, bytes)
            else "transfer-encoding: chunked"
        )
        if reply.close:
            lines.append("connection: close")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if isinstance(body, bytes):
            writer.write(body)
        else:
            async for piece in body:
                if piece:
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not reply.close
