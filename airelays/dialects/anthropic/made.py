"""A whole message of a server as the stream that it should have been. Layer: rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airelays.dialects.stream.events import encode

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
