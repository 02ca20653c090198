"""Reading what may not be a file: a FIFO, a device or a socket in a file's place is refused at once.

Opening a FIFO waits for a writer, reading a terminal for a person, and opening some devices does something. So the
kind is looked at before the file is opened, and again on what was opened. Refuses to know: whose the file is and what
is in it; secretfile.py asks that. Layer: I/O.
"""

from __future__ import annotations

import errno
import os
import stat

# O_NONBLOCK and O_NOCTTY: for what takes a file's place between the look and the open. They mean nothing for a file.
FLAGS = os.O_RDONLY
for _name in ("O_CLOEXEC", "O_BINARY", "O_NOINHERIT", "O_NONBLOCK", "O_NOCTTY"):
    FLAGS |= getattr(os, _name, 0)
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFLNK: "symbolic link",
}


class NotRegular(OSError):
    """There is something, and it is not a file that can be read from its start to its end."""


def kind_of(mode: int) -> str:
    """Return the word for what `mode` of a stat says: "FIFO", "device", ...; "" for a regular file."""
    if stat.S_ISREG(mode):
        return ""
    return _KINDS.get(stat.S_IFMT(mode), "special file")


def check_regular(path: str, *, follow: bool = True) -> bool:
    """Return whether there is a file at `path`. Raises NotRegular for anything else, OSError."""
    try:
        _refuse(os.stat(path, follow_symlinks=follow), path)
    except FileNotFoundError:
        return False
    return True


def open_regular(path: str, *, follow: bool = True) -> int:
    """Return a descriptor to read the file at `path`. Raises NotRegular, OSError; never waits.

    Without `follow` a symbolic link is refused too.
    """
    _refuse(os.stat(path, follow_symlinks=follow), path)
    fd = os.open(path, FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    try:
        _refuse(os.fstat(fd), path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_regular(path: str, max_bytes: int) -> bytes:
    """Return the first `max_bytes` bytes of the file at `path`; links are followed. Raises NotRegular, OSError."""
    with open(open_regular(path), "rb") as file:
        return file.read(max_bytes)


def _refuse(found: os.stat_result, path: str) -> None:
    kind = kind_of(found.st_mode)
    if kind == "folder":
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if kind:
        number = errno.ELOOP if kind == "symbolic link" else errno.EINVAL
        raise NotRegular(number, f"it is a {kind}, not a regular file", path)
