"""What an unknown word was probably meant to be. Layer: commands."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the known word that is most like `word`, "" when none is."""
    import difflib

    # Without the dashes, which would make all flags look alike.
    bare = {name.lstrip("-").casefold(): name for name in known}
    close = difflib.get_close_matches(word.lstrip("-").casefold(), list(bare), n=1, cutoff=0.55)
    return f"; did you mean {bare[close[0]]}?" if close else ""
