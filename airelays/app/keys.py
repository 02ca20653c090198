"""The named keys of a running relay: which are valid now, what they used, and what happens when one ends.

Owns: the table of keys in use, the timer for the earliest end. Refuses to know: how a request is answered.
Layer: app.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from airelays.credentials.keys import KeyFile
from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.guard.gate import Asking
from airelays.guard.keylimits import Spent
from airelays.guard.keys import EXPIRED, Caller, Key, KeyTable
from airelays.journal.tally import Sums, day_of
from airelays.net.request import Request
from airelays.net.session import Session

# A clock that is set forward must not keep an expired key alive for longer than this.
LONGEST_WAIT_S = 60.0


class Leased:
    """A key in memory, and what was used with it."""

    __slots__ = ("key", "sums")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.sums = Sums()


class Keys:
    """What the relay knows of its named keys. Used by the event loop."""

    def __init__(self, data_dir: str, spent: Spent, complain: Callable[[str], None]) -> None:
        self._file = KeyFile(data_dir)
        self._folder = data_dir
        self._spent = spent
        self._complain = complain
        self._table: KeyTable | None = None
        # By id: keys of commands that run now, in no file.
        self.leases: dict[str, Leased] = {}
        self._joined: tuple[KeyTable, KeyTable] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends_s = float("inf")
        self._problem = ""
        self.sessions: Callable[[], Iterable[Session]] = tuple

    def start(self) -> None:
        """Read what today's requests have already used. Without keys there are no budgets, and nothing is read."""
        if not len(self.current()):
            return
        from airelays.state.usage import read_usage

        now_s = time.time()
        try:
            rows = read_usage(self._folder, day_of(now_s))
        except ConfigError as error:
            self._complain(f"today's tokens of keys are counted from 0: {error}")
            return
        for cell, sums in rows.items():
            if cell.day == day_of(now_s):
                self._spent.add(cell.key, sums.total, now_s)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def asking(self) -> Asking:
        """Return what the gate needs of them for one request."""
        return Asking(self.current, time.time())

    def current(self) -> KeyTable:
        """Return the current keys. Costs one `stat`; ends the streams of keys that have ended since the last call."""
        table = self._all()
        if table is not self._table:
            before, self._table = self._table, table
            if before is not None and not self._file.problem:
                self.end_gone()
        if self._file.problem != self._problem:
            self._problem = self._file.problem
            if self._problem:
                self._complain(self._problem)
        return table

    def _all(self) -> KeyTable:
        """Return the keys of the file and the leased ones."""
        table = self._file.current()
        if not self.leases:
            return table
        if self._joined is None or self._joined[0] is not table:
            leased = (one.key for one in self.leases.values())
            self._joined = (table, KeyTable((*table.keys, *leased)))
        return self._joined[1]

    def lease(self, key: Key) -> None:
        """Let a key in from now on, until `end_lease`."""
        self.leases[key.id] = Leased(key)
        self._joined = None

    def end_lease(self, key_id: str) -> None:
        """End a leased key and what runs with it."""
        self.leases.pop(key_id, None)
        self._joined = None
        self.end_gone()

    # ---- requests

    def admitted(self, request: Request, caller: Caller) -> None:
        """A request of a key was let in: from now on, it ends when its key ends."""
        request.caller = caller
        request.outcome.key = caller.name
        ends_s = self._table.ends_s(caller) if self._table is not None else None
        if ends_s is not None and ends_s < self._ends_s:
            self._wait_for(ends_s)

    def spend(self, request: Request) -> None:
        """Count what a request has used that is about to end."""
        if request.outcome.usage is not None:
            tokens = request.outcome.usage.total_tokens
            self._spent.add(request.caller.owner, tokens, time.time())

    # ---- the end of keys

    def end_gone(self) -> int:
        """End every running request whose key is no longer valid, each with a typed error; return how many there
        were.

        The relay calls this when the keys have changed, when one expires, and when a command asks for it.
        """
        self._table = table = self._all()
        wall_s = time.time()
        count, earliest_s = 0, float("inf")
        for session in list(self.sessions()):
            request = session.request
            if request is None or request.caller.key is None or request.finished:
                continue
            problem = "" if self._file.problem else table.problem(request.caller, wall_s)
            if not problem:
                ends_s = table.ends_s(request.caller)
                earliest_s = min(earliest_s, earliest_s if ends_s is None else ends_s)
            elif request.interrupted is None:
                count += 1
                session.interrupt(_ended(request.caller.key, problem))
        self._wait_for(earliest_s)
        return count

    def _wait_for(self, ends_s: float) -> None:
        self._ends_s = ends_s
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ends_s != float("inf"):
            wait_s = min(max(0.0, ends_s - time.time()), LONGEST_WAIT_S)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_s, self.end_gone)

    # ---- what is told

    def facts(self, key: Key) -> dict[str, Any]:
        """Return what a key has used and can use today."""
        wall_s = time.time()
        return {
            "name": key.name,
            "id": key.id,
            "state": key.state(wall_s),
            "routes": key.routes,
            "models": list(key.models),
            "upstreams": list(key.upstreams),
            "no_tools": key.no_tools,
            "requests_per_minute": key.requests_per_minute or None,
            "concurrent": key.concurrent or None,
            "tokens_per_day": key.tokens_per_day or None,
            "tokens_today": self._spent.today(key.id, wall_s),
            "expires_at": key.expires_s,
        }


def _ended(key: Key, problem: str) -> RelayError:
    """Return the error for a running request whose key has ended."""
    if problem == EXPIRED:
        text, code = f"the key {key.name} has expired; the answer ends here", "key_expired"
    else:
        text, code = (
            f"the key {key.name} was revoked or rotated; the answer ends here",
            "key_revoked",
        )
    return ClientFault(text, status=401, code=code, should_retry=False)
