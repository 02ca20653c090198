"""The feed of the page: what it tells, what it costs an address, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from airelays.app.feed import Feed as RelayFeed
from airelays.net.request import Request
from tests.app.test_page_session import LIMITS, asked, own, page_token
from tests.host.test_live_control import airelays, journal
from tests.live import DEADLINE_S, Relay, Wire, running, wait_for

LONG = "demo:pace=40 demo:words=2000"
ENV = {**LIMITS, "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "4"}


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


def stream(relay: Relay) -> Wire:
    """Begin an answer that takes until its connection is closed."""
    wire = relay.connect()
    wire.send(relay.request("POST", "/v1/chat/completions", chat(LONG, stream=True)))
    assert wire.head().status == 200
    return wire


class Feed:
    """One open feed, read event by event."""

    def __init__(self, relay: Relay, token: str | None = "") -> None:
        self.wire: Wire = relay.connect()
        self.wire.send(relay.request("GET", "/v1/relay/feed", token=token, headers=own(relay)))
        self.head = self.wire.head()
        self.text = b""
        self.end_s = time.monotonic() + DEADLINE_S
        self.chunks: Iterator[bytes] = self.wire.chunks()

    def next(self) -> tuple[str, Any]:
        while True:
            assert time.monotonic() < self.end_s, "it did not come in time"
            block, mark, rest = self.text.partition(b"\n\n")
            if not mark:
                self.text += next(self.chunks)
                continue
            self.text = rest
            if block.startswith(b"event: "):
                name, _, data = block.partition(b"\ndata: ")
                return name[7:].decode(), json.loads(data)

    def until(self, name: str, **wanted: Any) -> Any:
        while True:
            found, data = self.next()
            if found == name and all(data.get(key) == value for key, value in wanted.items()):
                return data

    def rest(self) -> list[str]:
        """Read to the orderly end; return the names of all events that came."""
        names = []
        try:
            while True:
                names.append(self.next()[0])
        except StopIteration:
            return names

    def close(self) -> None:
        self.wire.sock.close()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("feed"), env=ENV) as one:
        yield one


@pytest.fixture
def feed(relay: Relay) -> Iterator[Feed]:
    one = Feed(relay, page_token(relay))
    assert one.next()[0] == "hello"
    yield one
    one.close()


def test_a_request_is_told_of_when_it_ends(relay: Relay, feed: Feed) -> None:
    assert feed.head.headers["content-type"].startswith("text/event-stream")
    assert feed.head.headers["cache-control"] == "no-store, no-transform"
    agent = {"User-Agent": "<b>tool</b>\t1.0"}
    reply = relay.send("POST", "/v1/chat/completions", chat(), headers=agent)
    told = feed.until("request", id=reply.headers["x-request-id"])
    assert (told["model"], told["state"], told["status"]) == ("demo", "ok", 200)
    assert told["output_tokens"] > 0 and told["took_ms"] > 0 and "<" not in told.get("program", "")
    relay.send("GET", "/v1/models", token="wrong")
    assert feed.until("refused")["status"] == 401
    airelays(relay.home, "unblock")
    assert feed.until("block")["state"] == "lifted"


def test_what_the_page_itself_asks_is_not_told(relay: Relay, feed: Feed) -> None:
    token = page_token(relay)
    for path in ("status", "usage", "requests", "blocks"):
        asked(relay, "GET", f"/v1/relay/{path}", token)
    reply = relay.send("POST", "/v1/chat/completions", chat())
    names = []
    while True:
        name, data = feed.next()
        names.append(name)
        if name == "request":
            assert data["id"] == reply.headers["x-request-id"]
            break
    assert "refused" not in names


def test_streams_that_run_are_sampled_with_their_speed(relay: Relay, feed: Feed) -> None:
    with stream(relay) as wire:
        assert wire.sock
        while True:
            now = feed.until("now")
            if now["streams"] and now["streams"][0]["per_second"]:
                break
        (one,) = now["streams"]
        assert (one["model"], one["route"], now["running"]) == ("demo", "chat", 1)
        assert 1 < one["per_second"] < 1000
    assert feed.until("now", running=0)["streams"] == []


def test_two_feeds_of_an_address_at_most(relay: Relay) -> None:
    token = page_token(relay)
    feeds = [Feed(relay, token) for _ in range(3)]
    assert [one.head.status for one in feeds] == [200, 200, 429]
    assert feeds[2].head.headers["retry-after"] == "5"
    for one in feeds:
        one.close()


def test_the_oldest_feed_makes_way_for_a_request_that_waits(relay: Relay) -> None:
    token = page_token(relay)
    older, newer = Feed(relay, token), Feed(relay, token)
    assert (older.next()[0], newer.next()[0]) == ("hello", "hello")
    held = [stream(relay) for _ in range(2)]
    started_s = time.monotonic()
    assert relay.send("POST", "/v1/chat/completions", chat()).status == 200
    assert time.monotonic() - started_s < 5
    assert older.until("bye") == {"reason": "slot", "reconnect_s": 5.0}
    assert older.rest() == []
    assert newer.until("request")["status"] == 200
    for wire in (*held, older.wire, newer.wire):
        wire.sock.close()


def test_a_feed_that_gets_no_slot_comes_back_later(relay: Relay) -> None:
    token = page_token(relay)
    held = [stream(relay) for _ in range(4)]
    with relay.connect() as wire:
        wire.send(relay.request("GET", "/v1/relay/feed", token=token, headers=own(relay)))
        # Once this is answered the feed has been, too, unless it waits for the slot that comes now.
        assert relay.send("GET", "/healthz", token=None).status == 200
        held.pop().sock.close()
        head = wire.head()
        assert head.status == 429 and head.headers["retry-after"]
    for one in held:
        one.sock.close()


def test_a_feed_ends_with_the_page_and_with_the_relay(tmp_path: Path) -> None:
    with running(tmp_path, env=ENV, token=None) as relay:
        feed = Feed(relay, page_token(relay))
        owner = Feed(relay, (tmp_path / ".airelays" / "relay-token").read_text().strip())
        assert airelays(tmp_path, "token", "rotate").returncode == 0
        assert feed.until("bye")["reason"] == "signed_out"
        assert feed.rest() == []
        relay.process.terminate()
        started_s = time.monotonic()
        assert owner.until("bye")["reason"] == "stopping"
        assert owner.rest() == []
        assert relay.stop() == 0 and time.monotonic() - started_s < 8
        feed.close()
        owner.close()


class Slow:
    """A client connection as a feed sees it: it takes bytes, or it does not."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.connection, self.loop, self.blocked = self, loop, False
        self.taken: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.taken.append(data)


def test_a_reader_that_takes_nothing_costs_nothing_and_learns_what_it_missed() -> None:
    async def show() -> list[bytes]:
        slow = Slow(asyncio.get_running_loop())
        one = RelayFeed(cast(Request, slow), "127.0.0.1")
        one.put(b"a", 1)
        slow.blocked = True
        for _ in range(1000):
            one.put(b"b" * 10_000, 25)
        slow.blocked = False
        one.put(b"c", 1)
        one.end("slot")
        one.put(b"d", 1)
        return slow.taken

    assert asyncio.run(show()) == [b"a", b'event: missed\ndata: {"count":25000}\n\nc']


def test_looking_is_in_no_book_and_hardly_in_the_log(relay: Relay) -> None:
    token = page_token(relay)
    feed = Feed(relay, token)
    feed.next()
    for path in ("requests", "models", "windows", "blocks"):
        asked(relay, "GET", f"/v1/relay/{path}", token)
    feed.close()
    relay.send("POST", "/v1/completions", {"model": "demo", "prompt": "the last line of the book"})

    def routes_in_the_book() -> set[str]:
        book = asked(relay, "GET", "/v1/relay/usage?by=route", token).json()["book"]
        return {row["route"] for row in book["rows"]}

    routes = wait_for(lambda: (found := routes_in_the_book()) and "completions" in found and found)
    assert not routes & {"relay_feed", "relay_requests", "relay_blocks"}
    lines = [line for line in journal(relay.home).splitlines() if '"route":"relay_feed"' in line]
    assert not [line for line in lines if '"status_code":200' in line]


def test_the_last_requests_and_failures_come_from_the_log(relay: Relay) -> None:
    reply = relay.send("POST", "/v1/chat/completions", {"model": "demo", "messages": 7})
    token = page_token(relay)
    wanted = reply.headers["x-request-id"]

    def written() -> list[dict[str, Any]]:
        found = asked(relay, "GET", "/v1/relay/requests?failed=true", token).json()["data"]
        return [one for one in found if one["id"] == wanted]

    (one,) = wait_for(written)
    assert one["status"] == 400 and one["why"] == "the request was not valid"
    assert "messages" in one["text"] and one["path"] == "/v1/chat/completions"
    last = asked(relay, "GET", "/v1/relay/requests?limit=5", token).json()["data"]
    assert len(last) == 5 and last[0]["at_s"] >= last[-1]["at_s"]
    assert asked(relay, "GET", "/v1/relay/requests?limit=0", token).status == 400


def test_an_open_relay_feeds_without_a_token(tmp_path: Path) -> None:
    with running(tmp_path, "--no-auth", env=ENV, token=None) as relay:
        feed = Feed(relay, None)
        assert feed.next()[0] == "hello"
        foreign = relay.send(
            "GET", "/v1/relay/feed", token=None, headers={"Origin": "http://evil.example"}
        )
        assert foreign.status == 403
        feed.close()
