"""Ollama's messages as chat's: images are bare base64, arguments are objects, calls may have no ids. Layer: rules."""

from __future__ import annotations

import json
from typing import Any

from airelays.dialects.chat.messages import MAX_CALLS, MAX_MESSAGES
from airelays.dialects.checks import (
    fault,
    missing,
    shown,
    want_list,
    want_object,
    want_text,
    wrong_type,
)
from airelays.dialects.parts import MAX_PARTS, check_image_url

_ROLES = "system, user, assistant or tool"


class _Call:
    """A call that an assistant message made; `answered` once a tool message was found to belong to it."""

    __slots__ = ("answered", "id", "name")

    def __init__(self, call_id: str, name: str) -> None:
        self.id = call_id
        self.name = name
        self.answered = False


class Conversation:
    """One walk over `messages`, which pairs the outputs of tools with the calls."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def read(self, messages: Any) -> list[dict[str, Any]]:
        """Return chat's messages. Raises ClientFault."""
        found = want_list(messages, "messages", most=MAX_MESSAGES)
        return [
            self._message(want_object(one, f"messages[{at}]"), f"messages[{at}]")
            for at, one in enumerate(found)
        ]

    def _message(self, message: dict[str, Any], path: str) -> dict[str, Any]:
        role = message.get("role")
        if not isinstance(role, str):
            raise (missing if role is None else _no_role)(f"{path}.role", _ROLES)
        if role in ("system", "developer"):
            return {"role": "system", "content": _text(message, path)}
        if role == "user":
            return {"role": "user", "content": with_images(_text(message, path), message, path)}
        if role == "assistant":
            return self._assistant(message, path)
        if role == "tool":
            content = with_images(_text(message, path), message, path)
            return {
                "role": "tool",
                "tool_call_id": self._answered(message, path),
                "content": content,
            }
        raise fault(f"{path}.role", f"is {shown(role)}; expected {_ROLES}")

    def _assistant(self, message: dict[str, Any], path: str) -> dict[str, Any]:
        made: dict[str, Any] = {"role": "assistant", "content": _text(message, path)}
        calls = message.get("tool_calls")
        if calls:
            where = f"{path}.tool_calls"
            listed = want_list(calls, where, most=MAX_CALLS)
            made["tool_calls"] = [
                self._call(want_object(call, f"{where}[{at}]"), f"{where}[{at}]")
                for at, call in enumerate(listed)
            ]
        return made

    def _call(self, call: dict[str, Any], path: str) -> dict[str, Any]:
        inner = want_object(call.get("function"), f"{path}.function")
        name = want_text(inner.get("name"), f"{path}.function.name", "a tool's name")
        arguments = inner.get("arguments")
        if arguments is None:
            arguments = {}
        elif isinstance(arguments, str):
            arguments = _parsed(arguments, f"{path}.function.arguments")
        arguments = want_object(arguments, f"{path}.function.arguments")
        call_id = call.get("id")
        if call_id is None or call_id == "":
            call_id = f"call_{len(self._calls) + 1}"
        call_id = want_text(call_id, f"{path}.id")
        self._calls.append(_Call(call_id, name))
        text = json.dumps(arguments, ensure_ascii=False)
        return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}

    def _answered(self, message: dict[str, Any], path: str) -> str:
        """Return the id of the call that a tool message answers: by its id, else its name, else the order."""
        left = [call for call in self._calls if not call.answered]
        wanted, name = message.get("tool_call_id"), message.get("tool_name", message.get("name"))
        found = next((call for call in left if wanted and call.id == wanted), None)
        found = found or next((call for call in left if name and call.name == name), None)
        found = found or (left[0] if left else None)
        if found is None:
            raise fault(
                path,
                "is the output of a tool, but no earlier assistant message has a call without an output; send "
                "the assistant message with its tool_calls first",
            )
        found.answered = True
        return found.id


def with_images(text: str, holder: dict[str, Any], path: str) -> Any:
    """Return chat's `content` for a text and the `images` of `holder`: base64 without a media type."""
    images = holder.get("images")
    if not images:
        return text
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    where = f"{path}.images" if path else "images"
    for at, data in enumerate(want_list(images, where, most=MAX_PARTS)):
        data = want_text(data, f"{where}[{at}]", "an image as base64")
        url = data if data[:5].lower() == "data:" else f"data:image/png;base64,{data}"
        url = check_image_url(url, f"{where}[{at}]")
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _text(message: dict[str, Any], path: str) -> str:
    content = message.get("content")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise wrong_type(f"{path}.content", content, "a string (images have a separate field)")
    return content


def _no_role(path: str, expected: str) -> Exception:
    return fault(path, f"is not a string; expected {expected}", "invalid_type")


def _parsed(text: str, path: str) -> Any:
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise wrong_type(path, text, "an object") from None
