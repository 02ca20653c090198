"""The current upstreams, and earlier ones that requests still use: a reload replaces them as a whole.

Upstreams that a reload does not change move to the next generation, with their connections and everything they have
learned. The others are closed when the last request that can use them has ended. Layer: app.
"""

from __future__ import annotations

import asyncio

from airelays.settings.values import Settings
from airelays.upstream.choose import Upstreams


class Generations:
    """Counts who uses which generation. A request holds the newest one, from its beginning to its end."""

    def __init__(self, first: Upstreams) -> None:
        self.newest = first
        # Those that are still used, the oldest first: what one hands on, only its heirs may close.
        self._users: dict[Upstreams, int] = {first: 0}
        self._closing: set[asyncio.Task[None]] = set()
        self._past_secrets: frozenset[bytes] = frozenset()

    def hold(self) -> Upstreams:
        """Return the newest generation; it stays open until it is given to `release`."""
        self._users[self.newest] += 1
        return self.newest

    def release(self, held: Upstreams) -> None:
        """A request has ended."""
        self._users[held] -= 1
        if held is not self.newest:
            self._close_unused()

    def replace(self, settings: Settings) -> Upstreams:
        """Make and return the upstreams of `settings`; raises ConfigError for those that cannot work."""
        before = self.newest
        self.newest = before.successor(settings)
        self._past_secrets |= frozenset(before.secrets())
        self._users[self.newest] = 0
        self._close_unused()
        return self.newest

    def secrets(self) -> list[bytes]:
        """Return every secret that the upstreams hold or held, for the redaction. Any thread may ask."""
        found = list(self._past_secrets)
        for one in list(self._users):
            found += one.secrets()
        return found

    async def settled(self) -> None:
        """Return once the upstreams that are no longer used are closed."""
        if self._closing:
            await asyncio.wait(self._closing)

    async def close(self) -> None:
        """Close all of them."""
        await self.settled()
        for one in self._users:
            await one.close()

    def _close_unused(self) -> None:
        for oldest, users in list(self._users.items()):
            if users or oldest is self.newest:
                return
            del self._users[oldest]
            task = asyncio.get_running_loop().create_task(oldest.close(), name="close upstreams")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
