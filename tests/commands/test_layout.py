"""Text in a width: pages, tables and words fit, code is left alone, the pager is the user's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airelays.app.pages import PAGES, page_text
from airelays.terminal.console import Console
from airelays.terminal.layout import bar, cut, pad, table, text_columns, width, wrap
from airelays.terminal.markdown import rendered
from airelays.terminal.pager import show
from tests.commands.test_reporter import Screen
from tests.live import ROOT, program


def plain(text: str, codes: str) -> str:
    return text


def coloured(text: str, codes: str) -> str:
    return f"\x1b[{codes}m{text}\x1b[0m"


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
@pytest.mark.parametrize("name", PAGES)
def test_every_line_of_a_page_fits(name: str, columns: int) -> None:
    text = page_text(name)
    for line in rendered(text, columns, plain).splitlines():
        code = line.startswith("    ") and line[4:] in text
        assert width(line) <= columns or code or len(line.removeprefix("- ").split()) == 1, line
    styled = rendered(text, columns, coloured)
    assert [width(line) for line in styled.splitlines()] == [
        width(line) for line in rendered(text, columns, plain).splitlines()
    ]


def test_a_page_is_laid_out() -> None:
    text = """# A `title`

one two
three **four** [five](https://x.example/) [six](#other)

- seven
  eight
- nine

1. ten

| a | b |
| --- | --- |
| `x` | y \\| z and more |

```sh
code  is   left alone, however long it is
```
"""
    assert (
        rendered(text, 40, plain)
        == """A title

one two three four five
(https://x.example/) six

- seven eight
- nine

1. ten

a  b
-  --------------
x  y | z and more

    code  is   left alone, however long it is
"""
    )


def test_cells_are_wrapped_in_their_columns_and_numbers_stand_at_the_right() -> None:
    rows = [["name", "count", "what it is for"], ["one", "5", "a sentence that goes on and on"]]
    assert table(rows, 40, right={1}) == [
        "name  count  what it is for",
        "----  -----  ---------------------------",
        "one       5  a sentence that goes on and",
        "             on",
    ]


def test_heads_of_numbers_are_wrapped_and_numbers_are_not() -> None:
    rows = [["day", "first token"], ["2026-11-29", "1.25 s"]]
    assert table(rows, 19, right={1}, rule=False) == [
        "day           first",
        "              token",
        "2026-11-29   1.25 s",
    ]


def test_a_table_too_narrow_for_its_columns_becomes_blocks() -> None:
    rows = [
        ["option", "what it does", "default"],
        ["a_name_of_many_words", "a sentence that goes on and on", "a default of some length"],
        ["b", "", "none"],
    ]
    assert table(rows, 44) == [
        "a_name_of_many_words",
        "  what it does: a sentence that goes on and",
        "    on",
        "  default: a default of some length",
        "",
        "b",
        "  default: none",
    ]


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("abc", 3), ("模型", 4), ("é", 1), ("e\u0301", 1), ("\x1b[1;36mab\x1b[0m", 2)],
)
def test_the_width_is_that_on_the_screen(text: str, columns: int) -> None:
    assert width(text) == columns
    assert width(pad(text, 9)) == width(pad(text, 9, right=True)) == 9


def test_what_is_too_long_is_cut_or_broken_at_the_width() -> None:
    assert cut("abcdef", 6) == "abcdef" and cut("abcdefg", 6) == "abcd.."
    assert width(cut("模型模型", 7)) <= 7
    assert wrap("a bcdefgh i", 4) == ["a", "bcdefgh", "i"]
    assert wrap("a bcdefgh i", 4, breaks=True) == ["a", "bcde", "fgh", "i"]
    assert wrap("", 4, "> ") == ["> "]
    assert [bar(share, 4) for share in (-1, 0, 0.5, 1, 7)] == [
        "----",
        "----",
        "##--",
        "####",
        "####",
    ]
    assert [text_columns(n) for n in (1, 40, 77, 500)] == [40, 40, 77, 100]


# ---- the pager


def shown(screen: Screen, env: dict[str, str], *, pager: bool = True) -> None:
    out = open(screen.tail, "w", closefd=False)  # noqa: SIM115  as long as the test
    console = Console(out, out, env)
    show("the text\n", console, pager=pager)
    out.write("end\n")
    out.flush()


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"PAGER": "sed s/the/some/"}, "some text"),
        ({"PAGER": "false", "AIRELAYS_PAGER": "sed s/the/my/"}, "my text"),
        ({"PAGER": "cat"}, "the text"),
        ({"PAGER": "false", "AIRELAYS_PAGER": ""}, "the text"),
        ({"PAGER": "/nonexistent/pager"}, "the text"),
        ({"PAGER": "sh -c 'exit 127'"}, "the text"),
        ({"PAGER": "one 'quote"}, "is not a valid command line[^\n]*\n[^\n]*\nthe text"),
        # It ends early, and that is no failure.
        ({"PAGER": "head -c 3"}, "the"),
    ],
)
def test_the_pager_is_the_users(env: dict[str, str], text: str) -> None:
    screen = Screen()
    # A pager writes to the descriptor of the process.
    kept = os.dup(1)
    os.dup2(screen.tail, 1)
    try:
        shown(screen, env)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    screen.until(rf"^(airelays: [^\n]*)?{text}\n?end\n$")
    screen.close()


def test_without_a_terminal_or_with_no_pager_nothing_is_started(
    capfd: pytest.CaptureFixture[str],
) -> None:
    show("the text\n", Console(sys.stdout, sys.stderr, {"PAGER": "false"}))
    assert capfd.readouterr().out == "the text\n"
    screen = Screen()
    shown(screen, {"PAGER": "false"}, pager=False)
    screen.until("the text\nend\n")
    screen.close()


def test_a_pager_that_is_quit_early_or_interrupted_is_not_an_error(tmp_path: Path) -> None:
    screen = Screen(60)
    env = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PAGER": "sh -c 'head -n 3; kill -INT $PPID'",
        "NO_COLOR": "1",
    }
    words = [*program(), "docs", "errors"]
    process = subprocess.Popen(words, env=env, stdout=screen.tail, stderr=screen.tail)
    killer = threading.Timer(20.0, process.send_signal, [signal.SIGKILL])
    killer.start()
    try:
        assert screen.until("Errors\n\n.+\n")
        assert process.wait() == 0
    finally:
        killer.cancel()
        screen.close()
