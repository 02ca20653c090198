"""Relays behind a real HAProxy, with clients of many addresses; for a short test and for `build/haproxy.py`."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.live import DEADLINE_S, ROOT, TOKEN, Relay, running, wait_for

HAPROXY = shutil.which("haproxy")
LINES = ROOT / "packaging" / "haproxy" / "haproxy.cfg"
ADDRESSES = 200
CONFIG = """
[server]
max_connections = 4096
max_connections_per_ip = 4096
announce_seconds = {announce}
drain_seconds = 120
[upstream]
kind = "demo"
demo_pace_ms = {pace_ms}
"""
TRUSTED = 'trust_x_forwarded_for = true\ntrusted_proxies = ["127.0.0.1"]\n'
LIMITS = (
    "concurrent_requests_per_ip = 256\nrate_limit_per_minute = 600000\nrate_limit_burst = 5000\n"
)


def relays_of(
    home: Path, count: int, limits: str = LIMITS, *, pace_ms: int = 0, announce: float = 0.0
) -> list[AbstractContextManager[Relay]]:
    """Return relays of their own folders, to be entered; `limits` are lines of [security]."""
    found: list[AbstractContextManager[Relay]] = []
    for number in range(count):
        own = home / f"relay{number}"
        own.mkdir()
        text = CONFIG.format(pace_ms=pace_ms, announce=announce)
        (own / "config.toml").write_text(f"{text}[security]\n{TRUSTED}{limits}")
        found.append(running(own, "--config", str(own / "config.toml"), demo=False))
    return found


@contextmanager
def balancer(home: Path, ports: list[int]) -> Iterator[int]:
    """Run HAProxy with the lines of the package over these ports; yield its own. Answers name the relay."""
    assert HAPROXY is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    text = LINES.read_text()
    text = re.sub(r"bind :443 .*", f"bind 127.0.0.1:{port}", text)
    text = re.sub(r"stats socket \S+", f"stats socket {home}/admin.sock", text)
    text = re.sub(r"    server r.*\n", "", text).replace("maxconn 512", "maxconn 4096")
    # Two descriptors per connection have to be allowed where the tests run.
    text = text.replace("maxconn 8192", "maxconn 2500")
    servers = [f"    server r{at} 127.0.0.1:{one}" for at, one in enumerate(ports)]
    lines = [text.rstrip(), "    http-response set-header x-relay %s", *servers]
    (home / "haproxy.cfg").write_text("\n".join(lines) + "\n")
    words = [HAPROXY, "-db", "-f", str(home / "haproxy.cfg")]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _answers(port))
            yield port
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return b" 200 " in sock.recv(1000)
    except OSError:
        return False


def source(number: int) -> tuple[str, int]:
    """Return the loopback address of a client; Linux has all of 127.0.0.0/8."""
    return f"127.1.{number // 250}.{number % 250 + 1}", 0


def request(port: int, body: bytes = b"") -> bytes:
    """Return a request with the token: a chat for a body, else a look at the models."""
    line = b"POST /v1/chat/completions" if body else b"GET /v1/models"
    head = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return line + head.encode() + kind.encode() + b"\r\n" + body


async def answered(port: int, number: int, count: int, *, body: bytes = b"") -> list[int]:
    """Return the statuses of `count` requests from one address, one after the other."""
    found = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source(number))
    for _ in range(count):
        writer.write(request(port, body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, head
        await reader.readexactly(int(length[1]))
        found.append(int(head.split(b" ")[1]))
        if b"connection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=source(number)
            )
    writer.close()
    return found


class Streams:
    """Streams that all run at once, each from one of 200 addresses."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._begun = 0
        self._all_began = asyncio.Event()
        self._tasks: list[asyncio.Task[tuple[str, str]]] = []

    async def begin(self) -> None:
        """Start them; return when each has its first bytes."""
        for number in range(self._count):
            self._tasks.append(asyncio.create_task(self._stream(number % ADDRESSES)))
        waiting = asyncio.create_task(self._all_began.wait())
        done, _ = await asyncio.wait(
            [waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED, timeout=120
        )
        if waiting not in done:
            waiting.cancel()
            raise AssertionError([task.result() for task in done][:3])

    async def counted(self) -> dict[str, Counter[str]]:
        """Return how the streams of each relay (r0, r1, ...) ended."""
        found: dict[str, Counter[str]] = {}
        for relay, end in await asyncio.gather(*self._tasks):
            found.setdefault(relay, Counter())[end] += 1
        return found

    async def _stream(self, number: int) -> tuple[str, str]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=source(number)
        )
        text = " ".join(["word"] * 24)
        body = (
            b'{"model":"demo","stream":true,"messages":[{"role":"user","content":"%s"}]}'
            % text.encode()
        )
        writer.write(request(self._port, body))
        head = await reader.readuntil(b"\r\n\r\n")
        named = re.search(rb"x-relay: (\S+)", head)
        relay = named[1].decode() if named else "none"
        try:
            said = await reader.readuntil(b"\n\n")
            self._begun += 1
            if self._begun == self._count:
                self._all_began.set()
            while not said.endswith(b"0\r\n\r\n"):
                more = await reader.read(65536)
                if not more:
                    return relay, "cut"
                said += more
        except (ConnectionError, asyncio.IncompleteReadError):
            return relay, "cut"
        finally:
            writer.close()
        if b"[DONE]" in said and b'"error"' not in said:
            return relay, "complete"
        return relay, "typed error" if b'"error"' in said else "clean end of a broken stream"
