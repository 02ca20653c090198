"""The reasoning that led to tool calls, for servers that want it back with them (DeepSeek). Pure.

Clients that replay reasoning items carry it themselves; this is for the others, and only for a while.
"""

from __future__ import annotations

from collections.abc import Mapping

REMEMBERED_S = 3600.0
MAX_BYTES = 16 * 1024 * 1024
# What an entry takes beside its texts.
_ENTRY_BYTES = 200


class Recall:
    """Texts by call id, the oldest first. Times are those of one clock that does not go backwards."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, str]] = {}
        self.size_bytes = 0

    def keep(self, thoughts: Mapping[str, str], now_s: float) -> None:
        """Remember the reasoning of these calls; what is too old, or too much, is forgotten."""
        for call_id, text in thoughts.items():
            self._forget(call_id)
            self._entries[call_id] = (now_s + REMEMBERED_S, text)
            self.size_bytes += _size(call_id, text)
        for call_id, (until_s, _) in list(self._entries.items()):
            if until_s > now_s and self.size_bytes <= MAX_BYTES:
                break
            self._forget(call_id)

    def of(self, call_id: str, now_s: float) -> str:
        """Return the reasoning that led to a call; "" when it is not known, or not any more."""
        until_s, text = self._entries.get(call_id, (0.0, ""))
        return text if now_s < until_s else ""

    def _forget(self, call_id: str) -> None:
        found = self._entries.pop(call_id, None)
        if found is not None:
            self.size_bytes -= _size(call_id, found[1])


def _size(call_id: str, text: str) -> int:
    # A character takes up to 4 bytes in memory.
    width = 1 if text.isascii() else 4
    return _ENTRY_BYTES + len(call_id) + width * len(text)
