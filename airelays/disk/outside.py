"""The one writer of files outside the relay's own folders: units, settings of client programs, the config, backups.

They are in folders that other programs and people use, so what is at a path may be anything. Written is only a regular
file, and only whole: a new one beside it with the owner, group and mode of the old, synced, renamed, the folder synced.

A symbolic link is refused, with one exception, which managers of dotfiles need: the user's own link to the user's own
regular file inside the user's home. Then the target is written and the link stays. Root follows no link. On the way to
the file, links of root's and of the user's own are followed (/home is one on some systems), nobody else's.

The folder is opened once, one name after the other, and everything is done relative to it: what is put in its place
afterwards changes nothing. Own folders, which nobody shares: secretfile.py. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from airelays.credentials.as_owner import denied
from airelays.disk.folder import stage, sync_folder
from airelays.disk.regular import kind_of
from airelays.errors import ConfigError

_POSIX = os.name == "posix"
_NOFOLLOW = (
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)
# A folder on the way may be one that can be entered and not be listed (/home with mode 0711).
_ENTER = _NOFOLLOW | getattr(os, "O_PATH", getattr(os, "O_SEARCH", os.O_RDONLY))
# As many as Linux follows in one path.
MAX_LINKS = 40


class _Place(NamedTuple):
    """A name in an open folder. `fd` is None where the system has no such calls (Windows)."""

    fd: int | None
    folder: str
    name: str

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)

    def word(self, name: str) -> str:
        """Return what to hand to a call that takes `dir_fd`."""
        return name if self.fd is not None else os.path.join(self.folder, name)


def write_outside(
    path: str,
    data: bytes,
    *,
    mode: int = 0o600,
    most: int = 0o777,
    folder_mode: int = 0o700,
    home: str = "",
) -> str:
    """Replace the file at `path` by `data` in one step; return the path of the file that was written.

    A new file has `mode`, an existing one keeps its own, less what is not in `most`. Missing folders are made.
    A link is followed only inside `home`, and never when that is "". Raises ConfigError when nothing was changed.
    """
    try:
        target = _find_target(path, home)
        with _opened(target, make=folder_mode) as place:
            found = _look(place)
            if found is not None:
                _refuse_other(target, found)
            _replace(place, data, found, mode=mode, most=most)
    except OSError as error:
        raise ConfigError(_not_written(path, error)) from error
    return target


def remove_outside(path: str) -> bool:
    """Remove the regular file at `path`; return whether there was one. Raises ConfigError for anything else."""
    try:
        with _opened(path) as place:
            found = _look(place)
            if found is None:
                return False
            _refuse_other(path, found)
            os.unlink(place.word(place.name), dir_fd=place.fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(denied(path, error, "removed")) from error
    return True


def find_target(path: str, home: str = "") -> str:
    """Return the path of the file that `path` means: its own, or that of the link's target. Raises ConfigError.

    The file need not be there; a link needs its target. See `write_outside` for `home`.
    """
    try:
        return _find_target(path, home)
    except OSError as error:
        raise ConfigError(_not_written(path, error)) from error


def _find_target(path: str, home: str) -> str:
    try:
        with _opened(path) as place:
            found = _look(place)
            if found is None or not stat.S_ISLNK(found.st_mode):
                if found is not None:
                    _refuse_other(path, found)
                return path
            aim = os.readlink(place.word(place.name), dir_fd=place.fd)
            named = os.path.join(place.folder, aim)
            _check_link(path, named, found, home)
    except FileNotFoundError:
        return path
    return _check_target(path, named, home)


def _check_link(path: str, target: str, found: os.stat_result, home: str) -> None:
    if not home:
        raise ConfigError(
            f"{path} is a link to {target}, and this file is never written through a link; "
            "remove the link, then try again"
        )
    if not _POSIX or os.geteuid() == 0:
        who = "root does not follow links" if _POSIX else "links are not followed on this system"
        raise ConfigError(
            f"{path} is a link to {target}, and {who}; {_AS_OWNER if _POSIX else _BY_HAND}"
        )
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} is a link to {target} that belongs to user {found.st_uid}, you are {os.geteuid()}; {_BY_HAND}"
        )


_BY_HAND = "edit the file by hand, or put a file in place of the link"
_AS_OWNER = "run the command as the user whose file it is, or put a file in place of the link"


def _check_target(path: str, named: str, home: str) -> str:
    """Return the real path of the link's target. Every further link on the way is looked at as it is opened."""
    link = f"{path} is a link to {named}"
    for _ in range(MAX_LINKS):
        try:
            with _opened(named) as place:
                found = _look(place)
                if found is None:
                    raise ConfigError(f"{link}, and there is no such file; {_BY_HAND}")
                if stat.S_ISLNK(found.st_mode):
                    if found.st_uid != os.geteuid():
                        raise ConfigError(f"{link}, by a link of user {found.st_uid}; {_BY_HAND}")
                    aim = os.readlink(place.word(place.name), dir_fd=place.fd)
                    named = os.path.join(place.folder, aim)
                    continue
                if kind := kind_of(found.st_mode):
                    raise ConfigError(f"{link}, which is a {kind}, not a regular file; {_BY_HAND}")
                if found.st_uid != os.geteuid():
                    raise ConfigError(
                        f"{link}, which belongs to user {found.st_uid}, you are {os.geteuid()}; {_BY_HAND}"
                    )
                top = os.path.realpath(home)
                if not place.path.startswith(top.rstrip("/") + "/"):
                    raise ConfigError(f"{link}, which is outside {home}; {_BY_HAND}")
                return place.path
        except FileNotFoundError:
            raise ConfigError(f"{link}, and there is no such file; {_BY_HAND}") from None
    raise ConfigError(f"{link}, which leads in a circle; {_BY_HAND}")


def _refuse_other(path: str, found: os.stat_result) -> None:
    """Raise ConfigError for what is not a regular file, and for one that would change its owner."""
    kind = kind_of(found.st_mode)
    if kind:
        raise ConfigError(f"{path} is a {kind}, not a regular file; move it away, then try again")
    if _POSIX and os.geteuid() not in (0, found.st_uid):
        raise ConfigError(
            f"{path} belongs to user {found.st_uid}, you are {os.geteuid()}; edit the file by hand"
        )


def _not_written(path: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return denied(path, error, "written")
    there = error.filename if isinstance(error.filename, str) else ""
    look = f"look at {there}, or " if os.path.isabs(there) and there != path else ""
    return f"{path} cannot be written: {error.strerror}; {look}edit the file by hand"


# The folder


@contextlib.contextmanager
def _opened(path: str, *, make: int | None = None) -> Iterator[_Place]:
    """Open the folder of `path`. With `make` missing folders are made, with that mode. Raises OSError, ConfigError."""
    folder, name = os.path.split(os.path.abspath(path))
    if not _POSIX:
        if make is not None:
            os.makedirs(folder, exist_ok=True)
        os.stat(folder)
        yield _Place(None, folder, name)
        return
    fd, real = _walk(folder, make)
    try:
        yield _Place(fd, real, name)
    finally:
        os.close(fd)


def _walk(folder: str, make: int | None) -> tuple[int, str]:
    """Open `folder` one name after the other; return the descriptor and the real path."""
    todo = _names(folder)
    real: list[str] = []
    left, links = len(todo), 0
    fds = [os.open("/", _ENTER)]
    try:
        while todo:
            name = todo.pop()
            # Of what a link names nothing is made: it may be on a disk that is not there now.
            own, left = len(todo) < left, min(left, len(todo))
            if name == "..":
                if real:
                    real.pop()
                    os.close(fds.pop())
                continue
            path = "/" + "/".join((*real, name))
            aim = _step(fds, name, path, make if own else None)
            if aim is None:
                real.append(name)
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if aim.startswith("/"):
                while real:
                    real.pop()
                    os.close(fds.pop())
            todo += _names(aim)
        return fds.pop(), "/" + "/".join(real)
    finally:
        for fd in fds:
            os.close(fd)


def _names(path: str) -> list[str]:
    """Return the names in `path`, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _step(fds: list[int], name: str, path: str, make: int | None) -> str | None:
    """Open the folder `name` in the last of `fds` and add it there; for a link return where it leads instead."""
    above = fds[-1]
    try:
        try:
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            if make is None:
                raise
            _make_folder(above, name, make)
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            fds.append(os.open(name, _ENTER, dir_fd=above))
            return None
        if found.st_uid in (0, os.geteuid()):
            return os.readlink(name, dir_fd=above)
    except OSError as error:
        error.filename = path
        raise
    raise ConfigError(
        f"{path} is a link of user {found.st_uid}, you are {os.geteuid()}; it is not followed"
    )


def _make_folder(above: int, name: str, mode: int) -> None:
    """Make a folder with exactly that mode; root gives it to whoever owns the folder above."""
    os.mkdir(name, 0o700, dir_fd=above)
    fd = os.open(name, os.O_RDONLY | _NOFOLLOW, dir_fd=above)
    try:
        owner = os.fstat(above)
        # Another folder of root's can have been put in its place: that is not to be given away.
        if os.geteuid() == 0 and owner.st_uid != 0 and not os.listdir(fd):
            os.fchown(fd, owner.st_uid, owner.st_gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


# The file


def _look(place: _Place) -> os.stat_result | None:
    try:
        return os.stat(place.word(place.name), dir_fd=place.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _replace(
    place: _Place, data: bytes, found: os.stat_result | None, *, mode: int, most: int
) -> None:
    owner = found
    if found is None and place.fd is not None and os.geteuid() == 0:
        # In the folder of another user a new file of root's would be of no use to that user.
        owner = os.fstat(place.fd)
    wanted = (mode if found is None else stat.S_IMODE(found.st_mode)) & most
    ids = None if owner is None or not _POSIX else (owner.st_uid, owner.st_gid)
    staged = stage(place.folder, place.name, data, mode=wanted, owner=ids, fd=place.fd)
    try:
        os.replace(
            place.word(staged),
            place.word(place.name),
            src_dir_fd=place.fd,
            dst_dir_fd=place.fd,
        )
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(place.word(staged), dir_fd=place.fd)
        raise
    sync_folder(place.folder, place.fd)
