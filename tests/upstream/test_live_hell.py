"""Upstreams from hell: each ends in the right typed error; never a clean end, a hang, or a leak."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.hostile import Hostile, hostile_upstream, sends, stalls
from tests.live import Relay, Reply, running
from tests.net.test_live_wire import WIDE

SAMPLE = (Path(__file__).resolve().parents[1] / "samples" / "01_text.sse").read_bytes()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
# Every byte takes some minutes; the normal run takes every 97th, and the edges of every event.
EVERY_BYTE = bool(os.environ.get("AIRELAYS_SLOW_TESTS"))
QUICK = {
    "AIRELAYS_REQUEST_TIMEOUT_SECONDS": "1",
    "AIRELAYS_STREAM_GAP_SECONDS": "1",
    "AIRELAYS_CONNECT_SECONDS": "1",
}


def chunked(raw: bytes) -> bytes:
    events = [event + b"\n\n" for event in raw.split(b"\n\n") if event]
    return b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in events) + b"0\r\n\r\n"


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5", "messages": [{"role": "user", "content": "x"}], **more}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Hostile]:
    with hostile_upstream() as one:
        yield one


@pytest.fixture(scope="module")
def relay(upstream: Hostile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    home = tmp_path_factory.mktemp("home")
    data = home / ".airelays"
    data.mkdir(mode=0o700)
    (data / "auth.json").write_bytes(FakeBackend().auth_json())
    (data / "auth.json").chmod(0o600)
    env = {
        **WIDE,
        **QUICK,
        "AIRELAYS_UPSTREAM_BASE_URL": f"{upstream.url}/backend-api/codex",
        "AIRELAYS_ISSUER_BASE_URL": upstream.url,
    }
    with running(home, env=env, demo=False) as one:
        yield one


def nothing_is_left(relay: Relay, upstream: Hostile) -> None:
    """Streams, slots and upstream connections are given back, bar the one that asks."""
    end_s = time.monotonic() + 5
    while True:
        status = relay.get("/v1/relay/status").json()
        busy = status["streams_open"] + status["security"]["client"]["active_requests"] - 1
        if not busy:
            return
        assert time.monotonic() < end_s, status


def ask(relay: Relay, kind: str) -> Reply:
    if kind == "chat stream":
        return relay.send("POST", "/v1/chat/completions", chat(stream=True))
    if kind == "chat":
        return relay.send("POST", "/v1/chat/completions", chat())
    body = {"model": "gpt-5.5", "input": "x", "stream": kind == "responses stream"}
    return relay.send("POST", "/v1/responses", body)


Figure = Callable[[str, object], None]
KINDS = ["chat stream", "chat", "responses stream", "responses"]


def check_failed(reply: Reply, kind: str) -> None:
    """The one truth: no sign of success, one typed error."""
    if reply.status != 200:
        assert reply.status in (502, 504), reply
        assert reply.error["code"] and reply.error["type"]
        return
    assert kind.endswith("stream")
    assert b"[DONE]" not in reply.body and b"response.completed" not in reply.body
    events = reply.events()
    errors = [e for e in events if e.get("error") or (e.get("response") or {}).get("error")]
    assert errors == events[-1:]


def cut_points(raw: bytes) -> list[int]:
    if EVERY_BYTE:
        return list(range(len(raw)))
    edges = {at + d for at in range(len(raw)) if raw.startswith(b"\n\n", at) for d in (-1, 0, 1, 2)}
    return sorted({*range(0, len(raw), 97), *(e for e in edges if 0 <= e < len(raw))})


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_cut_anywhere_is_never_an_answer(
    relay: Relay, upstream: Hostile, kind: str, record_property: Figure
) -> None:
    whole = CHUNKED + chunked(SAMPLE)
    finished = whole.index(b'"type":"response.completed"')
    last = whole.index(b"\n\n", finished)
    points = [p for p in cut_points(whole) if p < last]
    record_property("streams cut, each a typed error", len(points))
    for number, cut in enumerate(points):
        upstream.play = sends(whole[:cut], reset=bool(number % 2))
        check_failed(ask(relay, kind), kind)
    upstream.play = sends(whole)
    good = ask(relay, kind)
    assert good.status == 200 and b"forty-two" in good.body
    nothing_is_left(relay, upstream)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n" + b"x" * 11,
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 999999\r\n\r\n" + SAMPLE[:500],
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        CHUNKED + b"zz\r\nabc\r\n",
        CHUNKED + b"5\r\nhelloX",
        CHUNKED + b"0\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 30\r\n\r\n" + gzip.compress(b"x")[:30],
        b"HTTP/1.1 204 No Content\r\n\r\n",
        CHUNKED + b"%x\r\n" % 40 + b"data: " + b"[" * 34,
    ],
    ids=range(19),
)
def test_what_is_no_answer_is_a_502(
    record_property: Figure, relay: Relay, upstream: Hostile, data: bytes, kind: str
) -> None:
    record_property("malformed answers, each a typed error", 1)
    upstream.play = sends(data)
    check_failed(ask(relay, kind), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", ["head", "body"])
def test_a_stall_ends_in_time(relay: Relay, upstream: Hostile, kind: str, at: str) -> None:
    upstream.play = stalls(b"" if at == "head" else CHUNKED + chunked(SAMPLE)[:3000])
    begun_s = time.monotonic()
    check_failed(ask(relay, kind), kind)
    assert time.monotonic() - begun_s < 4
    nothing_is_left(relay, upstream)


def test_a_dripped_head_does_not_move_its_deadline(relay: Relay, upstream: Hostile) -> None:
    import socket
    import threading

    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not stop.wait(0.1):
            connection.sendall(b"y")

    upstream.play = drip
    begun_s = time.monotonic()
    reply = ask(relay, "chat")
    stop.set()
    assert reply.status == 504
    assert time.monotonic() - begun_s < 4


def test_one_byte_at_a_time_is_the_same_answer(relay: Relay, upstream: Hostile) -> None:
    import socket

    whole = CHUNKED + chunked(SAMPLE)

    def trickle(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(whole)):
            connection.sendall(whole[at : at + 1])

    for kind in KINDS:
        upstream.play = sends(whole)
        at_once = ask(relay, kind)
        upstream.play = trickle
        assert ask(relay, kind).body == at_once.body


def test_an_endless_event_is_refused_with_bounded_memory(relay: Relay, upstream: Hostile) -> None:
    import socket

    def endless(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"\r\n")
        block = b"data: " + b"x" * 65536
        for _ in range(600):
            connection.sendall(block)

    upstream.play = endless
    before = rss_mib(relay)
    for kind in ("chat stream", "responses"):
        check_failed(ask(relay, kind), kind)
    assert rss_mib(relay) - before < 64


def rss_mib(relay: Relay) -> float:
    for line in Path(f"/proc/{relay.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def test_error_pages_are_never_forwarded(relay: Relay, upstream: Hostile) -> None:
    page = b"<html>" + b"secret-page " * 40_000
    for status in (400, 403, 404, 500, 502, 503):
        head = b"HTTP/1.1 %d X\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
        upstream.play = sends(head % (status, len(page)) + page)
        reply = ask(relay, "chat")
        assert reply.status != 401 and b"secret-page" not in reply.body
        assert len(reply.body) < 1000 and json.loads(reply.body)["error"]["message"]


def test_a_failure_before_the_first_byte_is_a_status(relay: Relay, upstream: Hostile) -> None:
    for kind in KINDS:
        upstream.play = sends(CHUNKED + b"0\r\n\r\n")
        reply = ask(relay, kind)
        assert (reply.status, reply.error["code"]) == (502, "incomplete_stream"), kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_ends_properly_but_too_early_is_no_answer(
    relay: Relay, upstream: Hostile, kind: str
) -> None:
    events = SAMPLE.split(b"\n\n")
    last = next(n for n, event in enumerate(events) if b'"type":"response.completed"' in event)
    for count in range(1, last + 1):
        upstream.play = sends(CHUNKED + chunked(b"\n\n".join(events[:count]) + b"\n\n"))
        check_failed(ask(relay, kind), kind)


def test_a_flood_to_a_reader_that_does_not_read_stops_the_upstream(
    relay: Relay, upstream: Hostile
) -> None:
    import socket
    import threading

    event = b'data: {"type":"response.output_text.delta","delta":"%s"}\n\n' % (b"x" * 65_000)
    taken, stopped = [0], threading.Event()

    def flood(connection: socket.socket) -> None:
        connection.settimeout(0.7)
        try:
            connection.sendall(CHUNKED)
            while taken[0] < 64 * 1024 * 1024:
                connection.sendall(b"%x\r\n%s\r\n" % (len(event), event))
                taken[0] += len(event)
        finally:
            stopped.set()

    upstream.play = flood
    before = rss_mib(relay)
    with relay.connect() as wire:
        wire.send(
            relay.request(
                "POST", "/v1/responses", {"model": "gpt-5.5", "input": "x", "stream": True}
            )
        )
        assert stopped.wait(20)
        # The buffers of two sockets hold some MiB each; the relay itself holds 64 KiB.
        assert taken[0] < 32 * 1024 * 1024
        assert rss_mib(relay) - before < 8


def test_after_all_of_that_nothing_is_left(relay: Relay, upstream: Hostile) -> None:
    nothing_is_left(relay, upstream)
    upstream.play = sends(CHUNKED + chunked(SAMPLE))
    assert (
        ask(relay, "chat").json()["choices"][0]["message"]["content"] == "The answer is forty-two."
    )
    fds = len(os.listdir(f"/proc/{relay.process.pid}/fd"))
    assert fds < 40
