"""The rows of uploaded files, and their bytes. Every function takes the open State first. Layer: I/O."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import NamedTuple

from airelays.disk.regular import read_regular
from airelays.state.database import State
from airelays.state.owners import SEEN_BY
from airelays.state.quota import is_file_id
from airelays.state.spool import Spool

# `after` may name a file that was deleted since the page before; a day is longer than any listing.
TOMBSTONE_S = 86_400
_COLUMNS = "id, filename, purpose, content_type, bytes, sha256, created_at, expires_at, owner"


class FileRow(NamedTuple):
    """One stored file."""

    id: str
    filename: str
    purpose: str
    content_type: str
    bytes: int
    sha256: str
    created_at: int
    expires_at: int | None
    owner: str = ""


def add(state: State, row: FileRow, spool: Spool) -> None:
    """Store the file: its bytes under its id, then its row. Leaves nothing when that fails."""
    path = state.path_of(row.id)
    spool.keep(path)
    try:
        with state.write() as db:
            db.execute(
                f"INSERT INTO files ({_COLUMNS}, storage_path) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, path),
            )
    except BaseException:
        _unlink(path)
        raise


def find(state: State, file_id: str, now_s: float, viewer: str) -> FileRow | None:
    """Return the row of a file that is there, has not expired, and is one that `viewer` may see."""
    found = state.db.execute(
        f"SELECT {_COLUMNS} FROM files WHERE id = ? AND deleted_at IS NULL "
        f"AND (expires_at IS NULL OR expires_at > ?) AND {SEEN_BY}",
        (file_id, int(now_s), viewer, viewer),
    ).fetchone()
    return None if found is None else FileRow(*found)


def page(
    state: State,
    *,
    now_s: float,
    after: str | None,
    limit: int,
    newest_first: bool,
    purpose: str,
    viewer: str,
) -> tuple[list[FileRow], bool] | None:
    """Return up to `limit` rows behind `after` and whether there are more; None when `after` is unknown."""
    order, than = ("DESC", "<") if newest_first else ("ASC", ">")
    where = f"deleted_at IS NULL AND (expires_at IS NULL OR expires_at > ?) AND {SEEN_BY}"
    words: list[object] = [int(now_s), viewer, viewer]
    if purpose:
        where += " AND purpose = ?"
        words.append(purpose)
    if after is not None:
        at = state.db.execute(
            f"SELECT created_at, rowid FROM files WHERE id = ? AND {SEEN_BY}",
            (after, viewer, viewer),
        ).fetchone()
        if at is None:
            return None
        where += f" AND (created_at, rowid) {than} (?, ?)"
        words += at
    rows = state.db.execute(
        f"SELECT {_COLUMNS} FROM files WHERE {where} "
        f"ORDER BY created_at {order}, rowid {order} LIMIT ?",
        (*words, limit + 1),
    ).fetchall()
    return [FileRow(*row) for row in rows[:limit]], len(rows) > limit


def remove(state: State, file_id: str, now_s: float, viewer: str) -> bool:
    """Delete a file; False when there is none that `viewer` may see. Works on a full disk too."""
    row = find(state, file_id, now_s, viewer)
    if row is None:
        return False
    _bury(state, [row.id], now_s)
    return True


def expire(state: State, now_s: float) -> int:
    """Delete what has outlived its `expires_after`, and tombstones that nobody asks for; return how many files."""
    late = [
        row[0]
        for row in state.db.execute(
            "SELECT id FROM files WHERE deleted_at IS NULL AND expires_at <= ?", (int(now_s),)
        )
    ]
    if late:
        _bury(state, late, now_s)
    return len(late)


def totals(state: State) -> tuple[int, int]:
    """Return (bytes, files) that are stored."""
    size, count = state.db.execute(
        "SELECT COALESCE(SUM(bytes), 0), COUNT(*) FROM files WHERE deleted_at IS NULL"
    ).fetchone()
    return int(size), int(count)


def read(state: State, row: FileRow) -> bytes | None:
    """Return the bytes of a file; None when they are not there as they were stored."""
    try:
        data = read_regular(state.path_of(row.id), row.bytes + 1)
    except FileNotFoundError:
        return None
    return data if len(data) == row.bytes else None


def _bury(state: State, ids: list[str], now_s: float) -> None:
    try:
        _mark_deleted(state, ids, now_s)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
            raise
        # On a full disk the row cannot be changed before the bytes have made room.
        for file_id in ids:
            _unlink_of(state, file_id)
        _mark_deleted(state, ids, now_s)
    for file_id in ids:
        _unlink_of(state, file_id)


def _mark_deleted(state: State, ids: list[str], now_s: float) -> None:
    now = int(now_s)
    with state.write() as db:
        db.executemany("UPDATE files SET deleted_at = ? WHERE id = ?", [(now, i) for i in ids])
        db.execute("DELETE FROM files WHERE deleted_at < ?", (now - TOMBSTONE_S,))


def _unlink_of(state: State, file_id: str) -> None:
    if is_file_id(file_id):
        _unlink(state.path_of(file_id))


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
