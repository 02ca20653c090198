"""The files of the traffic log: their names, opening one to append, reading them back.

`YYYY/MM/DD-HH.jsonl` in UTC below the log folder, with `DD-HH.1.jsonl` and so on when a file is full. Folders 0700,
files 0600, no symbolic link is followed, and only regular files with one name are written. A reader skips lines that
are not JSON objects: a crash leaves at most one incomplete line. Layer: I/O.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from airelays.disk.folder import make_private_dir
from airelays.disk.regular import open_regular

MAX_PART = 9999
# Longer than any record that is written; a reader gives up on a line that has no end.
MAX_LINE_BYTES = 1024 * 1024
_NAME = re.compile(r"([0-9]{2})-([0-9]{2})(?:\.([1-9][0-9]{0,3}))?\.jsonl")
# The layout of AIRelays before 1.0: these files are not read, but they contain prompts, so the retention includes them.
_EARLIER = re.compile(r"([0-9]{2})-([0-9]{2})(?:\.[0-9a-f]{32})?\.log")
_YEAR = re.compile(r"[0-9]{4}")
_MONTH = re.compile(r"[0-9]{2}")
_POSIX = os.name == "posix"
_FLAGS = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class UnsafeLog(OSError):
    """Something that does not belong to the relay is where a log file or its folder should be."""


class LogFile(NamedTuple):
    """One file of the log. `hour` counts hours since 1970 in UTC; `part` is -1 for a file of an earlier AIRelays."""

    hour: int
    part: int
    path: str
    size: int


def hour_path(logs_dir: str, hour: int, part: int = 0) -> str:
    """Return the name of the file for `hour`; `part` counts the files of one hour from 0."""
    t = time.gmtime(hour * 3600)
    name = f"{t.tm_mday:02}-{t.tm_hour:02}{f'.{part}' if part else ''}.jsonl"
    return os.path.join(logs_dir, f"{t.tm_year:04}", f"{t.tm_mon:02}", name)


def open_log(logs_dir: str, path: str) -> tuple[int, int]:
    """Open `path` to append, making what is missing; return its descriptor and size. Raises OSError."""
    if not os.path.isdir(logs_dir):
        make_private_dir(logs_dir)
    month = os.path.dirname(path)
    for folder in (os.path.dirname(month), month):
        _own_folder(folder)
    return open_own(path)


def open_own(path: str) -> tuple[int, int]:
    """Open a file of the relay's own to append; return its descriptor and size. Raises OSError."""
    # O_NONBLOCK: a FIFO under that name must not hang the writer; it means nothing for a file.
    fd = os.open(path, _FLAGS, 0o600)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or not _is_ours(found):
            raise UnsafeLog(f"{path} is not a regular file owned by the relay; move it away")
        if _POSIX and stat.S_IMODE(found.st_mode) != 0o600:
            os.fchmod(fd, 0o600)
    except BaseException:
        os.close(fd)
        raise
    return fd, found.st_size


def _own_folder(folder: str) -> None:
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        os.mkdir(folder, 0o700)
        found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or not _is_ours(found):
        raise UnsafeLog(f"{folder} is not a folder owned by the relay; move it away")
    if _POSIX and stat.S_IMODE(found.st_mode) != 0o700:
        os.chmod(folder, 0o700)


def _is_ours(found: os.stat_result) -> bool:
    return not _POSIX or found.st_uid == os.geteuid()


def list_files(logs_dir: str, *, earlier: bool = False) -> list[LogFile]:
    """Return the files of the log, the oldest first. What is not exactly of our layout is not seen.

    With `earlier` also those that an AIRelays before 1.0 has left in the same folders.
    """
    found = []
    for year in _folders(logs_dir, _YEAR):
        for month in _folders(year.path, _MONTH):
            for entry in _entries(month.path):
                match = _NAME.fullmatch(entry.name)
                part = int(match[3] or 0) if match else -1
                if match is None and earlier:
                    match = _EARLIER.fullmatch(entry.name)
                hour = match and _hour(year.name, month.name, match[1], match[2])
                if hour is None or not entry.is_file(follow_symlinks=False):
                    continue
                try:
                    about = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                # On Windows scandir does not count the names of a file.
                if about.st_nlink <= 1:
                    found.append(LogFile(hour, part, entry.path, about.st_size))
    return sorted(found)


def check_folders(logs_dir: str) -> None:
    """Raise ConfigError if the log's folder, or one in it, cannot be read: it would look empty."""
    from airelays.credentials.as_owner import check_readable

    check_readable(logs_dir)
    for year in _folders(logs_dir, _YEAR):
        check_readable(year.path)
        for month in _folders(year.path, _MONTH):
            check_readable(month.path)


def _folders(path: str, name: re.Pattern[str]) -> list[os.DirEntry[str]]:
    return [e for e in _entries(path) if name.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []


def _hour(year: str, month: str, day: str, hour: str) -> int | None:
    from datetime import UTC, datetime

    try:
        at = datetime(int(year), int(month), int(day), int(hour), tzinfo=UTC)
    except ValueError:
        return None
    return int(at.timestamp()) // 3600


def read_lines(path: str) -> Iterator[bytes]:
    """Yield the lines of a log file without their ends; a last one that is not ended is left out."""
    fd = open_regular(path, follow=False)
    rest = b""
    try:
        while data := os.read(fd, 256 * 1024):
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_LINE_BYTES:
                rest = b""
            yield from lines
    finally:
        os.close(fd)


def read_last_lines(path: str, max_bytes: int) -> list[bytes]:
    """Return the lines of the last `max_bytes` of a log file, without one that begins before them or is not ended."""
    fd = open_regular(path, follow=False)
    try:
        start = max(0, os.fstat(fd).st_size - max_bytes)
        os.lseek(fd, start, os.SEEK_SET)
        parts = []
        while max_bytes > 0 and (data := os.read(fd, max_bytes)):
            parts.append(data)
            max_bytes -= len(data)
    finally:
        os.close(fd)
    lines = b"".join(parts).split(b"\n")
    return lines[1 if start else 0 : -1]


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the record of one line, None when it is torn or was never one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "phase" in record else None


class Tail:
    """Follows the log: over the ends of hours, a clock that is set back, and files that are removed meanwhile."""

    def __init__(self, logs_dir: str) -> None:
        """Follow from the current end."""
        self.logs_dir = logs_dir
        # By path: how far a file was read, and the beginning of a line after that.
        self._read: dict[str, tuple[int, bytes]] = {
            file.path: (file.size, b"") for file in list_files(logs_dir)
        }

    def back(self) -> Iterator[bytes]:
        """Yield the existing lines, the last one first, and follow from the end."""
        for file in reversed(list_files(self.logs_dir)):
            lines, offset, rest = _read_on(file.path, 0, b"")
            self._read[file.path] = (offset, rest)
            yield from reversed(lines)

    def more(self) -> list[bytes]:
        """Return the lines that have come since."""
        lines: list[bytes] = []
        before, self._read = self._read, {}
        for file in list_files(self.logs_dir):
            offset, rest = before.get(file.path, (0, b""))
            if file.size < offset:
                offset, rest = 0, b""  # another file of that name
            if file.size > offset:
                found, offset, rest = _read_on(file.path, offset, rest)
                lines += found
            self._read[file.path] = (offset, rest)
        return lines


def _read_on(path: str, offset: int, rest: bytes) -> tuple[list[bytes], int, bytes]:
    """Return the whole lines from `offset` on, where that ends, and what is left after them."""
    try:
        with open(open_regular(path, follow=False), "rb") as source:
            source.seek(offset)
            data = source.read()
    except OSError:
        return [], offset, rest
    found = (rest + data).split(b"\n")
    return found, offset + len(data), found.pop()[-MAX_LINE_BYTES:]
