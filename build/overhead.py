"""Measure what a relay adds to one request: `python3 build/overhead.py [--published PYTHON]`.

The method of independent tests of gateways: one client sends requests one after another, the same to the upstream
itself and through the relay in turn. Each round has 25 pairs; a round counts with its median, and of 7 rounds the
median is printed. The upstream answers at once, so that all that is left is the way. Loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import bench

ROUNDS, REQUESTS = 7, 25
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "word " * 64},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 64, "total_tokens": 73},
}


class Way(NamedTuple):
    """One pair of places that get the same question."""

    title: str
    direct: tuple[int, str, bytes]
    through: tuple[int, str, bytes]


async def serve(port: int) -> None:
    """A server that has chat completions only and answers at once."""
    answer = json.dumps(ANSWER).encode()
    listing = b'{"object":"list","data":[{"id":"tiny","object":"model"}]}'

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                body = answer if head.startswith(b"post") else listing
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def ask(connection: http.client.HTTPConnection, path: str, body: bytes) -> float:
    """Return the milliseconds of one request on a kept connection."""
    fields = {"Authorization": f"Bearer {bench.TOKEN}", "Content-Type": "application/json"}
    begun_s = time.perf_counter()
    connection.request("POST", path, body, fields)
    reply = connection.getresponse()
    said = reply.read()
    took_ms = (time.perf_counter() - begun_s) * 1000
    if reply.status != 200:
        raise SystemExit(f"{path} was answered with {reply.status}: {said[:200]!r}")
    return took_ms


def measured(way: Way) -> tuple[float, float]:
    """Return the milliseconds of the direct way and of the way through the relay."""
    places = [way.direct, way.through]
    lines = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for port, _, _ in places]
    rounds: list[list[float]] = [[], []]
    for number in range(ROUNDS + 1):
        taken: list[list[float]] = [[], []]
        for _ in range(REQUESTS):
            for at, (_, path, body) in enumerate(places):
                taken[at].append(ask(lines[at], path, body))
        if number:  # the first round warms up
            for at in (0, 1):
                rounds[at].append(statistics.median(taken[at]))
    for one in lines:
        one.close()
    return statistics.median(rounds[0]), statistics.median(rounds[1])


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", help="Python of an environment with the published airelays")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        asyncio.run(serve(int(given.role)))
        return 0
    print("| way | direct, ms | through the relay, ms | added, ms |\n| --- | --- | --- | --- |")
    plain_port, chatgpt_port = bench.free_port(), bench.free_port()
    own = [sys.executable, "-m", "airelays", "serve", "--port", "PORT"]
    processes = [
        bench.start([sys.executable, __file__, "--role", str(plain_port)], {}, plain_port)[0],
        bench.start(
            [sys.executable, bench.__file__, "--role", "upstream", str(chatgpt_port)],
            {},
            chatgpt_port,
        )[0],
    ]
    try:
        compatible = {
            "AIRELAYS_UPSTREAM_KIND": "compatible",
            "AIRELAYS_UPSTREAM_BASE_URL": f"http://127.0.0.1:{plain_port}/v1",
        }
        chat = (
            "/v1/chat/completions",
            b'{"model":"tiny","messages":[{"role":"user","content":"hi"}]}',
        )
        row("a compatible server, chat", own, chatgpt_port, compatible, (plain_port, *chat), chat)
        asked = bench.request_of("chat", "shape 64 0", False)
        backend = (chatgpt_port, "/backend-api/codex/responses", asked[1])
        row("ChatGPT, chat translated", own, chatgpt_port, {}, backend, asked)
        if given.published:
            program = str(Path(given.published).with_name("airelays"))
            words = [program, "serve", "--port", "PORT"]
            row("ChatGPT, published program", words, chatgpt_port, {}, backend, asked)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    return 0


def row(
    title: str,
    words: list[str],
    upstream_port: int,
    more: dict[str, str],
    direct: tuple[int, str, bytes],
    asked: tuple[str, bytes],
) -> None:
    """Start a relay, measure it and print its line."""
    port = bench.free_port()
    with tempfile.TemporaryDirectory() as home:
        env = {**bench.relay_env(home, upstream_port), **more, "PYTHONPATH": str(bench.ROOT)}
        if "published" in title:
            del env["PYTHONPATH"]
        process, _ = bench.start([word.replace("PORT", str(port)) for word in words], env, port)
        try:
            before, after = measured(Way(title, direct, (port, *asked)))
        finally:
            process.terminate()
            process.wait()
    print(f"| {title} | {before:.2f} | {after:.2f} | {after - before:.2f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
