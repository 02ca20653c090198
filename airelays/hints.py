"""Commands of this program as they can be pasted: named the way it was started. Layer: values.

A checkout has no `airelays` on the path, and neither has a folder with the one file in it. Flags that say which relay
is meant (`--config`, `--data-dir`) are part of every hint when they were given.
"""

from __future__ import annotations

import re
import sys

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./~-]+")
_PLAIN_ON_WINDOWS = re.compile(r"[A-Za-z0-9_@+=:,./\\~-]+")
_program = "airelays"
_flags = ""
_near = True


def know_start(program: str, flags: str = "") -> None:
    """Take over how this process was started; `flags` follow the command in every hint."""
    global _program, _flags
    _program, _flags = program, flags and " " + flags


def hint(command: str) -> str:
    """Return `command` ("login --device") as words for the shell that started this program."""
    return f"{_program} {command}{_flags}"


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
