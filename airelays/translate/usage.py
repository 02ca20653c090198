"""Token counts: read from a Responses object, written in chat's words. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.model import Usage

__all__ = ["chat_usage", "read_usage"]


def read_usage(value: Any) -> Usage | None:
    """Return the usage of a Responses object; None, never zeros, when it cannot be read."""
    if not isinstance(value, dict):
        return None
    spent, made = _count(value.get("input_tokens")), _count(value.get("output_tokens"))
    if spent is None or made is None:
        return None
    total = _count(value.get("total_tokens"))
    read, written = value.get("input_tokens_details"), value.get("output_tokens_details")
    return Usage(
        input_tokens=spent,
        output_tokens=made,
        total_tokens=spent + made if total is None else total,
        cached_tokens=_detail(read, "cached_tokens"),
        cache_write_tokens=_detail(read, "cache_write_tokens"),
        reasoning_tokens=_detail(written, "reasoning_tokens"),
    )


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Return `usage` as chat and completions spell it; details only where they are known."""
    made: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    details = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    known = {key: value for key, value in details.items() if value is not None}
    if known:
        made["prompt_tokens_details"] = known
    if usage.reasoning_tokens is not None:
        made["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return made


def _count(value: Any) -> int | None:
    # Not isinstance: True is no count, and this is asked a dozen times a request.
    return value if type(value) is int and value >= 0 else None


def _detail(details: Any, name: str) -> int | None:
    return _count(details.get(name)) if isinstance(details, dict) else None
