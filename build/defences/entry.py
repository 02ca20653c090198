"""One defence and how to take it away. What the tables of this folder are made of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from change import Change, Pattern, changed


class Defence(NamedTuple):
    """With `change` made in `function` of `file` (a path below the checkout) one of `tests` must fail.

    `row` is that of the table of threats, such as "W1". `function` is "name" or "Class.name", or "" for what stands
    outside of all. `tests` are node ids of pytest: FILE::NAME, or FILE::NAME[PARAMETERS]. `flags` are for the
    interpreter that runs them.
    """

    row: str
    name: str
    file: str
    function: str
    change: Change | Pattern
    tests: tuple[str, ...]
    flags: tuple[str, ...] = ()

    def taken_from(self, root: Path) -> str:
        """Return the text of the file below `root` without this defence; raise Stale when it is not to be found."""
        source = (root / self.file).read_text(encoding="utf-8")
        return changed(source, self.function, self.change)
