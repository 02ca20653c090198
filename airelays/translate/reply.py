"""A finished Responses object, read for the chat and completions replies. Layer: rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airelays.translate.stopping import cut
from airelays.translate.values import ReplyOptions

__all__ = ["Reading", "finish_reason", "message_texts", "read_output", "reasoning_texts"]


@dataclass(slots=True)
class Reading:
    """What the output items of one answer say, in order. `calls` are call items as they came."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False


def read_output(response: dict[str, Any], options: ReplyOptions) -> Reading:
    """Return the texts and calls of a response; everything after a stop sequence is left out."""
    found = Reading()
    thoughts: list[str] = []
    output = response.get("output")
    for item in output if isinstance(output, list) else []:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "message":
            text, refusal = message_texts(item)
            text, found.stopped = cut(text, options.stop)
            found.text += text
            found.refusal += refusal
            if found.stopped:
                break
        elif kind == "reasoning":
            thoughts += reasoning_texts(item)
        elif kind in ("function_call", "custom_tool_call"):
            found.calls.append(item)
    found.reasoning = "\n\n".join(thoughts)
    return found


def message_texts(item: dict[str, Any]) -> tuple[str, str]:
    """Return (text, refusal) of one message item."""
    text = "".join(_texts(item, "content", "output_text", "text"))
    return text, "".join(_texts(item, "content", "refusal", "refusal"))


def reasoning_texts(item: dict[str, Any]) -> list[str]:
    """Return the readable parts of one reasoning item: its summary, then its open text."""
    summary = list(_texts(item, "summary", "summary_text", "text"))
    return summary + list(_texts(item, "content", "reasoning_text", "text"))


def _texts(item: dict[str, Any], group: str, kind: str, key: str) -> Iterator[str]:
    parts = item.get(group)
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and part.get("type") == kind:
            text = part.get(key)
            if isinstance(text, str) and text:
                yield text


def finish_reason(response: dict[str, Any], *, calls: bool, legacy: bool, stopped: bool) -> str:
    """Return chat's `finish_reason`: a cut wins over tool calls, tool calls win over stop."""
    if stopped:
        return "stop"
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "content_filter" if reason == "content_filter" else "length"
    if calls:
        return "function_call" if legacy else "tool_calls"
    return "stop"
