"""`docs`: list the pages that are shipped inside the program, or show one. Layer: commands."""

from __future__ import annotations

from airelays.app.pages import MOVED, PAGES, page_text, page_title
from airelays.errors import FlagError
from airelays.hints import hint
from airelays.terminal.arguments import Arguments
from airelays.terminal.closest import did_you_mean
from airelays.terminal.console import Console
from airelays.terminal.layout import text_columns
from airelays.terminal.markdown import rendered
from airelays.terminal.pager import show


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
            f"there is no page {name!r}; expected one of {', '.join(PAGES)}{did_you_mean(name, PAGES)}"
        )
    text = page_text(name)
    if console.terminal:
        text = rendered(text, text_columns(console.columns), console.style)
    show(text, console, pager=not args.has("--no-pager"))
    return 0
