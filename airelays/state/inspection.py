"""A look at everything that is stored: how much, whether rows and bytes agree, what can go. Layer: I/O."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from typing import NamedTuple

from airelays.disk.regular import NotRegular, open_regular
from airelays.state import conversations, files
from airelays.state.database import State
from airelays.state.quota import is_file_id

DAY_S = 86_400


class Use(NamedTuple):
    """How much there is. `disk_bytes` counts the database with its log, and the uploads."""

    files: int
    file_bytes: int
    conversations: int
    items: int
    responses: int
    disk_bytes: int


@dataclass(slots=True)
class Check:
    """What a check looked at, and every problem as one sentence."""

    files: int = 0
    bytes: int = 0
    conversations: int = 0
    responses: int = 0
    swept: int = 0
    in_flight: int = 0
    problems: list[str] = field(default_factory=list)


def use(state: State) -> Use:
    """Count."""
    size, count = files.totals(state)
    chats, items, responses = conversations.totals(state)
    disk = 0
    for path in (state.path, state.path + "-wal", *_entries(state.uploads)):
        with contextlib.suppress(OSError):
            disk += os.stat(path, follow_symlinks=False).st_size
    return Use(count, size, chats, items, responses, disk)


def check(state: State, *, alone: bool) -> Check:
    """Look at every row and every byte. `alone`: no relay runs, so nothing may be on its way."""
    found = Check(swept=state.swept)
    for (text,) in state.db.execute("PRAGMA integrity_check(20)"):
        if text != "ok":
            found.problems.append(f"the database is damaged: {text}")
    # Rows first: what a running relay adds behind our back then shows up as bytes only, and is on its way.
    rows = state.db.execute(
        "SELECT id, bytes, sha256 FROM files WHERE deleted_at IS NULL ORDER BY rowid"
    ).fetchall()
    there = {os.path.basename(path): path for path in _entries(state.uploads)}
    staged = len(_entries(state.staging))
    _check_files(state, found, rows, there)
    for name in sorted(there):
        if not is_file_id(name):
            found.problems.append(f"uploads/{name} is not a file of the relay; move it away")
        elif alone:
            found.problems.append(f"uploads/{name} has no row and is removed at the next start")
        elif files.find(state, name, 0, "") is None:
            found.in_flight += 1
    if alone and staged:
        found.problems.append(f"tmp holds {staged} files, which are removed at the next start")
    found.in_flight += 0 if alone else staged
    _check_turns(state, found)
    return found


def _check_files(
    state: State, found: Check, rows: list[tuple[str, int, str]], there: dict[str, str]
) -> None:
    for file_id, size, digest in rows:
        path = there.pop(file_id, "")
        found.files += 1
        found.bytes += size
        problem = _problem_of(path, size, digest)
        # A relay that runs may have deleted it meanwhile.
        if problem and files.find(state, file_id, 0, "") is not None:
            found.problems.append(f"file {file_id} {problem}")


def _problem_of(path: str, size: int, digest: str) -> str:
    if not path:
        return "has lost its content"
    summed, count = hashlib.sha256(), 0
    try:
        with open(open_regular(path), "rb") as file:
            while piece := file.read(256 * 1024):
                summed.update(piece)
                count += len(piece)
    except NotRegular:
        return "is not a regular file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if count != size:
        return f"has {count:,} bytes on disk, {size:,} were stored"
    return "" if summed.hexdigest() == digest else "has different content than was stored"


def _check_turns(state: State, found: Check) -> None:
    found.conversations, _, found.responses = conversations.totals(state)
    wrong = state.db.execute(
        "SELECT c.id FROM conversations c LEFT JOIN items i ON i.conversation_id = c.id GROUP BY c.id "
        "HAVING c.item_count != COUNT(i.id) "
        "OR c.item_bytes != COALESCE(SUM(LENGTH(CAST(i.body AS BLOB))), 0)"
    ).fetchall()
    found.problems += [f"conversation {one} miscounts its items" for (one,) in wrong]
    lost = state.db.execute(
        "SELECT COUNT(*) FROM items WHERE conversation_id NOT IN (SELECT id FROM conversations)"
    ).fetchone()[0]
    if lost:
        found.problems.append(f"{lost} items belong to no conversation")
    torn = state.db.execute(
        "SELECT id FROM responses WHERE parent IS NOT NULL AND parent NOT IN (SELECT id FROM responses)"
    ).fetchall()
    found.problems += [f"answer {one} has lost the answer before it" for (one,) in torn]


def prune(
    state: State, now_s: float, *, older_than_days: float | None, retention_days: int
) -> dict[str, int]:
    """Delete what has expired or lost its bytes, and with `older_than_days` everything that old; then shrink."""
    gone = {"files": files.expire(state, now_s), "conversations": 0, "responses": 0}
    there = {os.path.basename(path) for path in _entries(state.uploads)}
    before_s = -1.0 if older_than_days is None else now_s - older_than_days * DAY_S
    rows = state.db.execute("SELECT id, created_at FROM files WHERE deleted_at IS NULL").fetchall()
    for file_id, created in rows:
        if file_id not in there or created <= before_s:
            gone["files"] += files.remove(state, file_id, now_s, "")
    gone["responses"] = conversations.forget_old(state, now_s - retention_days * DAY_S)
    if older_than_days is not None:
        gone["responses"] += conversations.forget_old(state, before_s + 1)
        old = "SELECT id FROM conversations WHERE updated_at <= ?"
        for (one,) in state.db.execute(old, (before_s,)).fetchall():
            gone["conversations"] += conversations.remove(state, one, "")
    state.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    state.db.execute("VACUUM")
    state.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return gone


def _entries(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []
