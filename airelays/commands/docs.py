"""`docs`: list the pages that are shipped inside the program, or show one. Layer: commands."""

from __future__ import annotations

import re

from airelays.app.pages import MOVED, PAGES, page_text, page_title
from airelays.errors import FlagError
from airelays.hints import hint
from airelays.terminal.arguments import Arguments
from airelays.terminal.closest import did_you_mean
from airelays.terminal.console import Console, escaped

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def run(args: Arguments, console: Console) -> int:
    """List the topics, or show one: with styles and a pager on a terminal, as it is elsewhere."""
    if not args.words:
        console.title("Documentation")
        console.section("Topics")
        for name in PAGES:
            console.field(name, page_title(name))
        console.steps([hint("docs TOPIC")])
        return 0
    word = args.words[0].removesuffix(".md")
    name = MOVED.get(word, word)
    if name not in PAGES:
        raise FlagError(
            f"there is no page {name!r}; there are {', '.join(PAGES)}{did_you_mean(name, PAGES)}"
        )
    text = page_text(name)
    if not console.terminal:
        console.out.write(text)
    elif not _page(styled(text, console), console):
        console.out.write(styled(text, console))
    return 0


def styled(text: str, console: Console) -> str:
    """Return Markdown as it looks good on a terminal: heads bold, code in colour, the rest as it is."""
    lines, in_code = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            in_code = not in_code
            continue
        line = escaped(line)
        if in_code:
            lines.append("    " + console.style(line, "36"))
        elif line.startswith("#"):
            lines.append(console.style(line.lstrip("#").strip(), "1"))
        else:
            lines.append(_INLINE.sub(lambda m: _inline(m, console), line))
    return "\n".join(lines) + "\n"


def _inline(match: re.Match[str], console: Console) -> str:
    code, bold = match.groups()
    return console.style(code, "36") if code else console.style(bold, "1")


def _page(text: str, console: Console) -> bool:
    """Show `text` in the user's pager; False when there is none."""
    import shlex
    import subprocess

    command = shlex.split(console.env.get("PAGER") or "less -FRX")
    console.out.flush()
    try:
        # The pager is a program of the user's own choice, started without a shell.
        done = subprocess.run(command, input=text.encode(), check=False)
    except OSError:
        return False
    return done.returncode != 127
