"""Failed attempts to authenticate, and the block that follows too many of them.

Owns: how many failures an address has, until when it is blocked. Refuses to know: tokens, heads, the time.
Layer: rules.
"""

from __future__ import annotations

from collections import OrderedDict

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
