"""A request whose address has all of its slots taken waits its turn, with only its head read."""

from __future__ import annotations

import json
import signal
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.live import Relay, Wire, running
from tests.net.test_live_wire import WIDE

ONE = {**WIDE, "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "1"}
ANSWER = json.dumps(
    {"id": "c", "object": "chat.completion", "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
).encode()  # fmt: skip


def chat(text: str = "x", **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


@contextmanager
def held(relay: Relay) -> Iterator[Wire]:
    """Hold one slot with a stream that says nothing more."""
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", chat("a demo:stall", stream=True)))
        wire.until(b"data:")
        yield wire


class Counting(socketserver.ThreadingTCPServer):
    """A chat server that answers eight requests together, and knows how many it ever had at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Chat)
        self.together, self.lock = threading.Barrier(8), threading.Lock()
        self.running = self.most = 0


class _Chat(socketserver.StreamRequestHandler):
    server: Counting

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.rfile.read(length)
        server = self.server
        if length:
            with server.lock:
                server.running += 1
                server.most = max(server.most, server.running)
            server.together.wait(20)
            with server.lock:
                server.running -= 1
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.wfile.write(head + b"Content-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER)


def test_twenty_four_at_once_are_all_answered_eight_at_a_time(tmp_path: Path) -> None:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        config = tmp_path / "config.toml"
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        config.write_text(f'[upstream]\nkind = "compatible"\nbase_url = "{url}"\n')
        with (
            running(tmp_path, "--config", str(config), demo=False) as relay,
            ThreadPoolExecutor(24) as pool,
        ):
            ask = lambda _: relay.send("POST", "/v1/chat/completions", chat())  # noqa: E731
            replies = list(pool.map(ask, range(24)))
        server.shutdown()
        thread.join()
    assert {reply.status for reply in replies} == {200}
    assert server.most == 8


def test_a_waiting_request_is_not_asked_for_its_body(tmp_path: Path) -> None:
    with running(tmp_path, env=ONE) as relay, held(relay) as holder, relay.connect() as wire:
        raw = relay.request(
            "POST", "/v1/chat/completions", chat(), headers={"Expect": "100-continue"}
        )
        head, _, body = raw.partition(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n")
        wire.sock.settimeout(0.3)
        try:
            early = wire.sock.recv(1)
        except TimeoutError:
            early = b""
        assert early == b""
        wire.sock.settimeout(20)
        holder.sock.close()
        assert wire.head().status == 100
        wire.send(body)
        assert wire.reply("POST").status == 200


def test_without_waiting_it_is_refused_and_the_text_names_both_settings(tmp_path: Path) -> None:
    with running(tmp_path, env={**ONE, "AIRELAYS_QUEUE_SECONDS": "0"}) as relay, held(relay):
        reply = relay.get("/v1/models")
    assert (reply.status, reply.error["code"]) == (429, "too_many_concurrent_requests")
    assert reply.headers["retry-after"] == "1"
    for name in ("security.concurrent_requests_per_ip", "security.queue_seconds"):
        assert name in reply.error["message"]


def test_the_wait_ends_and_says_how_long_it_was(tmp_path: Path) -> None:
    with running(tmp_path, env={**ONE, "AIRELAYS_QUEUE_SECONDS": "0.2"}) as relay, held(relay):
        reply = relay.get("/v1/models")
        assert reply.status == 429 and "within 0.2 s" in reply.error["message"]
        assert relay.get("/healthz").status == 200


def test_who_leaves_while_waiting_takes_no_turn(tmp_path: Path) -> None:
    with running(tmp_path, env=ONE) as relay, held(relay) as holder:
        gone = [relay.connect() for _ in range(3)]
        for wire in gone:
            wire.send(
                relay.request("POST", "/v1/chat/completions", chat("b demo:stall", stream=True))
            )
        for wire in gone:
            wire.sock.close()
        with relay.connect() as wire:
            wire.send(relay.request("GET", "/v1/models"))
            # Those that left would hold the slot for good.
            threading.Timer(1.5, holder.sock.close).start()
            assert wire.reply().status == 200


def test_a_stopping_relay_answers_who_waits_at_once(tmp_path: Path) -> None:
    with running(tmp_path, env={**ONE, "AIRELAYS_DRAIN_SECONDS": "3600"}) as relay:
        with held(relay) as holder, relay.connect() as wire:
            wire.send(relay.request("POST", "/v1/chat/completions", chat()))
            # What was sent before this was read before it.
            assert relay.get("/healthz").status == 200
            relay.process.send_signal(signal.SIGTERM)
            reply = wire.reply("POST")
            assert (reply.status, reply.error["code"]) == (503, "relay_shutting_down")
            holder.sock.close()
        assert relay.process.wait(20) == 0


def test_a_request_that_is_too_long_gives_its_slot_back(tmp_path: Path) -> None:
    env = {**ONE, "AIRELAYS_MAX_JSON_BODY_BYTES": "2000", "AIRELAYS_QUEUE_SECONDS": "0"}
    with running(tmp_path, env=env) as relay:
        for _ in range(2):
            assert relay.send("POST", "/v1/chat/completions", chat("x" * 3000)).status == 413
        assert relay.get("/v1/models").status == 200
