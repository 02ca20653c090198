"""Commands of this program as they can be pasted: named the way it was started. Layer: values.

A checkout has no `airelays` on the path, and neither has a folder with the one file in it. Flags that say which relay
is meant (`--config`, `--data-dir`) are part of every hint when they were given.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./~-]+")
_PLAIN_ON_WINDOWS = re.compile(r"[A-Za-z0-9_@+=:,./\\~-]+")
_program = "airelays"
_flags = ""
_near = True
_system: Collection[str] = ()
# What takes the place of commands that are not for the machine-wide relay.
_OF_SYSTEM = {"serve": "systemctl restart airelays", "init": "token rotate"}


def know_start(program: str, flags: str = "") -> None:
    """Take over how this process was started; `flags` follow the command in every hint."""
    global _program, _flags
    _program, _flags = program, flags and " " + flags


def know_system(commands: Collection[str]) -> None:
    """Take over that the machine-wide relay is meant; `commands` take the flag that says so."""
    global _system
    _system = commands


def hint(command: str) -> str:
    """Return `command` ("login --device") as words for the shell that started this program."""
    if _system:
        return _for_system(_OF_SYSTEM.get(command.partition(" ")[0], command))
    return f"{_program} {command}{_flags}"


def _for_system(command: str) -> str:
    if command.startswith("systemctl "):
        return command
    takes = any(command == name or command.startswith(name + " ") for name in _system)
    return f"{_program} {command}{' --system' + _flags if takes else ''}"


def know_listener(*, near: bool) -> None:
    """Take over whether only this machine can be a client."""
    global _near
    _near = near


def told(command: str) -> str:
    """Return `command` for an answer to a client: somebody on the network is not told where the program is."""
    return hint(command) if _near else f"airelays {command}"


def program() -> str:
    """Return the words that start the program."""
    return _program


def quoted(word: str) -> str:
    """Return `word` for the shell of this system; on Windows in double quotes, which both of its shells take."""
    if sys.platform == "win32":
        return word if _PLAIN_ON_WINDOWS.fullmatch(word) else '"' + word.replace('"', '\\"') + '"'
    return word if _PLAIN.fullmatch(word) else "'" + word.replace("'", "'\"'\"'") + "'"
