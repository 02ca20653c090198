"""The relay's own state on disk: one SQLite database and a folder of uploaded bytes, opened, migrated, swept.

`state.sqlite3` in WAL mode, fsync on every commit; `uploads/ID` holds the bytes of the row ID, `tmp/` what is still
coming. Order of a new file: bytes to `tmp/`, fsync, rename, row; of a deleted one: row, then bytes. So a crash can
leave bytes without a row, never a row without bytes, and `sweep` removes those. Used by one thread at a time.
Refuses to know: what items mean. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator

from airelays.disk.folder import make_private_dir
from airelays.disk.regular import NotRegular, check_regular
from airelays.errors import ConfigError, RelayError
from airelays.hints import told
from airelays.state.quota import is_file_id

SCHEMA_VERSION = 2
# Room that a full disk keeps for the database: deleting must go on working there.
RESERVE_BYTES = 256 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DAMAGED = (
    "the relay's database is damaged; stop the relay, move state.sqlite3* out of its data folder and start it "
    "again: it creates a new one, without the files, conversations and answers; the token, the "
    "sign-in and the logs are kept"
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, filename TEXT NOT NULL, purpose TEXT NOT NULL, content_type TEXT NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, created_at INTEGER NOT NULL,
    storage_path TEXT NOT NULL, deleted_at INTEGER, expires_at INTEGER, owner TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, metadata_json TEXT NOT NULL, seed_items_json TEXT, latest_response_id TEXT,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    item_count INTEGER NOT NULL DEFAULT 0, item_bytes INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS items (
    conversation_id TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (conversation_id, position)
);
CREATE UNIQUE INDEX IF NOT EXISTS items_by_id ON items (conversation_id, id);
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, parent TEXT, conversation_id TEXT,
    body TEXT NOT NULL, input TEXT NOT NULL, history TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS responses_by_parent ON responses (parent);
CREATE INDEX IF NOT EXISTS responses_by_time ON responses (created_at);
"""
# What tables of an earlier AIRelays do not have. What is in them belongs to the owner of the relay.
_COLUMNS = {
    "files": (
        ("deleted_at", "INTEGER"),
        ("expires_at", "INTEGER"),
        ("owner", "TEXT NOT NULL DEFAULT ''"),
    ),
    "conversations": (
        ("seed_items_json", "TEXT"),
        ("latest_response_id", "TEXT"),
        ("item_count", "INTEGER NOT NULL DEFAULT 0"),
        ("item_bytes", "INTEGER NOT NULL DEFAULT 0"),
        ("owner", "TEXT NOT NULL DEFAULT ''"),
    ),
}


class State:
    """The open database and its folders. `recover` is for whoever holds the data folder's lock: it sweeps.

    Raises RelayError (507 when the disk is full, else 503) from every method.
    """

    def __init__(self, data_dir: str, *, recover: bool) -> None:
        self.path = os.path.join(data_dir, "state.sqlite3")
        self.uploads = os.path.join(data_dir, "uploads")
        self.staging = os.path.join(data_dir, "tmp")
        self.swept = 0
        try:
            for folder in (self.uploads, self.staging):
                make_private_dir(folder)
            check_database(self.path)
            _make_private(self.path)
            self.db = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
            try:
                self._prepare()
                if recover:
                    self.swept = self.sweep()
            except BaseException:
                self.db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise storage_fault(error) from error
        except ConfigError as error:
            text = f"the relay's data folder cannot be used; `{told('storage check')}` says why"
            raise _unusable(text, local=str(error)) from error
        self.seen_version = self.data_version()

    def _prepare(self) -> None:
        db = self.db
        db.execute("PRAGMA busy_timeout = 5000")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # The log is used again from its start after 64 pages: it stays small, and a full disk has room for it.
        db.execute("PRAGMA wal_autocheckpoint = 64")
        db.execute("PRAGMA cache_size = -256")
        db.execute("PRAGMA secure_delete = ON")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            found = (
                f"was written by a newer AIRelays (schema {version}, this version supports {SCHEMA_VERSION}); "
                "use that one, or another --data-dir"
            )
            raise _unusable(f"the relay's database {found}", local=f"{self.path} {found}")
        if version < SCHEMA_VERSION:
            self._migrate()

    def _migrate(self) -> None:
        """From nothing, or from the state of an AIRelays before this one, in one transaction."""
        moved: list[tuple[str, str]] = []
        try:
            with self.write() as db:
                _make_tables(db)
                self._carry_conversations(db)
                self._carry_files(db, moved)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except BaseException:
            for there, here in moved:
                os.replace(here, there)
            raise

    def _carry_conversations(self, db: sqlite3.Connection) -> None:
        """The older program kept all items of a conversation in one text."""
        found = "SELECT id, seed_items_json FROM conversations WHERE seed_items_json IS NOT NULL"
        for conversation, text in db.execute(found).fetchall():
            items = [i for i in _list_of(text) if isinstance(i, dict)]
            bodies = []
            for item in items:
                item["id"] = "msg_" + os.urandom(16).hex()
                bodies.append(json.dumps(item, separators=(",", ":")))
            db.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?)",
                [
                    (conversation, at, item["id"], body)
                    for at, (item, body) in enumerate(zip(items, bodies, strict=True))
                ],
            )
            db.execute(
                "UPDATE conversations SET seed_items_json = NULL, item_count = ?, item_bytes = ? WHERE id = ?",
                (len(items), sum(map(len, bodies)), conversation),
            )

    def _carry_files(self, db: sqlite3.Connection, moved: list[tuple[str, str]]) -> None:
        """Very early versions named the bytes otherwise than the row. What is renamed goes into `moved`."""
        found = "SELECT id, storage_path FROM files WHERE deleted_at IS NULL"
        for file_id, stored in db.execute(found).fetchall():
            there = os.path.join(self.uploads, os.path.basename(str(stored or "")))
            if not is_file_id(str(file_id)) or not os.path.isfile(there):
                continue
            if not os.path.exists(self.path_of(file_id)):
                os.replace(there, self.path_of(file_id))
                moved.append((there, self.path_of(file_id)))

    def path_of(self, file_id: str) -> str:
        """Return where the bytes of a file are; the id must have passed `is_file_id`."""
        if not is_file_id(file_id):
            raise ValueError("not a file id")
        return os.path.join(self.uploads, file_id)

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give one transaction: all of it is stored when the block ends, or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def data_version(self) -> int:
        """Return a number that changes when another process has written."""
        return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    def sweep(self) -> int:
        """Remove bytes without a row and what never became a file; return how many."""
        swept = sweep_staged(self.staging)
        live = {row[0] for row in self.db.execute("SELECT id FROM files WHERE deleted_at IS NULL")}
        for name in os.listdir(self.uploads):
            if is_file_id(name) and name not in live:
                os.unlink(os.path.join(self.uploads, name))
                swept += 1
        return swept

    def close(self) -> None:
        """Close; SQLite then folds its log into the database."""
        self.db.close()


def sweep_staged(folder: str) -> int:
    """Remove every file in the staging folder; return how many. The folder need not be there."""
    swept = 0
    try:
        names = os.listdir(folder)
    except OSError:
        return 0
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
            swept += 1
    return swept


def storage_fault(error: Exception) -> RelayError:
    """Return what the client is told when the disk or the database refuses."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if (isinstance(error, OSError) and error.errno in _FULL) or code == sqlite3.SQLITE_FULL:
        return RelayError(
            "the relay's disk is full; delete files or conversations, or free space in its data folder",
            status=507,
            code="storage_full",
            should_retry=False,
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return RelayError(_DAMAGED, status=503, code="storage_damaged", should_retry=False)
    if code == sqlite3.SQLITE_BUSY:
        text = "the relay's database is in use by another program; try again"
        return RelayError(text, status=503, code="storage_busy", retry_after_s=1.0)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return _unusable(f"the relay's data folder cannot be used: {reason}")


def _unusable(text: str, local: str = "") -> RelayError:
    return RelayError(text, status=503, code="storage_unavailable", should_retry=False, local=local)


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _SCHEMA.split(";")):
        db.execute(statement)
    for table, columns in _COLUMNS.items():
        there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        for name, kind in columns:
            if name not in there:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def check_database(path: str) -> bool:
    """Return whether there is a database; SQLite would wait for a FIFO in place of one of its files. Raises OSError."""
    there = False
    for end in ("-wal", "-shm", "-journal", ""):
        try:
            there = check_regular(path + end, follow=False)
        except OSError as error:
            if isinstance(error, NotRegular | IsADirectoryError):
                name = os.path.basename(path + end)
                error.strerror = f"{name} is not a regular file; move it away, then try again"
            raise
    return there


def _make_private(path: str) -> None:
    """Make the database file for its owner alone, before SQLite would make it for everybody."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(path, flags, 0o600)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def _list_of(text: str) -> list[object]:
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return []
    return found if isinstance(found, list) else []
