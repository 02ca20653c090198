"""Notices when something blocked the event loop, so that every client had to wait. Layer: app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LOOK_SECONDS = 1.0
LAG_SECONDS = 0.25
COMPLAINT_SECONDS = 60.0


class LagWatch:
    """Checks once per second whether it is called on time; complains at most once per minute.

    `worst_s` is the longest delay seen. A machine that slept or is overloaded shows here as well.
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        self.worst_s = 0.0
        self._complain = complain
        self._complained_s = float("-inf")
        self._loop = asyncio.get_running_loop()
        self._due_s = self._loop.time() + LOOK_SECONDS
        self._handle = self._loop.call_at(self._due_s, self._look)

    def close(self) -> None:
        """Stop checking."""
        self._handle.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        late_s = now_s - self._due_s
        self.worst_s = max(self.worst_s, late_s)
        if late_s > LAG_SECONDS and now_s - self._complained_s >= COMPLAINT_SECONDS:
            self._complained_s = now_s
            self._complain(
                f"the relay was blocked for {late_s * 1000:.0f} ms, and all clients had to wait"
            )
        self._due_s = now_s + LOOK_SECONDS
        self._handle = self._loop.call_at(self._due_s, self._look)
