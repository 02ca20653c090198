"""How this program was started, as words that can be pasted. Layer: commands."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from airelays.hints import quoted

# Set by the launcher of a checkout that continues in its private Python: what was typed, a word per line.
STARTED_AS = "AIRELAYS_STARTED_AS"


def started_as(argv: list[str], orig_argv: list[str], env: MutableMapping[str, str]) -> str:
    """Return the words that started the program, from Python's two records of its command line.

    Takes STARTED_AS out of `env`. Where PATH leads to the same `airelays`, the word alone will do.
    """
    typed, path = env.pop(STARTED_AS, ""), env.get("PATH", "")
    if typed:
        return " ".join(quoted(word) for word in typed.split("\n"))
    name = os.path.basename(argv[0]) if argv else ""
    if name.lower().removesuffix(".exe") == "airelays":
        # Without a folder in it, the word was looked up in PATH.
        if name == argv[0]:
            return "airelays"
        return "airelays" if _found(name, path) == os.path.realpath(argv[0]) else quoted(argv[0])
    words = orig_argv[: len(orig_argv) - len(argv) + 1]
    if not words:
        return "airelays"
    return " ".join(quoted(word) for word in words)


def _found(name: str, path: str) -> str:
    """Return the file that a shell starts for `name`, "" when it finds none."""
    for folder in path.split(os.pathsep):
        file = os.path.join(folder or ".", name)
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return os.path.realpath(file)
    return ""
