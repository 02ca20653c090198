"""The chunks of a chat or text completion as the whole answer, for a client that asked for no stream. Layer: rules.

Whether the answer is complete is not decided here: `passed.PassedChunks` has read the frames before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airelays.dialects.chat_server.calls import Calls

_STREAM_STARTS = (b"data:", b"event:", b":")


def is_stream(body: bytes) -> bool:
    """Whether a body is an event stream, whatever its type says."""
    return body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_STREAM_STARTS)


def whole_answer(frames: bytes, *, chat: bool) -> dict[str, Any]:
    """Return the answer that these frames are: a chat completion, or a text completion."""
    facts: dict[str, Any] = {}
    usage: Any = None
    choices: dict[int, _Choice] = {}
    for chunk in _chunks(frames):
        usage = chunk.get("usage") or usage
        listed = chunk.get("choices")
        for at, choice in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(choice, dict):
                index = choice["index"] if isinstance(choice.get("index"), int) else at
                choices.setdefault(index, _Choice(chat)).add(choice)
        more = {k: v for k, v in chunk.items() if k not in ("choices", "usage", "object")}
        facts.update((k, v) for k, v in more.items() if v is not None)
    made: dict[str, Any] = {**facts, "object": "chat.completion" if chat else "text_completion"}
    made["choices"] = [{"index": at, **choices[at].result()} for at in sorted(choices)]
    if usage is not None:
        made["usage"] = usage
    return made


def _chunks(frames: bytes) -> Iterator[dict[str, Any]]:
    for frame in frames.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        lines = [line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:")]
        try:
            value = json.loads(b"\n".join(lines))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


class _Choice:
    """One choice, made of its pieces."""

    def __init__(self, chat: bool) -> None:
        self._chat = chat
        self._rest: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._calls = Calls()
        self._shapes: dict[int, dict[str, Any]] = {}
        self._reason: Any = None

    def add(self, choice: dict[str, Any]) -> None:
        """Take what a chunk has of it."""
        self._reason = choice.get("finish_reason") or self._reason
        taken = ("index", "finish_reason", "delta", "message")
        _join(self._rest, {k: v for k, v in choice.items() if k not in taken})
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return
        calls = delta.get("tool_calls")
        calls = calls if isinstance(calls, list) else []
        for at, piece in enumerate(calls):
            if isinstance(piece, dict):
                call, _ = self._calls.take(at, len(calls), piece)
                shape = self._shapes.setdefault(id(call), {})
                shape.update((k, v) for k, v in piece.items() if k not in ("index", "function"))
        _join(self._message, {k: v for k, v in delta.items() if k not in ("role", "tool_calls")})

    def result(self) -> dict[str, Any]:
        """Return it whole."""
        if not self._chat:
            return {"text": "", **self._rest, "finish_reason": self._reason or "stop"}
        message: dict[str, Any] = {"role": "assistant", "content": None, **self._message}
        if self._calls.every:
            message["tool_calls"] = [
                {
                    **self._shapes[id(call)],
                    "id": call.call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.text or "{}"},
                }
                for call in self._calls.every
            ]
        reason = self._reason or ("tool_calls" if self._calls.every else "stop")
        return {**self._rest, "message": message, "finish_reason": reason}


def _join(made: dict[str, Any], more: dict[str, Any]) -> None:
    """Add the pieces in `more` to `made`: texts and lists grow, anything else is replaced."""
    for key, value in more.items():
        before = made.get(key)
        if value is None:
            made.setdefault(key, None)
        elif isinstance(before, str) and isinstance(value, str) and key not in ("id", "type"):
            made[key] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            _join(before, value)
        elif isinstance(before, list) or (isinstance(value, list) and before):
            made[key] = [*_parts(before), *_parts(value)]
        else:
            made[key] = value


def _parts(value: Any) -> list[Any]:
    """Return a value as a list; a text between lists of parts is a part."""
    if isinstance(value, list):
        return value
    return [{"type": "text", "text": value}] if isinstance(value, str) else [value]
