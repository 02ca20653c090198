"""Which upstream has the prompt cache of a `prompt_cache_key`. Pure: times are arguments. Layer: I/O."""

from __future__ import annotations

# Prompt caches are kept for minutes, some for an hour.
KEPT_S = 3600.0
MAX_KEYS = 4096
MAX_KEY_CHARS = 512


class CacheKeys:
    """Names of upstreams by key and model, the oldest first; only those that are not the first choice."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def of(self, key: object, model: str, now_s: float) -> str:
        """Return the upstream that answered last under `key`; "" when it is not known, or too long ago."""
        if not isinstance(key, str):
            return ""
        name, until_s = self._kept.get((key, model), ("", 0.0))
        return name if now_s < until_s else ""

    def note(self, key: object, model: str, name: str, now_s: float, *, first: bool) -> None:
        """Note that `name` answered; nothing is kept of the `first` choice, where a request goes anyway."""
        if not isinstance(key, str) or not key or len(key) > MAX_KEY_CHARS:
            return
        self._kept.pop((key, model), None)
        if first:
            return
        while len(self._kept) >= MAX_KEYS:
            del self._kept[next(iter(self._kept))]
        self._kept[(key, model)] = (name, now_s + KEPT_S)
