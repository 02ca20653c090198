"""What a service file takes over from the command line that asked for it: words behind `serve`, paths. Layer: commands.

The flags that every command takes mean the relay that the service runs, so they go into its command line. What
the environment says now is gone when the service starts: it is named, and not written down, since it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airelays.errors import ConfigError, FlagError
from airelays.settings.load import known_variables
from airelays.settings.parse import absolute_path, from_text
from airelays.settings.record import Record
from airelays.settings.table import OPTIONS, env_names
from airelays.terminal.arguments import Arguments
from airelays.terminal.context import CONFIG_ENV, find_places

_WRITTEN = ("--data-dir", "--logs-dir")
# Control characters end a line of a unit and cannot stand in XML; surrogates are bytes that are no UTF-8.
_UNFIT = "[\0-\x1f\x7f-\x9f\ud800-\udfff]"


class ServiceWords(Record):
    """`flags` follow `serve`; of their paths the service writes below `writes` and reads `reads`."""

    flags: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


def words_for(args: Arguments, env: Mapping[str, str]) -> ServiceWords:
    """Return what the given flags mean to the service, every path absolute. Raises FlagError."""
    places = find_places(env)
    flags: list[str] = []
    writes: list[str] = []
    reads: list[str] = []
    given = args.get("--config")
    if given:
        reads.append(absolute_path(given, places))
        flags += ["--config", reads[-1]]
    for option in OPTIONS:
        text = args.get(option.flag) if option.flag and not option.commands else None
        if text is None or not (text or option.flag_value):
            continue
        flags.append(option.flag)
        if option.flag_value:
            continue
        try:
            flags.append(str(from_text(option, text, option.flag, places)))
        except ConfigError as error:
            raise FlagError(str(error)) from error
        if option.kind == "path":
            (writes if option.flag in _WRITTEN else reads).append(flags[-1])
    return ServiceWords(flags=tuple(flags), writes=tuple(writes), reads=tuple(reads))


def check_words(words: tuple[str, ...], *, kind: str, system: bool, paths: tuple[str, ...]) -> None:
    """Refuse words that the file of `kind` cannot hold without changing them. Raises FlagError."""
    for word in words:
        if re.search(_UNFIT, word):
            raise FlagError(
                f"{word!a} has a control character or is not UTF-8, which a service file cannot hold; "
                "name another path"
            )
        if kind == "windows" and re.search(r"%[^%]+%|\$\(", word):
            raise FlagError(
                f"{word!r} has %...% or $(, which the Task Scheduler replaces; name another path"
            )
    for path in paths if kind == "systemd" and system else ():
        if set(path) & set("\"'\\"):
            raise FlagError(
                f"{path!r} has a quote or a backslash, which the sandbox of a unit cannot name; "
                "name another path"
            )


def left_behind(args: Arguments, env: Mapping[str, str]) -> list[str]:
    """Return the names of AIRelays' variables that count now and will not when the service starts."""
    names = {name for name in known_variables() if env.get(name)}
    if args.get("--config"):
        names -= set(CONFIG_ENV)
    for option in OPTIONS:
        if option.flag and not option.commands and args.has(option.flag):
            names -= set(env_names(option))
    return sorted(names)
