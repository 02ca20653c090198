"""Whether a block of settings can be added to a client's file: TOML by parsing, YAML by its lines.

Python's standard library has no YAML parser. Settings are therefore added only to plain files, and a file that cannot
be shown to be safe is refused: pasting a setting by hand takes a minute, repairing a broken file a morning.
Layer: commands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airelays.errors import ConfigError
from airelays.settings.load import parse_toml

PASTE = "run the command without --write and paste what is missing"
_KEY = re.compile(r"""("[^"]*"|'[^']*'|[A-Za-z0-9_.-]+)[ \t]*:(?:[ \t]+(.*))?$""")
_CLOSED_BY = {"[": "]", "{": "}", '"': '"', "'": "'"}


def has_already(path: str, kept: str, block: str) -> bool:
    """Whether a TOML file contains every setting of `block`. Raises ConfigError if it is not valid TOML."""
    if not path.endswith(".toml"):
        return False
    return _contains(parse_toml(kept, path), parse_toml(block, path))


def refuse_clash(path: str, kept: str, block: str, result: str) -> None:
    """Raise ConfigError unless `result`, which is `kept` and `block`, is a valid file with each setting once."""
    if path.endswith(".toml"):
        parse_toml(kept, path)
        try:
            parse_toml(result, path)
        except ConfigError as error:
            name = block.partition("]")[0] + "]"
            raise ConfigError(
                f"{path} has {name} already, with other values; remove that table, or {PASTE}"
            ) from error
    elif block.startswith("- "):
        _refuse_list(path, kept, block)
    elif kept.strip():
        _refuse_mapping(path, kept, block)


def refuse_broken(path: str, old: str, kept: str) -> None:
    """Raise ConfigError when a TOML file is valid with the block and would not be without it: others build on it."""
    if not path.endswith(".toml"):
        return
    try:
        parse_toml(old, path)
    except ConfigError:
        return  # it was broken before, and removing the block does not make it worse
    try:
        parse_toml(kept, path)
    except ConfigError as error:
        raise ConfigError(
            f"{path} would not be valid TOML without the block; remove the block by hand"
        ) from error


def _contains(whole: object, part: object) -> bool:
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            key in whole and _contains(whole[key], value) for key, value in part.items()
        )
    return whole == part


def _plain_lines(text: str) -> list[str]:
    """Return the lines of a YAML text that begin in the first column, without comments."""
    lines = [line.rstrip() for line in text.removeprefix("\ufeff").splitlines()]
    if lines[:1] == ["---"]:
        del lines[0]
    return [line for line in lines if line and line[0] not in " #"]


def _refuse_list(path: str, kept: str, block: str) -> None:
    name = block.partition("\n")[0].removeprefix("- ")
    if re.search(rf"^[ -]*{re.escape(name)}[ \t]*(#.*)?$", kept, re.MULTILINE):
        raise ConfigError(f"{path} has an entry {name} already; remove it, or {PASTE}")
    if any(not line.startswith("- ") for line in _plain_lines(kept)):
        raise ConfigError(f"{path} is not a plain YAML list, so nothing was added to it; {PASTE}")


def _refuse_mapping(path: str, kept: str, block: str) -> None:
    ours = {_spelled(match[1]) for line in block.splitlines() if (match := _KEY.match(line))}
    listed = False
    for line in _plain_lines(kept):
        match = _KEY.match(line)
        if match is None and listed and line.startswith("- "):
            continue
        value: Any = match and re.sub(r"(^|\s)#.*", "", match[2] or "").strip()
        if match is None or (value and not _is_closed(value)):
            raise ConfigError(
                f"{path} is not a plain YAML table at {line[:40]!r}, so nothing was added to it; {PASTE}"
            )
        if _spelled(match[1]) in ours:
            raise ConfigError(f"{path} has {match[1]} already; remove that line, or {PASTE}")
        listed = not value


def _spelled(key: str) -> str:
    return key.strip("\"'").replace("_", "-")


def _is_closed(value: str) -> bool:
    """Whether a value that opens a bracket or a quote closes it on its line."""
    end = _CLOSED_BY.get(value[0])
    return end is None or (len(value) > 1 and value.endswith(end))
