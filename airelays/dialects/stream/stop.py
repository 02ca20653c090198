"""Stop sequences, applied by the relay because the upstream takes none. Layer: rules.

Of several sequences in a text the one that ends first counts, as for a model that stops once it has written one. So the
result does not depend on the pieces in which the text arrives.
"""

from __future__ import annotations


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
        # The one that was met.
        self.word = ""

    def feed(self, text: str) -> str:
        """Take the next piece; return what may go out now. After a hit nothing goes out."""
        if self.hit:
            return ""
        whole = self._held + text
        text, self.hit = cut(whole, self._stops)
        self._held = ""
        if self.hit:
            # Of several that begin there the shortest ended first.
            met = [stop for stop in self._stops if whole.startswith(stop, len(text))]
            self.word = min(met, key=len)
            return text
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
    """Return (text up to the stop sequence that ends first, whether there was one)."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)[1]], True) if found else (text, False)
