"""Long texts on a terminal, through the user's pager. Layer: commands."""

from __future__ import annotations

from airelays.terminal.console import Console

# What an empty LESS would not do: quit when the text fits, show styles, leave the text on the screen.
USUAL = "less -FRX"
ENV = ("AIRELAYS_PAGER", "PAGER")


def show(text: str, console: Console, *, pager: bool = True) -> None:
    """Print `text`, on a terminal through AIRELAYS_PAGER, PAGER or less; an empty one or "cat" means none."""
    if not (pager and console.terminal and _paged(text, console)):
        console.out.write(text)


def _paged(text: str, console: Console) -> bool:
    """Whether a pager has shown `text`. One that is quit early has, too."""
    import shlex
    import subprocess

    chosen = next((console.env[name] for name in ENV if name in console.env), USUAL)
    try:
        words = shlex.split(chosen)
    except ValueError:
        console.note(
            f"the pager {chosen!r} is not a valid command line; showing the text without a pager"
        )
        return False
    if not words or words == ["cat"]:
        return False
    console.out.flush()
    try:
        # A program of the user's own choice, started without a shell.
        process = subprocess.Popen(words, stdin=subprocess.PIPE)
    except OSError:
        return False
    given: bytes | None = text.encode()
    while True:
        try:
            process.communicate(given)
        except KeyboardInterrupt:  # for the pager, which has the terminal
            given = None
            continue
        # 127 is the exit code of a wrapper that did not find its program.
        return process.returncode != 127
