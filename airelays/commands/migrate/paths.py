"""A config file's text for another data folder: paths in the old one change, and the rest stays byte for byte.

Earlier releases wrote every path in full, so an unchanged copy would still name the old folder. Refuses to know: what
is in the folders. Layer: commands.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from airelays.errors import ConfigError
from airelays.settings.parse import Places, absolute_path
from airelays.settings.table import OPTIONS, UPSTREAM_OPTIONS
from airelays.settings.write import toml_value

# Options without an effect here that contained a path.
_DEAD = ("providers.claude.oauth_token_file",)
_OPTIONS = {o.key for o in OPTIONS if o.kind == "path"} | set(_DEAD)
_UPSTREAM_NAMES = {o.key.rpartition(".")[2] for o in UPSTREAM_OPTIONS if o.kind == "path"}
_HEAD = re.compile(r"\ufeff?\s*\[(?P<name>[^\[\]]+)\]\s*(#.*)?\Z")
_LINE = re.compile(
    r"(?P<head>\ufeff?\s*(?P<key>[^=#]+?)[ \t]*=[ \t]*)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*')"
    r"(?P<tail>[ \t]*(?P<comment>#[^\r]*)?\r?)\Z"
)

Key = tuple[str, ...]


class Change(NamedTuple):
    """One path: `now` is None if its line was removed because `default` is the same."""

    key: str
    was: str
    now: str | None
    default: str = ""

    def sentence(self) -> str:
        """Say what became of it."""
        said = f'{self.key} was "{self.was}", in the earlier data folder: '
        if self.now is not None:
            return f'{said}now "{self.now}"'
        return said + (f"removed, which means {self.default}" if self.default else "left out")


class Move(NamedTuple):
    """From each of `old` to `data`. `default` is the data folder that a config without one means."""

    old: tuple[str, ...]
    data: str
    default: str

    def target(self, path: str) -> str | None:
        """Return where `path` is after the move; None when it lay in no old folder and stays."""
        if inside(path, self.data) is not None:
            return None
        for folder in self.old:
            rest = inside(path, folder)
            if rest is not None:
                return os.path.normpath(os.path.join(self.data, rest))
        return None


def inside(path: str, folder: str) -> str | None:
    """Return `path` relative to `folder`, or None when it is not in there; links are followed."""
    for turn in (os.path.normpath, os.path.realpath):
        there, top = turn(path), turn(folder)
        if there == top or there.startswith(top.rstrip("/\\") + os.sep):
            return os.path.relpath(there, top)
    return None


def move_paths(text: str, path: str, move: Move, places: Places) -> tuple[str, list[Change]]:
    """Return the text after the move, and what was changed. Raises ConfigError when that cannot be done.

    `path` is the file's name for errors; the text must have been read by `config.load`.
    """
    tree = tomllib.loads(text.removeprefix("\ufeff"))
    changes = {k: c for k, v in _paths(tree) if (c := _change(k, v, move, places)) is not None}
    if not changes:
        return text, []
    new = _edited(text, changes)
    try:
        same = pruned(tomllib.loads(new.removeprefix("\ufeff"))) == pruned(_wanted(tree, changes))
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        names = ", ".join(c.key for c in changes.values())
        raise ConfigError(
            f"{path}: {names} is in the earlier data folder and cannot be changed automatically; write it as "
            "NAME = 'PATH' on its own line below its [TABLE], or remove it"
        )
    return new, list(changes.values())


def _paths(tree: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, str]]:
    for name, value in tree.items():
        key = (*above, name)
        if isinstance(value, Mapping):
            yield from _paths(value, key)
        elif isinstance(value, str) and value:
            named = key[0] == "upstreams" and len(key) == 3 and name in _UPSTREAM_NAMES
            if named or ".".join(key) in _OPTIONS:
                yield key, value


def _change(key: Key, value: str, move: Move, places: Places) -> Change | None:
    target, name = move.target(absolute_path(value, places)), ".".join(key)
    if target is None:
        return None
    defaults = {
        "paths.data_dir": move.default,
        "paths.logs_dir": os.path.join(move.data, "logs"),
        "security.bearer_token_file": os.path.join(move.data, "relay-token"),
    }
    if name in _DEAD:
        return Change(name, value, None)
    if target == defaults.get(name):
        return Change(name, value, None, target)
    return Change(name, value, target)


def _edited(text: str, changes: Mapping[Key, Change]) -> str:
    """Change the lines that contain the keys. Lines in other forms stay: the caller compares the outcome."""
    lines: list[str] = []
    table: Key = ()
    # Not splitlines: TOML ends a line at LF or CR LF only.
    for line in text.split("\n"):
        head, found = table_of(line), _LINE.match(line)
        if head is not None:
            table = head
        change = (
            changes.get(table + key_of(f"{found['key']} = 0")) if found and head is None else None
        )
        if found is None or change is None:
            lines.append(line)
        elif change.now is not None:
            lines.append(found["head"] + toml_value(change.now) + found["tail"])
        elif found["comment"]:
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(indent + found["tail"].lstrip(" \t"))
    return "\n".join(lines)


def table_of(line: str) -> Key | None:
    """Return the name of the table that begins with this line, None for any other line."""
    head = _HEAD.match(line)
    if head:
        return key_of(f"[{head['name']}]")
    return ("[[",) if line.lstrip().startswith("[[") else None


def key_of(text: str) -> Key:
    """Return the one key that a line of TOML names, quotes and dots resolved; () when it names none."""
    try:
        tree: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ()
    key: Key = ()
    while isinstance(tree, dict) and len(tree) == 1:
        ((name, tree),) = tree.items()
        key += (name,)
    return key


def _wanted(tree: Mapping[str, Any], changes: Mapping[Key, Change], above: Key = ()) -> Any:
    wanted: dict[str, Any] = {}
    for name, value in tree.items():
        change = changes.get((*above, name))
        if isinstance(value, Mapping):
            wanted[name] = _wanted(value, changes, (*above, name))
        elif change is None:
            wanted[name] = value
        elif change.now is not None:
            wanted[name] = change.now
    return wanted


def pruned(tree: Any) -> Any:
    """Return the tree without empty tables: a dotted key that is left out takes its table along."""
    if not isinstance(tree, dict):
        return tree
    return {name: kept for name, value in tree.items() if (kept := pruned(value)) != {}}
