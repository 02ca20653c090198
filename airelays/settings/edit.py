"""One value put into the text of a config file, everything else left as the user wrote it. Layer: values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airelays.errors import ConfigError
from airelays.settings.write import toml_key, toml_value

_HEADER = re.compile(r"\s*\[(?!\[)\s*(?P<name>[^\[\]#]+?)\s*\]\s*(#.*)?\Z")
_ANY_HEADER = re.compile(r"\s*\[")


def set_in_text(text: str, key: str, value: object, path: str) -> str:
    """Return `text` with `key` ("server.port") set to `value`.

    A line that sets it is replaced, a table that is there gets the line, a missing one is added at the end.
    Raises ConfigError when that does not give exactly this change: a value over several lines, a table inside a line.
    """
    table, _, name = key.rpartition(".")
    wanted = _changed(_parsed(text, path), key.split("."), value)
    line = f"{toml_key(name)} = {toml_value(value)}"
    lines = text.splitlines()
    begin = next((n for n, one in enumerate(lines) if _names(one, table)), None)
    if begin is None:
        gap = [""] if lines and lines[-1].strip() else []
        lines += [*gap, f"[{table}]", line]
    else:
        _put(lines, begin + 1, name, line)
    result = "\n".join(lines) + "\n"
    try:
        made = _parsed(result, path)
    except ConfigError:
        made = None
    if made != wanted:
        raise ConfigError(
            f"{key} cannot be changed automatically in {path}; edit the file: below [{table}], write {line}"
        )
    return result


def _put(lines: list[str], begin: int, name: str, line: str) -> None:
    """Replace the line that sets `name` in the table that begins at `begin`, or add one."""
    for at in range(begin, len(lines)):
        if _ANY_HEADER.match(lines[at]):
            break
        found, equals, _ = lines[at].partition("=")
        if equals and found.strip().strip("\"'") == name:
            lines[at] = line
            return
    lines.insert(begin, line)


def _names(line: str, table: str) -> bool:
    found = _HEADER.match(line)
    return found is not None and found["name"].replace('"', "").replace("'", "") == table


def _parsed(text: str, path: str) -> dict[str, Any]:
    from airelays.settings.load import parse_toml

    return parse_toml(text, path)


def _changed(tree: Mapping[str, Any], parts: list[str], value: object) -> dict[str, Any]:
    """Return a copy of `tree` with the value at the place that `parts` name."""
    copy = dict(tree)
    if len(parts) == 1:
        copy[parts[0]] = list(value) if isinstance(value, tuple) else value
        return copy
    below = copy.get(parts[0], {})
    if not isinstance(below, Mapping):
        raise ConfigError(f"{parts[0]} is not a table in this file; correct the file first")
    copy[parts[0]] = _changed(below, parts[1:], value)
    return copy
