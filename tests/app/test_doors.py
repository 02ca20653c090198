"""Several listeners, and one that is bound to a key: what it serves, to whom, within what."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.app.keyed import booked, make, run
from tests.live import Relay, Reply, Wire, running
from tests.net.test_live_wire import WIDE

CHAT = "/v1/chat/completions"


def chat(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


def ports(relay: Relay) -> list[int]:
    found = json.loads((relay.home / "ready.json").read_text())["listeners"]
    return [one["port"] for one in found]


def through(relay: Relay, port: int) -> Relay:
    """The same relay, by another listener."""
    return Relay(relay.process, port, relay.home, relay.token)


def test_a_listener_beside_the_first_asks_for_the_token_as_that_does(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[[listen]]\nport = 0\n")
    with running(tmp_path, "--config", str(config), "--listen", "127.0.0.1:0", env=WIDE) as relay:
        first, second, third = ports(relay)
        assert first == relay.port and len({first, second, third}) == 3
        for port in (second, third):
            assert through(relay, port).get("/v1/models").status == 200
            assert through(relay, port).send("GET", "/v1/models", token=None).status == 401
        listed = relay.get("/v1/relay/status").json()["relay"]["listeners"]
        assert [one["port"] for one in listed] == [first, second, third]


def test_a_bound_listener_serves_text_and_models_to_every_program(tmp_path: Path) -> None:
    make(tmp_path, "free", "--requests-per-minute", "100")
    env = {**WIDE, "AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "1"}
    with running(tmp_path, "--listen", "127.0.0.1:0,key=free", env=env) as relay:
        door = through(relay, ports(relay)[1])

        def ask(method: str, path: str, body: Any = None, **fields: str) -> Reply:
            return door.send(method, path, body, token=None, headers=fields)

        for path in ("/", "/healthz", "/v1/models", "/v1/models/demo"):
            assert ask("GET", path).status == 200, path
        for path, body in (
            (CHAT, chat()),
            ("/no-tools/v1/chat/completions", chat()),
            ("/v1/responses", {"model": "demo", "input": "x"}),
        ):
            assert ask("POST", path, body).status == 200, path
        for method, path in (
            ("GET", "/v1/relay/status"), ("PUT", "/v1/relay/logging"), ("GET", "/metrics"), ("GET", "/docs"),
            ("GET", "/v1/files"), ("POST", "/v1/conversations"), ("POST", "/v1/images/generations"),
            ("GET", "/v1/relay/usage"), ("GET", "/x"), ("OPTIONS", "/x"),
        ):  # fmt: skip
            assert ask(method, path).status == 404, path
        # What it presents neither elevates nor counts, and a block of the address does not reach here.
        assert relay.send("GET", "/v1/models", token="wrong").status == 401
        assert relay.send("GET", "/v1/models", token="wrong").status == 429
        for token in ("wrong", relay.token):
            assert door.send("GET", "/v1/models", token=token).status == 200
            assert door.send("GET", "/v1/relay/status", token=token).status == 404
        # Any body type: no page can send it, as every browser field is refused.
        plain = {"Content-Type": "text/plain"}
        assert ask("POST", CHAT, chat(), **plain).status == 200
        assert {one["key"] for one in booked(tmp_path)} != {""}
        assert run(tmp_path, "key", "revoke", "free").returncode == 0
        assert ask("GET", "/v1/models").status == 401


FIELDS = ("Origin", "Referer", "Cookie", "Sec-Fetch-Site", "Sec-Fetch-Dest")


def test_no_browser_gets_through_a_bound_listener(tmp_path: Path) -> None:
    make(tmp_path, "free", "--requests-per-minute", "100")
    env = {**WIDE, "AIRELAYS_ALLOWED_ORIGINS": "null,http://a.example"}
    with running(tmp_path, "--listen", "127.0.0.1:0,key=free", env=env) as relay:
        door = through(relay, ports(relay)[1])
        for field in FIELDS:
            for value in ("null", "http://a.example", "same-origin", "none", ""):
                for method, path in (("GET", "/v1/models"), ("GET", "/"), ("OPTIONS", CHAT)):
                    reply = door.send(method, path, token=None, headers={field: value})
                    assert reply.status == 403, (field, value, path)
                    assert "access-control-allow-origin" not in reply.headers
        node = {"Sec-Fetch-Mode": "cors"}
        assert door.send("GET", "/v1/models", token=None, headers=node).status == 200
        rebound = {"Host": f"evil.example:{door.port}"}
        assert door.send("GET", "/v1/models", token=None, headers=rebound).status == 421


def stalled(door: Relay) -> Wire:
    wire = door.connect()
    wire.send(door.request("POST", CHAT, chat("a demo:stall", stream=True), token=None))
    wire.until(b"data:")
    return wire


def test_it_takes_at_most_four_at_once_and_half_of_the_slots_of_the_address(
    tmp_path: Path,
) -> None:
    make(tmp_path, "free", "--models", "demo")
    make(tmp_path, "more", "--models", "demo")
    listen = ("--listen", "127.0.0.1:0,key=free", "--listen", "127.0.0.1:0,key=more")
    env = {**WIDE, "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "10", "AIRELAYS_QUEUE_SECONDS": "0"}
    with running(tmp_path, *listen, env=env) as relay:
        _, one, two = ports(relay)
        first, second = through(relay, one), through(relay, two)
        held = [stalled(first) for _ in range(4)]
        assert first.send("GET", "/v1/models", token=None).status == 429
        held.append(stalled(second))  # five of ten: together they have half
        reply = second.send("GET", "/v1/models", token=None)
        assert (reply.status, reply.error["code"]) == (429, "too_many_concurrent_requests")
        assert relay.get("/v1/models").status == 200
        for wire in held:
            wire.sock.close()


def test_sixty_requests_per_minute_are_its_default(tmp_path: Path) -> None:
    make(tmp_path, "free", "--models", "demo")
    with running(tmp_path, "--listen", "127.0.0.1:0,key=free", env=WIDE) as relay:
        door = through(relay, ports(relay)[1])
        with door.connect() as wire:
            found = []
            for _ in range(61):
                wire.send(door.request("GET", "/v1/models", token=None))
                found.append(wire.reply().status)
        assert found == [200] * 60 + [429]
        assert relay.get("/v1/models").status == 200


@pytest.mark.parametrize(
    ("flags", "listen", "said"),
    [
        ("", "127.0.0.1:0,key=free", "needs --routes text and --models or"),
        ("--routes all --requests-per-minute 5", "127.0.0.1:0,key=free", "has --routes all"),
        ("--routes read --requests-per-minute 5", "127.0.0.1:0,key=free", "has --routes read"),
        ("--requests-per-minute 5", "127.0.0.1:0,key=other", "does not exist"),
        ("--requests-per-minute 5", "0.0.0.0:0,key=free", "listen on 127.0.0.1 or ::1"),
        ("--requests-per-minute 5", "localhost:0,key=free", "listen on 127.0.0.1 or ::1"),
        ("", "127.0.0.1", "expected HOST:PORT"),
        ("", "127.0.0.1:x", "expected HOST:PORT"),
        ("", "127.0.0.1:99999", "expected a port from 0 to 65,535"),
        ("", "127.0.0.1:0,token=a", "expected HOST:PORT"),
        ("", "127.0.0.1:0,key=", "expected HOST:PORT"),
        ("", "192.0.2.1:0", "open mode on 192.0.2.1"),
    ],
)
def test_what_cannot_be_listened_on_is_one_sentence(
    tmp_path: Path, flags: str, listen: str, said: str
) -> None:
    make(tmp_path, "free", *flags.split())
    words = ("serve", "--demo", "--port", "0", "--no-auth", "--listen", listen)
    done = run(tmp_path, *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_taken_port_of_a_second_listener_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "serve", "--demo", "--port", "0", "--listen", f"127.0.0.1:{port}")
    assert (
        done.returncode == 1
        and f"port {port} on 127.0.0.1 is used by another program" in done.stderr
    )
