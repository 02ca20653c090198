"""What is counted for each named key: requests of the last minute, tokens of the day. Layer: rules.

Exact where many requests come at once: every question is answered and counted in one step. Bounded by the number of
keys, which only the owner makes.
"""

from __future__ import annotations

from collections import deque

DAY_S = 86_400
# If the clock jumps back, the counts of the day before the jump are still there.
DAYS_KEPT = 3


class Windows:
    """A limit of requests per key in any 60 seconds."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: dict[str, deque[float]] = {}

    def take(self, key: str, per_minute: int, now_s: float) -> float:
        """Count one request; return 0.0, or the seconds until one more is allowed, and then count nothing.

        `now_s` is of a monotonic clock.
        """
        times = self._table.setdefault(key, deque())
        while times and times[0] <= now_s - 60.0:
            times.popleft()
        if len(times) >= per_minute:
            # After a limit was lowered, more than one request has to leave the minute first.
            return times[len(times) - per_minute] + 60.0 - now_s
        times.append(now_s)
        return 0.0

    def give_back(self, key: str) -> None:
        """Undo the last `take`, for a request that was refused after it."""
        times = self._table.get(key)
        if times:
            times.pop()

    def used(self, key: str, now_s: float) -> int:
        """Return how many requests of the last 60 seconds count."""
        return sum(1 for at_s in self._table.get(key, ()) if at_s > now_s - 60.0)


class Spent:
    """Tokens that ended requests of each key have used, by UTC day."""

    __slots__ = ("_days",)

    def __init__(self) -> None:
        self._days: dict[int, dict[str, int]] = {}

    def add(self, key: str, tokens: int, wall_s: float) -> None:
        """Count the tokens of a request that ends at `wall_s`, Unix time."""
        day = int(wall_s // DAY_S)
        found = self._days.get(day)
        if found is None:
            found = self._days[day] = {}
            for old in sorted(self._days)[:-DAYS_KEPT]:
                del self._days[old]
        found[key] = found.get(key, 0) + tokens

    def today(self, key: str, wall_s: float) -> int:
        """Return the tokens of `key` on the day of `wall_s`."""
        return self._days.get(int(wall_s // DAY_S), {}).get(key, 0)

    def wait_s(self, key: str, per_day: int, wall_s: float) -> float:
        """Return the seconds until the next UTC day when `key` has used its budget, else 0.0."""
        if self.today(key, wall_s) < per_day:
            return 0.0
        return DAY_S - wall_s % DAY_S
