"""Measure the relay: `python3 build/bench.py [--rounds N] [--seconds S] [--published PYTHON]`.

Everything runs on this machine's loopback: a fake upstream with canned answers, the relay of this checkout with every
feature on, a bare asyncio byte splice as the floor, and, where `--published` names the Python of an environment
with the published `airelays`, that one too. All are measured in turn in each round; the table has the medians, and
the ratio to the splice or to the published program in the same round. CPU is that of the server's process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "bench-token-0123456789-0123456789-0123"
TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
DELTA = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":9,'
    '"item_id":"msg_bench","output_index":0,"content_index":0,"delta":"%s","logprobs":[]}\n\n'
)
# A word as it stands in a delta of either dialect; the whole text of the last events has no such beginning.
WORD = re.compile(rb'"(?:content|delta)": ?"word ')


# ---- the fake upstream


def _event(kind: str, **rest: object) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 1, **rest}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _frames(count: int) -> tuple[bytes, list[bytes], bytes]:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "word " * count}
    item = {"id": "msg_bench", "type": "message", "role": "assistant", "content": [part]}
    response = {"id": "resp_bench", "object": "response", "created_at": 1, "model": "gpt-5.5"}
    usage = {"input_tokens": 9, "output_tokens": count, "total_tokens": 9 + count}
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    opening = _event("response.created", response={**response, "status": "in_progress"})
    opening += _event("response.output_item.added", output_index=0, item={**item, "content": []})
    closing = _event("response.output_item.done", output_index=0, item=item)
    return (
        opening,
        [DELTA.replace("%s", "word ").encode()] * count,
        closing + _event("response.completed", response=done),
    )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve models, and answers whose shape the prompt names: "shape COUNT PACE_MS"."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = await reader.readexactly(length)
            if b"POST" not in head[:5]:
                raw = b'{"models":[{"slug":"gpt-5.5"}]}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(raw), raw))
                continue
            at = body.index(b"shape ")
            count, pace_ms = body[at + 6 :].split(b'"')[0].split()[:2]
            await _answer(writer, int(count), float(pace_ms) / 1000)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _answer(writer: asyncio.StreamWriter, count: int, pace_s: float) -> None:
    opening, deltas, closing = _frames(count)
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    if not pace_s:
        writer.write(
            _chunk(opening) + b"".join(map(_chunk, deltas)) + _chunk(closing) + b"0\r\n\r\n"
        )
        await writer.drain()
        return
    writer.write(_chunk(opening))
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    for delta in deltas:
        due_s += pace_s
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        writer.write(_chunk(delta))
    writer.write(_chunk(closing) + b"0\r\n\r\n")
    await writer.drain()


async def _splice(upstream_port: int, port: int) -> None:
    """The floor: bytes from one socket to the other, with no idea what they are."""

    class Side(asyncio.Protocol):
        other: asyncio.Transport | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if self.other is not None:
                self.other.write(data)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.other is not None:
                self.other.close()

    class Front(Side):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.waiting: list[bytes] = []
            self.dial = asyncio.ensure_future(self._dial(transport))

        async def _dial(self, transport: asyncio.BaseTransport) -> None:
            loop = asyncio.get_running_loop()
            self.other, back = await loop.create_connection(Side, "127.0.0.1", upstream_port)
            back.other = transport  # type: ignore[assignment]
            self.other.write(b"".join(self.waiting))

        def data_received(self, data: bytes) -> None:
            if self.other is None:
                self.waiting.append(data)
            else:
                self.other.write(data)

    server = await asyncio.get_running_loop().create_server(Front, "127.0.0.1", port)
    await server.serve_forever()


async def _serve_upstream(port: int) -> None:
    server = await asyncio.start_server(_upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


async def _request(
    port: int, path: str, body: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_head(path, body) + body)
    return reader, writer


def _head(path: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()


def request_of(kind: str, shape: str, stream: bool) -> tuple[str, bytes]:
    if kind == "responses":
        return "/v1/responses", json.dumps(
            {"model": "gpt-5.5", "input": shape, "stream": stream}
        ).encode()
    messages = [{"role": "user", "content": shape}]
    return "/v1/chat/completions", json.dumps(
        {"model": "gpt-5.5", "messages": messages, "stream": stream}
    ).encode()


async def _whole(port: int, connections: int, seconds: float, kind: str) -> dict[str, float]:
    """Closed loop of whole answers on kept connections."""
    taken: list[float] = []
    end_s = time.perf_counter() + seconds
    path, body = request_of(kind, "shape 8 0", False)

    async def one() -> None:
        reader, writer = await _request(port, path, body)
        while True:
            begun_s = time.perf_counter()
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:20]:
                raise SystemExit(f"the server answered {head + await reader.read(300)!r}")
            length = head.lower().rpartition(b"content-length:")[2].split(b"\r\n")[0]
            if b"chunked" in head:  # the splice hands the upstream's stream on
                await reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                await reader.readexactly(int(length))
            taken.append(time.perf_counter() - begun_s)
            if time.perf_counter() > end_s:
                writer.close()
                return
            writer.write(_head(path, body) + body)

    await asyncio.gather(*(one() for _ in range(connections)))
    taken.sort()
    return {
        "count": len(taken),
        "rate": len(taken) / seconds,
        "p50_ms": taken[len(taken) // 2] * 1000,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1000,
    }


async def _streams(
    port: int, connections: int, seconds: float, kind: str, pace_ms: int
) -> dict[str, float]:
    """Streams that run for `seconds`: paced ones side by side, flat out ones again and again."""
    events = 0
    first: list[float] = []
    end_s = time.perf_counter() + seconds
    count = int(seconds * 1000 / pace_ms) if pace_ms else 400
    path, body = request_of(kind, f"shape {count} {pace_ms}", True)

    async def one() -> None:
        nonlocal events
        while True:
            begun_s, seen = time.perf_counter(), False
            reader, writer = await _request(port, path, body)
            tail = b""
            while data := await reader.read(65536):
                found = len(WORD.findall(data))
                if found and not seen:
                    seen = True
                    first.append(time.perf_counter() - begun_s)
                events += found
                tail = (tail + data)[-7:]
                if tail.endswith(b"0\r\n\r\n"):
                    break
            writer.close()
            if pace_ms or time.perf_counter() > end_s:
                return

    begun_s = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    first.sort()
    spent_s = time.perf_counter() - begun_s
    return {
        "count": events,
        "rate": events / spent_s,
        "p50_ms": first[len(first) // 2] * 1000,
        "p99_ms": first[int(len(first) * 0.99)] * 1000,
    }


Load = Callable[[int, float], Coroutine[None, None, dict[str, float]]]
SCENARIOS: dict[str, tuple[str, Load]] = {
    "whole answers, 1 connection": ("requests", lambda p, s: _whole(p, 1, s, "chat")),
    "whole answers, 8 connections": ("requests", lambda p, s: _whole(p, 8, s, "chat")),
    "64 chat streams flat out": ("events", lambda p, s: _streams(p, 64, s, "chat", 0)),
    "64 chat streams, 20 ms": ("events", lambda p, s: _streams(p, 64, s, "chat", 20)),
    "64 Responses streams, 20 ms": ("events", lambda p, s: _streams(p, 64, s, "responses", 20)),
}


# ---- servers


def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def start(
    words: list[str], env: dict[str, str], port: int
) -> tuple[subprocess.Popen[bytes], float]:
    """Start a server; return it and the seconds until it took a connection."""
    import socket

    begun_s = time.perf_counter()
    process = subprocess.Popen(
        words, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while time.perf_counter() - begun_s < 30:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process, time.perf_counter() - begun_s
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.002)
    raise SystemExit(f"{words[:3]} did not start")


def relay_env(home: str, upstream_port: int) -> dict[str, str]:
    import base64

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    auth = {"https://api.openai.com/auth": {"chatgpt_account_id": "acc"}}
    jwt = f"{part({'alg': 'none'})}.{part({'exp': int(time.time()) + 10**6, **auth})}.c2ln"
    tokens = {"id_token": jwt, "access_token": jwt, "refresh_token": "r", "account_id": "acc"}
    folder = Path(home) / ".airelays"
    folder.mkdir(mode=0o700)
    path = folder / "auth.json"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path.write_text(json.dumps({"tokens": tokens, "last_refresh": now}))
    path.chmod(0o600)
    return {
        "HOME": home,
        "AIRELAYS_BEARER_TOKEN": TOKEN,
        "AIRELAYS_UPSTREAM_BASE_URL": f"http://127.0.0.1:{upstream_port}/backend-api/codex",
        "AIRELAYS_ISSUER_BASE_URL": f"http://127.0.0.1:{upstream_port}",
        "AIRELAYS_RATE_LIMIT_PER_MINUTE": "1000000",
        "AIRELAYS_RATE_LIMIT_BURST": "1000000",
        "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "1000",
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _rss_mib(pid: int) -> float:
    return (
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    )


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--published", help="Python of an environment with the published airelays")
    parser.add_argument("--role", help=argparse.SUPPRESS, nargs=2)
    arguments = parser.parse_args()
    if arguments.role:
        kind, ports = arguments.role
        first, _, second = ports.partition(",")
        go = _serve_upstream(int(first)) if kind == "upstream" else _splice(int(first), int(second))
        asyncio.run(go)
        return 0
    if not Path("/proc/self/stat").exists():
        raise SystemExit(
            "build/bench.py reads CPU times from /proc, which this system does not have"
        )
    measured = _measure(arguments)
    _print(measured, arguments)
    return 0


def _measure(arguments: argparse.Namespace) -> dict[tuple[str, str], list[dict[str, float]]]:
    up_port = free_port()
    upstream, _ = start([sys.executable, __file__, "--role", "upstream", str(up_port)], {}, up_port)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    try:
        for _ in range(arguments.rounds):
            for name, words in _servers(arguments, up_port).items():
                with tempfile.TemporaryDirectory() as home:
                    _one_server(name, words, home, up_port, arguments.seconds, found)
    finally:
        upstream.terminate()
        upstream.wait()
    return found


def _servers(arguments: argparse.Namespace, up_port: int) -> dict[str, list[str]]:
    servers = {
        "splice (floor)": [sys.executable, __file__, "--role", "splice", f"{up_port},PORT"],
        "this relay": [sys.executable, "-m", "airelays", "serve", "--port", "PORT"],
    }
    if arguments.published:
        words = [arguments.published, "-m", "airelays", "serve", "--port", "PORT"]
        program = Path(arguments.published).with_name("airelays")
        servers["published airelays"] = [str(program), *words[3:]] if program.exists() else words
    return servers


def _one_server(
    name: str,
    words: list[str],
    home: str,
    up_port: int,
    seconds: float,
    found: dict[tuple[str, str], list[dict[str, float]]],
) -> None:
    port = free_port()
    env = relay_env(home, up_port) if "splice" not in name else {}
    if name == "this relay":
        env["PYTHONPATH"] = str(ROOT)
    process, ready_s = start([w.replace("PORT", str(port)) for w in words], env, port)
    try:
        facts = {"ready_ms": ready_s * 1000, "idle_mib": _rss_mib(process.pid)}
        found.setdefault(("start", name), []).append(facts)
        for scenario, (_, load) in SCENARIOS.items():
            before_s = _cpu_s(process.pid)
            result = asyncio.run(load(port, seconds))
            result["cpu_us"] = (_cpu_s(process.pid) - before_s) / result["count"] * 1e6
            result["rss_mib"] = _rss_mib(process.pid)
            found.setdefault((scenario, name), []).append(result)
            print(f"{name}: {scenario}: {result['rate']:,.0f}/s", file=sys.stderr)
    finally:
        process.terminate()
        process.wait()


def _print(
    found: dict[tuple[str, str], list[dict[str, float]]], arguments: argparse.Namespace
) -> None:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    print(
        f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; medians of {arguments.rounds} rounds of {arguments.seconds:g} s\n"
    )
    print(
        "| work | server | a second | CPU us each | first byte or answer p50 ms | p99 ms | RSS MiB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (scenario, name), results in found.items():
        if scenario == "start":
            continue
        middle = {k: statistics.median(r[k] for r in results) for k in results[0]}
        print(
            f"| {scenario} | {name} | {middle['rate']:,.0f} | {middle['cpu_us']:,.0f} | "
            f"{middle['p50_ms']:.2f} | {middle['p99_ms']:.2f} | {middle['rss_mib']:.0f} |"
        )
    for (scenario, name), results in found.items():
        if scenario == "start":
            ready = statistics.median(r["ready_ms"] for r in results)
            idle = statistics.median(r["idle_mib"] for r in results)
            print(f"\n{name}: listening after {ready:.0f} ms, {idle:.1f} MiB then.")


if __name__ == "__main__":
    sys.exit(main())
