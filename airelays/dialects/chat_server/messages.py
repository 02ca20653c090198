"""The items of a Responses request as chat messages that every chat server accepts. Layer: rules.

One system message at the front; the outputs of calls right behind the message that made them, one for each; pictures
and files of tool outputs in a user message behind those, because a tool's message takes text only.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from airelays.dialects.chat_server.tools import ToolNames, one_string
from airelays.dialects.translated import Notes

# In `encrypted_content` of a reasoning item: the text, for the way back to the server that it came from.
SEAL = "airelays.reasoning_content.1:"
_NO_OUTPUT = "[no output]"
_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
Message = dict[str, Any]


def seal(text: str) -> str:
    """Return the `encrypted_content` that carries `text`; it is readable to the client, as the summary is."""
    return SEAL + b64encode(text.encode("utf-8", "replace")).decode("ascii")


def unseal(sealed: Any) -> str:
    """Return the text that `seal` packed; "" for anything else."""
    if not isinstance(sealed, str) or not sealed.startswith(SEAL):
        return ""
    try:
        return b64decode(sealed.removeprefix(SEAL), validate=True).decode("utf-8")
    except ValueError:
        return ""


def without_sealed(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a Responses body without what `seal` packed, and the name of what that is; "" where there is none.

    For servers with a Responses API of their own: they refuse what they did not encrypt.
    """
    items = body.get("input")
    if not isinstance(items, list) or not any(map(_is_sealed, items)):
        return body, ""
    kept = [item for item in items if not _is_sealed(item)]
    return {**body, "input": kept}, "input.reasoning"


def _is_sealed(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    sealed = item.get("encrypted_content")
    return isinstance(sealed, str) and sealed.startswith(SEAL)


class MessageList:
    """Takes the items in order; `result` is the messages. `recall` returns the reasoning that led to a call."""

    def __init__(self, notes: Notes, tools: ToolNames, recall: Callable[[str], str]) -> None:
        self._notes = notes
        self._tools = tools
        self._recall = recall
        self._system: list[str] = []
        self._messages: list[Message] = []
        # By call id, in order, for some servers use an id again: the tool's message, and one with its pictures.
        self._outputs: dict[Any, list[tuple[Message, Message | None]]] = {}
        self._thought = ""

    def add(self, item: dict[str, Any]) -> None:
        """Take one item."""
        kind = item.get("type", "message")
        if kind == "message":
            self._add_message(item)
        elif kind in _CALLS:
            self._add_call(item)
        elif kind in _OUTPUTS:
            self._add_output(item)
        elif kind == "reasoning":
            self._thought = unseal(item.get("encrypted_content"))
        elif kind != "additional_tools":
            self._notes.ignored.append(f"input.{kind}")

    def add_system(self, text: str) -> None:
        """Take a text for the system message."""
        if text.strip():
            self._system.append(text)

    def result(self) -> list[Message]:
        """Return the messages in an order that every server takes."""
        found: list[Message] = []
        if self._system:
            found.append({"role": "system", "content": "\n\n".join(self._system)})
        for message in self._messages:
            found.append(message)
            calls = message.get("tool_calls", ())
            pictures: list[Message] = []
            for call in calls:
                outputs = self._outputs.get(call["id"]) or [(_tool(call["id"], _NO_OUTPUT), None)]
                output, seen = outputs.pop(0)
                found.append(output)
                pictures += [seen] if seen is not None else []
            found += pictures
        for call_id, outputs in self._outputs.items():
            # Of calls that are not in the input: no server takes a tool's message for those.
            for output, seen in outputs:
                found.append(_user_text(f"[output of {call_id}] {output['content']}"))
                found += [seen] if seen is not None else []
        return found

    def _add_message(self, item: dict[str, Any]) -> None:
        role = str(item.get("role", "user"))
        content = content_of(item.get("content"), self._notes)
        if role in ("system", "developer"):
            self.add_system(_texts(content))
            return
        if content or role == "assistant":
            self._messages.append({"role": role, "content": content or None})
        if role != "assistant":
            self._thought = ""

    def _add_call(self, item: dict[str, Any]) -> None:
        """Append a call to the assistant's last message, or to a new one."""
        last = self._messages[-1] if self._messages else None
        if last is None or last["role"] != "assistant" or self._is_answered(last):
            last = {"role": "assistant", "content": None}
            self._messages.append(last)
        arguments = item.get("arguments")
        if item.get("type") == "custom_tool_call":
            arguments = one_string(str(item.get("input", "")))
        name = str(item.get("name") or "")
        function = self._tools.function_of(name, str(item.get("namespace") or ""))
        call = {
            "id": item.get("call_id"),
            "type": "function",
            "function": {"name": function, "arguments": arguments or "{}"},
        }
        last.setdefault("tool_calls", []).append(call)
        thought = self._thought or self._recall(str(item.get("call_id")))
        if thought:
            last["reasoning_content"] = thought
        self._thought = ""

    def _is_answered(self, message: Message) -> bool:
        """Whether an output of one of its calls was there already: the next call is another step then."""
        return any(call["id"] in self._outputs for call in message.get("tool_calls", ()))

    def _add_output(self, item: dict[str, Any]) -> None:
        call_id, output = item.get("call_id"), item.get("output")
        content = output if isinstance(output, str) else content_of(output, self._notes)
        others = [] if isinstance(content, str) else [p for p in content if p["type"] != "text"]
        text = _texts(content)
        seen: Message | None = None
        if others:
            text = f"{text}\n[see the next message]" if text else "[see the next message]"
            lead = {"type": "text", "text": f"[output of {call_id}]"}
            seen = {"role": "user", "content": [lead, *others]}
        self._outputs.setdefault(call_id, []).append((_tool(call_id, text), seen))
        self._thought = ""


def _tool(call_id: Any, text: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _user_text(text: str) -> Message:
    return {"role": "user", "content": text}


def content_of(content: Any, notes: Notes) -> str | list[dict[str, Any]]:
    """Return chat content: a string where it is text only, parts otherwise."""
    if isinstance(content, str):
        return content
    parts = (
        [_part(part, notes) for part in content if isinstance(part, dict)]
        if isinstance(content, list)
        else []
    )
    kept = [part for part in parts if part is not None]
    if all(part["type"] == "text" for part in kept):
        return _texts(kept)
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


def _texts(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")
