"""A whole message of a server as the stream that it should have been, and the other way round. Layer: rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airelays.dialects.stream.events import encode, read_event
from airelays.protocol.sse import Parser

# For each kind of block that comes in pieces: the delta's type, and the field that both have.
_PIECES = {
    "text": (("text_delta", "text"),),
    "thinking": (("thinking_delta", "thinking"), ("signature_delta", "signature")),
}


def message_events(message: dict[str, Any]) -> bytes:
    """Return the events of `message`, from message_start to message_stop."""
    out = []
    for event in _events(message):
        out += [b"event: ", event["type"].encode(), b"\ndata: ", encode(event), b"\n\n"]
    return b"".join(out)


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": begun}
    blocks = [block for block in message["content"] if isinstance(block, dict)]
    for at, block in enumerate(blocks):
        pieces = [
            (kind, name, block[name])
            for kind, name in _PIECES.get(str(block.get("type")), ())
            if isinstance(block.get(name), str)
        ]
        empty = {**block, **{name: "" for _, name, _ in pieces}}
        if block.get("type") == "tool_use":
            empty["input"] = {}
            pieces = [("input_json_delta", "partial_json", encode(block.get("input")).decode())]
        yield {"type": "content_block_start", "index": at, "content_block": empty}
        for kind, name, text in pieces:
            if text:
                delta = {"type": kind, name: text}
                yield {"type": "content_block_delta", "index": at, "delta": delta}
        yield {"type": "content_block_stop", "index": at}
    ended = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    yield {"type": "message_delta", "delta": ended, "usage": message.get("usage") or {}}
    yield {"type": "message_stop"}


def message_of(stream: bytes) -> dict[str, Any]:
    """Return the message that a complete `stream` of events, as `PassedMessages` lets it through, tells."""
    message: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
    parser = Parser(len(stream) + 1)
    for raw in [*parser.feed(stream), *parser.finish()]:
        event = read_event(raw.data) or {}
        kind = event.get("type")
        if kind == "message_start" and isinstance(event.get("message"), dict):
            message = {**event["message"], "content": []}
        elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            message["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta" and message["content"]:
            _add(message["content"][-1], event.get("delta"))
        elif kind == "content_block_stop" and message["content"]:
            _finish(message["content"][-1])
        elif kind == "message_delta":
            delta, usage = event.get("delta"), event.get("usage")
            message.update(delta if isinstance(delta, dict) else {})
            message["usage"] = {**(message.get("usage") or {}), **(usage or {})}
    return message


def _add(block: dict[str, Any], delta: Any) -> None:
    for name in ("text", "thinking", "signature", "partial_json"):
        piece = delta.get(name) if isinstance(delta, dict) else None
        if isinstance(piece, str):
            block[name] = str(block.get(name) or "") + piece


def _finish(block: dict[str, Any]) -> None:
    text = block.pop("partial_json", "")
    if text:
        try:
            block["input"] = json.loads(text)
        except (ValueError, RecursionError):
            block["input"] = {"arguments": text}
