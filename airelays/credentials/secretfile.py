"""Files that only their owner may read: written whole or not at all, read only when nobody else could touch them.

Writing: a new file in the same folder (0600, O_EXCL, O_NOFOLLOW), fsync, rename, fsync of the folder, so
that a crash at any point leaves the old content or the new one. Reading refuses a symbolic link, anything
but a regular file, a file of somebody else, and one that others can write. One that others can only read
is closed to them, with a warning. Modes and owners are POSIX; on Windows the user's profile folder
protects them.

Root, and nobody else, may also read a file whose owner is the owner of its folder, when no third user can change
that folder: root shows or uses what that user could have told it anyway, and gives it to nobody. A link is not
followed, and a hard link to somebody else's file has another owner than the folder. Writing there: theirs.py.
Layer: I/O.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from airelays.credentials.as_owner import denied, make_their_dir, opened, put
from airelays.disk.folder import as_user, is_root, make_private_dir, stage, sync_folder
from airelays.disk.regular import FLAGS
from airelays.errors import ConfigError

MAX_BYTES = 1024 * 1024
# A leftover of a crash is never so young; a file that another process is writing now always is.
LEFTOVER_AGE_S = 60.0
_POSIX = os.name == "posix"
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_EXTRA = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)

Warn = Callable[[str], None]


def read_secret(
    path: str, *, warn: Warn, max_bytes: int = MAX_BYTES, refuse_open: bool = False
) -> bytes | None:
    """Return the content of `path`, or None when there is no such file.

    `warn` gets one sentence when the file was readable by others and has been closed to them; with `refuse_open`
    such a file is refused.
    Raises ConfigError, with the command to type, when the file cannot be trusted or read.
    """
    try:
        fd = os.open(path, FLAGS | _NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(_open_failure(path, error)) from error
    try:
        _check_trusted(fd, path, warn, refuse_open=refuse_open)
        data = _read_all(fd, max_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
    if len(data) > max_bytes:
        raise ConfigError(
            f"{path} is larger than {max_bytes:,} bytes; so it is not a file of the relay"
        )
    return data


def write_private(
    path: str, data: bytes, *, backup: bool = False, keep_owner: bool = False
) -> None:
    """Replace `path` by `data` in one step, mode 0600; its folder is made (0700) when missing.

    With `backup` the previous content stays as `PATH.bak`. With `keep_owner` what root writes into the folder
    of another user is that user's; only for content that is made for them. Raises ConfigError when nothing was
    changed.
    """
    if not (keep_owner and is_root()):
        _put(path, data, backup=backup, keep=False)
    elif backup:
        raise ValueError("what another user may read is not copied")
    else:
        _put_as_root(path, data, keep=False)


def create_private(path: str, data: bytes, *, keep_owner: bool = False) -> bool:
    """Like `write_private`, but leave an existing file alone; return whether this call made the file.

    Of several processes that try at once exactly one gets True.
    """
    if keep_owner and is_root():
        return _put_as_root(path, data, keep=True)
    return _put(path, data, backup=False, keep=True)


def _put_as_root(path: str, data: bytes, *, keep: bool) -> bool:
    folder = os.path.dirname(path) or "."
    try:
        if not os.path.isdir(folder):
            make_their_dir(folder)
        with opened(folder) as their:
            if their is not None:
                return put(their, path, data, keep=keep)
    except OSError as error:
        raise ConfigError(_denied(path, error, "written")) from error
    return _put(path, data, backup=False, keep=keep)


def _put(path: str, data: bytes, *, backup: bool, keep: bool) -> bool:
    folder = os.path.dirname(path) or "."
    try:
        if not os.path.isdir(folder):
            make_private_dir(folder)
        if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
            raise ConfigError(f"{path} is not a regular file; move it away, then try again")
        sweep_leftovers(folder, os.path.basename(path))
        staged = _write_staged(path, data)
        try:
            if keep and not _link_as_new(staged, path):
                return False
            if backup:
                _keep_backup(path)
            os.replace(staged, path)
        finally:
            _remove_quietly(staged)
        sync_folder(folder)
    except OSError as error:
        raise ConfigError(_denied(path, error, "written")) from error
    return True


def sweep_leftovers(folder: str, name: str = "") -> int:
    """Remove what a crash left of earlier writes (of `name`, or of all); return how many files.

    Without `name` a staged auth.json stays: it may hold the only copy of a single-use token, and the
    sign-in's own store finishes or removes it.
    """
    import time

    prefix, oldest = f".{name}.", time.time() - LEFTOVER_AGE_S
    removed = 0
    try:
        entries = [e for e in os.scandir(folder) if e.name.endswith(".staged")]
    except OSError:
        return 0
    for entry in entries:
        kept = not name and entry.name.startswith(".auth.json.")
        if entry.name.startswith(prefix if name else ".") and not kept and _is_old(entry, oldest):
            removed += _remove_quietly(entry.path)
    return removed


def _is_old(entry: os.DirEntry[str], oldest: float) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime < oldest
    except OSError:
        return False


def _open_failure(path: str, error: OSError) -> str:
    # ELOOP is what O_NOFOLLOW gives on Linux and macOS; FreeBSD says EMLINK.
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return f"{path} is a symbolic link; put the file itself there, or use its target's path"
    if error.errno == errno.ENXIO:
        return f"{path} is not a regular file; move it away, then try again"
    return _denied(path, error, "read")


def _check_trusted(fd: int, path: str, warn: Warn, *, refuse_open: bool) -> None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is not a regular file; move it away, then try again")
    if not _POSIX:
        return
    if found.st_uid != os.geteuid() and not _is_owned_like_its_folder(found, path):
        raise ConfigError(_wrong_owner(path, found.st_uid))
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise ConfigError(
            f"{path} can be changed by other users (mode {mode:04o}); "
            f"check its content, then run: chmod 600 {_quoted(path)}"
        )
    if mode & 0o077 and refuse_open:
        raise ConfigError(
            f"{path} can be read by other users (mode {mode:04o}), so it is not trusted"
        )
    if mode & 0o077:
        _close_to_others(fd, path, mode, warn)


def _denied(path: str, error: OSError, what: str) -> str:
    return denied(path, error, what)


def _is_owned_like_its_folder(found: os.stat_result, path: str) -> bool:
    if not is_root():
        return False
    folder = os.stat(os.path.dirname(path) or ".")
    return folder.st_uid == found.st_uid and not folder.st_mode & 0o022


def _wrong_owner(path: str, uid: int) -> str:
    """Say whose the file is. Root is never told to make a file its own: it may have been put there for that."""
    text = f"{path} belongs to user {uid}, you are {os.geteuid()}"
    if is_root():
        return f"{text}; check its content, then move it away"
    if os.stat(os.path.dirname(path) or ".").st_uid == os.geteuid():
        return f"{text}, as its folder is yours; run: sudo chown {os.geteuid()} {_quoted(path)}"
    return f"{text}; run it as that user: {as_user(uid)}"


def _close_to_others(fd: int, path: str, mode: int, warn: Warn) -> None:
    try:
        os.fchmod(fd, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{path} can be read by other users (mode {mode:04o}) and this cannot be changed from here: "
            f"{error.strerror}; run: chmod 600 {_quoted(path)}"
        ) from error
    warn(f"{path} could be read by other users (mode {mode:04o}); it is now 0600")


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _read_all(fd: int, limit_bytes: int) -> bytes:
    found = bytearray()
    while len(found) < limit_bytes:
        piece = os.read(fd, min(65536, limit_bytes - len(found)))
        if not piece:
            break
        found += piece
    return bytes(found)


def _write_staged(path: str, data: bytes) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, stage(folder, name, data))


def _link_as_new(staged: str, path: str) -> bool:
    """Give `staged` the name `path` unless that is taken; return whether it was free."""
    try:
        os.link(staged, path)
    except FileExistsError:
        return False
    except OSError:
        # No hard links on this file system (FAT, some network ones): the check is a moment older.
        return not os.path.lexists(path)
    return True


def _keep_backup(path: str) -> None:
    """Make `PATH.bak` the present content. A copy, so that `path` itself never goes missing."""
    previous = read_secret(path, warn=lambda _: None)
    if previous is not None:
        os.replace(_write_staged(path + ".bak", previous), path + ".bak")


def _remove_quietly(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True
