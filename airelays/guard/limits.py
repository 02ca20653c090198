"""Slots for requests that run at the same time, counted for each client address.

Owns: who holds a slot, and that each is given back once. Refuses to know: what runs in it. Layer: rules.
"""

from __future__ import annotations


class Lease:
    """One slot. `release` gives it back; further calls do nothing, so a `finally` may always call it."""

    __slots__ = ("_leases", "key")

    def __init__(self, leases: Leases | None, key: str) -> None:
        self._leases = leases
        self.key = key

    def release(self) -> None:
        """Give the slot back."""
        leases, self._leases = self._leases, None
        if leases is not None:
            leases._give_back(self.key)


class Leases:
    """At most `limit` slots a key. The table holds only keys with a slot in use."""

    __slots__ = ("_in_use", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._in_use: dict[str, int] = {}

    def take(self, key: str) -> Lease | None:
        """Return a slot, or None when `key` holds `limit` already. A refusal changes nothing."""
        used = self._in_use.get(key, 0)
        if used >= self.limit:
            return None
        self._in_use[key] = used + 1
        return Lease(self, key)

    def in_use(self, key: str) -> int:
        """Return how many slots `key` holds."""
        return self._in_use.get(key, 0)

    def _give_back(self, key: str) -> None:
        left = self._in_use.get(key, 0) - 1
        if left > 0:
            self._in_use[key] = left
        else:
            self._in_use.pop(key, None)

    def __len__(self) -> int:
        return len(self._in_use)
