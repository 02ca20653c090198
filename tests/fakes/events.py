"""Responses event streams as the backend writes them; every value is invented."""

from __future__ import annotations

import json
from typing import Any

T0 = 1_790_000_000
ENCRYPTED = "gAAAAABsynthetic-encrypted-reasoning"


class Stream:
    """Collects the events of one answer; `frames()` are its SSE frames."""

    def __init__(
        self, model: str, response_id: str = "resp_fake", *, empty_output: bool = False
    ) -> None:
        self.model, self.response_id, self.empty_output = model, response_id, empty_output
        self.events: list[dict[str, Any]] = []
        self.items: list[dict[str, Any]] = []
        self.add("response.created", response=self.response("in_progress"))
        self.add("response.in_progress", response=self.response("in_progress"))

    def add(self, kind: str, **fields: Any) -> None:
        self.events.append({"type": kind, **fields, "sequence_number": len(self.events)})

    def response(self, status: str, **changes: Any) -> dict[str, Any]:
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": T0,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "model": self.model,
            "output": [],
            "parallel_tool_calls": True,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
            "metadata": {},
            **changes,
        }

    def text(self, text: str, *, obfuscation: bool = False) -> None:
        at, item_id = len(self.items), f"msg_{len(self.items)}"
        head = {"id": item_id, "type": "message", "role": "assistant", "phase": "final_answer"}
        where = {"item_id": item_id, "output_index": at, "content_index": 0}
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        self.add(
            "response.output_item.added",
            output_index=at,
            item={**head, "status": "in_progress", "content": []},
        )
        self.add("response.content_part.added", **where, part=part)
        for n, word in enumerate(text.split(" ")):
            extra = {"obfuscation": "x" * (5 + n % 7)} if obfuscation else {}
            self.add(
                "response.output_text.delta",
                **where,
                delta=word if n == 0 else " " + word,
                logprobs=[],
                **extra,
            )
        part = {**part, "text": text}
        self.add("response.output_text.done", **where, text=text, logprobs=[])
        self.add("response.content_part.done", **where, part=part)
        self.close({**head, "status": "completed", "content": [part]})

    def call(self, name: str, arguments: dict[str, Any], call_id: str) -> None:
        at, item_id, text = len(self.items), f"fc_{len(self.items)}", json.dumps(arguments)
        head = {"id": item_id, "type": "function_call", "call_id": call_id, "name": name}
        self.add(
            "response.output_item.added",
            output_index=at,
            item={**head, "status": "in_progress", "arguments": ""},
        )
        for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
            self.add(
                "response.function_call_arguments.delta",
                item_id=item_id,
                output_index=at,
                delta=piece,
            )
        self.add(
            "response.function_call_arguments.done",
            item_id=item_id,
            output_index=at,
            arguments=text,
        )
        self.close({**head, "status": "completed", "arguments": text})

    def close(self, item: dict[str, Any]) -> None:
        self.add("response.output_item.done", output_index=len(self.items), item=item)
        self.items.append(item)

    def end(self, status: str = "completed", **changes: Any) -> None:
        details = {"cached_tokens": 0, "cache_write_tokens": 0}
        usage = {
            "input_tokens": 12,
            "input_tokens_details": details,
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
        }
        output = [] if self.empty_output else self.items
        self.add(
            "response." + status,
            response=self.response(status, output=output, usage=usage, **changes),
        )

    def frames(self) -> list[bytes]:
        return [
            f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
            for event in self.events
        ]
