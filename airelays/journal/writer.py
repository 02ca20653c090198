"""The traffic log's writer: records in from the event loop, hourly JSON lines out, by one thread.

`put` appends to a limited queue and returns; what does not fit is dropped and counted. The thread gathers for a
moment, encodes, and writes a whole batch with one `write` to a file that it opens by name each time. A disk that is
full, slow or read-only costs records, never a request. The record decides the file, not a clock: it goes into the
hour in which it was created. Owns: queue, thread, counts. Refuses to know: what a record means (`encode` does).
Layer: I/O.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from airelays.errors import ConfigError
from airelays.journal.files import MAX_PART, hour_path, list_files, open_log
from airelays.journal.retention import CLEANUP_SECONDS, MIB, Policy, load_policy, prune

# (Unix time, bytes that it keeps alive, ...): only the caller of `put` and `encode` know the rest.
Record = tuple[Any, ...]
Encode = Callable[[Sequence[Record]], list[bytes]]

MAX_QUEUED = 1000
MAX_QUEUED_BYTES = 8 * MIB
MAX_RECORD_BYTES = 64 * 1024
# So long records are gathered; half a queue ends the wait. One batch a moment costs less than a write each.
GATHER_S = 0.05
HURRY_AT = MAX_QUEUED // 2
# The thread keeps the interpreter for this many records (about 1 ms) before the event loop gets its turn.
SLICE = 64
IDLE_S = 3600.0
_COMPLAINT_S = 60.0


class Journal:
    """Writes below `logs_dir`. `clock` is Unix time, for retention; `complain` gets one line per minute.

    Each count is written by one thread and can be read by any.
    """

    def __init__(
        self,
        logs_dir: str,
        configured: Policy,
        encode: Encode,
        *,
        clock: Callable[[], float] = time.time,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.logs_dir = logs_dir
        self.configured = configured
        self.policy = configured
        self.policy_source = "config"
        self.dropped_full = 0
        self.dropped_disk = 0
        self.oversized = 0
        self.written = 0
        self.written_bytes = 0
        self.deleted_files = 0
        self.deleted_bytes = 0
        self.last_cleanup_s: float | None = None
        self.last_error = ""
        self._encode = encode
        self._clock = clock
        self._complain = complain
        self._queue: deque[Record] = deque()
        self._held = self._freed = 0
        self._asleep = False
        self._closing = False
        self._prune_due = True
        self._pruned_s = float("-inf")
        self._complained_s = float("-inf")
        self._file = ("", -1, 0)
        self._check_tail = True
        # Used as a signal: locked while there is nothing for the thread to do.
        self._wake = threading.Lock()
        self._wake.acquire()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    # ---- any thread

    def start(self) -> None:
        """Begin to write; what was put before is not lost."""
        self._thread.start()

    def put(self, record: Record) -> None:
        """Queue one record, or drop it. Never waits, never raises."""
        queue = self._queue
        waiting = len(queue)
        weight = record[1]
        if waiting >= MAX_QUEUED or (
            weight and self._held - self._freed + weight > MAX_QUEUED_BYTES
        ):
            self.dropped_full += 1
            return
        self._held += weight
        queue.append(record)
        if self._asleep or waiting == HURRY_AT:
            self._asleep = False
            self._signal()

    def policy_changed(self) -> None:
        """Read the policy again and remove what it no longer keeps, soon."""
        self._prune_due = True
        self._signal()

    def close(self, within_s: float = 2.0) -> bool:
        """Write what is queued and end; return whether that was done in time. A disk that hangs is not waited for."""
        self._closing = True
        self._signal()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        return not self._thread.is_alive()

    @property
    def dropped(self) -> int:
        """Records that never reached the disk."""
        return self.dropped_full + self.dropped_disk

    @property
    def queued(self) -> int:
        """Records that wait now."""
        return len(self._queue)

    def facts(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "written_records": self.written,
            "written_bytes": self.written_bytes,
            "queued_records": self.queued,
            "dropped_records": self.dropped,
            "dropped_queue_full": self.dropped_full,
            "dropped_disk": self.dropped_disk,
            "oversized_records": self.oversized,
            "deleted_files": self.deleted_files,
            "deleted_bytes": self.deleted_bytes,
            "last_cleanup_at": self.last_cleanup_s and int(self.last_cleanup_s),
            "last_error": self.last_error or None,
        }

    def _signal(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has been signalled already
            self._wake.release()

    # ---- the thread

    def _run(self) -> None:
        while True:
            if self._prune_due or time.monotonic() - self._pruned_s >= CLEANUP_SECONDS:
                self._prune()
            if not self._queue:
                if self._closing:
                    return
                self._asleep = True
                if not self._queue and not self._closing and not self._prune_due:
                    self._wake.acquire(timeout=IDLE_S)
                self._asleep = False
                if not self._queue:
                    continue
            if not self._closing and len(self._queue) < HURRY_AT:
                self._wake.acquire(timeout=GATHER_S)
            self._drain()

    def _drain(self) -> None:
        """Encode what is queued now and write it, one batch an hour's file."""
        records: list[Record] = []
        lines: list[bytes] = []
        for _ in range(min(len(self._queue), MAX_QUEUED)):
            records.append(self._queue.popleft())
        for at in range(0, len(records), SLICE):
            lines += self._lines(records[at : at + SLICE])
            time.sleep(0)
        self._freed += sum(record[1] for record in records)
        start = 0
        hours = [int(record[0] // 3600) for record in records]
        for at in range(1, len(hours) + 1):
            if at == len(hours) or hours[at] != hours[start]:
                self._store(hours[start], [line for line in lines[start:at] if line])
                start = at

    def _lines(self, records: list[Record]) -> list[bytes]:
        """Return one line (or several, or none) for each record; a defect in encoding costs records only."""
        try:
            lines = self._encode(records)
        except Exception as bug:
            self.dropped_disk += len(records)
            self._failed(f"records could not be encoded ({type(bug).__name__})")
            return [b""] * len(records)
        for at, line in enumerate(lines):
            if (
                len(line) > MAX_RECORD_BYTES
                and max(map(len, line.split(b"\n"))) >= MAX_RECORD_BYTES
            ):
                self.oversized += 1
                lines[at] = b""
        return lines

    def _store(self, hour: int, lines: list[bytes]) -> None:
        """Write lines in as few writes as the file size allows."""
        limit = self.policy.max_file_mb * MIB
        while lines:
            size, count = 0, 0
            for line in lines:
                if count and size + len(line) > limit:
                    break
                size += len(line)
                count += 1
            batch, lines = lines[:count], lines[count:]
            try:
                self._append(hour, batch, limit)
            except (OSError, ConfigError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                self._failed(f"the traffic log in {self.logs_dir} cannot be written: {reason}")

    def _append(self, hour: int, batch: list[bytes], limit: int) -> None:
        """Put `batch` at the end of the hour's file. Raises after counting what was lost."""
        blob = b"".join(batch)
        count = blob.count(b"\n")
        kept = 0
        try:
            fd, size = self._open(hour, len(blob), limit)
            try:
                kept = self._write(fd, size, blob)
            finally:
                os.close(fd)
        finally:
            self.written += kept
            self.dropped_disk += count - kept
            self._check_tail = kept < count
        if kept == count:
            self.last_error = ""

    def _open(self, hour: int, more: int, limit: int) -> tuple[int, int]:
        """Return the file that has room for `more` bytes, its descriptor and size."""
        path, of_hour, part = self._file
        if of_hour != hour:
            parts = [f.part for f in list_files(self.logs_dir) if f.hour == hour]
            part = max(parts, default=0)
            path = hour_path(self.logs_dir, hour, part)
            self._check_tail = self._prune_due = True
        fd, size = open_log(self.logs_dir, path)
        while size and size + more > limit and part < MAX_PART:
            os.close(fd)
            part += 1
            path = hour_path(self.logs_dir, hour, part)
            self._check_tail = self._prune_due = True
            fd, size = open_log(self.logs_dir, path)
        self._file = (path, hour, part)
        return fd, size

    def _write(self, fd: int, size: int, blob: bytes) -> int:
        """Write whole lines; return how many are there. A line that was cut is taken back."""
        lead = b""
        if self._check_tail and size and _last_byte(fd, size) != b"\n":
            lead = b"\n"  # a crash tore the line there: it must not take a good one with it
        done, data = 0, lead + blob
        try:
            while done < len(data):
                done += os.write(fd, data[done:] if done else data)
        except OSError as error:
            end = data.rfind(b"\n", 0, done) + 1
            with contextlib.suppress(OSError):
                # Only if no one else has written after us.
                if os.fstat(fd).st_size == size + done:
                    os.ftruncate(fd, size + end)
            reason = error.strerror or type(error).__name__
            self._failed(f"the traffic log in {self.logs_dir} cannot be written: {reason}")
            self.written_bytes += end
            return data.count(b"\n", 0, end) - len(lead[:end])
        self.written_bytes += len(data)
        return blob.count(b"\n")

    def _prune(self) -> None:
        self._prune_due = False
        self._pruned_s = time.monotonic()
        now_s = self._clock()
        try:
            self.policy, self.policy_source = load_policy(self.logs_dir, self.configured)
            removed = prune(self.logs_dir, self.policy, now_s, keep=self._file[0])
        except (OSError, ConfigError) as error:
            self._failed(str(error))
            return
        self.last_cleanup_s = now_s
        self.deleted_files += len(removed)
        self.deleted_bytes += sum(file.size for file in removed)

    def _failed(self, text: str) -> None:
        self.last_error = text
        now_s = time.monotonic()
        if now_s - self._complained_s >= _COMPLAINT_S:
            self._complained_s = now_s
            self._complain(f"{text}; requests continue, records are dropped and counted")


def _last_byte(fd: int, size: int) -> bytes:
    os.lseek(fd, size - 1, os.SEEK_SET)
    return os.read(fd, 1)
