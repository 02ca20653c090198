"""Words and cells in a given width: wrapping, tables, bars. Pure; what it is given is printable. Layer: commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

# Texts are set no wider than this, and no narrower.
MIN_COLUMNS, MAX_COLUMNS = 40, 100
GAP = "  "
# A column of sentences that gets less than this is hard to read: then each row becomes a block.
_READABLE = 20
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def text_columns(columns: int) -> int:
    """Return the width for text on a terminal of `columns`."""
    return min(max(columns, MIN_COLUMNS), MAX_COLUMNS)


def width(text: str) -> int:
    """Return how many columns `text` takes: wide characters two, combining ones and styles none."""
    if "\x1b" in text:
        text = _STYLE.sub("", text)
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    import unicodedata

    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """Return `text`, which has no styles, in at most `columns`; what is cut off is marked by two dots."""
    if width(text) <= columns:
        return text
    kept, left = "", columns - 2
    for char in text:
        left -= _width(char)
        if left < 0:
            break
        kept += char
    return (kept + "..")[: max(0, columns)]


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Return `text` filled up to `columns`, at its end or, for the right edge, at its beginning."""
    space = " " * (columns - width(text))
    return space + text if right else text + space


def wrap(
    text: str, columns: int, first: str = "", rest: str = "", *, breaks: bool = False
) -> list[str]:
    """Return `text` in lines of at most `columns`, the first after `first`, the others after `rest`.

    A longer word gets its own line and is not cut, because it is a path or an address. With `breaks`, it is cut, and
    no line is longer.
    """
    words = text.split()
    if breaks:
        most = columns - max(len(first), len(rest))
        words = [part for word in words for part in _pieces(word, most)]
    lines, line, used = [], first, 0
    for word in words:
        if used and width(line) + 1 + width(word) > columns:
            lines.append(line)
            line, used = rest, 0
        line += (" " if used else "") + word
        used += 1
    return [*lines, line]


def _pieces(word: str, columns: int) -> list[str]:
    if "\x1b" in word:
        codes = _STYLE.findall(word)
        return [f"{codes[0]}{part}{codes[-1]}" for part in _pieces(_STYLE.sub("", word), columns)]
    pieces = []
    while width(word) > columns:
        at = columns
        while width(word[:at]) > columns:
            at -= 1
        pieces.append(word[:at])
        word = word[at:]
    return [*pieces, word]


def bar(share: float, columns: int) -> str:
    """Return `share` (0 to 1, anything beyond is at the edge) as a bar of `columns`."""
    filled = round(min(max(share, 0.0), 1.0) * columns)
    return "#" * filled + "-" * (columns - filled)


def table(
    rows: Sequence[Sequence[str]],
    columns: int,
    *,
    indent: str = "",
    right: Collection[int] = (),
    head: Callable[[str], str] = str,
    rule: bool = True,
) -> list[str]:
    """Return rows, with the heads first, as lines of at most `columns`.

    Cells are wrapped within their columns. If those are too narrow, each row becomes a block of "head: cell". `right`
    are the columns of numbers, `head` styles the heads, and `rule` adds a line below them.
    """
    widths = _fit(rows, columns - len(indent), right)
    if not widths:
        return _blocks(rows, columns, indent, head)
    lines = []
    for number, row in enumerate(rows):
        cells = [wrap(cell, size, breaks=True) for cell, size in zip(row, widths, strict=True)]
        for at in range(max(map(len, cells))):
            parts = [
                pad(cell[at] if at < len(cell) else "", size, right=column in right)
                for column, (cell, size) in enumerate(zip(cells, widths, strict=True))
            ]
            line = (indent + GAP.join(parts)).rstrip()
            lines.append(head(line) if number == 0 else line)
        if number == 0 and rule:
            lines.append(indent + GAP.join("-" * size for size in widths))
    return lines


def table_width(rows: Sequence[Sequence[str]], indent: str = "") -> int:
    """Return how wide `table` is when no cell is wrapped."""
    wanted = [max(map(width, cells)) for cells in zip(*rows, strict=True)]
    return len(indent) + sum(wanted) + len(GAP) * (len(wanted) - 1)


def _fit(rows: Sequence[Sequence[str]], columns: int, right: Collection[int]) -> list[int]:
    """Return the widths of the columns, [] when they do not fit in `columns`."""
    by_column = list(zip(*rows, strict=True))
    wanted = [max(map(width, cells)) for cells in by_column]
    longest = [max(width(w) for cell in cells for w in cell.split() or [""]) for cells in by_column]
    # Names in the first column and numbers are not broken; long words elsewhere can be.
    found = [longest[0], *(min(size, _READABLE) for size in longest[1:])]
    for at in right:
        found[at] = max(found[at], *(width(cells) for cells in by_column[at][1:] or [""]))
    spare = columns - len(GAP) * (len(wanted) - 1) - sum(found)
    for goal in ([min(size, _READABLE) for size in wanted], wanted):
        while spare > 0 and found != goal:
            # The column that is missing the largest part of its width gets the next one.
            lack = [(want - got) / got for want, got in zip(goal, found, strict=True)]
            if max(lack) <= 0:
                break
            found[lack.index(max(lack))] += 1
            spare -= 1
    tight = any(got < _READABLE <= want for got, want in zip(found, wanted, strict=True))
    return [] if tight or spare < 0 else found


def _blocks(
    rows: Sequence[Sequence[str]], columns: int, indent: str, head: Callable[[str], str]
) -> list[str]:
    heads, *others = rows
    lines: list[str] = []
    for row in others:
        if lines:
            lines.append("")
        first = row[0] or heads[0]
        lines += [head(line) for line in wrap(first, columns, indent, indent, breaks=True)]
        for name, cell in zip(heads[1:], row[1:], strict=True):
            if cell:
                inner, text = indent + "  ", f"{name}: {cell}" if name else cell
                lines += wrap(text, columns, inner, inner + "  ", breaks=True)
    return lines
