"""A Responses request as a chat completions request, for servers that have no Responses API. Layer: rules.

The other direction of `chat.py`. What a chat server has no word for (hosted tools, namespaces, sealed reasoning,
files by reference) is left out and named; a custom tool becomes a function with one string parameter, and
`chat_events` turns its calls back.
"""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import present
from airelays.dialects.takes import Takes, fit
from airelays.dialects.translated import Notes

CUSTOM_INPUT = "input"
_SYSTEM_ROLES = {"developer": "system", "system": "system"}


class ChatRequest:
    """The request to send. `custom` names the tools that are custom ones, `ignored` what was left out."""

    __slots__ = ("body", "custom", "ignored")

    def __init__(
        self, body: dict[str, Any], custom: frozenset[str], ignored: tuple[str, ...]
    ) -> None:
        self.body = body
        self.custom = custom
        self.ignored = ignored


def chat_request(body: dict[str, Any]) -> ChatRequest:
    """Return the streamed chat request for a Responses request that `responses.from_responses` has checked."""
    body = present(body)
    notes = Notes()
    made: dict[str, Any] = {
        "model": body.get("model"),
        "messages": _messages(body, notes),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    custom = _tools(body, made, notes)
    _settings(body, made)
    fit(body, made, notes, api="server", takes=Takes())
    return ChatRequest(made, custom, tuple(dict.fromkeys(notes.ignored)))


def _settings(body: dict[str, Any], made: dict[str, Any]) -> None:
    if "max_output_tokens" in body:
        made["max_tokens"] = body["max_output_tokens"]
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort"):
        made["reasoning_effort"] = reasoning["effort"]
    text = body.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = {k: form[k] for k in ("name", "description", "schema", "strict") if k in form}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif isinstance(form, dict) and form.get("type") == "json_object":
        made["response_format"] = {"type": "json_object"}


# ---- messages


def _messages(body: dict[str, Any], notes: Notes) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    instructions = body.get("instructions")
    if isinstance(instructions, str) and instructions.strip(" ."):
        messages.append({"role": "system", "content": instructions})
    items = body.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            _add_item(item, messages, notes)
    return messages


def _add_item(item: dict[str, Any], messages: list[dict[str, Any]], notes: Notes) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = str(item.get("role", "user"))
        content = _content(item.get("content"), notes)
        if content or role == "assistant":
            messages.append({"role": _SYSTEM_ROLES.get(role, role), "content": content or None})
    elif kind in ("function_call", "custom_tool_call"):
        _add_call(item, messages)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        output = item.get("output")
        text = output if isinstance(output, str) else _plain(_content(output, notes))
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": text})
    elif kind != "reasoning":
        notes.ignored.append(f"input.{kind}")


def _add_call(item: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """Append a call to the assistant's last message, or to a new one."""
    last = messages[-1] if messages else None
    if last is None or last["role"] != "assistant":
        last = {"role": "assistant", "content": None}
        messages.append(last)
    arguments = item.get("arguments")
    if item.get("type") == "custom_tool_call":
        arguments = _one_string(str(item.get("input", "")))
    call = {
        "id": item.get("call_id"),
        "type": "function",
        "function": {"name": item.get("name"), "arguments": arguments or "{}"},
    }
    last.setdefault("tool_calls", []).append(call)


def _one_string(text: str) -> str:
    import json

    return json.dumps({CUSTOM_INPUT: text}, ensure_ascii=False)


def _content(content: Any, notes: Notes) -> str | list[dict[str, Any]]:
    """Return chat content: a string where it is one text, parts otherwise."""
    if isinstance(content, str):
        return content
    parts = (
        [_part(part, notes) for part in content if isinstance(part, dict)]
        if isinstance(content, list)
        else []
    )
    kept = [part for part in parts if part is not None]
    if all(part["type"] == "text" for part in kept):
        return "\n".join(part["text"] for part in kept)
    return kept


def _part(part: dict[str, Any], notes: Notes) -> dict[str, Any] | None:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": str(part.get("text", ""))}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal", ""))}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        image = {"url": part["image_url"]}
        if isinstance(part.get("detail"), str):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        file = {k: part[k] for k in ("filename", "file_data") if isinstance(part.get(k), str)}
        return {"type": "file", "file": file}
    notes.ignored.append(f"input.{kind}")
    return None


def _plain(content: str | list[dict[str, Any]]) -> str:
    """Return the texts of `content`: a tool's message takes no pictures on a chat server."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part["type"] == "text" else "[image]" for part in content)


# ---- tools


def _tools(body: dict[str, Any], made: dict[str, Any], notes: Notes) -> frozenset[str]:
    offered, custom = [], set()
    for tool in body.get("tools") or []:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind == "function":
            function = {
                k: tool[k] for k in ("name", "description", "parameters", "strict") if k in tool
            }
            offered.append({"type": "function", "function": function})
        elif kind == "custom":
            custom.add(str(tool.get("name")))
            offered.append(_as_function(tool))
        else:
            notes.ignored.append(f"tools.{kind}")
    if not offered:
        return frozenset()
    made["tools"] = offered
    choice = _choice(body.get("tool_choice"))
    if choice is not None:
        made["tool_choice"] = choice
    if "parallel_tool_calls" in body:
        made["parallel_tool_calls"] = body["parallel_tool_calls"]
    return frozenset(custom)


def _as_function(tool: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string", "description": "The whole input of the tool, as plain text."}
    function = {
        "name": tool.get("name"),
        "description": tool.get("description") or "",
        "parameters": {
            "type": "object",
            "properties": {CUSTOM_INPUT: text},
            "required": [CUSTOM_INPUT],
        },
    }
    return {"type": "function", "function": function}


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, dict) and choice.get("name"):
        return {"type": "function", "function": {"name": choice["name"]}}
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return choice.get("mode", "auto")
    return None
