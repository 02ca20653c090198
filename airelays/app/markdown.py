"""The part of Markdown that our own pages use, as blocks: headings, paragraphs, lists, tables, fences.

Pure. Layer: app.
"""

from __future__ import annotations

import re
from typing import NamedTuple

INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)")
_ITEM = re.compile(r"- +|[0-9]+\. +")


class Block(NamedTuple):
    """One block. `kind` is "heading", "paragraph", "code", "table", "bullets" or "numbers".

    `text` is that of a heading, a paragraph or code; `items` are those of a list; `rows` those of a table, the first
    of them its heads. `level` is a heading's.
    """

    kind: str
    text: str = ""
    level: int = 0
    items: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page; comments are left out."""
    found: list[Block] = []
    lines = re.sub(r"<!--.*?-->\n*", "", text, flags=re.DOTALL).split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif line.startswith("```"):
            at = _fence(lines, at, found)
        elif line.startswith("#"):
            level = min(len(line) - len(line.lstrip("#")), 6)
            found.append(Block("heading", line.lstrip("#").strip(), level))
            at += 1
        elif line.startswith("|"):
            at = _table(lines, at, found)
        elif _ITEM.match(line):
            at = _list(lines, at, found)
        else:
            end = at + 1
            while end < len(lines) and not _begins_block(lines[end]):
                end += 1
            found.append(Block("paragraph", " ".join(lines[at:end])))
            at = end
    return found


def _begins_block(line: str) -> bool:
    return not line.strip() or line.startswith(("```", "#", "|")) or _ITEM.match(line) is not None


def _fence(lines: list[str], at: int, found: list[Block]) -> int:
    end = at + 1
    while end < len(lines) and not lines[end].startswith("```"):
        end += 1
    found.append(Block("code", "\n".join(lines[at + 1 : end])))
    return end + 1


def _table(lines: list[str], at: int, found: list[Block]) -> int:
    """Rows of `| a | b |`; a bar inside a cell is written `\\|`."""
    rows: list[tuple[str, ...]] = []
    while at < len(lines) and lines[at].startswith("|"):
        cells = re.split(r"(?<!\\)\|", lines[at].strip().strip("|"))
        rows.append(tuple(cell.strip().replace("\\|", "|") for cell in cells))
        at += 1
    if len(rows) > 1 and all(set(cell) <= set("-: ") for cell in rows[1]):
        del rows[1]
    found.append(Block("table", rows=tuple(rows)))
    return at


def _list(lines: list[str], at: int, found: list[Block]) -> int:
    """Items of one level; a line that is indented goes on with its item."""
    items: list[str] = []
    kind = "bullets" if lines[at].startswith("-") else "numbers"
    while at < len(lines):
        mark = _ITEM.match(lines[at])
        if mark is not None:
            items.append(lines[at][mark.end() :])
        elif lines[at].startswith(" ") and lines[at].strip():
            items[-1] += " " + lines[at].strip()
        else:
            break
        at += 1
    found.append(Block(kind, items=tuple(items)))
    return at
