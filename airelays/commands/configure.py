"""`config set`, `config edit`: change the config file, whole or not at all. Layer: commands."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile

from airelays.disk.outside import write_outside
from airelays.errors import ConfigError, FlagError
from airelays.hints import hint
from airelays.host.contact import find
from airelays.settings.edit import set_in_text
from airelays.settings.load import load, nearest
from airelays.settings.parse import from_text
from airelays.settings.table import OPTIONS, Option
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_config, find_places, read_config, write_config
from airelays.terminal.question import agrees

NEW_FILE = "# The options of AIRelays.\n"


def run_set(args: Arguments, console: Console) -> int:
    """Set one option in the file; nothing is written unless the file can be used afterwards."""
    if len(args.words) != 2:
        raise FlagError(
            f"KEY or VALUE is missing; for example: {hint('config set server.port 9090')}"
        )
    key, text = args.words
    option = _option(key)
    places = find_places(console.env)
    try:
        value = from_text(option, text, key, places)
    except ConfigError as error:
        raise FlagError(str(error)) from error
    path = find_config(args.get("--config"), console.env, places)[0]
    before = read_config(path)
    after = set_in_text(before if before is not None else NEW_FILE, key, value, path)
    _save(path, after, console)
    console.line(f"{key} is set in {path}")
    _tell_relay(args, console, path)
    return 0


def run_edit(args: Arguments, console: Console) -> int:
    """Open a copy of the file in an editor; it replaces the file only when it can be used."""
    places = find_places(console.env)
    path = find_config(args.get("--config"), console.env, places)[0]
    before = read_config(path)
    start = before if before is not None else NEW_FILE
    with tempfile.TemporaryDirectory(prefix="airelays-") as folder:
        copy = os.path.join(folder, "config.toml")
        with open(copy, "w", encoding="utf-8", newline="") as file:
            file.write(start)
        while True:
            _edit(copy, console)
            after = read_config(copy) or ""
            if after == start:
                console.line("nothing was changed")
                return 0
            try:
                _check(after, path, console)
                break
            except ConfigError as error:
                console.note(str(error))
                if not agrees(console, "Edit it again?"):
                    kept = write_outside(path + ".edited", after.encode(), home=places.home)
                    raise ConfigError(
                        f"{path} was not changed; your edits are in {kept}"
                    ) from error
    _save(path, after, console)
    console.line(f"saved {path}")
    _tell_relay(args, console, path)
    return 0


def _option(key: str) -> Option:
    known = {option.key: option for option in OPTIONS}
    option = known.get(key)
    if option is None:
        near = nearest(key, set(known))
        more = f"did you mean {near}?" if near else f"`{hint('docs configuration')}` lists all keys"
        raise FlagError(f"there is no option {key[:80]!r} that can be set here; {more}")
    if option.kind == "pairs":
        raise FlagError(f"{key} is a table of strings; edit it with `{hint('config edit')}`")
    return option


def _check(text: str, path: str, console: Console) -> None:
    """Raise the ConfigError with which the program would refuse this file."""
    load(text, path, console.env, {}, places=find_places(console.env))


def _save(path: str, text: str, console: Console) -> None:
    _check(text, path, console)
    home = find_places(console.env).home
    write_config(path, text, home)


def _edit(path: str, console: Console) -> None:
    words = console.env.get("VISUAL") or console.env.get("EDITOR")
    if not words:
        words = "notepad" if sys.platform == "win32" else "vi"
    command = [*shlex.split(words, posix=sys.platform != "win32"), path]
    try:
        code = subprocess.call(command)
    except OSError as error:
        raise ConfigError(
            f"the editor {command[0]} could not be started ({error.strerror}); set EDITOR to another one"
        ) from error
    if code:
        raise ConfigError(f"the editor {command[0]} exited with code {code}; nothing was changed")


def _tell_relay(args: Arguments, console: Console, path: str) -> None:
    """Say how a relay that runs with this file takes it over."""
    from airelays.terminal.context import find_context

    try:
        contact = find(find_context(args, console).settings.data_dir)
    except ConfigError:
        return
    if contact is not None and contact.running is not None and contact.running.config_path == path:
        console.steps([hint("reload")])
