"""Rows of conversations, their items, and kept answers. Every function takes the open State first. Layer: I/O.

Items and answers are JSON text that was made and checked elsewhere. A kept answer holds its own turn only and names the
one before it as `parent`; when a parent goes, its turn is folded into the `history` of those that go on from it.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from airelays.state.database import State
from airelays.state.owners import ROW_CHARS, SEEN_BY, own_id, row_of

_COLUMNS = (
    "id, metadata_json, latest_response_id, created_at, updated_at, item_count, item_bytes, owner"
)


class Conversation(NamedTuple):
    """One conversation without its items. `metadata` is JSON text."""

    id: str
    metadata: str
    latest_response_id: str | None
    created_at: int
    updated_at: int
    item_count: int
    item_bytes: int
    owner: str = ""


class Item(NamedTuple):
    """One item: its id, and the item itself as JSON text."""

    id: str
    body: str


class Kept(NamedTuple):
    """One kept answer. `id` and `parent` are as `owners.row_of` makes them.

    `input` and `history` are JSON arrays of items, `body` is the Responses object.
    """

    id: str
    created_at: int
    parent: str | None
    conversation_id: str | None
    body: str
    input: str
    history: str


def totals(state: State) -> tuple[int, int, int]:
    """Return how many conversations, items and answers are kept."""
    found = state.db.execute(
        "SELECT (SELECT COUNT(*) FROM conversations), (SELECT COUNT(*) FROM items), "
        "(SELECT COUNT(*) FROM responses)"
    ).fetchone()
    return int(found[0]), int(found[1]), int(found[2])


# ---- conversations


def create(state: State, made: Conversation, first: list[Item], most: int) -> bool:
    """Store a new conversation with its first items; False when there are `most` already."""
    with state.write() as db:
        if db.execute("SELECT COUNT(*) FROM conversations").fetchone()[0] >= most:
            return False
        db.execute(
            f"INSERT INTO conversations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*made[:5], 0, 0, made.owner),
        )
        _append(db, made.id, first)
    return True


def find(state: State, conversation_id: str, viewer: str) -> Conversation | None:
    """Return a conversation that `viewer` may see."""
    found = state.db.execute(
        f"SELECT {_COLUMNS} FROM conversations WHERE id = ? AND {SEEN_BY}",
        (conversation_id, viewer, viewer),
    ).fetchone()
    return None if found is None else Conversation(*found)


def update(state: State, conversation_id: str, metadata: str, now_s: float) -> None:
    """Replace the metadata."""
    with state.write() as db:
        db.execute(
            "UPDATE conversations SET metadata_json = ?, updated_at = ? WHERE id = ?",
            (metadata, int(now_s), conversation_id),
        )


def remove(state: State, conversation_id: str, viewer: str) -> bool:
    """Delete a conversation and its items; False when there is none that `viewer` may see."""
    with state.write() as db:
        if find(state, conversation_id, viewer) is None:
            return False
        db.execute("DELETE FROM items WHERE conversation_id = ?", (conversation_id,))
        return db.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,)).rowcount > 0


def items(state: State, conversation_id: str) -> list[str]:
    """Return all items in order, as JSON texts."""
    found = state.db.execute(
        "SELECT body FROM items WHERE conversation_id = ? ORDER BY position", (conversation_id,)
    )
    return [row[0] for row in found]


def item(state: State, conversation_id: str, item_id: str) -> str | None:
    """Return one item."""
    found = state.db.execute(
        "SELECT body FROM items WHERE conversation_id = ? AND id = ?", (conversation_id, item_id)
    ).fetchone()
    return None if found is None else str(found[0])


def ids(state: State, conversation_id: str) -> set[str]:
    """Return the ids of all items."""
    found = state.db.execute("SELECT id FROM items WHERE conversation_id = ?", (conversation_id,))
    return {row[0] for row in found}


def page(
    state: State, conversation_id: str, *, after: str | None, limit: int, newest_first: bool
) -> tuple[list[str], bool] | None:
    """Return up to `limit` items behind `after` and whether there are more; None when `after` is unknown."""
    order, than = ("DESC", "<") if newest_first else ("ASC", ">")
    where, words = "conversation_id = ?", [conversation_id]
    if after is not None:
        at = state.db.execute(
            "SELECT position FROM items WHERE conversation_id = ? AND id = ?",
            (conversation_id, after),
        ).fetchone()
        if at is None:
            return None
        where += f" AND position {than} ?"
        words += at
    rows = state.db.execute(
        f"SELECT body FROM items WHERE {where} ORDER BY position {order} LIMIT ?",
        (*words, limit + 1),
    ).fetchall()
    return [row[0] for row in rows[:limit]], len(rows) > limit


def add_items(
    state: State, conversation_id: str, more: list[Item], now_s: float, latest: str | None = None
) -> bool:
    """Append items in one step; False when the conversation is not there (any more)."""
    with state.write() as db:
        if not _append(db, conversation_id, more):
            return False
        db.execute(
            "UPDATE conversations SET updated_at = ?, "
            "latest_response_id = COALESCE(?, latest_response_id) WHERE id = ?",
            (int(now_s), latest, conversation_id),
        )
    return True


def remove_item(state: State, conversation_id: str, item_id: str, now_s: float) -> bool:
    """Delete one item; False when there is none."""
    with state.write() as db:
        key = (conversation_id, item_id)
        where = "WHERE conversation_id = ? AND id = ?"
        size = db.execute(f"SELECT LENGTH(CAST(body AS BLOB)) FROM items {where}", key).fetchone()
        if size is None:
            return False
        db.execute(f"DELETE FROM items {where}", key)
        db.execute(
            "UPDATE conversations SET item_count = item_count - 1, item_bytes = item_bytes - ?, "
            "updated_at = ? WHERE id = ?",
            (size[0], int(now_s), conversation_id),
        )
    return True


def _append(db: sqlite3.Connection, conversation_id: str, more: list[Item]) -> bool:
    found = db.execute("SELECT 1 FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    if found is None:
        return False
    last = db.execute(
        "SELECT COALESCE(MAX(position), -1) FROM items WHERE conversation_id = ?",
        (conversation_id,),
    ).fetchone()[0]
    db.executemany(
        "INSERT INTO items VALUES (?, ?, ?, ?)",
        [(conversation_id, at, *one) for at, one in enumerate(more, last + 1)],
    )
    db.execute(
        "UPDATE conversations SET item_count = item_count + ?, item_bytes = item_bytes + ? "
        "WHERE id = ?",
        (len(more), sum(len(one.body.encode()) for one in more), conversation_id),
    )
    return True


# ---- kept answers


def keep_answer(state: State, kept: Kept, *, most: int) -> None:
    """Store an answer; beyond `most` the oldest go."""
    with state.write() as db:
        before = _kept(state, kept.id)
        if before is not None:
            # An upstream that repeats its ids must not make an answer its own ancestor.
            if kept.parent == kept.id:
                history = _joined(_turn(before), kept.history)
                kept = kept._replace(parent=before.parent, history=history)
            _fold(db, kept.id)
        db.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", kept)
        over = db.execute("SELECT COUNT(*) FROM responses").fetchone()[0] - most
        if over > 0:
            oldest = "SELECT id FROM responses ORDER BY created_at, rowid LIMIT ?"
            for (one,) in db.execute(oldest, (over,)).fetchall():
                _fold(db, one)


def find_answer(state: State, response_id: str, viewer: str) -> Kept | None:
    """Return a kept answer that `viewer` may see; of several with this id the owner's own."""
    found = _kept(state, row_of(viewer, response_id))
    if found is not None and own_id(found.id) == response_id:
        return found
    if viewer:
        return None
    # The owner looks at an answer of a key.
    row = state.db.execute(
        "SELECT * FROM responses WHERE substr(id, ?) = ? AND id GLOB 'key_*/*' ORDER BY created_at DESC LIMIT 1",
        (ROW_CHARS + 1, response_id),
    ).fetchone()
    return None if row is None else Kept(*row)


def _kept(state: State, row_id: str) -> Kept | None:
    found = state.db.execute("SELECT * FROM responses WHERE id = ?", (row_id,)).fetchone()
    return None if found is None else Kept(*found)


def chain(state: State, response_id: str, viewer: str) -> list[Kept] | None:
    """Return the answers that lead to this one, oldest first; None when it is not kept for `viewer`."""
    first = find_answer(state, response_id, viewer)
    if first is None:
        return None
    found = [first]
    seen = {first.id}
    while (at := found[-1].parent) is not None and at not in seen:
        seen.add(at)
        one = _kept(state, at)
        if one is None:
            return None
        found.append(one)
    return found[::-1]


def forget(state: State, response_id: str, viewer: str) -> bool:
    """Delete an answer; those that go on from it keep its turn as their history. False when there is none."""
    with state.write() as db:
        found = find_answer(state, response_id, viewer)
        return found is not None and _fold(db, found.id)


def forget_old(state: State, before_s: float) -> int:
    """Delete the answers made before `before_s`; return how many."""
    with state.write() as db:
        old = "SELECT id FROM responses WHERE created_at < ? ORDER BY created_at, rowid"
        found = db.execute(old, (int(before_s),)).fetchall()
        for (one,) in found:
            _fold(db, one)
    return len(found)


def _fold(db: sqlite3.Connection, response_id: str) -> bool:
    found = db.execute("SELECT * FROM responses WHERE id = ?", (response_id,)).fetchone()
    if found is None:
        return False
    one = Kept(*found)
    children = db.execute(
        "SELECT id, history FROM responses WHERE parent = ?", (response_id,)
    ).fetchall()
    turn = _turn(one)
    for child, history in children:
        db.execute(
            "UPDATE responses SET history = ?, parent = ? WHERE id = ?",
            (_joined(turn, history), one.parent, child),
        )
    db.execute("DELETE FROM responses WHERE id = ?", (response_id,))
    return True


def _turn(one: Kept) -> str:
    """Return everything that an answer adds to what came before it, as a JSON array."""
    return _joined(one.history, one.input, json.dumps(json.loads(one.body).get("output") or []))


def _joined(*arrays: str) -> str:
    """Return JSON arrays as one, without parsing them."""
    inner = [text.strip()[1:-1].strip() for text in arrays]
    return "[" + ",".join(text for text in inner if text) + "]"
