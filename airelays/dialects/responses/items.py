"""Input items of a Responses request, made fit for an upstream that stores nothing.

What clients replay carries ids, states and helper fields of an API with memory; the upstream knows none of those
and answers 400 or 404. Unknown item types pass unchanged. Layer: rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from airelays.dialects.checks import (
    fault,
    missing,
    present,
    shown,
    want_list,
    want_object,
    want_text,
)
from airelays.dialects.parts import content_parts
from airelays.dialects.translated import Notes

# Agents resend their whole history; 8,192 items is twice what chat may hold in messages.
MAX_ITEMS = 8192

_ROLES = "user, assistant, system or developer"
# Ids that begin otherwise are not ChatGPT's own, and it refuses them.
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "local_shell_call": "lsh",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "web_search_call": "ws",
    "image_generation_call": "ig",
    "compaction": "cmp",
    "compaction_summary": "cmp",
    "agent_message": "amsg",
    "additional_tools": "at",
}
# Fields that go upstream; helpers of SDKs (`parsed`, `parsed_arguments`, `status`...) stay here.
_CALL_FIELDS = {
    "function_call": ("call_id", "name", "namespace", "arguments"),
    "custom_tool_call": ("call_id", "name", "namespace", "input"),
}
# OpenAI's API refuses any other item id; without one the item is read all the same.
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DROPPED_REASONING = "reasoning_without_content_dropped"


def input_items(value: Any, notes: Notes) -> list[dict[str, Any]]:
    """Return `input` as a list of items; a string is one user message, an object one item."""
    if isinstance(value, str):
        return [_message("user", [{"type": "input_text", "text": value}])]
    if isinstance(value, dict):
        value = [value]
    elif not isinstance(value, list):
        raise fault(
            "input", f"is {shown(value)}; expected a string or an array of items", "invalid_type"
        )
    items: list[dict[str, Any]] = []
    for at, item in enumerate(want_list(value, "input", most=MAX_ITEMS)):
        path = f"input[{at}]"
        made = _item(want_object(item, path), path, notes)
        if made is not None:
            items.append(made)
    if _DROPPED_REASONING in notes.quirks:
        # An item known by its id would ask for the reasoning that belongs to it.
        for made in items:
            if made["type"] in ("message", "function_call", "custom_tool_call"):
                made.pop("id", None)
    return items


def fill_references(
    items: list[dict[str, Any]], found: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return `items` with each `item_reference` replaced by the item that `found` holds, else dropped."""
    made = []
    for item in items:
        if item.get("type") == "item_reference":
            if item["id"] in found:
                made.append(found[item["id"]])
        else:
            made.append(item)
    return made


def _item(item: dict[str, Any], path: str, notes: Notes) -> dict[str, Any] | None:
    kind = item.get("type")
    if kind is None and "role" in item:
        kind = "message"
    kind = want_text(kind, f"{path}.type", 'an item type, for example "message"')
    if kind == "message":
        return _message_item(item, path, notes)
    if kind == "reasoning":
        return _reasoning_item(item, notes)
    if kind in _CALL_FIELDS:
        return _call_item(item, kind, path)
    if kind in ("function_call_output", "custom_tool_call_output"):
        return _output_item(item, kind, path, notes)
    if kind == "item_reference":
        notes.item_refs.append(want_text(item.get("id"), f"{path}.id"))
        return {"type": kind, "id": item["id"]}
    made = present(item)
    if kind in _PREFIXES and not _is_own_id(made.get("id"), kind):
        made.pop("id", None)
    return made


def _message(role: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": parts}


def _message_item(item: dict[str, Any], path: str, notes: Notes) -> dict[str, Any] | None:
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        if role is None:
            raise missing(f"{path}.role", _ROLES)
        raise fault(f"{path}.role", f"is {shown(role)}; expected {_ROLES}")
    if role == "system":
        notes.quirk("system_to_developer")
        role = "developer"
    content = item.get("content")
    if content is None and role != "assistant":
        raise missing(f"{path}.content", "a string or an array of parts")
    parts = content_parts(content, role, f"{path}.content", notes, keep_unknown=True)
    if not parts:
        if role == "assistant":
            return None
        notes.quirk("empty_content")
        parts = [{"type": "input_text", "text": ""}]
    made = _message(role, parts)
    if isinstance(item.get("phase"), str):
        made["phase"] = item["phase"]
    return _keep_id(item, made)


def _reasoning_item(item: dict[str, Any], notes: Notes) -> dict[str, Any] | None:
    sealed = item.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed:
        # Without it the upstream looks for a stored item and answers 404.
        notes.quirk(_DROPPED_REASONING)
        return None
    summary = item.get("summary")
    made = {
        "type": "reasoning",
        "summary": summary if isinstance(summary, list) else [],
        "encrypted_content": sealed,
    }
    if isinstance(item.get("content"), list):
        made["content"] = item["content"]
    return _keep_id(item, made)


def _call_item(item: dict[str, Any], kind: str, path: str) -> dict[str, Any]:
    made = {"type": kind}
    for key in _CALL_FIELDS[kind]:
        value = item.get(key)
        if key in ("arguments", "input"):
            value = _as_text("" if value is None else value)
        elif value is None and key == "namespace":
            continue
        else:
            value = want_text(value, f"{path}.{key}")
        made[key] = value
    return _keep_id(item, made)


def _output_item(item: dict[str, Any], kind: str, path: str, notes: Notes) -> dict[str, Any]:
    output = item.get("output")
    if isinstance(output, list):
        is_parts = all(isinstance(p, dict) and isinstance(p.get("type"), str) for p in output)
        output = (
            content_parts(output, "user", f"{path}.output", notes, keep_unknown=True)
            if is_parts and output
            else _as_text(output)
        )
    elif not isinstance(output, str):
        output = "" if output is None else _as_text(output)
    call_id = want_text(item.get("call_id"), f"{path}.call_id")
    return _keep_id(item, {"type": kind, "call_id": call_id, "output": output})


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _keep_id(item: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    if _is_own_id(item.get("id"), made["type"]):
        made["id"] = item["id"]
    return made


def _is_own_id(value: Any, kind: str) -> bool:
    prefix = _PREFIXES[kind] + "_"
    if not isinstance(value, str) or not value.startswith(prefix):
        return False
    return value != prefix and _SAFE_ID.fullmatch(value) is not None
