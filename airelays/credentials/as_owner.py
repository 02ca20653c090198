"""Root in the folder of another user: files that stay that user's, and what to type when a folder is not ours.

An admin works as root on the folder of a relay with a user of its own. A file that root left there as its own, 0600,
would lock that relay out. So root gives what it writes there to the owner of the folder.

Why the other user, who may change that folder at any moment, gains nothing by it:

- The folder is opened once and everything is done relative to that descriptor, each time by a single name. A folder
  that is renamed, or a link put in its place, changes nothing any more; whoever turns the path to another folder
  before that gets a file in that folder, owned by its owner.
- The one file whose owner is changed is one that this process has just made (O_EXCL, O_NOFOLLOW), by its descriptor.
  It has no content yet and no other name, so neither a link nor a hard link to a file of root's can be given away.
- Renaming and removing touch names inside the folder, which its owner may rename and remove anyway; a link there is
  replaced, never followed.
- Only content goes in that is made for the folder's owner: callers ask for it (`keep_owner`), and none of them copies
  what it has read elsewhere. So no backup is made, and a file that is there is never read.
- A folder that others than its owner may change is refused: they could take the file.

A process of another user than root never comes here: nothing is changed for it. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from airelays.disk.folder import as_user, make_private_dir, stage
from airelays.errors import ConfigError

_POSIX = os.name == "posix"
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC
_NEW = os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC


class Their(NamedTuple):
    """The open folder of another user."""

    fd: int
    uid: int
    gid: int


@contextlib.contextmanager
def opened(folder: str) -> Iterator[Their | None]:
    """Give the folder when this is root and it belongs to somebody else, else None.

    Raises ConfigError when others than its owner may change it, OSError when it cannot be opened.
    """
    if not _POSIX or os.geteuid() != 0 or os.stat(folder).st_uid == 0:
        yield None
        return
    fd = os.open(folder, _FOLDER)
    try:
        found = os.fstat(fd)
        if found.st_uid == 0:
            yield None
            return
        if found.st_mode & 0o022:
            raise ConfigError(
                f"{folder} of user {found.st_uid} can be changed by others (mode "
                f"{stat.S_IMODE(found.st_mode):04o}); check its content, then make it private: chmod 700"
            )
        yield Their(fd, found.st_uid, found.st_gid)
    finally:
        os.close(fd)


def put(their: Their, path: str, data: bytes, *, keep: bool) -> bool:
    """Put `data` into `path` of that folder, in one step, 0600 and its owner's; return whether that was done.

    With `keep` a file that is there is left alone. Raises ConfigError and OSError.
    """
    name = os.path.basename(path)
    _check_regular(their, name, path)
    ids = (their.uid, their.gid)
    staged = stage(os.path.dirname(path), name, data, owner=ids, fd=their.fd)
    try:
        if keep:
            try:
                os.link(staged, name, src_dir_fd=their.fd, dst_dir_fd=their.fd)
            except FileExistsError:
                return False
        os.replace(staged, name, src_dir_fd=their.fd, dst_dir_fd=their.fd)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(staged, dir_fd=their.fd)
    os.fsync(their.fd)
    return True


def make_their_dir(path: str) -> None:
    """Make the folder `path` (0700); inside a folder of another user it becomes that user's."""
    parent, name = os.path.split(path.rstrip("/"))
    if os.path.isdir(parent):
        with opened(parent) as their:
            if their is not None:
                os.mkdir(name, 0o700, dir_fd=their.fd)
                fd = os.open(name, _FOLDER | _NOFOLLOW, dir_fd=their.fd)
                try:
                    # Another folder of root's can have been put in its place: that is not to be given away.
                    if os.fstat(fd).st_uid == 0 and not os.listdir(fd):
                        os.fchown(fd, their.uid, their.gid)
                finally:
                    os.close(fd)
                return
    make_private_dir(path)


def make_lock(path: str) -> None:
    """As root, make a missing lock file in the folder of another user for that user. Raises OSError."""
    with opened(os.path.dirname(path) or ".") as their:
        if their is None:
            return
        with contextlib.suppress(FileExistsError):
            fd = os.open(os.path.basename(path), os.O_RDWR | _NEW, 0o600, dir_fd=their.fd)
            try:
                os.fchown(fd, their.uid, their.gid)
            finally:
                os.close(fd)


def _check_regular(their: Their, name: str, path: str) -> None:
    try:
        found = os.stat(name, dir_fd=their.fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is not a regular file; move it away, then try again")


# What to type


def denied(path: str, error: OSError, what: str = "read") -> str:
    """Return one sentence on a path that could not be read, and what to do when it is somebody else's."""
    text = f"{path} cannot be {what}: {error.strerror}"
    if not _POSIX or not isinstance(error, PermissionError):
        return text
    owner = _nearest_owner(path)
    if owner == os.geteuid():
        return f"{text}; it is your own: check its mode and the folders above it (ls -ld)"
    return f"{text}; it belongs to user {owner}, you are {os.geteuid()}; run it as that user: {as_user(owner)}"


def check_readable(folder: str) -> None:
    """Raise ConfigError when `folder` is there and may not be looked into. A missing one is fine."""
    try:
        with os.scandir(folder):
            os.stat(os.path.join(folder, "."))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ConfigError(denied(folder, error)) from error


def _nearest_owner(path: str) -> int:
    """Return the owner of `path`, or of the nearest folder above it of which that can be seen."""
    while True:
        with contextlib.suppress(OSError):
            return os.stat(path, follow_symlinks=False).st_uid
        parent = os.path.dirname(path)
        if parent in (path, ""):
            return 0
        path = parent
