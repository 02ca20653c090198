"""Words on the terminal: titles, sections, fields, steps, JSON. Layer: commands.

Colors are used only on a terminal, and never with NO_COLOR, CLICOLOR=0 or TERM=dumb. Text from outside is printed
with its control characters escaped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

from airelays import __version__

LABEL_COLUMNS = 18


def escaped(text: str) -> str:
    """Return `text` with every character that is not printable written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Console:
    """Where a command writes, and how: `out` for results, `err` for everything else."""

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.env: Mapping[str, str] = env or {}
        # Where notes go instead of `err`, while nothing must wait for a terminal.
        self.sink: Callable[[str], None] | None = None
        self.terminal = self.out.isatty()
        self.colour = self.terminal and not (
            self.env.get("NO_COLOR")
            or self.env.get("CLICOLOR") == "0"
            or self.env.get("TERM") == "dumb"
        )

    @property
    def columns(self) -> int:
        """Width of the terminal, from 40 up; 80 where there is none."""
        for stream in (self.out, self.err):
            try:
                found = os.get_terminal_size(stream.fileno()).columns
            except (OSError, ValueError, AttributeError):
                continue
            if found:
                return max(40, found)
        return 80

    def style(self, text: str, codes: str) -> str:
        """Return `text` in the SGR `codes` ("1;36"), or unchanged if there are no colors."""
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colour else text

    def line(self, text: str = "") -> None:
        """Print one line; text from outside must be `escaped` before."""
        self.out.write(text + "\n")

    def title(self, command: str) -> None:
        """Print the first line of a view."""
        self.line(self.style(f"AIRelays {__version__} {command}", "1;36"))

    def section(self, name: str) -> None:
        """Print a blank line and a section head."""
        self.line()
        self.line(self.style(name, "1"))

    def field(self, label: str, value: object) -> None:
        """Print one labelled value; True and False as yes and no, nothing as "not set"."""
        if isinstance(value, bool):
            shown = self.style("yes", "32") if value else self.style("no", "31")
        elif value is None or value == "":
            shown = self.style("not set", "2")
        else:
            shown = escaped(str(value))
        self.fitted(f"  {label + ':':<{LABEL_COLUMNS}} ", shown, LABEL_COLUMNS + 3)

    def steps(self, steps: Iterable[str]) -> None:
        """Print the numbered list at the end of a view; nothing if there are no steps."""
        for n, step in enumerate(steps, 1):
            if n == 1:
                self.section("Next Steps")
            self.fitted(f"  {n}. ", escaped(step), 5)

    def json(self, value: Any) -> None:
        """Print `value` as indented JSON."""
        import json

        self.line(json.dumps(value, indent=2))

    def note(self, text: str) -> None:
        """Print a note on stderr."""
        if self.sink is not None:
            self.sink(text)
            return
        start = "airelays: "
        lines = [start + escaped(text)]
        if self.err.isatty():
            from airelays.terminal.layout import wrap

            lines = wrap(escaped(text), self.columns, start, " " * len(start))
        self.err.write("\n".join(lines) + "\n")
        self.err.flush()

    def fitted(self, first: str, text: str, indent: int) -> None:
        """Print `text` after `first`; on a terminal wrapped to its width, further lines after `indent` spaces."""
        if not self.terminal or len(first) + len(text) <= self.columns:
            self.line(first + text)
            return
        from airelays.terminal.layout import wrap

        self.line("\n".join(wrap(text, self.columns, first, " " * indent)))
