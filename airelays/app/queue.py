"""Waiting for a slot, or for a rate token: a request whose address has none left waits, with only its head read.

Slots are given in the order of arrival. A waiting request has no body and got no 100 Continue, so it costs only its
head. Layer: app.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airelays.errors import RelayError
from airelays.guard.gate import Admission, Gate
from airelays.guard.limits import Lease, joined
from airelays.guard.refused import NO_RATE_TOKEN, Refused
from airelays.net.request import Request

# Requests that wait for a rate token; like those for a slot they hold their head and nothing else.
MAX_RESTING = 256
# A client that closes its sending side is usually gone. One that only half-closes gets its answer if its turn comes
# soon.
HALF_CLOSED_SECONDS = 0.9
# A request waits for a slot that is about to be released, even if waiting is off.
GIVE_WAY_SECONDS = 1.0


class Queue:
    """The requests that wait. `stop` ends the waiting of all."""

    def __init__(self, gate: Gate, give_way: Callable[[str], bool] = lambda _: False) -> None:
        """`give_way` makes something less important release its slot soon; False if there is nothing."""
        self._gate = gate
        self._give_way = give_way
        self._waiting: set[asyncio.Future[Lease]] = set()
        self._resting: set[asyncio.Future[None]] = set()

    async def slot(self, request: Request, admission: Admission, seconds: float) -> Lease:
        """Return what `admission` needs for `request` once it is available: the slot of its key, then of its address.

        A request that waits for a slot of its key holds no slot of the address. Raises Refused if no slot came within
        `seconds` or too many requests wait, and the error of `stop`. What was counted is then undone, also if the
        client leaves.
        """
        loop = request.connection.loop
        started_s = loop.time()
        held: list[Lease] = []
        try:
            for slot in admission.slots:
                lease = self._gate.leases.take(slot)
                if lease is None:
                    left_s = seconds - (loop.time() - started_s)
                    if self._give_way(slot):
                        left_s = max(left_s, GIVE_WAY_SECONDS)
                    lease = await self._wait(request, admission, slot, left_s)
                held.append(lease)
        except BaseException:
            joined(held).release()
            raise
        timings = request.outcome.timings_ms
        timings["queue"] = timings.get("queue", 0.0) + (loop.time() - started_s) * 1000
        return joined(held)

    async def _wait(
        self, request: Request, admission: Admission, slot: str, seconds: float
    ) -> Lease:
        loop = request.connection.loop
        turn: asyncio.Future[Lease] = loop.create_future()

        def wake(lease: Lease) -> None:
            if turn.done():
                lease.release()
            else:
                turn.set_result(lease)

        place = self._gate.leases.wait(slot, wake) if seconds > 0 else None
        if place is None:
            raise self._gate.too_busy(admission, slot)
        leaving = _Leaving(request)
        self._waiting.add(turn)
        try:
            async with asyncio.timeout(seconds):
                lease = await turn
        except TimeoutError:
            _let_go(turn)
            raise self._gate.too_busy(admission, slot) from None
        except BaseException:
            self._gate.give_back(admission)
            _let_go(turn)
            raise
        finally:
            self._waiting.discard(turn)
            place.leave()
            leaving.forget()
        return lease

    async def token(
        self, request: Request, admit: Callable[[], Admission], seconds: float
    ) -> Admission:
        """Return the result of `admit` once it no longer refuses because of the rate.

        Raises its refusal if that takes longer than `seconds`, and the error of `stop`. Requests that arrive
        meanwhile have the same chance: the wait takes nothing away from other requests of the address.
        """
        loop = request.connection.loop
        until_s = loop.time() + seconds
        while True:
            try:
                return admit()
            except Refused as refused:
                wait_s = refused.retry_after_s or 0.0
                late = loop.time() + wait_s > until_s or len(self._resting) >= MAX_RESTING
                if refused.reason != NO_RATE_TOKEN or late:
                    raise
            await self._rest(request, wait_s)

    async def _rest(self, request: Request, seconds: float) -> None:
        loop = request.connection.loop
        rest: asyncio.Future[None] = loop.create_future()
        self._resting.add(rest)
        timer = loop.call_later(seconds, _wake, rest)
        leaving, started_s = _Leaving(request), loop.time()
        try:
            await rest
        finally:
            self._resting.discard(rest)
            timer.cancel()
            leaving.forget()
            waited_ms = (loop.time() - started_s) * 1000
            timings = request.outcome.timings_ms
            timings["queue"] = timings.get("queue", 0.0) + waited_ms

    def stop(self, error: RelayError) -> None:
        """Answer all waiting requests with `error`, now."""
        waiting: list[asyncio.Future[Any]] = [*self._waiting, *self._resting]
        for turn in waiting:
            if not turn.done():
                turn.set_exception(error)


class _Leaving:
    """Drops the connection of a waiting client that has closed its side, unless its turn comes soon."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._timer: asyncio.TimerHandle | None = None
        request.on_eof = self._ended
        if request.connection.at_eof:
            self._ended()

    def _ended(self) -> None:
        connection = self._request.connection
        if self._timer is None:
            self._timer = connection.loop.call_later(HALF_CLOSED_SECONDS, connection.abort)

    def forget(self) -> None:
        """End the waiting."""
        self._request.on_eof = None
        if self._timer is not None:
            self._timer.cancel()


def _wake(rest: asyncio.Future[None]) -> None:
    if not rest.done():
        rest.set_result(None)


def _let_go(turn: asyncio.Future[Lease]) -> None:
    """Release a slot that arrived at the moment when the waiting ended."""
    if turn.done() and not turn.cancelled() and turn.exception() is None:
        turn.result().release()
