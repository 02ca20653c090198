"""What the command line had before 1.0: several ChatGPT accounts at once, and Claude. Layer: commands."""

from __future__ import annotations

from collections.abc import Callable

from airelays.hints import program
from airelays.terminal.line import UsageError

_ONE = "AIRelays works with one sign-in, your own"
COMMANDS = {
    "accounts": f"{_ONE}: `airelays status` shows it, `airelays login` replaces it, `airelays logout` removes it",
    "balance": f"{_ONE}, so there is nothing to balance between",
    "claude": "a Claude subscription cannot be an upstream; any compatible server can: `airelays docs upstreams`",
}
# Flag -> its command, whether a value follows, why leaving it out changes nothing.
FLAGS = {
    "--balance": ("serve", True, f"{_ONE}, so there is nothing to balance between"),
    "--all": ("logout", False, f"{_ONE}, which is what logout removes"),
    "--replace": ("login", True, f"{_ONE}, which is what login replaces"),
}


def retire(words: list[str], note: Callable[[str], None]) -> list[str]:
    """Return a command line without the flags that no longer have an effect, and report them with `note`.

    Raises UsageError for a command that no longer exists.
    """
    gone = next((word for word in words if not word.startswith("-")), "")
    if gone in COMMANDS:
        why = COMMANDS[gone].replace("`airelays", f"`{program()}")
        raise UsageError(f"`airelays {gone}` existed only before release 1.0; {why}")
    left: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        command, valued, why = FLAGS.get(name, ("", False, ""))
        if not command or command not in words:
            left.append(word)
            continue
        if valued and not equals:
            next(rest, None)
        note(f"{name} existed only before release 1.0 and is ignored: {why}")
    return left
