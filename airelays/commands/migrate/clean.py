"""Removes keys of an earlier AIRelays that have no effect here from the config file. Layer: commands.

The previous file stays as `config.toml.bak`. Nothing is written unless the file means the same afterwards, without
them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from typing import Any

from airelays.commands.migrate.paths import Key, key_of, pruned, table_of
from airelays.disk.outside import find_target, write_outside
from airelays.errors import ConfigError
from airelays.settings.load import load
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import find_config, find_places, read_config, write_config
from airelays.terminal.question import agrees


def run_clean(args: Arguments, console: Console) -> int:
    """`migrate --clean`: take the keys out and do nothing else; a relay that runs is not disturbed."""
    path, text, unused = _find(args, console)
    if not unused:
        console.line(escaped(f"{path} has only keys that have an effect; nothing was changed"))
    elif args.has("--dry-run"):
        console.line(escaped(f"{path} would lose {', '.join(unused)}"))
    else:
        _write(path, text, unused, console)
    return 0


def offer_clean(args: Arguments, console: Console) -> str:
    """Ask whether to take the keys out and do so; return what to type for it later, "" when nothing is left to do."""
    path, text, unused = _find(args, console)
    if not unused:
        return ""
    question = (
        f"{path} has {count_of(unused)} of an earlier AIRelays that have no effect here. Remove them? The "
        f"file is kept as {path}.bak"
    )
    if args.has("--dry-run") or not agrees(console, escaped(question)):
        return "migrate --clean"
    _write(path, text, unused, console)
    return ""


def count_of(unused: Collection[str]) -> str:
    """Return "1 key" or "14 keys"."""
    return f"{len(unused)} key{'' if len(unused) == 1 else 's'}"


def _find(args: Arguments, console: Console) -> tuple[str, str, tuple[str, ...]]:
    """Return the config file that counts here, its text, and the keys in it that have no effect."""
    places = find_places(console.env)
    path, _ = find_config(args.get("--config"), console.env, places)
    text = read_config(path)
    if text is None:
        return path, "", ()
    loaded = load(text, path, console.env, args.option_texts(), places=places)
    return path, text, loaded.unused


def _write(path: str, text: str, unused: Collection[str], console: Console) -> None:
    new = without(text, unused, path)
    home = find_places(console.env).home
    target = find_target(path, home)
    write_outside(f"{target}.bak", text.encode(), most=0o600)
    write_config(target, new, home)
    console.line(escaped(f"{path}: {count_of(unused)} removed; the previous file is {target}.bak"))


def without(text: str, unused: Collection[str], path: str) -> str:
    """Return the text without the keys `unused`; every other line stays. Raises ConfigError."""
    gone = {tuple(key.split(".")) for key in unused}
    lines = text.split("\n")
    kept: list[str] = []
    table: Key = ()
    at = 0
    while at < len(lines):
        head = table_of(lines[at])
        end = at + 1
        if head is not None:
            table = head
        elif "=" in lines[at]:
            end = _end_of_value(lines, at)
        found = table + _key(lines[at:end]) if head is None else ()
        if not _is_gone(found, gone):
            kept += lines[at:end]
        at = end
    new = "\n".join(_without_empty(kept, gone))
    if _parsed(new) != pruned(_less(_parsed(text), gone)):
        names = ", ".join(unused)
        raise ConfigError(
            f"{path} has {names} in a form that cannot be changed automatically; remove them by hand"
        )
    return new


def _parsed(text: str) -> Any:
    try:
        return pruned(tomllib.loads(text.removeprefix("\ufeff")))
    except tomllib.TOMLDecodeError:
        return None


def _end_of_value(lines: list[str], at: int) -> int:
    """Return the line after the value that begins at `at`: a list or a string can take several lines."""
    for end in range(at + 1, len(lines) + 1):
        if _key(lines[at:end]):
            return end
    return at + 1


def _key(lines: list[str]) -> Key:
    return key_of("\n".join(line.removesuffix("\r") for line in lines))


def _is_gone(key: Key, gone: Collection[Key]) -> bool:
    return any(key[: len(one)] == one for one in gone) if key else False


def _without_empty(lines: list[str], gone: Collection[Key]) -> list[str]:
    """Return the lines without the heads of tables that contained only such keys."""
    tables = {one[:-1] for one in gone} | set(gone)
    kept: list[str] = []
    for at, line in enumerate(lines):
        head = table_of(line)
        if head in tables and _is_empty(lines[at + 1 :]):
            continue
        kept.append(line)
    return kept


def _is_empty(rest: list[str]) -> bool:
    for line in rest:
        if table_of(line) is not None:
            return True
        if line.strip():
            return False
    return True


def _less(tree: Any, gone: Collection[Key], above: Key = ()) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {
        name: _less(value, gone, (*above, name))
        for name, value in tree.items()
        if (*above, name) not in gone
    }
