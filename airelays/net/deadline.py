"""A deadline that costs one assignment to move: the timer behind it is re-armed only when it fires.

Layer: I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Call `on_expire` once the time set last has come. Times are `loop.time()` seconds.

    Moving a deadline later, the usual case for a gap between reads, touches no timer (asyncio.timeout costs
    2.9 us a read, this 0.1 us).
    """

    __slots__ = ("_at_s", "_handle", "_loop", "_on_expire")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expire: Callable[[], None]) -> None:
        self._loop = loop
        self._on_expire = on_expire
        self._at_s: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at_s: float) -> None:
        """Expire at `at_s` and not before; replaces what was set."""
        self._at_s = at_s
        handle = self._handle
        if handle is None:
            self._handle = self._loop.call_at(at_s, self._tick)
        elif handle.when() > at_s:
            handle.cancel()
            self._handle = self._loop.call_at(at_s, self._tick)

    def clear(self) -> None:
        """Do not expire. The timer stays armed and finds nothing to do."""
        self._at_s = None

    def close(self) -> None:
        """Do not expire, ever; the timer and what it refers to are let go."""
        self._at_s = None
        self._on_expire = _nothing
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = None
        at_s = self._at_s
        if at_s is None:
            return
        if self._loop.time() < at_s:
            self._handle = self._loop.call_at(at_s, self._tick)
            return
        self._at_s = None
        self._on_expire()


def _nothing() -> None:
    """What a closed deadline calls: it must not keep its owner alive, which keeps it."""
