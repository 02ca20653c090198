"""A finished Responses object as a message, and what its stream shares with it. Layer: rules."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from airelays.dialects.anthropic.request import Plan
from airelays.dialects.anthropic.settings import HIDDEN, SHOWN
from airelays.dialects.reply import id_of, message_texts, read_usage, reasoning_texts
from airelays.dialects.stream.stop import StopFilter
from airelays.dialects.translated import ReplyOptions
from airelays.model import Usage

_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
Block = dict[str, Any]


def to_message(response: dict[str, Any], options: ReplyOptions, plan: Plan) -> dict[str, Any]:
    """Return the message for a finished Responses object."""
    stop = StopFilter(options.stop)
    blocks: list[Block] = []
    calls = refused = False
    output = response.get("output")
    for item in output if isinstance(output, list) else []:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "message":
            text, refusal = message_texts(item)
            refused = refused or bool(refusal)
            text = stop.feed(text) + ("" if stop.hit else stop.flush() + refusal)
            blocks += [{"type": "text", "text": text}] if text else []
            if stop.hit:
                break
        elif kind == "reasoning":
            blocks += _thinking(item, plan)
        elif kind == "function_call":
            calls = True
            blocks.append(_call(item, plan))
        elif kind == "web_search_call":
            blocks += search_blocks(item)
    reason = stop_reason(response, calls=calls, refused=refused, stopped=stop.hit)
    return {
        "id": message_id(response.get("id")),
        "type": "message",
        "role": "assistant",
        "model": options.model,
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": stop.word or None,
        "usage": usage_of(read_usage(response.get("usage"))),
    }


def _thinking(item: dict[str, Any], plan: Plan) -> Iterator[Block]:
    if plan.thinking == HIDDEN:
        return
    text = "\n\n".join(reasoning_texts(item)) if plan.thinking == SHOWN else ""
    signature = plan.sealer.seal(item)
    if text or signature:
        yield {"type": "thinking", "thinking": text, "signature": signature}


def _call(item: dict[str, Any], plan: Plan) -> Block:
    name = item.get("name")
    return {
        "type": "tool_use",
        "id": call_id_of(item),
        "name": plan.names.own(name if isinstance(name, str) else ""),
        "input": _arguments(item.get("arguments")),
    }


def _arguments(text: Any) -> dict[str, Any]:
    """Return a call's arguments as an object; what the model wrote instead of one stands under a name in it."""
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


def search_blocks(item: dict[str, Any]) -> Iterator[Block]:
    """Yield the two blocks for a web search that the upstream made."""
    action = item.get("action")
    found = action if isinstance(action, dict) else {}
    call_id = "srvtoolu_" + _digest(str(item.get("id") or ""))
    query = found.get("query")
    asked = {"query": query} if isinstance(query, str) else {}
    yield {"type": "server_tool_use", "id": call_id, "name": "web_search", "input": asked}
    sources = found.get("sources")
    results = [
        {
            "type": "web_search_result",
            "url": source["url"],
            "title": str(source.get("title") or source["url"]),
            "encrypted_content": "",
            "page_age": None,
        }
        for source in (sources if isinstance(sources, list) else [])
        if isinstance(source, dict) and isinstance(source.get("url"), str)
    ]
    yield {"type": "web_search_tool_result", "tool_use_id": call_id, "content": results}


def call_id_of(item: dict[str, Any]) -> str:
    """Return the id of a call as Anthropic's API allows it; the same one each time."""
    for name in ("call_id", "id"):
        value = item.get(name)
        if isinstance(value, str) and value:
            return value if _CALL_ID.fullmatch(value) else "toolu_" + _digest(value)
    return "toolu_" + _digest(json.dumps(item, sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]


def message_id(response_id: Any) -> str:
    """Return the id of a Responses object as messages have theirs."""
    return str(id_of(response_id, "msg_"))


def part_key(event: dict[str, Any]) -> bytes:
    """Return which part of a reasoning item a delta belongs to."""
    for name, mark in (("summary_index", b""), ("content_index", b"c")):
        index = event.get(name)
        if isinstance(index, int):
            return mark + b"%d" % index
    return b""


def stop_reason(response: dict[str, Any], *, calls: bool, refused: bool, stopped: bool) -> str:
    """Return why an answer ended. An answer that was cut off says so, whatever it holds."""
    if stopped:
        return "stop_sequence"
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "refusal" if reason == "content_filter" else "max_tokens"
    if calls:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def usage_of(usage: Usage | None) -> dict[str, int]:
    """Return the counts as this API has them: the input without what was cached. Clients add them up: no nulls."""
    if usage is None:
        return _counts(0, 0, 0, 0)
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    fresh = max(0, usage.input_tokens - cached - written)
    return _counts(fresh, written, cached, usage.output_tokens)


def _counts(fresh: int, written: int, cached: int, made: int) -> dict[str, int]:
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": made,
    }
