"""Our own pages as text for a terminal: wrapped to its width, tables as tables, code left alone. Layer: commands."""

from __future__ import annotations

import re
from collections.abc import Callable

from airelays.app.markdown import INLINE, Block, blocks
from airelays.terminal.console import escaped
from airelays.terminal.layout import table, wrap

Style = Callable[[str, str], str]

HEAD, CODE = "1", "36"
_WORD = re.compile(r"\S+")


def rendered(text: str, columns: int, style: Style) -> str:
    """Return Markdown in lines of at most `columns`, without its marks; only code and long words can be longer."""
    lines: list[str] = []
    for block in blocks(text):
        if lines:
            lines.append("")
        lines += _lines(block, columns, style)
    return "\n".join(lines) + "\n"


def _lines(block: Block, columns: int, style: Style) -> list[str]:
    if block.kind == "heading":
        return [style(line, HEAD) for line in wrap(_plain(block.text), columns)]
    if block.kind == "code":
        return [
            "    " + style(escaped(line), CODE) if line else "" for line in block.text.split("\n")
        ]
    if block.kind == "table":
        rows = [[_inline(cell, style) for cell in row] for row in block.rows]
        return table(rows, columns, head=lambda line: style(line, HEAD))
    if block.kind == "paragraph":
        return wrap(_inline(block.text, style), columns)
    lines = []
    for number, item in enumerate(block.items, 1):
        mark = "- " if block.kind == "bullets" else f"{number}. "
        lines += wrap(_inline(item, style), columns, mark, " " * len(mark))
    return lines


def _plain(text: str) -> str:
    return _inline(text, lambda part, _: part)


def _inline(text: str, style: Style) -> str:
    """Return a text with its styles, each word in its own, so that a line can end between any two."""
    parts, at = [], 0
    for match in INLINE.finditer(text):
        parts.append(escaped(text[at : match.start()]))
        code, bold, label, target = match.groups()
        if code is not None:
            parts.append(_styled(code, CODE, style))
        elif bold is not None:
            parts.append(_styled(_plain(bold), HEAD, style))
        else:
            shown = _inline(label, style)
            parts.append(f"{shown} ({escaped(target)})" if "://" in target else shown)
        at = match.end()
    return "".join(parts) + escaped(text[at:])


def _styled(text: str, codes: str, style: Style) -> str:
    return _WORD.sub(lambda word: style(word[0], codes), escaped(text))
