"""Whose an object is: the id of the named key that made it, or "" for the owner of the relay.

`viewer` is who asks: a key sees its own objects only, the owner ("") sees all. Files and conversations, whose ids are
the relay's own, have the owner in a column. The ids of answers are the upstream's and can repeat, so an answer of a
key is kept under the key's id and its own. Layer: I/O.
"""

from __future__ import annotations

from airelays.guard.keys import is_id

# What the SQL of `files` and `conversations` adds to find an object for `viewer`, given twice.
SEEN_BY = "(? = '' OR owner = ?)"
ROW_CHARS = len("key_0123456789abcdef/")


def row_of(owner: str, object_id: str) -> str:
    """Return what an answer of `owner` is kept under."""
    return f"{owner}/{object_id}" if owner else object_id


def own_id(row: str) -> str:
    """Return the answer's own id."""
    owner, slash, rest = row.partition("/")
    return rest if slash and is_id(owner) else row


def sees(viewer: str, owner: str) -> bool:
    """Whether `viewer` may see what `owner` made."""
    return viewer in ("", owner)
