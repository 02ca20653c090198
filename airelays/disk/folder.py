"""Folders of the relay's own: made for one user, files staged in them, renames made durable. Layer: I/O."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from airelays.errors import ConfigError

_POSIX = os.name == "posix"
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_EXTRA = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)


def make_private_dir(path: str) -> None:
    """Make the folder `path` (0700), or close an existing one of ours to others.

    Raises ConfigError when it cannot be made, is somebody else's, or is one that everybody shares.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if not _POSIX:
            return
        found = os.stat(path)
        if found.st_uid != os.geteuid():
            raise ConfigError(
                f"{path} belongs to user {found.st_uid}, you are {os.geteuid()}; run it as that user "
                f"({as_user(found.st_uid)}), or choose your own folder with --data-dir"
            )
        if found.st_mode & stat.S_ISVTX:
            raise ConfigError(f"{path} is a folder shared by all users; choose your own")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.chmod(path, stat.S_IMODE(found.st_mode) & 0o700)
    except OSError as error:
        raise ConfigError(
            f"folder {path} cannot be used: {error.strerror}; choose another one with --data-dir (and, where the "
            "home folder cannot be written, another config file with --config)"
        ) from error


def as_user(uid: int) -> str:
    """Return how to run the program as that user, in words to type."""
    if uid == 0:
        return "sudo airelays ..."
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"'#{uid}'"
    return f"sudo -u {name} airelays ..."


def is_root() -> bool:
    """Whether this process may act for every user."""
    return _POSIX and os.geteuid() == 0


def stage(
    folder: str,
    name: str,
    data: bytes,
    *,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    fd: int | None = None,
) -> str:
    """Write `data` to a new file beside `name` in `folder`; return its name. Nothing is left when that fails.

    `fd` is the open folder, None to go by its path. `owner` is the user and the group of the new file; whoever is
    not root can only give it a group, and where even that is denied the group gets no access.
    """
    staged = f".{name}.{os.urandom(8).hex()}.staged"
    at = os.path.join(folder, staged) if fd is None else staged
    new = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _EXTRA, 0o600, dir_fd=fd)
    try:
        if _POSIX:
            # The umask may have taken bits away (0600 & ~0277): what counts is the mode itself.
            os.fchmod(new, mode if owner is None else _given(new, mode, owner))
        view = memoryview(data)
        while view:
            view = view[os.write(new, view) :]
        os.fsync(new)
    except BaseException:
        os.close(new)
        with contextlib.suppress(OSError):
            os.unlink(at, dir_fd=fd)
        raise
    os.close(new)
    return staged


def _given(new: int, mode: int, owner: tuple[int, int]) -> int:
    """Give the new file to `owner`, as far as this user may; return the mode that then fits."""
    if is_root():
        os.fchown(new, *owner)
    elif os.fstat(new).st_gid != owner[1]:
        try:
            os.fchown(new, -1, owner[1])
        except OSError:
            return mode & ~0o070
    return mode


def sync_folder(folder: str, fd: int | None = None) -> None:
    """Make a rename in `folder` durable. Windows and some network file systems cannot, and need not."""
    if not _POSIX:
        return
    try:
        opened = os.open(folder if fd is None else ".", os.O_RDONLY | _EXTRA, dir_fd=fd)
    except PermissionError:
        return  # a folder that may be entered and not be listed
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)
