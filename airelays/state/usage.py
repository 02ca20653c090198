"""The book of usage in the state database: lines are folded into rows, and read back with those not yet folded.

How far each file is folded stands in the same transaction as its rows, so that a line counts exactly once whenever the
process dies. Owns: the tables `book_*`. Refuses to know: what rows mean (`journal/tally.py`). Layer: I/O.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from airelays.errors import ConfigError, RelayError
from airelays.journal.book import numbers_in, read_new, remove_free
from airelays.journal.tally import Cell, Rows, Sums, bounded, cell_of, day_of
from airelays.state.database import State

FORMAT = 1
DAYS_KEPT = 400
# Beyond that, the hash of a session tells nobody anything.
SESSION_DAYS_KEPT = 35
_TRIES = 5
ROWS, SESSIONS = "book_rows", "book_sessions"
# What tells the rows of a table apart; names of all columns but the day stand in book_names.
_TABLES = {ROWS: Cell._fields[:-1], SESSIONS: Cell._fields}
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS book_format (format INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS book_files (number INTEGER PRIMARY KEY, folded INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS book_names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    *(
        f"CREATE TABLE IF NOT EXISTS {table} ("
        + ", ".join(f"{name} {'TEXT' if name == 'day' else 'INTEGER'}" for name in cell)
        + ", requests INTEGER, input INTEGER, cached INTEGER, output INTEGER, reasoning INTEGER, "
        "total INTEGER, first_ms INTEGER, took_ms INTEGER, last_s REAL, failures TEXT, first TEXT, took TEXT, "
        f"PRIMARY KEY ({', '.join(cell)})) WITHOUT ROWID"
        for table, cell in _TABLES.items()
    ),
)
_NUMBERS = (
    "requests", "input", "cached", "output", "reasoning", "total", "first_ms", "took_ms", "last_s",
)  # fmt: skip
_MAPS = ("failures", "first", "took")
_NEWER = (
    "the book of usage was written by a newer AIRelays (format {found}, this version supports {FORMAT}); "
    "use that one, or another --data-dir"
)


# ---- folding


def fold(state: State, folder: str) -> int:
    """Take every line that is new into the database, then remove files that are wholly in it; return how many.

    Any process may do this at any time. Raises RelayError for a book of a later version, OSError, sqlite3.Error.
    """
    count, numbers = 0, numbers_in(folder)
    for number in numbers:
        with state.write() as db:
            _prepare(db)
            at = db.execute("SELECT folded FROM book_files WHERE number = ?", (number,)).fetchone()
            try:
                entries, end = read_new(folder, number, at[0] if at else 0)
            except FileNotFoundError:
                continue  # another process folded and removed it
            if not at or end != at[0]:
                _take_all(db, entries)
                db.execute("INSERT OR REPLACE INTO book_files VALUES (?, ?)", (number, end))
        count += len(entries)
        if number != numbers[-1]:
            # Without a writer, what follows the last whole line was never a line.
            remove_free(folder, number)
    with state.write() as db:
        _prepare(db)
        _forget(db, set(numbers_in(folder)), time.time())
    return count


def refill(state: State, folder: str, since: str, entries: list[dict[str, Any]]) -> None:
    """Replace the days from `since` on by `entries`; the book's files count as folded. No relay may run."""
    fold(state, folder)
    with state.write() as db:
        _prepare(db)
        for table in _TABLES:
            db.execute(f"DELETE FROM {table} WHERE day >= ?", (since,))
        _take_all(db, entries)


def _prepare(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        db.execute(statement)
    found = _format_of(db)
    if found is None:
        db.execute("INSERT INTO book_format VALUES (?)", (FORMAT,))
    elif found > FORMAT:
        text = _NEWER.format(found=found, FORMAT=FORMAT)
        raise RelayError(text, status=503, code="storage_unavailable", should_retry=False)


def _format_of(db: sqlite3.Connection) -> int | None:
    row = db.execute("SELECT format FROM book_format").fetchone()
    return int(row[0]) if row else None


def _take_all(db: sqlite3.Connection, entries: list[dict[str, Any]]) -> None:
    _take(db, ROWS, entries)
    _take(db, SESSIONS, [entry for entry in entries if entry.get("session")])


def _take(db: sqlite3.Connection, table: str, entries: list[dict[str, Any]]) -> None:
    """Add lines to the rows of their days."""
    days: dict[str, Rows] = {}
    changed: Rows = {}
    # Most lines are of a few cells: what these are is worked out once for each.
    seen: dict[str, Sums] = {}
    for entry in entries:
        alike = (
            f"{entry['at'] // 86_400} {entry.get('key')!r} {entry.get('route')!r} {entry.get('model')!r} "
            f"{entry.get('upstream')!r} {entry.get('program')!r}"
        )
        if table == SESSIONS:
            alike += f" {entry['session']!r}"
        sums = seen.get(alike)
        if sums is None:
            cell = cell_of(entry, sessions=table == SESSIONS)
            day = days.get(cell.day)
            if day is None:
                day = days[cell.day] = _rows(db, table, " WHERE r.day = ?", (cell.day,))
            cell = bounded(cell, day)
            sums = seen[alike] = changed[cell] = day.setdefault(cell, Sums())
        sums.take(entry)
    _put(db, table, changed)


def _put(db: sqlite3.Connection, table: str, rows: Rows) -> None:
    columns = _TABLES[table]
    names = {name for cell in rows for name in cell[1 : len(columns)]}
    db.executemany("INSERT OR IGNORE INTO book_names (name) VALUES (?)", [(n,) for n in names])
    ids = {
        name: db.execute("SELECT id FROM book_names WHERE name = ?", (name,)).fetchone()[0]
        for name in names
    }
    marks = ", ".join("?" * (len(columns) + len(_NUMBERS) + len(_MAPS)))
    db.executemany(
        f"INSERT OR REPLACE INTO {table} VALUES ({marks})",
        [
            (
                cell.day,
                *(ids[name] for name in cell[1 : len(columns)]),
                *(getattr(sums, name) for name in _NUMBERS),
                *(_written(getattr(sums, name)) for name in _MAPS),
            )
            for cell, sums in rows.items()
        ],
    )


def _forget(db: sqlite3.Connection, there: set[int], wall_s: float) -> None:
    """Forget files that are gone, and make months of days that are old."""
    for (number,) in db.execute("SELECT number FROM book_files").fetchall():
        if number not in there:
            db.execute("DELETE FROM book_files WHERE number = ?", (number,))
    t = time.gmtime(wall_s - DAYS_KEPT * 86_400)
    where, end = " WHERE length(r.day) = 10 AND r.day < ?", f"{t.tm_year:04}-{t.tm_mon:02}-01"
    months: dict[str, Rows] = {}
    for cell, sums in _rows(db, ROWS, where, (end,)).items():
        moved = cell._replace(day=cell.day[:7])
        month = months.get(moved.day)
        if month is None:
            month = months[moved.day] = _rows(db, ROWS, " WHERE r.day = ?", (moved.day,))
        month.setdefault(bounded(moved, month), Sums()).add(sums)
    for rows in months.values():
        _put(db, ROWS, rows)
    if months:
        db.execute("DELETE FROM book_rows WHERE length(day) = 10 AND day < ?", (end,))
    db.execute(
        "DELETE FROM book_sessions WHERE day < ?", (day_of(wall_s - SESSION_DAYS_KEPT * 86_400),)
    )


# ---- reading


def read_usage(folder: str, since: str = "", until: str = "", *, sessions: bool = False) -> Rows:
    """Return the rows of the book from day `since` to day `until`, lines not yet folded with them.

    With `sessions`: those of requests with a session, which are kept for 35 days.

    Changes nothing and needs no lock. Raises ConfigError.
    """
    for _ in range(_TRIES):
        with _reading(os.path.join(folder, "state.sqlite3")) as db:
            try:
                return _look(db, folder, since, until, SESSIONS if sessions else ROWS)
            except FileNotFoundError:
                continue  # folded and removed meanwhile: look again
            except OSError as error:
                raise ConfigError(
                    f"the book in {folder} cannot be read: {error.strerror}"
                ) from error
            except sqlite3.Error as error:
                raise ConfigError(f"the book in {folder} cannot be read: {error}") from error
    raise ConfigError(f"the book in {folder} keeps changing; try again")


def _look(db: sqlite3.Connection | None, folder: str, since: str, until: str, table: str) -> Rows:
    numbers, folded, rows = numbers_in(folder), dict[int, int](), Rows()
    if db is not None and _has(db, "book_format"):
        db.execute("BEGIN")
        found = _format_of(db)
        if found is not None and found > FORMAT:
            raise ConfigError(_NEWER.format(found=found, FORMAT=FORMAT))
        folded = dict(db.execute("SELECT number, folded FROM book_files"))
        where = " WHERE r.day >= substr(?, 1, length(r.day)) AND r.day <= ?"
        # A book of an earlier release has no table of sessions.
        if _has(db, table):
            rows = _rows(db, table, where, (since, until or "9999-99"))
    for number in numbers:
        for entry in read_new(folder, number, folded.get(number, 0))[0]:
            if table == SESSIONS and not entry.get("session"):
                continue
            cell = cell_of(entry, sessions=table == SESSIONS)
            if since <= cell.day <= (until or "9999-99"):
                rows.setdefault(cell, Sums()).take(entry)
    return rows


def _has(db: sqlite3.Connection, table: str) -> bool:
    found = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return db.execute(found, (table,)).fetchone() is not None


@contextlib.contextmanager
def _reading(path: str) -> Iterator[sqlite3.Connection | None]:
    """Open the database to read; None without one. In a folder that is read-only SQLite can make no lock file."""
    if not os.path.exists(path):
        yield None
        return
    url = "file:" + quote(os.path.abspath(path).replace(os.sep, "/"))
    db = None
    try:
        for mode in ("?mode=ro", "?mode=ro&immutable=1"):
            db = sqlite3.connect(url + mode, uri=True, isolation_level=None, timeout=5.0)
            try:
                db.execute("SELECT 1 FROM sqlite_master").fetchone()
                break
            except sqlite3.OperationalError:
                db.close()
                if "immutable" in mode:
                    raise
    except sqlite3.Error as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        yield db
    finally:
        if db is not None:
            db.close()


def _rows(db: sqlite3.Connection, table: str, where: str, values: tuple[str, ...]) -> Rows:
    found: Rows = {}
    for row in db.execute(_select(table) + where, values):
        sums = Sums()
        cell, numbers = Cell(*row[: -len(_NUMBERS + _MAPS)]), row[-len(_NUMBERS + _MAPS) :]
        maps = numbers[len(_NUMBERS) :]
        for name, value in zip(_NUMBERS, numbers, strict=False):
            setattr(sums, name, value)
        sums.failures = json.loads(maps[0])
        sums.first = {int(at): count for at, count in json.loads(maps[1]).items()}
        sums.took = {int(at): count for at, count in json.loads(maps[2]).items()}
        found[cell] = sums
    return found


@lru_cache
def _select(table: str) -> str:
    names = _TABLES[table][1:]
    return (
        "SELECT r.day, "
        + ", ".join(
            [f"n_{name}.name" for name in names] + [f"r.{name}" for name in (*_NUMBERS, *_MAPS)]
        )
        + f" FROM {table} r "
        + " ".join(f"JOIN book_names n_{name} ON n_{name}.id = r.{name}" for name in names)
    )


def _written(counts: dict[object, int]) -> str:
    return json.dumps(counts, separators=(",", ":"))
