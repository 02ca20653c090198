"""The Responses body as the ChatGPT backend takes it: an allow-list, fixed `store` and `stream`, a cache key.

Allow-list rather than strip-list: what the backend learns to refuse next is not known here. What is left out
is named, never silently lost. The Codex CLI's own body is passed on as it is.
Owns: which fields go out. Refuses to know: sockets, who asks. Pure.
"""

from __future__ import annotations

import hashlib
from typing import Any

from airelays.dialects.takes import Takes

# The backend refuses any other, and output limits below 16 (existing backends, November 2026).
TAKES = Takes(
    parameters=frozenset(
        (
            "model",
            "stream",
            "store",
            "service_tier",
            "instructions",
            "input",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "include",
            "prompt_cache_key",
            "text",
            "client_metadata",
            "max_output_tokens",
        )
    ),
    least_output_tokens=16,
    hosted=frozenset(("web_search",)),
)
OUTLINE_CHARS = 16 * 1024
# Longer ids and keys are "string_above_max_length".
MAX_ID_CHARS = 64


def prepare(body: dict[str, Any], *, codex: bool) -> dict[str, Any]:
    """Return the body to send, of one that `TAKES` was applied to. The Codex CLI's own is sent as it is."""
    sent = {**body, "stream": True, "store": False}
    if codex:
        return sent
    sent = {name: value for name, value in sent.items() if value is not None}
    sent.setdefault("instructions", "")
    _fit_tier(sent)
    if len(str(sent.get("prompt_cache_key") or "")) > MAX_ID_CHARS:
        sent["prompt_cache_key"] = _shortened(str(sent["prompt_cache_key"]), "key")
    items = sent.get("input")
    if isinstance(items, str):
        sent["input"] = [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": items}]}
        ]
    elif isinstance(items, list):
        sent["input"] = [_fitted(item) for item in items]
    return sent


def _fit_tier(sent: dict[str, Any]) -> None:
    """Say the service tier in the backend's words: it knows no name for its usual one."""
    tier = sent.get("service_tier")
    if tier in ("auto", "default"):
        del sent["service_tier"]
    elif tier == "fast":
        sent["service_tier"] = "priority"


def _fitted(item: Any) -> Any:
    """Return an item as the backend takes it: developer for system, call ids of 64 characters at most."""
    if not isinstance(item, dict):
        return item
    if item.get("role") == "system":
        return {**item, "role": "developer"}
    call_id = item.get("call_id")
    if isinstance(call_id, str) and len(call_id) > MAX_ID_CHARS:
        # The same for a call and its output; the client keeps its own and never sees this one.
        return {**item, "call_id": _shortened(call_id, "call")}
    return item


def _shortened(text: str, prefix: str) -> str:
    return f"{prefix}_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:56]}"


def session_id(sent: dict[str, Any], conversation: str) -> str:
    """Return an id that stays the same while a conversation grows, shaped as a UUID.

    It comes from `conversation`, or the caller's cache key, or from what all requests of one conversation
    begin with: model, instructions, tools and the first item. The upstream keeps its prompt cache by it.
    """
    key: Any = conversation or sent.get("prompt_cache_key")
    if not key:
        items, tools = sent.get("input"), sent.get("tools")
        first = items[:1] if isinstance(items, list) else items
        names = (
            [t.get("name") for t in tools if isinstance(t, dict)] if isinstance(tools, list) else []
        )
        key = [sent.get("model"), _outline(sent.get("instructions"), 1), names, _outline(first, 4)]
    digest = hashlib.blake2b(
        repr(key).encode("ascii", "backslashreplace"), digest_size=16, person=b"airelays.session"
    ).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:]}"


def _outline(value: Any, depth: int) -> Any:
    """Return `value` with long texts cut, so that an image of megabytes is not encoded twice."""
    if isinstance(value, str):
        return value if len(value) <= OUTLINE_CHARS else [value[:OUTLINE_CHARS], len(value)]
    if not depth:
        return None
    if isinstance(value, list):
        return [_outline(item, depth - 1) for item in value[:16]]
    if isinstance(value, dict):
        return {
            key: item
            if isinstance(item, str) and len(item) <= OUTLINE_CHARS
            else _outline(item, depth - 1)
            for key, item in value.items()
        }
    return value


def drop_encrypted(sent: dict[str, Any]) -> dict[str, Any] | None:
    """Return the body without items that carry encrypted content, or None when there is none.

    What one account or model encrypted, another cannot read: the upstream then refuses the whole request.
    """
    items = sent.get("input")
    if not isinstance(items, list):
        return None
    kept = [
        item for item in items if not (isinstance(item, dict) and item.get("encrypted_content"))
    ]
    return None if len(kept) == len(items) else {**sent, "input": kept}
