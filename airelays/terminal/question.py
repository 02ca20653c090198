"""Questions to the person at the terminal. Without one, every question has its default. Layer: commands."""

from __future__ import annotations

import contextlib
import sys

from airelays.terminal.console import Console


def can_ask(console: Console) -> bool:
    """Whether a person can see the question and answer it."""
    return console.terminal and sys.stdin is not None and sys.stdin.isatty()


def ask(console: Console, question: str, default: str = "") -> str:
    """Return what was typed, `default` for nothing, the end of input or Ctrl-C. Asked on stderr."""
    console.out.flush()
    line = ""
    # Ctrl-C can come as soon as the question is on the screen, before anything waits for the answer.
    with contextlib.suppress(KeyboardInterrupt):
        console.err.write(f"{question} ")
        console.err.flush()
        line = sys.stdin.readline(1024)
    if not line.endswith("\n"):
        console.err.write("\n")
    return line.strip() or default


def confirms(console: Console, question: str) -> bool:
    """Whether the answer to a question about something that cannot be undone is yes; Enter alone is no."""
    return can_ask(console) and ask(console, f"{question} [y/N]", "n").lower() in ("y", "yes")


def agrees(console: Console, question: str) -> bool:
    """Whether the answer to a question of yes or no is yes; Enter alone is."""
    if not can_ask(console):
        return False
    return ask(console, f"{question} [Y/n]", "y").lower() in ("y", "yes")
