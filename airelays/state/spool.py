"""The bytes of one file: on their way to disk (counted, hashed, synced, renamed) and back from it.

Work on them is done in worker threads, one call after another; `Spool.discard` and `StoredBytes.close` may come from
any thread at any time, also while such a call runs. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Sequence

from airelays.disk.folder import sync_folder
from airelays.disk.regular import open_regular
from airelays.state.database import RESERVE_BYTES

_EXTRA = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_EXTRA |= getattr(os, "O_NOFOLLOW", 0)
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _EXTRA


class Spool:
    """A staged file, mode 0600, made by the first call that needs it.

    Every method but `discard` raises OSError, also when it was discarded meanwhile.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.path = os.path.join(folder, f"{name}.part")
        self.size = 0
        self._folder = folder
        self._hash = hashlib.sha256()
        self._lock = threading.Lock()
        self._fd = -1
        self._there = False
        self._over = False

    @property
    def sha256(self) -> str:
        """The digest of what was written, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append `pieces`. Leaves a full disk the room that its database needs."""
        with self._lock:
            total = sum(map(len, pieces))
            if free_bytes(self._folder) < total + RESERVE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._open(), view) :]
                self._hash.update(piece)
            self.size += total

    def seal(self) -> None:
        """Make what was written durable."""
        with self._lock:
            os.fsync(self._open())
            self._close()

    def keep(self, path: str) -> None:
        """Give the file its name, durably."""
        with self._lock:
            if not self._there:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            os.replace(self.path, path)
            self._there, self._over = False, True
            sync_folder(os.path.dirname(path))

    def discard(self) -> None:
        """Remove what is there; nothing once it was kept."""
        with self._lock:
            self._over = True
            self._close()
            if self._there:
                self._there = False
                with contextlib.suppress(OSError):
                    os.unlink(self.path)

    def _open(self) -> int:
        if self._over:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._fd < 0:
            self._fd = os.open(self.path, _FLAGS, 0o600)
            self._there = True
        return self._fd

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class StoredBytes:
    """The bytes of a stored file, opened by the first `read`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._fd = -1
        self._over = False

    def size(self) -> int:
        """Return how many there are. Raises OSError."""
        with self._lock:
            return os.fstat(self._open()).st_size

    def read(self, at: int, count: int) -> bytes:
        """Return up to `count` bytes from `at` on. Raises OSError."""
        with self._lock:
            os.lseek(self._open(), at, os.SEEK_SET)
            return os.read(self._fd, count)

    def close(self) -> None:
        """Close; a call that comes later fails."""
        with self._lock:
            self._over = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _open(self) -> int:
        if self._over:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._fd < 0:
            self._fd = open_regular(self._path, follow=False)
        return self._fd


def free_bytes(folder: str) -> int:
    """Return the free space where `folder` is; a very large number where the system does not tell."""
    if not hasattr(os, "statvfs"):
        return 1 << 62
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
