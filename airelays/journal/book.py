"""The book: what each ended request used, one line by one `write` before its end is sent.

`book-N.log` in the data folder (0600), one JSON object per line; each process that writes has its own file. A killed
process does not lose a request whose end a client saw; a line that was being written is incomplete, and is ignored
when the book is read. After 1 MiB, the next file begins. `state/usage.py` merges the lines into the database and
removes files that are completely merged. A full disk stops the book, not the requests. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from airelays.credentials.lock import claim
from airelays.disk.regular import open_regular
from airelays.journal.files import open_own
from airelays.model import Fields, Outcome

MAX_FILE_BYTES = 1024 * 1024
# Files that cannot be folded, because the database is damaged or read-only, fill the disk up to here.
MAX_FILES = 64
MAX_LINE_BYTES = 4096
_COMPLAINT_S = 60.0
_YEAR_10000_S = 253_402_300_800
_NAME = re.compile(r"book-([1-9][0-9]{0,8})\.log")
_PROGRAM = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._/+-]{0,63}")


class Book:
    """Writes lines. `lost` counts those that could not be written."""

    def __init__(
        self, folder: str, complain: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._complain = complain
        self._clock = clock
        self._fd = -1
        self._size = 0
        self._number = 0
        self._complained_s = float("-inf")
        self.lost = 0

    def write(self, line: bytes) -> None:
        """Append one line by one write. Never raises."""
        try:
            if self._fd < 0 or self._size + len(line) > MAX_FILE_BYTES:
                self._next()
            written = os.write(self._fd, line)
            self._size += written
            if written < len(line):
                # The rest of a line would become a separate line, so the next file begins.
                self._close()
                self._number += 1
                raise OSError(28, "No space left on device")
        except OSError as error:
            self.lost += 1
            self._say(error)

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _next(self) -> None:
        """Open the newest file, or the one after it when that is full, ends within a line, or is another process's."""
        self._close()
        numbers = numbers_in(self._folder)
        number = max(self._number, numbers[-1] if numbers else 1, 1)
        while True:
            fd, size = open_own(self._path(number))
            has_room = size < MAX_FILE_BYTES - MAX_LINE_BYTES
            if has_room and _ends_well(self._path(number), size) and claim(fd):
                break
            os.close(fd)
            number += 1
        self._fd, self._size, self._number = fd, size, number
        self._remove_old(numbers)

    def _remove_old(self, numbers: list[int]) -> None:
        for number in numbers[:-MAX_FILES]:
            os.unlink(self._path(number))

    def _path(self, number: int) -> str:
        return path_of(self._folder, number)

    def _say(self, error: OSError) -> None:
        now_s = self._clock()
        if abs(now_s - self._complained_s) >= _COMPLAINT_S:
            self._complained_s = now_s
            self._complain(
                f"usage cannot be written to {self._folder}: {error.strerror}; {self.lost:,} lines are not "
                f"saved, and a restart loses them"
            )


def line_of(
    outcome: Outcome,
    request_id: str,
    key: str,
    model: str,
    program: str,
    ended: str,
    wall_s: float,
    took_ms: float,
) -> bytes:
    """Return the line of a request that is about to end. `model` and `program` do not contain secrets."""
    usage, more = outcome.usage, ""
    if usage is not None:
        more = (
            f',"in":{usage.input_tokens},"out":{usage.output_tokens},"total":{usage.total_tokens}'
        )
        if usage.cached_tokens:
            more += f',"cached":{usage.cached_tokens}'
        if usage.reasoning_tokens:
            more += f',"reasoning":{usage.reasoning_tokens}'
    first_ms = outcome.timings_ms.get("first_token")
    if first_ms is not None:
        more += f',"first_ms":{first_ms:.0f}'
    if outcome.session:
        more += f',"session":"{outcome.session}"'
    if ended != "ok":
        more += f',"end":"{ended}"'
    return (
        f'{{"at":{wall_s:.3f},"id":"{request_id}","key":"{key}","route":"{outcome.route}",'
        f'"model":{_literal(model[:200])},"upstream":{_literal(outcome.upstream)},'
        f'"program":{_literal(program)},"status":{outcome.status},"ms":{took_ms:.0f}{more}}}\n'
    ).encode("ascii")


@lru_cache(maxsize=512)
def _literal(text: str) -> str:
    return json.dumps(text)


def program_of(agent: bytes | None) -> str:
    """Return the name at the beginning of a User-Agent, without its version; "" if there is none."""
    found = _PROGRAM.match(agent or b"")
    return found[0].partition(b"/")[0].decode() if found is not None else ""


@lru_cache(maxsize=256)
def program_in(fields: Fields) -> str:
    """Return `program_of` the User-Agent among the fields of a request."""
    return program_of(next((value for name, value in fields if name == b"user-agent"), None))


def read_new(folder: str, number: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Return the entries of a file from `offset` on, and where they end: after the last complete line.

    Lines that are not entries are ignored. An offset past the end means that this is another file with the same name,
    which is read from its start. Raises OSError.
    """
    with open(open_regular(path_of(folder, number), follow=False), "rb") as file:
        if offset > os.fstat(file.fileno()).st_size:
            offset = 0
        file.seek(offset)
        data = file.read(2 * MAX_FILE_BYTES)
    end = data.rfind(b"\n") + 1
    return [e for line in data[:end].split(b"\n") if (e := _entry(line))], offset + end


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    at_s = entry.get("at")
    good = isinstance(at_s, int | float) and 0 <= at_s < _YEAR_10000_S
    return entry if good else None


def path_of(folder: str, number: int) -> str:
    """Return the name of a file of the book."""
    return os.path.join(folder, f"book-{number}.log")


def remove_free(folder: str, number: int) -> None:
    """Remove a file that no process writes to; a claimed file stays."""
    with contextlib.suppress(OSError):
        fd, _ = open_own(path_of(folder, number))
        try:
            if claim(fd):
                os.unlink(path_of(folder, number))
        finally:
            os.close(fd)


def tokens_of(entry: dict[str, Any]) -> int:
    """Return what a line counts towards a budget."""
    total = entry.get("total")
    return total if type(total) is int and total >= 0 else 0


def numbers_in(folder: str) -> list[int]:
    """Return the numbers of the files that are there, the oldest first."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def _ends_well(path: str, size: int) -> bool:
    """Whether the file is empty or ends with a whole line."""
    if not size:
        return True
    with open(open_regular(path, follow=False), "rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
