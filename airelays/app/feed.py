"""The feeds of the page: what happens in the relay, as server-sent events.

One watcher and one timer serve all feeds: what happens is gathered for a moment and written at once, and the streams
that run are sampled once per second, while a feed is open. A feed holds a slot of its address, and gives it back when a
request waits for one. Owns: the open feeds, what goes out on them. Layer: app.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from airelays.app.happenings import REFUSED, REQUEST, Happening, Happenings
from airelays.credentials.token import TokenSource
from airelays.errors import ClientFault, RelayError
from airelays.guard.gate import Gate
from airelays.guard.pagetokens import OWN_ROUTES
from airelays.journal.book import program_in
from airelays.journal.notes import QUIET
from airelays.net.request import ClientGone, Request
from airelays.net.session import Session

if TYPE_CHECKING:
    from airelays.guard.redact import Redactor

MAX_PER_ADDRESS = 2
# Seconds after which a page reconnects whose feed was ended.
RECONNECT_S = 5.0
GATHER_S = 0.25
# From 100 happenings per second on, only their number is sent: a person could not read them.
MAX_GATHERED = 25
SAMPLE_S = 1.0
MAX_STREAMS = 50
# A feed that is silent for this time gets a comment, so that proxies and the page know that it is alive.
PING_S = 15.0
FIELDS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_OWN = OWN_ROUTES | QUIET
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Feed:
    """One open feed. `ended` gets the reason for its end; `missed` counts what the client was too slow for."""

    def __init__(self, request: Request, address: str) -> None:
        self.request = request
        self.address = address
        self.ended: asyncio.Future[str] = request.connection.loop.create_future()
        self.missed = 0

    def end(self, reason: str) -> None:
        """Have the feed end soon, and give its slot back."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def put(self, data: bytes, count: int = 0) -> None:
        """Send `data` with `count` happenings, or nothing at all if the client cannot receive it now."""
        if self.ended.done():
            return
        if (
            self.request.connection.blocked
        ):  # 64 KiB wait already; the connection itself ends one that stays so
            self.missed += count
            return
        if self.missed:
            data = event("missed", {"count": self.missed}) + data
            self.missed = 0
        try:
            self.request.send(data)
        except ClientGone:
            self.end("gone")


class Feeds:
    """The open feeds of one relay, the oldest first. Used by the event loop."""

    def __init__(
        self,
        happenings: Happenings,
        gate: Gate,
        token: TokenSource,
        *,
        redactor: Callable[[], Redactor],
        sessions: Callable[[], Iterable[Session]],
    ) -> None:
        """`sessions` are the connections of clients that are open now."""
        self._happenings = happenings
        self._gate = gate
        self._token = token
        self._redactor = redactor
        self._sessions = sessions
        self._feeds: list[Feed] = []
        self._pending: list[bytes] = []
        self._skipped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unwatch: Callable[[], None] | None = None
        self._counts: dict[str, tuple[float, int]] = {}
        self._sampled_s = 0.0
        self._sent_s = 0.0
        self._last = b""

    def open(self, request: Request, address: str) -> Feed:
        """Return a new feed. Raises ClientFault when the address has MAX_PER_ADDRESS already."""
        if sum(feed.address == address for feed in self._feeds) >= MAX_PER_ADDRESS:
            raise ClientFault(
                f"{MAX_PER_ADDRESS} pages of this address are live, which is the limit; close one",
                status=429,
                code="too_many_feeds",
                retry_after_s=RECONNECT_S,
            )
        feed = Feed(request, address)
        self._feeds.append(feed)
        if self._timer is None:
            self._unwatch = self._happenings.watch(self._happened)
            self._sent_s = request.connection.loop.time()
            self._timer = request.connection.loop.call_later(GATHER_S, self._tick)
        self._last = b""  # the new one has not seen it
        self._sampled_s = 0.0
        return feed

    def close(self, feed: Feed) -> None:
        """Forget a feed; with the last one nothing is watched or sampled any more."""
        self._feeds.remove(feed)
        if not self._feeds and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._pending.clear()
            self._counts.clear()
            if self._unwatch is not None:
                self._unwatch()

    def give_way(self, address: str) -> bool:
        """End the oldest feed of `address`; its slot comes back at once. Return whether there was one."""
        for feed in self._feeds:
            if feed.address == address and not feed.ended.done():
                feed.end("slot")
                return True
        return False

    def stop(self) -> None:
        """End all of them: the relay stops."""
        for feed in self._feeds:
            feed.end("stopping")

    def _happened(self, happening: Happening) -> None:
        if happening.kind in (REQUEST, REFUSED) and happening.route in _OWN:
            return
        if len(self._pending) >= MAX_GATHERED:
            self._skipped += 1
            return
        self._pending.append(event(happening.kind, happening.facts()))

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(GATHER_S, self._tick)
        now_s = loop.time()
        data, count = b"".join(self._pending), len(self._pending) + self._skipped
        if self._skipped:
            data += event("missed", {"count": self._skipped})
        self._pending.clear()
        self._skipped = 0
        if now_s - self._sampled_s >= SAMPLE_S - GATHER_S / 2:
            self._end_signed_out(now_s)
            sample = event("now", self._sample(now_s))
            self._sampled_s = now_s
            if sample != self._last:
                data += sample
                self._last = sample
        if not data and now_s - self._sent_s >= PING_S:
            data = b": ping\n\n"
        if data:
            self._sent_s = now_s
            for feed in list(self._feeds):
                feed.put(data, count)

    def _end_signed_out(self, now_s: float) -> None:
        """End what was opened with a page's token that has ended; an open feed is a use of it."""
        pages, token = self._gate.pages, self._token.current()
        for feed in self._feeds:
            page = feed.request.caller.page
            if page and not pages.keep(page, time.monotonic(), token):
                feed.end("signed_out")

    def _sample(self, now_s: float) -> dict[str, Any]:
        """Return the requests that run now, the longest first; a rate is of the time since the last sample."""
        before, self._counts = self._counts, {}
        running = []
        for session in self._sessions():
            request = session.request
            if request is None or request.finished or not request.outcome.route:
                continue
            if request.outcome.route not in _OWN:
                running.append(request)
        running.sort(key=lambda request: request.started_s)
        return {
            "running": len(running),
            "streams": [self._facts(request, now_s, before) for request in running[:MAX_STREAMS]],
            "feeds": len(self._feeds),
        }

    def _facts(
        self, request: Request, now_s: float, before: dict[str, tuple[float, int]]
    ) -> dict[str, Any]:
        outcome, reply = request.outcome, request.reply_map
        redactor = self._redactor()
        rate = None
        if reply is not None:
            self._counts[request.id] = (now_s, reply.events)
            at_s, events = before.get(request.id, (request.started_s, 0))
            rate = round((reply.events - events) / max(now_s - at_s, GATHER_S), 1)
        return {
            "id": request.id,
            "route": outcome.route,
            "model": redactor.short(outcome.model),
            "upstream": outcome.upstream,
            "key": outcome.key,
            "program": redactor.short(program_in(request.head.fields)),
            "client": outcome.client,
            "seconds": round(now_s - request.started_s),
            "events": 0 if reply is None else reply.events,
            "per_second": rate,
        }


def last_word(error: RelayError) -> bytes:
    """Return the end of a feed that the relay breaks off."""
    return event("bye", {"reason": error.code or "error", "reconnect_s": RECONNECT_S})


def event(name: str, facts: dict[str, Any]) -> bytes:
    """Return one server-sent event; the JSON is ASCII, so that no byte of it ends a line."""
    return f"event: {name}\ndata: {_encode(facts)}\n\n".encode("ascii")
