"""The parser of the command line, and the help from the same tables. Layer: commands.

Flags that set an option come from `OPTIONS`, the others from the commands. They can come before or after the command,
as `--flag value` or `--flag=value`; `--` ends them. Names are never completed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from airelays.commands.table import ALIASES, COMMANDS, GLOBAL_FLAGS, MEANT, SHOWN
from airelays.hints import hint
from airelays.settings.table import OPTIONS, PREFIXES, Option
from airelays.terminal.arguments import REPEATED, Arguments, Command, Flag
from airelays.terminal.layout import wrap

# Without a terminal; the column of explanations, and the width from which they are next to the names.
HELP_COLUMNS = 80
_HELP_COLUMN, _TWO_COLUMNS = 26, 64


class UsageError(Exception):
    """The command line is not valid. `usage` is printed below the sentence; `topic` names the help to print instead."""

    def __init__(self, message: str, usage: str = "", *, topic: str | None = None) -> None:
        super().__init__(message)
        self._usage = usage or "Run `airelays --help` for the commands.\n"
        self._topic = topic

    def usage(self, columns: int) -> str:
        """Return what to print below the sentence, help in lines of `columns`."""
        return self._usage if self._topic is None else help_for(self._topic, columns)


def parse(words: list[str]) -> tuple[Command | None, Arguments]:
    """Return the command and its arguments; no command only for help or the version. Raises UsageError."""
    flags, plain = _split(words)
    if "--version" in flags:
        return None, Arguments("", (), flags)
    if plain[:1] == ["help"]:
        del plain[0]
        flags["--help"] = ""
    if plain and plain[0] in ALIASES:
        plain[0], flag = ALIASES[plain[0]]
        flags[flag] = ""
    name, rest = _find_command(plain, "--help" in flags)
    command = next((c for c in COMMANDS if c.name == name), None)
    args = Arguments(name, tuple(rest), flags)
    if command is None:
        return None, args
    for flag in flags:
        if flag not in {f.name for f in flags_of(command)}:
            takers = [c.name for c in COMMANDS if flag in {f.name for f in flags_of(c)}]
            raise UsageError(
                f"`airelays {name}` does not take {flag}; it belongs to {', '.join(takers)}",
                f"Run `airelays {name} --help` for its flags.\n",
            )
    if len(rest) > command.most:
        raise UsageError(
            f"`airelays {name}` does not take the argument {rest[command.most]!r}",
            f"Usage: {usage_of(command)}\n",
        )
    return command, args


def flags_of(command: Command) -> list[Flag]:
    """Return all flags that `command` takes: its own, those of its options, the global ones."""
    found = [*command.flags, *GLOBAL_FLAGS]
    for option in OPTIONS:
        if option.flag and (not option.commands or command.name in option.commands):
            env = PREFIXES[0] + option.env[0]
            env += f"={option.flag_value}" if option.flag_value else ""
            found.append(Flag(option.flag, _option_help(option), _value_name(option), env=env))
    return found


def common_flags() -> set[Flag]:
    """Return the flags that every command takes."""
    return set.intersection(*(set(flags_of(command)) for command in COMMANDS))


def help_for(name: str, columns: int = HELP_COLUMNS) -> str:
    """Return the help of a command, of a group such as "token", or of the program (""), in lines of `columns`."""
    command = next((c for c in COMMANDS if c.name == name), None)
    if command is None:
        return _overview(name, columns)
    lines = wrap(usage_of(command), columns, "Usage: ", " " * 9)
    lines += ["", *wrap(command.summary, columns)]
    if command.text:
        lines += ["", *wrap(command.text, columns)]
    common = common_flags()
    own = [flag for flag in flags_of(command) if flag not in common]
    if own:
        lines += ["", "Flags:", *_flag_lines(own, columns)]
    lines += ["", "Flags of every command:", *_flag_lines(common, columns)]
    return "\n".join(lines) + "\n"


def usage_of(command: Command) -> str:
    """Return the usage line of `command`."""
    return " ".join(filter(None, ["airelays", command.name, command.words, "[FLAGS]"]))


def _split(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Tell flags from plain words. Raises UsageError for a flag that no command has."""
    known = {flag.name: flag for command in COMMANDS for flag in flags_of(command)}
    short = {flag.short: flag for flag in known.values() if flag.short}
    flags: dict[str, str] = {}
    plain: list[str] = []
    unknown = ""
    rest = iter(words)
    for word in rest:
        if word == "--":
            plain += rest
        elif not word.startswith("-") or word == "-":
            plain.append(word)
        else:
            name, equals, value = word.partition("=")
            flag = known.get(name) or short.get(name)
            if flag is None:
                unknown = unknown or name
            elif not unknown:
                given = _flag_value(flag, value if equals else None, rest)
                if flag.repeats and flag.name in flags:
                    given = flags[flag.name] + REPEATED + given
                flags[flag.name] = given
    if unknown:
        from airelays.terminal.closest import did_you_mean

        raise UsageError(f"there is no flag {unknown}{did_you_mean(unknown, _takes(plain))}")
    return flags, plain


def _takes(plain: list[str]) -> list[str]:
    """Return the flags of the command that `plain` begins with, or those that every command takes."""
    for count in (2, 1):
        for command in COMMANDS:
            if command.name == " ".join(plain[:count]):
                return [flag.name for flag in flags_of(command)]
    return [flag.name for flag in common_flags()]


def _flag_value(flag: Flag, given: str | None, rest: Iterator[str]) -> str:
    if not flag.value:
        if given is not None:
            raise UsageError(f"{flag.name} does not take a value")
        return ""
    if given is not None:
        return given
    following = next(rest, None)
    if following is None or (following.startswith("--") and len(following) > 2):
        raise UsageError(f"{flag.name} needs a value: {flag.name} {flag.value}")
    return following


def _find_command(plain: list[str], help_asked: bool) -> tuple[str, list[str]]:
    names = [c.name for c in COMMANDS]
    groups = {n.partition(" ")[0] for n in names if " " in n}
    if not plain:
        if help_asked:
            return "", []
        raise UsageError("no command given", topic="")
    first = plain[0]
    if first in groups:
        name = " ".join(plain[:2])
        if name in names:
            return name, plain[2:]
        if first in names and len(plain) == 1:
            return first, []  # `logs` is a command, and `logs prune` another
        if help_asked and len(plain) == 1:
            return first, []
        members = [n.partition(" ")[2] for n in names if n.startswith(first + " ")]
        from airelays.terminal.closest import did_you_mean

        near = did_you_mean(plain[1], members) if len(plain) > 1 else ""
        raise UsageError(
            f"`airelays {first}` must be followed by one of: {', '.join(members)}{near}",
            topic=first,
        )
    if first in MEANT:
        raise UsageError(f"there is no command {first!r}; run `{hint(MEANT[first])}`")
    if first not in names:
        from airelays.terminal.closest import did_you_mean

        raise UsageError(
            f"there is no command {first!r}{did_you_mean(first, [*(c.name for c in SHOWN), *groups])}"
        )
    return first, plain[1:]


def _overview(group: str, columns: int) -> str:
    start = group + " " if group else ""
    lines = [f"Usage: airelays {start}COMMAND [FLAGS]", "", "Commands:"]
    shown = [command for command in SHOWN if command.name.startswith(start)]
    lines += _pairs([(f"  {command.name}", command.summary) for command in shown], columns)
    if not group:
        lines += ["", "Flags of every command:", *_flag_lines(common_flags(), columns)]
        # Commands to paste, which stay whole.
        lines += ["", f"`{hint('COMMAND --help')}` describes a command."]
        lines.append(f"`{hint('docs')}` lists the documentation.")
    return "\n".join(lines) + "\n"


def _flag_lines(flags: Iterable[Flag], columns: int) -> list[str]:
    """Return flags in their alphabetical order, each with what it does and the variable that does the same."""
    pairs = []
    for flag in sorted(flags):
        names = f"{flag.short}, {flag.name}" if flag.short else flag.name
        env = f" [{flag.env}]" if flag.env else ""
        pairs.append((f"  {names} {flag.value}".rstrip(), flag.help + env))
    return _pairs(pairs, columns)


def _pairs(pairs: Sequence[tuple[str, str]], columns: int) -> list[str]:
    """Return names and what they mean in two columns; below each other where that is too narrow."""
    at = _HELP_COLUMN if columns >= _TWO_COLUMNS else 6
    lines = []
    for left, right in pairs:
        if len(left) > at - 2:
            lines += [left, *wrap(right, columns, " " * at, " " * at)]
        else:
            lines += wrap(right, columns, left.ljust(at), " " * at)
    return lines


def _option_help(option: Option) -> str:
    if option.flag_help:
        return option.flag_help
    if option.kind == "path" or option.default in ("", ()):
        return option.help
    kinds = f" {option.allowed().capitalize()}; default" if option.choices else " Default"
    return f"{option.help}{kinds} {option.default}."


def _value_name(option: Option) -> str:
    if option.flag_value:
        return ""
    return {
        "path": "PATH",
        "int": "NUMBER",
        "float": "SECONDS",
        "url": "URL",
        "env_name": "NAME",
    }.get(option.kind, option.flag.lstrip("-").rpartition("-")[2].upper())
