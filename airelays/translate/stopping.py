"""Stop sequences, applied by the relay because the upstream takes none. Layer: rules."""

from __future__ import annotations

__all__ = ["StopFilter", "cut"]


class StopFilter:
    """Cuts a text that arrives in pieces at the first stop sequence.

    What may be the beginning of a stop sequence is held back until the next piece decides.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._longest = max(map(len, stops), default=0)
        self._firsts = frozenset(stop[0] for stop in stops)
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """Take the next piece; return what may go out now. After a hit nothing goes out."""
        if self.hit:
            return ""
        text = self._held + text
        self._held = ""
        at = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        if at >= 0:
            self.hit = True
            return text[:at]
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start] in self._firsts and self._may_begin(text[start:]):
                self._held = text[start:]
                return text[:start]
        return text

    def flush(self) -> str:
        """Return what is held back, once the text has ended."""
        text, self._held = self._held, ""
        return text

    def _may_begin(self, tail: str) -> bool:
        return any(stop.startswith(tail) for stop in self._stops)


def cut(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """Return (text up to the first stop sequence, whether there was one)."""
    at = min((at for stop in stops if (at := text.find(stop)) >= 0), default=-1)
    return (text, False) if at < 0 else (text[:at], True)
