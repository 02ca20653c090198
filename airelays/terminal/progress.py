"""Waiting, made visible: a spinner with the time left on a terminal, a plain line now and then elsewhere.

Writes to stderr only. Layer: commands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from airelays.terminal.console import Console

TICK_S = 0.1
PLAIN_EVERY_S = 15.0
_FRAMES = "|/-\\"
_T = TypeVar("_T")


async def wait_visibly(
    console: Console,
    text: str,
    work: Coroutine[Any, Any, _T],
    timeout_s: float,
    *,
    after: asyncio.Event,
) -> _T:
    """Return what `work` returns, showing `text` and the time left of `timeout_s` from `after` on.

    What the user has to read is printed before `after` is set: a line that redraws itself would write over it.
    The line is gone from a terminal when this returns, raises or is interrupted.
    """
    deadline_s = time.monotonic() + timeout_s
    shown = asyncio.create_task(_show(console, text, deadline_s, after), name="progress")
    try:
        return await work
    finally:
        shown.cancel()
        await asyncio.wait([shown])


async def _show(console: Console, text: str, deadline_s: float, after: asyncio.Event) -> None:
    await after.wait()
    err = console.err
    live = err.isatty() and console.env.get("TERM") != "dumb"
    turn = 0
    try:
        while True:
            left = _clock(deadline_s - time.monotonic())
            if live:
                line = f"{_FRAMES[turn % len(_FRAMES)]} {text}, {left} left"
                # A line that wraps could not be drawn over.
                err.write(f"\r{line[: console.columns - 1]}\x1b[K")
            elif turn:
                err.write(f"airelays: {text}, {left} left\n")
            err.flush()
            turn += 1
            await asyncio.sleep(TICK_S if live else PLAIN_EVERY_S)
    finally:
        if live:
            err.write("\r\x1b[K")
            err.flush()


def _clock(seconds: float) -> str:
    total = max(0, int(seconds + 0.999))
    return f"{total // 60}:{total % 60:02d}"
