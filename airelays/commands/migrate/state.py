"""The state of an earlier AIRelays for `migrate`: copied and upgraded in a temporary folder, then moved into place,
or not at all.

Everything that can fail is done in a temporary folder, which is always removed: a database that cannot be upgraded
leaves nothing in the relay's folder, and the earlier one is only read. Layer: commands.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from airelays.commands.migrate.plan import FAILED, KEPT, NOTHING, TAKEN, UPDATED, Plan, Step
from airelays.disk.folder import make_private_dir, sync_folder
from airelays.disk.regular import open_regular
from airelays.errors import ConfigError, RelayError
from airelays.state.database import SCHEMA_VERSION, State, check_database

NAME = "state"
PREFIX = ".airelays-migrate-"
_WAL = 2


class Prepared(NamedTuple):
    """What will become of the state; `install` does it, and can fail only where the disk does."""

    step: Step
    install: Callable[[], None] = lambda: None


@contextlib.contextmanager
def prepared(plan: Plan) -> Iterator[Prepared]:
    """Prepare the earlier state for the import. If that fails, the step has the reason, and nothing is left behind."""
    new = os.path.join(plan.data, "state.sqlite3")
    old = os.path.join(plan.old_data, "state.sqlite3")
    with contextlib.ExitStack() as stack:
        source = old
        try:
            here = check_database(new)
            source = new if here else old
            found = _prepare(plan, old, new, here, stack)
        except (ConfigError, RelayError, OSError, sqlite3.Error, ValueError, TypeError) as error:
            found = Prepared(Step(NAME, FAILED, problem=_sentence(source, error)))
        yield found


def _prepare(plan: Plan, old: str, new: str, here: bool, stack: contextlib.ExitStack) -> Prepared:
    if here and _schema(new) == SCHEMA_VERSION:
        return Prepared(Step(NAME, KEPT, new))
    if not here and not check_database(old):
        return Prepared(Step(NAME, NOTHING, old))
    # Next to its target, so that it can be renamed; a dry run, which is discarded, can be anywhere.
    trial = here or plan.dry
    aside = tempfile.mkdtemp(prefix=PREFIX, dir=None if trial else _existing(plan.data))
    stack.callback(shutil.rmtree, aside, ignore_errors=True)
    _upgraded(new if here else old, aside, "" if trial else os.path.join(plan.old_data, "uploads"))
    if here:
        return Prepared(Step(NAME, UPDATED, new), lambda: State(plan.data, recover=True).close())
    _refuse_leftovers(new)
    step = Step(NAME, TAKEN, f"{_counts(old)}, {old} to {new}")
    return Prepared(step, lambda: _move_in(aside, plan.data))


def _existing(folder: str) -> str:
    """Return `folder`, or the nearest one above it that is there."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _upgraded(database: str, aside: str, uploads: str) -> None:
    """Copy the database, and the bytes in `uploads` when that is not "", into the folder `aside` and upgrade them."""
    if _schema(database) > SCHEMA_VERSION:
        raise ConfigError("it was written by a newer AIRelays")
    copy = os.path.join(aside, "state.sqlite3")
    _copy_files(uploads, os.path.join(aside, "uploads"))
    with closing(_reading(database)) as source, closing(sqlite3.connect(copy)) as target:
        os.chmod(copy, 0o600)
        source.backup(target)
        problem = str(target.execute("PRAGMA quick_check(1)").fetchone()[0])
    if problem != "ok":
        raise ConfigError(f"it is damaged: {problem}")
    # What has no row is removed, which a copy without the bytes has no use for.
    State(aside, recover=bool(uploads)).close()
    if os.path.exists(copy + "-wal"):
        raise ConfigError("its write-ahead log was not merged")


def _move_in(aside: str, data: str) -> None:
    """Move the upgraded state into `data`: the bytes, then the database that names them. Undone when that fails."""
    make_private_dir(os.path.join(data, "uploads"))
    moved: list[str] = []
    try:
        for name in os.listdir(os.path.join(aside, "uploads")):
            target = os.path.join(data, "uploads", name)
            if not os.path.lexists(target):
                os.replace(os.path.join(aside, "uploads", name), target)
                moved.append(target)
        sync_folder(os.path.join(data, "uploads"))
        os.replace(os.path.join(aside, "state.sqlite3"), os.path.join(data, "state.sqlite3"))
    except BaseException:
        for target in moved:
            os.unlink(target)
        raise
    sync_folder(data)


def _refuse_leftovers(new: str) -> None:
    """A log that is left of another database would be taken for the new one's."""
    for end in ("-wal", "-journal"):
        if os.path.lexists(new + end):
            raise ConfigError(
                f"{new}{end} is left over from another database; move it away, then try again"
            )


def sweep(folder: str) -> None:
    """Remove what a killed `migrate` left in `folder`. Call this only while holding its lock."""
    for name in os.listdir(folder):
        if name.startswith(PREFIX):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _sentence(path: str, error: Exception) -> str:
    """Return why the state cannot be imported, in SQLite's words rather than those for a client."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError | sqlite3.Error) else error
    reason = cause.strerror if isinstance(cause, OSError) else str(getattr(cause, "local", cause))
    return (
        f"{path} cannot be updated ({reason}), so nothing was imported; to continue without its files and "
        f"conversations, move it away, then try again"
    )


def _schema(path: str) -> int:
    with closing(_reading(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def _counts(path: str) -> str:
    counts = []
    with closing(_reading(path)) as db:
        for table in ("files", "conversations"):
            columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            number = 0
            if columns:
                # A deleted file keeps its row for a while.
                which = " WHERE deleted_at IS NULL" if "deleted_at" in columns else ""
                number = db.execute(f"SELECT count(*) FROM {table}{which}").fetchone()[0]
            counts.append(f"{number:,} {table}")
    return " and ".join(counts)


def _reading(path: str) -> sqlite3.Connection:
    """Open a database for reading only. One in WAL mode that is not open elsewhere would otherwise get a log."""
    with open(open_regular(path), "rb") as file:
        head = file.read(20)
    quiet = head[18:20] == bytes((_WAL, _WAL)) and not os.path.exists(path + "-wal")
    from urllib.parse import quote

    words = f"file:{quote(os.path.abspath(path))}?mode=ro{'&immutable=1' if quiet else ''}"
    return sqlite3.connect(words, uri=True)


def _copy_files(old: str, new: str) -> None:
    os.mkdir(new, 0o700)
    if not os.path.isdir(old):
        return
    for entry in os.scandir(old):
        if entry.is_file(follow_symlinks=False):
            _copy_file(entry.path, os.path.join(new, entry.name))


def _copy_file(old: str, new: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with (
        open(open_regular(old, follow=False), "rb") as source,
        open(os.open(new, flags, 0o600), "wb") as target,
    ):
        shutil.copyfileobj(source, target, 1024 * 1024)
        target.flush()
        os.fsync(target.fileno())
