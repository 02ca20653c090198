"""An exclusive lock that holds between processes, on a file of its own that is never deleted.

The operating system frees it when its holder dies. Two `FileLock` objects on one path exclude each other
in one process too. Blocks the calling thread: from asyncio, call `acquire` in a worker thread.
Layer: I/O.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from types import TracebackType

from airelays.disk.regular import check_regular
from airelays.errors import ConfigError

_FAR_BYTE = 0x7FFF_FFFE
_FIRST_WAIT_S = 0.005
_LONGEST_WAIT_S = 0.1
# What file systems without locks answer (NFS without lockd, some FUSE ones).
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class LockUnsupported(Exception):
    """The file system of the lock file has no locks."""


class FileLock:
    """`with FileLock(path).held(timeout_s): ...`, or `acquire` and `release`."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd >= 0

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Take the lock; return False when another holder kept it for `timeout_s`. 0 tries once.

        Raises LockUnsupported, or ConfigError when the lock file cannot be opened.
        """
        if self._fd >= 0:
            raise RuntimeError("this FileLock is held already")
        fd = self._open()
        deadline, wait_s = time.monotonic() + timeout_s, _FIRST_WAIT_S
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            while not _try_lock(fd):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    os.close(fd)
                    return False
                time.sleep(min(wait_s, left_s))
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            _unlock(fd)
            os.close(fd)

    def held(self, timeout_s: float) -> _Held:
        """Return a context manager that holds the lock; TimeoutError when it cannot be had in time."""
        return _Held(self, timeout_s)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            if hasattr(os, "geteuid") and os.geteuid() == 0 and not os.path.lexists(self.path):
                # A lock file of root's in the folder of another user would lock that user's relay out.
                from airelays.credentials.as_owner import make_lock

                make_lock(self.path)
            check_regular(self.path)
            return os.open(self.path, flags | getattr(os, "O_NOINHERIT", 0), 0o600)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK):
                raise ConfigError(
                    f"{self.path} is a symbolic link; remove it, then try again"
                ) from error
            raise ConfigError(
                f"lock file {self.path} cannot be opened: {error.strerror}"
            ) from error


def is_held(path: str) -> bool | None:
    """Whether some process holds the lock `path`; None when that cannot be told: no file, or no locks there.

    Makes no file. Raises ConfigError when the file cannot be opened.
    """
    if not os.path.exists(path):
        return None
    lock = FileLock(path)
    try:
        if not lock.acquire(0.0):
            return True
    except LockUnsupported:
        return None
    lock.release()
    return False


def claim(fd: int) -> bool:
    """Lock an open file, until it is closed, against others who claim it; all may still read it.

    True as well where the file system has no locks.
    """
    if sys.platform == "win32":
        # Locks there keep readers out: this one is on a byte that no file of ours has.
        os.lseek(fd, _FAR_BYTE, os.SEEK_SET)
    try:
        return _try_lock(fd)
    except LockUnsupported:
        return True


class _Held:
    __slots__ = ("_lock", "_timeout_s")

    def __init__(self, lock: FileLock, timeout_s: float) -> None:
        self._lock = lock
        self._timeout_s = timeout_s

    def __enter__(self) -> FileLock:
        if not self._lock.acquire(self._timeout_s):
            raise TimeoutError(f"{self._lock.path} is held by another process")
        return self._lock

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise LockUnsupported(error.strerror) from error
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            if error.errno in _UNSUPPORTED:
                raise LockUnsupported(error.strerror) from error
            raise
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)
