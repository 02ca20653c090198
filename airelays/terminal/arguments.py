"""What the command line is parsed into, and what a command is. Knows no command. Layer: commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from airelays.lookup import find_named

if TYPE_CHECKING:
    from airelays.terminal.console import Console

# Between the values of a repeated flag; no argument of a process contains it.
REPEATED = "\0"
Run = Callable[["Arguments", "Console"], int]


class Flag(NamedTuple):
    """A flag of one command that does not set an option. `value` names its argument, "" for none.

    One that `repeats` can be given several times; `Arguments.all` returns all of them. `env` is the variable that does
    the same.
    """

    name: str
    help: str
    value: str = ""
    short: str = ""
    repeats: bool = False
    env: str = ""


JSON = Flag("--json", "Print JSON.")


class Arguments:
    """The parsed command line: the command's name, its words, the flags as they were given."""

    def __init__(self, command: str, words: tuple[str, ...], flags: dict[str, str]) -> None:
        self.command = command
        self.words = words
        self.flags = flags

    def has(self, flag: str) -> bool:
        """Whether `flag` was given."""
        return flag in self.flags

    def get(self, flag: str) -> str | None:
        """Return the value given with `flag`, or None."""
        return self.flags.get(flag)

    def all(self, flag: str) -> tuple[str, ...]:
        """Return every value given with a flag that repeats."""
        given = self.flags.get(flag)
        return () if given is None else tuple(given.split(REPEATED))

    def option_texts(self) -> dict[str, str]:
        """Return the flags that set an option, as attribute -> text, for `config.load`."""
        from airelays.settings.table import OPTIONS

        return {
            option.attribute: option.flag_value or self.flags[option.flag]
            for option in OPTIONS
            if option.flag in self.flags
        }


class Command(NamedTuple):
    """One command.

    `runs` is its function as text, "module:name" below `airelays.commands`; `words` shows its positional arguments,
    `most` is how many it takes. A `hidden` one is a name of earlier releases: it works, and no list has it.
    """

    name: str
    summary: str
    runs: str
    text: str = ""
    flags: tuple[Flag, ...] = ()
    words: str = ""
    most: int = 0
    hidden: bool = False

    def load(self) -> Run:
        """Return the function that runs it; its module is imported now."""
        found: Run = find_named("airelays.commands", self.runs)
        return found
