"""The session of a client that a request belongs to, as a hash, so that its turns can be found together. Nothing else
about a client's identity is stored, and the hash does not reveal the session's id. Layer: rules.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from airelays.model import Fields

# Of the Codex CLI (now and before), and of Claude Code.
_FIELDS = (b"session-id", b"session_id", b"x-claude-code-session-id")
_CHARS = 16
_HASH = re.compile(rf"[0-9a-f]{{{_CHARS}}}")


@lru_cache(maxsize=256)
def session_in(fields: Fields) -> str:
    """Return the hash of the session that header fields name, "" when they name none."""
    for name, value in fields:
        if name in _FIELDS and value:
            return _hash(value)
    return ""


def named_session(name: str) -> str:
    """Return the hash for a session's id, or for the hash itself, as people give either to a command."""
    return name if _HASH.fullmatch(name) else session_of(name)


def session_of(cache_key: object) -> str:
    """Return the hash of a `prompt_cache_key`, which programs keep for a conversation; "" for none."""
    if not isinstance(cache_key, str) or not cache_key:
        return ""
    return _hash(cache_key.encode("utf-8", "surrogatepass"))


def _hash(value: bytes) -> str:
    return hashlib.sha256(b"session\0" + value).hexdigest()[:_CHARS]
