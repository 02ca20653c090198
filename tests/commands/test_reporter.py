"""What `serve` prints while it serves: on a terminal, on one that takes nothing or is gone, and as a service."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airelays.app.happenings import REFUSED, REQUEST, UPSTREAM, Happening
from airelays.terminal import reporter as module
from airelays.terminal.console import Console
from airelays.terminal.reporter import MAX_QUEUED, Reporter
from tests.live import DEADLINE_S, ROOT, TOKEN, Relay, program, wait_ready

OK = Happening(REQUEST, 1e9, "ok", id="req_" + "0a" * 16, model="gpt", status=200, took_ms=5.0)
BAD = OK._replace(state="failed_upstream", status=503, code="upstream_unreachable")
REFUSAL = Happening(REFUSED, 1e9, "auth_failed", client="10.0.0.9", status=401)


class Screen:
    """A terminal of `columns`; `tail` is the end that programs write to."""

    def __init__(self, columns: int = 80) -> None:
        self.head, self.tail = pty.openpty()
        tty.setraw(self.tail)
        self.resize(columns)
        self.seen = ""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.tail, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def until(self, pattern: str) -> str:
        """Read until `pattern` is seen; return what matched, and forget what came up to there."""
        end_s = time.monotonic() + DEADLINE_S
        while True:
            found = re.search(pattern, self.seen)
            if found is not None:
                self.seen = self.seen[found.end() :]
                return found[0]
            left_s = end_s - time.monotonic()
            assert left_s > 0 and select.select([self.head], [], [], left_s)[0], self.seen
            self.seen += os.read(self.head, 65536).decode()

    def console(self) -> Console:
        out = open(self.tail, "w", closefd=False)  # noqa: SIM115  as long as the test
        return Console(out, out, {"NO_COLOR": "1"})

    def close(self) -> None:
        for fd in (self.head, self.tail):
            if fd >= 0:
                os.close(fd)
        self.head = self.tail = -1


class Reader:
    """Reads a screen meanwhile."""

    def __init__(self, screen: Screen) -> None:
        self._screen, self._seen = screen, ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while "stopped" not in self._seen:
            self._seen += os.read(self._screen.head, 65536).decode()

    def end(self, word: str) -> str:
        self._thread.join(DEADLINE_S)
        assert word in self._seen
        return self._seen


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


def served(screen: Screen, home: Path) -> Relay:
    """Start a relay on a terminal."""
    ready = home / "ready"
    words = [*program(), "serve", "--demo", "--port", "0", "--ready-file", str(ready)]
    variables = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AIRELAYS_BEARER_TOKEN": TOKEN,
        "NO_COLOR": "1",
    }
    process = subprocess.Popen(
        words, env=variables, cwd=home, stdin=subprocess.DEVNULL, stdout=screen.tail, stderr=screen.tail, text=True
    )  # fmt: skip
    return Relay(process, wait_ready(process, ready)["port"], home, TOKEN)


def test_requests_and_refusals_are_seen_on_the_terminal_and_its_end_ends_nothing(
    tmp_path: Path,
) -> None:
    screen = Screen(60)
    relay = served(screen, tmp_path)
    try:
        hostile = {
            "model": "m\x1b[2J\u202e" + TOKEN,
            "messages": [{"role": "user", "content": "x"}],
        }
        relay.send("POST", "/v1/chat/completions", hostile, headers={"User-Agent": "prog/1"})
        line = screen.until(r"\d\d:\d\d:\d\d prog .*\n").rstrip("\n")
        assert len(line) <= 60 and line.isprintable() and r" m\x1b[2J\u20" in line
        screen.resize(120)
        refused = relay.send("GET", "/v1/models", token="wrong")
        line = screen.until(r"\d\d:\d\d:\d\d .*refused: auth_failed.*\n").rstrip("\n")
        assert 60 < len(line) <= 120 and line.endswith(refused.headers["x-request-id"][:12])
        # The terminal is closed: Ctrl-C cannot reach the relay any more, and it goes on.
        screen.close()
        for _ in range(3):
            assert relay.get("/v1/models").status == 200
        assert relay.stop() == 0
    finally:
        relay.process.kill()
        relay.process.wait()


def test_a_terminal_that_takes_nothing_holds_nobody_up_and_is_told_what_it_missed(
    screen: Screen,
) -> None:
    reporter = Reporter(screen.console(), quiet=False, form="text")
    reporter.start()
    begun_s = time.monotonic()
    for _ in range(5 * MAX_QUEUED):
        reporter.take(OK)
    assert time.monotonic() - begun_s < DEADLINE_S / 4
    reader = Reader(screen)
    reporter.note("stopped")
    reporter.close()
    seen = reader.end("stopped")
    told = [int(n.replace(",", "")) for n in re.findall(r"([0-9,]+) lines were left out", seen)]
    assert told and sum(told) + seen.count(" gpt ") == 5 * MAX_QUEUED
    # The oldest are left out, and that is told in their place.
    assert seen.index("were left out") < seen.rindex(" gpt ")


def test_one_that_never_takes_anything_does_not_keep_the_relay_from_ending(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_S", 0.05)
    reporter = Reporter(screen.console(), quiet=False, form="text")
    reporter.start()
    for _ in range(MAX_QUEUED):
        reporter.take(OK)
    reporter.note("stopped")
    reporter.close()  # returns
    # Its thread must not go on into a descriptor of another test.
    Reader(screen).end("stopped")


class Pipes:
    """Standard output and error that are no terminal."""

    def __init__(self) -> None:
        self.ends = [os.pipe(), os.pipe()]
        out, err = (open(end[1], "w", closefd=False) for end in self.ends)  # noqa: SIM115
        self.console = Console(out, err, {})

    def read(self) -> list[str]:
        """Return all that was written to both, once nobody writes any more."""
        texts = []
        for reading, writing in self.ends:
            os.close(writing)
            with open(reading, closefd=True) as file:
                texts.append(file.read())
        return texts


def printed(*happenings: Happening, **how: Any) -> list[str]:
    pipes = Pipes()
    reporter = Reporter(pipes.console, **{"quiet": False, "form": "text", **how})
    reporter.start()
    for one in happenings:
        reporter.take(one)
    reporter.close()
    return pipes.read()


def test_a_service_prints_no_requests_but_failures_that_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SERVICE_WINDOW_S", 0.05)
    pipes = Pipes()
    reporter = Reporter(pipes.console, quiet=False, form="text")
    fallback = Happening(UPSTREAM, 1e9, "fallback", "it took over\x1b[2J")
    for one in (OK, OK, BAD, fallback, BAD, fallback, REFUSAL, OK):
        reporter.take(one)
    reporter.start()
    with open(pipes.ends[1][0], closefd=False) as err:
        lines = [err.readline() for _ in range(3)]
    reporter.close()
    assert pipes.read() == ["", ""]
    assert lines[0] == "airelays: it took over\\x1b[2J\n"
    assert lines[1].startswith("airelays: 1 more like this within ")
    assert lines[2].startswith(
        "airelays: 3 requests failed in the last minute: 2 upstream_unreachable, 1 refused: auth_failed ("
    )
    assert printed(OK, BAD, BAD, OK) == ["", ""]


def test_lines_as_json_are_one_object_each() -> None:
    fallback = Happening(UPSTREAM, 1e9, "fallback", "a\n\u202eb")
    out, err = printed(fallback, fallback, OK, form="json")
    assert err == "" and out.isascii()
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0] == {
        "kind": "upstream",
        "at_s": 1e9,
        "state": "fallback",
        "text": "a\n\u202eb",
    }
    assert lines[1] == {**lines[0], "repeated": 1, "within_s": 60.0}


def test_quiet_leaves_requests_out_on_a_terminal_too(screen: Screen) -> None:
    reporter = Reporter(screen.console(), quiet=True, form="text")
    reporter.start()
    reporter.take(OK)
    reporter.note("that was it")
    reporter.close()
    assert "gpt" not in screen.until("that was it")


def test_what_cannot_be_written_ends_the_printing(screen: Screen) -> None:
    closed = io.StringIO()  # has no descriptor
    reporter = Reporter(Console(closed, closed, {}), quiet=False, form="text")
    reporter.start()
    for _ in range(3):
        reporter.note("nobody sees that")
    reporter.close()
    reporter.take(OK)
