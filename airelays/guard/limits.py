"""What is counted for each client address: tokens of its rate, slots it holds, failed attempts and blocks.

Bounded in memory and constant in time. Layer: rules.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

# Requests that wait for a slot keep only their head in memory.
MAX_WAITING = 32
MAX_WAITING_IN_ALL = 256


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


class _Joined(Lease):
    """Several slots as one."""

    __slots__ = ("_held",)

    def __init__(self, held: Sequence[Lease]) -> None:
        super().__init__(None, "")
        self._held = held

    def release(self) -> None:
        """Give all of them back, the last one first."""
        held, self._held = self._held, ()
        for lease in reversed(held):
            lease.release()


def joined(held: Sequence[Lease]) -> Lease:
    """Return one lease that gives back all of `held`."""
    return held[0] if len(held) == 1 else _Joined(held)


class Place:
    """One request's place in the queue for a slot of its key; `wake` gets the slot when its turn has come."""

    __slots__ = ("_leases", "key", "wake")

    def __init__(self, leases: Leases, key: str, wake: Callable[[Lease], None]) -> None:
        self._leases = leases
        self.key = key
        self.wake = wake

    def leave(self) -> None:
        """Wait no longer; of no effect once the slot was given."""
        self._leases._leave(self)


class Leases:
    """At most `limit` slots per key; requests can wait for one, first come, first served.

    `limits` has the keys whose limit is another one. At most MAX_WAITING wait per key and MAX_WAITING_IN_ALL together.
    The tables hold only keys with a slot in use.
    """

    __slots__ = ("_in_use", "_places", "limit", "limits", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.limits: dict[str, int] = {}
        self.waiting = 0
        self._in_use: dict[str, int] = {}
        self._places: dict[str, deque[Place]] = {}

    def take(self, key: str) -> Lease | None:
        """Return a slot, or None when `key` holds `limit` already, or others wait. A refusal changes nothing."""
        used = self._in_use.get(key, 0)
        if used >= self.limits.get(key, self.limit) or key in self._places:
            return None
        self._in_use[key] = used + 1
        return Lease(self, key)

    def take_all(self, keys: Sequence[str]) -> Lease | None:
        """Return one lease for a slot of each of `keys`, or None when one of them has none; then nothing is held."""
        if len(keys) == 1:
            return self.take(keys[0])
        held: list[Lease] = []
        for key in keys:
            lease = self.take(key)
            if lease is None:
                joined(held).release()
                return None
            held.append(lease)
        return joined(held)

    def in_use(self, key: str) -> int:
        """Return how many slots `key` holds."""
        return self._in_use.get(key, 0)

    def waiting_for(self, key: str) -> int:
        """Return how many requests wait for a slot of `key`."""
        return len(self._places.get(key, ()))

    def wait(self, key: str, wake: Callable[[Lease], None]) -> Place | None:
        """Return a place in the queue of `key`, or None when there is none left."""
        queue = self._places.get(key)
        if self.waiting >= MAX_WAITING_IN_ALL or (queue and len(queue) >= MAX_WAITING):
            return None
        place = Place(self, key, wake)
        self._places.setdefault(key, deque()).append(place)
        self.waiting += 1
        return place

    def _leave(self, place: Place) -> None:
        queue = self._places.get(place.key)
        if queue is None or place not in queue:
            return
        queue.remove(place)
        self._forget(place.key, queue)

    def _forget(self, key: str, queue: deque[Place]) -> None:
        self.waiting -= 1
        if not queue:
            del self._places[key]

    def _give_back(self, key: str) -> None:
        left = self._in_use.get(key, 0) - 1
        queue = self._places.get(key)
        if queue and left < self.limits.get(key, self.limit):
            place = queue.popleft()
            self._forget(key, queue)
            place.wake(Lease(self, key))  # the slot changes hands; nobody can come in between
            return
        if left > 0:
            self._in_use[key] = left
        else:
            self._in_use.pop(key, None)

    def __len__(self) -> int:
        return len(self._in_use)


# 4,096 addresses; the one used longest ago is forgotten first. A full bucket is the same as a missing one.
MAX_CLIENTS = 4096


class Buckets:
    """One bucket of `burst` requests per key, filled at `per_minute` / 60 requests per second."""

    __slots__ = ("_rate_per_s", "_table", "burst", "per_minute")

    def __init__(self, per_minute: int, burst: int) -> None:
        self._table: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.configure(per_minute, burst)

    def configure(self, per_minute: int, burst: int) -> None:
        """Use new numbers from now on."""
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
    clears nothing: otherwise a client that knows one token could hide guesses at another.
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
        """Forget the failures and the block of `key`, or all of them; return how many were forgotten."""
        if key is None:
            count = len(self._table)
            self._table.clear()
            return count
        return 1 if self._table.pop(key, None) is not None else 0

    def blocked(self, now_s: float) -> int:
        """Return how many keys are blocked now."""
        return sum(1 for entry in self._table.values() if entry.blocked_until_s > now_s)

    def listing(self, now_s: float) -> list[tuple[str, float]]:
        """Return the keys that are blocked now, each with the seconds that its block still lasts."""
        return [
            (key, entry.blocked_until_s - now_s)
            for key, entry in self._table.items()
            if entry.blocked_until_s > now_s
        ]

    def __len__(self) -> int:
        return len(self._table)
