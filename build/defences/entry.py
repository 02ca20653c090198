"""One defence and how to take it away. What the tables of this folder are made of."""

from __future__ import annotations

from typing import NamedTuple


class Defence(NamedTuple):
    """`old` stands once in `file` (a path below the checkout); with `new` in its place one of `tests` must fail.

    `row` is that of the table of threats, such as "W1". `tests` are node ids of pytest: FILE::NAME, or
    FILE::NAME[PARAMETERS]. `flags` are for the interpreter that runs them.
    """

    row: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    flags: tuple[str, ...] = ()
