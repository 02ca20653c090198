"""What `serve` prints while it serves: lines formatted and written in a separate thread.

The event loop only puts a happening into a queue. A terminal that accepts nothing (Ctrl-S) blocks only this thread:
what does not fit into the queue is dropped, the oldest first, and counted. A terminal that is closed ends the
printing, not the relay. Owns: what is printed where. Refuses to know: how a line looks. Layer: commands.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from typing import Any

from airelays.app.happenings import NOTICE, REFUSED, REQUEST, Happening
from airelays.terminal.console import Console, escaped
from airelays.terminal.happening import (
    SOFT,
    Failures,
    Repeats,
    heads,
    lines_of,
    more_text,
    sentence,
)

MAX_QUEUED = 1000
TERMINAL_WINDOW_S, SERVICE_WINDOW_S = 10.0, 60.0
GATHER_S = 0.05
# A terminal that takes nothing gets this long at the end.
LAST_S = 1.0
_STOPS = frozenset(("stopping", "stopped"))


class Reporter:
    """Prints what it receives, until it is closed. `take` can be called from any thread.

    `prints_each` means that requests that did not fail are printed too.
    """

    def __init__(self, console: Console, *, quiet: bool, form: str) -> None:
        """With `quiet`, or without a terminal, requests are not printed; `form` is "text" or "json"."""
        self._console = console
        self.prints_each = console.terminal and not quiet
        self._json = form == "json"
        # Locks the queue and the count of what was dropped from it; not held while something is written.
        self._lock = threading.Lock()
        self._queue: deque[Happening] = deque(maxlen=MAX_QUEUED)
        self._dropped = 0
        self._awake = threading.Event()
        self._end = threading.Event()
        self._gone = False
        window_s = TERMINAL_WINDOW_S if self.prints_each else SERVICE_WINDOW_S
        self._window_s = window_s
        self._repeats = Repeats(window_s)
        self._failures = Failures()
        self._failures_due_s: float | None = None
        self._has_head = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to print."""
        self._thread.start()

    def take(self, happening: Happening) -> None:
        """Print `happening` soon, or never: it neither waits nor raises."""
        if self._gone or (
            not self.prints_each and happening.kind == REQUEST and not happening.failed
        ):
            return
        with self._lock:
            if len(self._queue) == MAX_QUEUED:
                self._dropped += 1
            self._queue.append(happening)
        self._awake.set()

    def note(self, text: str) -> None:
        """Print a sentence."""
        self.take(Happening(NOTICE, time.time(), text=text))

    def close(self) -> None:
        """Print what is left; a terminal that takes nothing is not waited for."""
        self._end.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(LAST_S)

    # ---- in the thread

    def _run(self) -> None:
        while not self._gone:
            # In this order: what is set after the look wakes the wait below.
            self._awake.clear()
            ended = self._end.is_set()
            now_s = time.monotonic()
            dropped, taken = self._take_some()
            lines = self._left_out(dropped) + self._shown(taken, now_s)
            self._write(lines + self._due(now_s, last=ended))
            if ended and not self._queue:
                return
            if not self._queue:
                self._awake.wait(self._pause_s(now_s))
                # Under load one look for many, which costs the event loop less than one for each.
                self._end.wait(GATHER_S)

    def _pause_s(self, now_s: float) -> float | None:
        due = [at_s for at_s in (self._repeats.next_s(), self._failures_due_s) if at_s is not None]
        return max(0.0, min(due) - now_s) if due else None

    def _take_some(self) -> tuple[int, list[Happening]]:
        """Return how many were dropped before the first of the queue, and a part of the queue; the rest is taken
        later.

        So what is dropped meanwhile is reported in the right place.
        """
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            return dropped, [self._queue.popleft() for _ in range(min(len(self._queue), 100))]

    def _shown(self, taken: list[Happening], now_s: float) -> list[tuple[int, str]]:
        lines: list[tuple[int, str]] = []
        for one in taken:
            if not self.prints_each and one.failed:
                self._failures.add(one)
                if self._failures_due_s is None:
                    self._failures_due_s = now_s + SERVICE_WINDOW_S
            elif self._repeats.is_new(one, now_s):
                lines += self._lines(one)
        return lines

    def _due(self, now_s: float, *, last: bool) -> list[tuple[int, str]]:
        lines = []
        for one, count in self._repeats.due(float("inf") if last else now_s):
            lines += self._repeated(one, count)
        if self._failures_due_s is not None and now_s >= self._failures_due_s:
            self._failures_due_s = None
            told = self._failures.take()
            if told is not None:
                lines += self._lines(told._replace(at_s=time.time()))
        return lines

    def _left_out(self, count: int) -> list[tuple[int, str]]:
        if not count:
            return []
        text = f"{count:,} lines were left out because the terminal did not accept them"
        return self._lines(Happening(NOTICE, time.time(), "dropped", text))

    # ---- lines, each with the descriptor that it is for

    def _lines(self, one: Happening) -> list[tuple[int, str]]:
        if self._json:
            return [(1, json.dumps(one.facts(), separators=(",", ":")))]
        if not self._console.terminal:
            text = escaped(sentence(one))
            # The end goes where the line on the start went.
            return [(1, text)] if one.state in _STOPS else [(2, f"airelays: {text}")]
        lines = [(1, text) for text in lines_of(one, self._console.columns, self._console.style)]
        if one.kind == REQUEST and not self._has_head:
            self._has_head = True
            lines = [(1, ""), (1, self._console.style(heads(self._console.columns), SOFT)), *lines]
        return lines

    def _repeated(self, one: Happening, count: int) -> list[tuple[int, str]]:
        if self._json:
            facts: dict[str, Any] = {**one.facts(), "repeated": count, "within_s": self._window_s}
            return [(1, json.dumps(facts, separators=(",", ":")))]
        what = f"{one.client} {one.status} {one.state}" if one.kind == REFUSED else sentence(one)
        text = f"{more_text(count, self._window_s)}: {what}"
        return self._lines(Happening(NOTICE, time.time(), text=text))

    def _write(self, lines: list[tuple[int, str]]) -> None:
        """Write the lines, by as few writes as keep their order. Blocks as long as the terminal does."""
        at = 0
        while at < len(lines):
            to, end = lines[at][0], at + 1
            while end < len(lines) and lines[end][0] == to:
                end += 1
            text = "".join(f"{line}\n" for _, line in lines[at:end])
            at = end
            try:
                self._write_all(to, text)
            except (OSError, ValueError):
                self._gone = True
                self._queue.clear()
                return

    def _write_all(self, to: int, text: str) -> None:
        stream = self._console.out if to == 1 else self._console.err
        # Past Python's buffers, whose lock the end of the process would wait for. A Windows console takes bytes in a
        # code page of its own: ASCII is the same in all.
        encoding = "ascii" if os.name == "nt" else stream.encoding or "ascii"
        data = text.encode(encoding, "backslashreplace")
        fd = stream.fileno()
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:  # another program has set the terminal so
                time.sleep(0.05)
