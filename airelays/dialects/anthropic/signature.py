"""Signatures of thinking blocks: where the upstream's encrypted reasoning travels to the client and back.

A client replays a thinking block byte for byte, so its signature can carry what the upstream needs to go on with its
reasoning. The keyed tag binds it to the upstream and the model that made it: what another one made, and what
somebody changed on the way, is told apart here and never sent upstream. Layer: rules.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

# The version is a part of it: another layout gets another one, and is dropped by older relays.
PREFIX = "airelays.1."
MAX_SIGNATURE_CHARS = 256 * 1024
_TAG_CHARS = 32
_SAFE_ID = re.compile(r"rs_[A-Za-z0-9_-]{1,61}")
_SAFE_CONTENT = re.compile(r"[!-~]+")


class Sealer:
    """Makes and reads the signatures of one upstream and model. `bound` names both, `key` is this installation's."""

    __slots__ = ("_bound", "_key")

    def __init__(self, key: bytes, bound: tuple[str, ...]) -> None:
        self._key = key
        self._bound = "\0".join(bound).encode("utf-8", "replace")

    def seal(self, item: dict[str, Any]) -> str:
        """Return the signature for a finished reasoning item.

        "" for one without encrypted content, or with more than a signature of MAX_SIGNATURE_CHARS can hold.
        """
        content = item.get("encrypted_content")
        if not isinstance(content, str) or not _SAFE_CONTENT.fullmatch(content):
            return ""
        item_id = item.get("id")
        if not isinstance(item_id, str) or not _SAFE_ID.fullmatch(item_id):
            item_id = ""
        rest = f"{item_id}.{content}"
        made = f"{PREFIX}{self._tag(rest)}.{rest}"
        return made if len(made) <= MAX_SIGNATURE_CHARS else ""

    def open(self, signature: str, text: str) -> dict[str, Any] | None:
        """Return the reasoning item of a replayed block with this `text`; None for a signature that is not ours.

        `text` is not bound: clients shorten it, and the upstream reads the encrypted content alone.
        """
        if not is_ours(signature) or len(signature) > MAX_SIGNATURE_CHARS:
            return None
        tag, _, rest = signature.removeprefix(PREFIX).partition(".")
        if not hmac.compare_digest(tag.encode(), self._tag(rest).encode()):
            return None
        item_id, _, content = rest.partition(".")
        summary = [{"type": "summary_text", "text": text}] if text else []
        made = {"type": "reasoning", "summary": summary, "encrypted_content": content}
        return {"type": "reasoning", "id": item_id, **made} if item_id else made

    def _tag(self, rest: str) -> str:
        signed = self._bound + b"\0" + rest.encode("utf-8", "replace")
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()[:_TAG_CHARS]


def is_too_long(item: dict[str, Any]) -> bool:
    """Whether a reasoning item's encrypted content fits into no signature."""
    content = item.get("encrypted_content")
    most = MAX_SIGNATURE_CHARS - len(PREFIX) - _TAG_CHARS - 66
    return isinstance(content, str) and len(content) > most


def is_ours(signature: str) -> bool:
    """Whether a relay made this signature, by its form."""
    return signature.startswith(PREFIX)
