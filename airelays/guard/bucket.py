"""A token bucket for each client address, in a table of bounded size.

Owns: how many requests an address has left. Refuses to know: what a request is, what time it is.
Layer: rules.
"""

from __future__ import annotations

from collections import OrderedDict

# 4,096 addresses; the one used longest ago is forgotten first. A full bucket is the same as none.
MAX_CLIENTS = 4096


class Buckets:
    """One bucket of `burst` requests a key, filled at `per_minute` / 60 requests a second."""

    __slots__ = ("_rate_per_s", "_table", "burst", "per_minute")

    def __init__(self, per_minute: int, burst: int) -> None:
        self._table: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.configure(per_minute, burst)

    def configure(self, per_minute: int, burst: int) -> None:
        """Count by new numbers from now on."""
        self.per_minute = per_minute
        self.burst = burst
        self._rate_per_s = per_minute / 60.0

    def take(self, key: str, now_s: float) -> float:
        """Take one request; return 0.0, or the seconds until there is one.

        `now_s` must not go backwards; an earlier value counts as no time passed.
        """
        level = self.level(key, now_s)
        if level < 1.0:
            return (1.0 - level) / self._rate_per_s
        self._table[key] = (level - 1.0, now_s)
        self._table.move_to_end(key)
        if len(self._table) > MAX_CLIENTS:
            self._table.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        """Undo one `take`, for a request that was refused after it."""
        entry = self._table.get(key)
        if entry is not None:
            self._table[key] = (min(float(self.burst), entry[0] + 1.0), entry[1])

    def level(self, key: str, now_s: float) -> float:
        """Return how many requests `key` has left now; nothing is taken."""
        entry = self._table.get(key)
        if entry is None:
            return float(self.burst)
        level, since_s = entry
        return min(float(self.burst), level + max(0.0, now_s - since_s) * self._rate_per_s)

    def __len__(self) -> int:
        return len(self._table)
