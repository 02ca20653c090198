"""What a service file takes from the command line of `service`: the words after `serve`, and paths. Layer: commands.

The flags that `serve` takes mean the relay that the service runs, so they go into its command line. What
the environment says now is gone when the service starts: it is named, and not written down, since it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airelays.errors import ConfigError, FlagError
from airelays.settings.load import known_variables
from airelays.settings.parse import absolute_path, from_text
from airelays.settings.record import Record
from airelays.settings.table import OPTIONS, Option, env_names
from airelays.terminal.arguments import Arguments
from airelays.terminal.context import CONFIG_ENV, find_places

_WRITTEN = ("--data-dir", "--logs-dir")
# Control characters end a line of a unit and are not allowed in XML; surrogates are bytes that are not UTF-8.
_UNFIT = "[\0-\x1f\x7f-\x9f\ud800-\udfff]"
# systemd refuses a unit whose program has one of them in its path (string_is_safe() in its source).
_QUOTES = "\"'\\"


class ServiceWords(Record):
    """`flags` follow `serve`; of their paths the service writes below `writes` and reads `reads`.

    `place` are those that lead another command to the same relay.
    """

    flags: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


def words_for(args: Arguments, env: Mapping[str, str]) -> ServiceWords:
    """Return what the given flags mean to the service, every path absolute. Raises FlagError."""
    places = find_places(env)
    flags: list[str] = []
    writes: list[str] = []
    reads: list[str] = []
    place: list[str] = []
    given = args.get("--config")
    if given:
        reads.append(absolute_path(given, places))
        flags += ["--config", reads[-1]]
    for option in OPTIONS:
        text = args.get(option.flag) if _is_for_service(option) else None
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
        if option.flag == "--data-dir":
            place += flags[-2:]
    place = [*(["--config", reads[0]] if given else []), *place]
    for one in args.all("--listen"):
        flags += ["--listen", one]
    return ServiceWords(
        flags=tuple(flags), place=tuple(place), writes=tuple(writes), reads=tuple(reads)
    )


def _is_for_service(option: Option) -> bool:
    return bool(option.flag) and (not option.commands or "service install" in option.commands)


def check_words(words: tuple[str, ...], *, kind: str, system: bool, paths: tuple[str, ...]) -> None:
    """Refuse words that a file of `kind` cannot contain unchanged. Raises FlagError."""
    for word in words:
        if re.search(_UNFIT, word):
            raise FlagError(
                f"{word!a} contains a control character or is not UTF-8, which a service file does not allow; "
                "use another path"
            )
        if kind == "windows" and re.search(r"%[^%]+%|\$\(", word):
            raise FlagError(
                f"{word!r} contains %...% or $(, which the Task Scheduler expands; use another path"
            )
    if kind == "systemd" and set(words[0]) & set(_QUOTES):
        raise FlagError(
            f"{words[0]!r} contains a quote or a backslash, which systemd does not allow in the path of a "
            "program; move the program to another folder"
        )
    for path in paths if kind == "systemd" and system else ():
        if set(path) & set(_QUOTES):
            raise FlagError(
                f"{path!r} contains a quote or a backslash, which systemd does not allow in the sandbox settings "
                "of a unit; use another path"
            )


def left_behind(args: Arguments, env: Mapping[str, str]) -> list[str]:
    """Return the names of AIRelays' variables that apply now but will not when the service starts."""
    names = {name for name in known_variables() if env.get(name)}
    if args.get("--config"):
        names -= set(CONFIG_ENV)
    for option in OPTIONS:
        if _is_for_service(option) and args.has(option.flag):
            names -= set(env_names(option))
    key = args.get("--upstream-key-env")
    return sorted(names | ({key} if key else set()))
