"""What endpoints work with: the part of a running relay that serving a request requires. Layer: app."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from airelays.app.feed import Feeds
from airelays.app.happenings import Happenings
from airelays.credentials.token import TokenSource
from airelays.errors import ConfigError
from airelays.guard.gate import Gate
from airelays.journal.notes import Recorder
from airelays.model import Door
from airelays.settings.values import Settings, client_base_url
from airelays.state.thread import Store
from airelays.upstream.choose import Upstreams

if TYPE_CHECKING:
    from airelays.app.counts import Counts
    from airelays.app.keys import Keys
    from airelays.net.listener import Listener
    from airelays.net.session import Session
    from airelays.state.turn import Turns


class Desk:
    """What every endpoint may use. `settings` is replaced as a whole when they are read again."""

    def __init__(
        self,
        settings: Settings,
        upstreams: Upstreams,
        store: Store,
        notes: Recorder,
        happenings: Happenings | None = None,
    ) -> None:
        self.settings = settings
        self.upstreams = upstreams
        self.store = store
        self.notes = notes
        self.happenings = happenings or Happenings()
        self.streams_open = 0
        # Whether load balancers are asked to send no more requests, while requests are still served.
        self.leaving = False
        self.port = settings.port
        self.doors: list[Door] = []
        self._turns: Turns | None = None
        self._counts: Counts | None = None
        # Models used through Ollama's API, and until when they count as loaded (monotonic seconds).
        self.loaded: dict[str, float] = {}
        self._signing_key = b""

    @property
    def turns(self) -> Turns:
        """What stateful requests share; made with the first of them."""
        if self._turns is None:
            from airelays.state.turn import Turns

            self._turns = Turns()
        return self._turns

    @property
    def counts(self) -> Counts:
        """What is known of the tokens of models; made with the first request for it."""
        if self._counts is None:
            from airelays.app.counts import Counts

            self._counts = Counts()
        return self._counts

    async def signing_key(self) -> bytes:
        """Return the key that signs what clients bring back.

        If its file cannot be used, the key exists only in this process; what it signed is not recognized after the
        process ends.
        """
        if not self._signing_key:
            from airelays.credentials.signkey import load_signing_key

            folder = self.settings.data_dir
            try:
                found = await asyncio.to_thread(load_signing_key, folder) if folder else b""
            except ConfigError as error:
                self.notes.event("signing_key_unusable", "operator", reason=str(error))
                found = b""
            self._signing_key = self._signing_key or found or os.urandom(32)
        return self._signing_key

    async def close(self) -> None:
        """End what runs in the background for requests that were answered."""
        if self._counts is not None:
            await self._counts.close()

    @property
    def base_url(self) -> str:
        """The base URL for clients on this machine."""
        return client_base_url(self.settings.host, self.port)


class OperatorDesk(Desk):
    """The desk of the operator's endpoints, which also look at the gate and at what is counted."""

    def __init__(
        self,
        settings: Settings,
        upstreams: Upstreams,
        store: Store,
        notes: Recorder,
        *,
        gate: Gate,
        token: TokenSource,
        keys: Keys,
        happenings: Happenings | None = None,
    ) -> None:
        super().__init__(settings, upstreams, store, notes, happenings)
        self.gate = gate
        self.token = token
        self.keys = keys
        self.listener: Listener | None = None
        self.requests_total = 0
        self.book_lines_lost: Callable[[], int] = int
        # Lifts the block of an address (its text, what it is counted by); returns how many there were.
        self.unblock: Callable[[str, str | None], int] = lambda *_: 0
        self.feeds = Feeds(
            self.happenings, gate, token, redactor=notes.redactor, sessions=self.sessions
        )
        self.started_wall_s = time.time()
        self._started_s = time.monotonic()

    def sessions(self) -> Iterable[Session]:
        """Return the connections of clients that are open now."""
        return () if self.listener is None else self.listener.sessions

    def uptime_s(self) -> float:
        """Seconds since the relay began to serve."""
        return time.monotonic() - self._started_s

    def facts(self) -> dict[str, Any]:
        """Return what is counted: requests, open streams, connections."""
        listener = self.listener
        return {
            "requests_total": self.requests_total,
            "requests_open": self.notes.open_requests,
            "streams_open": self.streams_open,
            "connections": len(listener.sessions) if listener is not None else 0,
            "connections_refused": listener.refused if listener is not None else 0,
        }
