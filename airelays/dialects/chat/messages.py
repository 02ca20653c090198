"""Chat messages as Responses instructions and input items.

Leading system and developer messages become `instructions`; later ones stay in their place as developer items. In
JSON mode all of them do, because the upstream looks for the word "json" in the input. Layer: rules.
"""

from __future__ import annotations

import json
from typing import Any

from airelays.dialects.checks import (
    fault,
    missing,
    shown,
    want_list,
    want_object,
    want_text,
    wrong_type,
)
from airelays.dialects.parts import content_parts, text_of
from airelays.dialects.translated import Notes

MAX_MESSAGES = 4096
MAX_CALLS = 512
_ROLES = "system, developer, user, assistant, tool or function"


class MessageMap:
    """The state of one walk over `messages`: what calls were made, where the input begins.

    `open_history` is True when earlier messages lie in a conversation that is not seen here; then a tool
    output may answer a call that this request does not hold.
    """

    def __init__(self, notes: Notes, *, json_mode: bool, open_history: bool) -> None:
        self.instructions: list[str] = []
        self.input: list[dict[str, Any]] = []
        self._notes = notes
        self._json_mode = json_mode
        self._open_history = open_history
        self._calls: dict[str, str] = {}
        self._function_calls: dict[str, str] = {}
        self._made_ids = 0

    def add_all(self, messages: Any) -> None:
        """Translate the whole `messages` array."""
        messages = want_list(messages, "messages", most=MAX_MESSAGES)
        if not messages:
            raise fault("messages", "is empty; expected at least one message")
        for at, message in enumerate(messages):
            path = f"messages[{at}]"
            self._add(want_object(message, path), path)
        if not self.input:
            # Only system messages: the upstream wants an input, and this loses nothing.
            self.input = [_developer(text) for text in self.instructions]
            self.instructions = []
        if not self.input:
            raise fault("messages", "contains no text, image or file; expected at least one")

    def _add(self, message: dict[str, Any], path: str) -> None:
        role = message.get("role")
        if not isinstance(role, str):
            if role is None:
                raise missing(f"{path}.role", _ROLES)
            raise wrong_type(f"{path}.role", role, _ROLES)
        if message.get("name") is not None and role in ("user", "assistant", "system"):
            self._notes.quirk("message_name_dropped")
        if role in ("system", "developer"):
            self._system(message, path)
        elif role == "user":
            self._user(message, path)
        elif role == "assistant":
            self._assistant(message, path)
        elif role == "tool":
            self._tool(message, path)
        elif role == "function":
            self._function(message, path)
        else:
            raise fault(f"{path}.role", f"is {shown(role)}; expected {_ROLES}")

    def _system(self, message: dict[str, Any], path: str) -> None:
        text = text_of(message.get("content"), f"{path}.content", self._notes)
        if not text:
            return
        if self._json_mode or self.input:
            self.input.append(_developer(text))
        else:
            self.instructions.append(text)

    def _user(self, message: dict[str, Any], path: str) -> None:
        content = message.get("content")
        if content is None:
            raise missing(f"{path}.content", "a string or an array of parts")
        parts = content_parts(content, "user", f"{path}.content", self._notes)
        if not parts:
            self._notes.quirk("empty_content")
            parts = [{"type": "input_text", "text": ""}]
        self.input.append({"type": "message", "role": "user", "content": parts})

    def _assistant(self, message: dict[str, Any], path: str) -> None:
        if message.get("audio") is not None:
            raise fault(f"{path}.audio", "is not supported by the upstream; remove it")
        content = message.get("content")
        if content == []:
            self._notes.quirk("empty_content")
        parts = content_parts(content, "assistant", f"{path}.content", self._notes)
        refusal = message.get("refusal")
        if refusal is not None:
            if not isinstance(refusal, str):
                raise wrong_type(f"{path}.refusal", refusal, "a string or null")
            if refusal:
                parts.append({"type": "refusal", "refusal": refusal})
        if parts:
            self.input.append({"type": "message", "role": "assistant", "content": parts})
        calls = message.get("tool_calls")
        if calls is not None:
            calls = want_list(calls, f"{path}.tool_calls", most=MAX_CALLS)
            for at, call in enumerate(calls):
                where = f"{path}.tool_calls[{at}]"
                self._call(want_object(call, where), where)
        legacy = message.get("function_call")
        if legacy is not None:
            self._legacy_call(want_object(legacy, f"{path}.function_call"), path)

    def _call(self, call: dict[str, Any], path: str) -> None:
        kind = call.get("type") or ("custom" if "custom" in call else "function")
        if kind not in ("function", "custom"):
            raise fault(f"{path}.type", f"is {shown(kind)}; expected function or custom")
        inner = call.get(kind)
        where = path if inner is None else f"{path}.{kind}"
        inner = call if inner is None else want_object(inner, where)
        call_id = call.get("id")
        if call_id is None:
            call_id = self._made_id()
        call_id = want_text(call_id, f"{path}.id")
        name = want_text(inner.get("name"), f"{where}.name")
        key = "arguments" if kind == "function" else "input"
        text = inner.get(key)
        if text is None:
            text = ""
        elif kind == "function" and isinstance(text, dict):
            # So Ollama's API has it, and what was built on that.
            self._notes.quirk("arguments_object")
            text = json.dumps(text, ensure_ascii=False)
        if not isinstance(text, str):
            raise wrong_type(f"{where}.{key}", text, "a string")
        self._calls[call_id] = kind
        self.input.append(
            {
                "type": "function_call" if kind == "function" else "custom_tool_call",
                "call_id": call_id,
                "name": name,
                key: text or "{}" if kind == "function" else text,
            }
        )

    def _legacy_call(self, call: dict[str, Any], path: str) -> None:
        where = f"{path}.function_call"
        name = want_text(call.get("name"), f"{where}.name")
        arguments = call.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            raise wrong_type(f"{where}.arguments", arguments, "a string")
        call_id = self._function_calls[name] = self._made_id()
        self.input.append(
            {
                "type": "function_call",
                "call_id": call_id,
                "name": name,
                "arguments": arguments or "{}",
            }
        )

    def _made_id(self) -> str:
        self._made_ids += 1
        return f"call_{self._made_ids}"

    def _tool(self, message: dict[str, Any], path: str) -> None:
        call_id = want_text(message.get("tool_call_id"), f"{path}.tool_call_id", "a call's id")
        kind = self._calls.get(call_id)
        if kind is None and not self._open_history:
            raise fault(
                f"{path}.tool_call_id",
                f"is {shown(call_id)}, which no earlier assistant message called; "
                "send the assistant message with its tool_calls before the tool message",
            )
        name = "custom_tool_call_output" if kind == "custom" else "function_call_output"
        output = self._output(message, path)
        self.input.append({"type": name, "call_id": call_id, "output": output})

    def _function(self, message: dict[str, Any], path: str) -> None:
        name = want_text(message.get("name"), f"{path}.name", "the function's name")
        call_id = self._function_calls.pop(name, None)
        if call_id is None:
            raise fault(
                f"{path}.name",
                f"is {shown(name)}, which no earlier assistant message called; "
                "send the assistant message with its function_call before the function message",
            )
        output = self._output(message, path)
        self.input.append({"type": "function_call_output", "call_id": call_id, "output": output})

    def _output(self, message: dict[str, Any], path: str) -> Any:
        """Return a tool's output: one string, or parts when it holds an image or a file."""
        parts = content_parts(message.get("content"), "user", f"{path}.content", self._notes)
        if any(part["type"] != "input_text" for part in parts):
            return parts
        return "\n".join(part["text"] for part in parts)


def _developer(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "developer",
        "content": [{"type": "input_text", "text": text}],
    }
