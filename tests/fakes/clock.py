"""An event loop whose clock runs many times as fast as the world's: deadlines of seconds pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class _FastSelector(selectors.DefaultSelector):
    """Waits for a `factor`th of what it is told."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self._factor)


class _FastLoop(asyncio.SelectorEventLoop):
    def __init__(self, factor: float) -> None:
        self._factor = factor
        super().__init__(_FastSelector(factor))

    def time(self) -> float:
        return time.monotonic() * self._factor


def run_fast(main: Coroutine[Any, Any, _T], factor: float = 50.0) -> _T:
    """Run `main` in a loop where a second of the world is `factor` seconds."""
    with asyncio.Runner(loop_factory=lambda: _FastLoop(factor)) as runner:
        return runner.run(main)
