"""Commands of this program that can be pasted, written the way the program was started. Layer: values.

In a checkout or in a folder with the one file, `airelays` is not on the path. Flags that select a relay (`--config`,
`--data-dir`) are part of every hint if they were given.
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
# Replacements for commands that cannot be used for the machine-wide relay.
_OF_SYSTEM = {"serve": "systemctl restart airelays", "init": "token rotate"}


def know_start(program: str, flags: str = "") -> None:
    """Remember how this process was started; `flags` follow the command in every hint."""
    global _program, _flags
    _program, _flags = program, flags and " " + flags


def know_system(commands: Collection[str]) -> None:
    """Remember that hints are for the machine-wide relay; `commands` are those that accept --system."""
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
    """Remember whether only this machine can be a client."""
    global _near
    _near = near


def told(command: str) -> str:
    """Return `command` for an answer to a client. Clients on the network do not learn where the program is."""
    return hint(command) if _near else f"airelays {command}"


def program() -> str:
    """Return the words that start the program."""
    return _program


def quoted(word: str) -> str:
    """Return `word` for the shell of this system; on Windows in double quotes, which both of its shells accept."""
    if sys.platform == "win32":
        return word if _PLAIN_ON_WINDOWS.fullmatch(word) else '"' + word.replace('"', '\\"') + '"'
    return word if _PLAIN.fullmatch(word) else "'" + word.replace("'", "'\"'\"'") + "'"
