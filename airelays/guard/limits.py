"""What is counted for each client address: tokens of its rate, slots it holds, failed attempts and blocks.

Bounded in memory and constant in time. Layer: rules.
"""

from __future__ import annotations

from collections import OrderedDict


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


MAX_CLIENTS = 4096


class _Entry:
    __slots__ = ("blocked_until_s", "failures_s")

    def __init__(self) -> None:
        self.failures_s: list[float] = []
        self.blocked_until_s = float("-inf")


class Blocklist:
    """`max_attempts` failures inside `window_s` block the key for `block_s`.

    The failure that reaches the limit still gets its 401; what comes after it is refused. A success
    clears nothing: otherwise somebody who knows one token could hide guesses at another.
    """

    __slots__ = ("_table", "block_s", "max_attempts", "window_s")

    def __init__(self, max_attempts: int, window_s: float, block_s: float) -> None:
        self.max_attempts = max_attempts
        self.window_s = window_s
        self.block_s = block_s
        self._table: OrderedDict[str, _Entry] = OrderedDict()

    def blocked_for_s(self, key: str, now_s: float) -> float:
        """Return the seconds that the block of `key` still lasts; 0.0 when there is none."""
        entry = self._table.get(key)
        return max(0.0, entry.blocked_until_s - now_s) if entry is not None else 0.0

    def fail(self, key: str, now_s: float) -> bool:
        """Count one failure now; return whether it began a block."""
        entry = self._table.get(key)
        if entry is None:
            entry = self._table[key] = _Entry()
            if len(self._table) > MAX_CLIENTS:
                self._table.popitem(last=False)
        self._table.move_to_end(key)
        oldest_s = now_s - self.window_s
        entry.failures_s = [at_s for at_s in entry.failures_s if at_s > oldest_s]
        entry.failures_s.append(now_s)
        if len(entry.failures_s) < self.max_attempts:
            return False
        entry.blocked_until_s = now_s + self.block_s
        entry.failures_s = []
        return True

    def failures(self, key: str, now_s: float) -> int:
        """Return how many failures of `key` count now."""
        entry = self._table.get(key)
        if entry is None:
            return 0
        return sum(1 for at_s in entry.failures_s if at_s > now_s - self.window_s)

    def lift(self, key: str | None = None) -> int:
        """Forget the failures and the block of `key`, or of everybody; return how many were forgotten."""
        if key is None:
            count = len(self._table)
            self._table.clear()
            return count
        return 1 if self._table.pop(key, None) is not None else 0

    def blocked(self, now_s: float) -> int:
        """Return how many keys are blocked now."""
        return sum(1 for entry in self._table.values() if entry.blocked_until_s > now_s)

    def __len__(self) -> int:
        return len(self._table)
