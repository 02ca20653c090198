"""A chat completions stream as the events of the Responses protocol. Layer: rules.

For servers that have no Responses API. The relay's reply maps then read these events like any upstream's, so
every dialect keeps its truths: there is a terminal event only after the server's own `finish_reason`, an
`error` in a chunk is `response.failed`, and a stream that just stops stays without an end.
"""

from __future__ import annotations

import json
from typing import Any

from airelays.dialects.chat_server.request import CUSTOM_INPUT
from airelays.errors import UpstreamFault
from airelays.protocol.sse import MAX_EVENT_BYTES, Parser

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Item:
    """One output item while it is being made."""

    __slots__ = ("call_id", "index", "item_id", "kind", "name", "pieces")

    def __init__(self, kind: str, index: int, item_id: str) -> None:
        self.kind = kind
        self.index = index
        self.item_id = item_id
        self.pieces: list[str] = []
        self.call_id = ""
        self.name = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ChatEvents:
    """Feed it the bytes of a chat stream; it gives the bytes of a Responses stream.

    `custom` names the functions that stand for custom tools. `ids` make the item ids: one string, unique
    for this answer. A server that answers a stream request with one whole completion is understood too.
    """

    def __init__(
        self,
        *,
        model: str,
        ids: str,
        now_s: float,
        custom: frozenset[str] = frozenset(),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._parser = Parser(max_event_bytes)
        self._model = model
        self._ids = ids
        self._created_s = int(now_s)
        self._custom = custom
        self._sequence = 0
        self._out: list[bytes] = []
        self._items: list[_Item] = []
        self._done_items: list[dict[str, Any]] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._finish: str | None = None
        self._usage: dict[str, Any] | None = None
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Return the events for the chunks that `data` completes. Raises UpstreamFault for an endless one."""
        try:
            for event in self._parser.feed(data):
                self._take(event.data)
        except UpstreamFault:
            self._let_go()
            raise
        return self._taken()

    def end(self) -> bytes:
        """The body has ended properly; return the terminal event if the server had finished."""
        for event in self._parser.finish():
            self._take(event.data)
        self._close()
        return self._taken()

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def _take(self, data: bytes) -> None:
        if self._ended:
            return
        if data.strip() == b"[DONE]":
            self._close()
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(chunk, dict):
            self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        if chunk.get("error"):
            self._failed(chunk["error"])
            return
        if isinstance(chunk.get("model"), str) and chunk["model"]:
            self._model = chunk["model"]
        self._begin()
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            self._delta(delta)
        if isinstance(choice.get("finish_reason"), str):
            self._finish = choice["finish_reason"]

    def _delta(self, delta: dict[str, Any]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            self._text("reasoning", thought)
        if isinstance(delta.get("content"), str) and delta["content"]:
            self._text("output_text", delta["content"])
        if isinstance(delta.get("refusal"), str) and delta["refusal"]:
            self._text("refusal", delta["refusal"])
        calls = delta.get("tool_calls")
        for at, call in enumerate(calls if isinstance(calls, list) else []):
            if isinstance(call, dict):
                self._call(at, call)

    # ---- events

    def _emit(self, kind: str, **rest: Any) -> None:
        event = {"type": kind, "sequence_number": self._sequence, **rest}
        self._sequence += 1
        data = json.dumps(event, separators=(",", ":"))
        self._out.append(f"event: {kind}\ndata: {data}\n\n".encode("ascii"))

    def _response(self, status: str) -> dict[str, Any]:
        return {
            "id": f"resp_{self._ids}",
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self._model,
            "output": [],
            "usage": None,
        }

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._emit("response.created", response=self._response("in_progress"))
            self._emit("response.in_progress", response=self._response("in_progress"))

    def _text(self, kind: str, text: str) -> None:
        item = self._open
        if item is None or item.kind != kind:
            self._finish_item()
            item = self._start(kind)
        item.pieces.append(text)
        where: dict[str, Any] = {"item_id": item.item_id, "output_index": item.index}
        if kind == "reasoning":
            self._emit(
                "response.reasoning_summary_text.delta", **where, summary_index=0, delta=text
            )
        else:
            self._emit(f"response.{kind}.delta", **where, content_index=0, delta=text)

    def _start(self, kind: str) -> _Item:
        prefix = {"reasoning": "rs", "call": "fc", "custom": "ctc"}.get(kind, "msg")
        index = len(self._items)
        item = _Item(kind, index, f"{prefix}_{self._ids}_{index}")
        self._items.append(item)
        if kind not in ("call", "custom"):
            self._open = item
            self._announce(item)
        return item

    def _announce(self, item: _Item) -> None:
        self._emit(
            "response.output_item.added", output_index=item.index, item=self._shape(item, False)
        )
        where: dict[str, Any] = {"item_id": item.item_id, "output_index": item.index}
        if item.kind == "reasoning":
            part = {"type": "summary_text", "text": ""}
            self._emit("response.reasoning_summary_part.added", **where, summary_index=0, part=part)
        elif item.kind in ("output_text", "refusal"):
            self._emit(
                "response.content_part.added", **where, content_index=0, part=_part(item.kind, "")
            )

    def _call(self, at: int, call: dict[str, Any]) -> None:
        index = call.get("index")
        key = index if isinstance(index, int) else at
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        item = self._calls.get(key)
        if item is None:
            self._finish_item()
            name = str(function.get("name") or "")
            item = self._calls[key] = self._start("custom" if name in self._custom else "call")
            item.name = name
            item.call_id = str(call.get("id") or f"call_{self._ids}_{item.index}")
            self._announce(item)
        piece = function.get("arguments")
        if isinstance(piece, dict):
            piece = json.dumps(piece)
        if isinstance(piece, str) and piece:
            item.pieces.append(piece)
            if item.kind == "call":
                where = {"item_id": item.item_id, "output_index": item.index}
                self._emit("response.function_call_arguments.delta", **where, delta=piece)

    def _finish_item(self) -> None:
        item, self._open = self._open, None
        if item is not None:
            self._item_done(item)

    def _item_done(self, item: _Item) -> None:
        where: dict[str, Any] = {"item_id": item.item_id, "output_index": item.index}
        whole = self._shape(item, True)
        if item.kind == "reasoning":
            part = {"type": "summary_text", "text": item.text}
            self._emit(
                "response.reasoning_summary_text.done", **where, summary_index=0, text=item.text
            )
            self._emit("response.reasoning_summary_part.done", **where, summary_index=0, part=part)
        elif item.kind in ("output_text", "refusal"):
            field = "refusal" if item.kind == "refusal" else "text"
            part = _part(item.kind, item.text)
            self._emit(f"response.{item.kind}.done", **where, content_index=0, **{field: item.text})
            self._emit("response.content_part.done", **where, content_index=0, part=part)
        elif item.kind == "custom":
            text = whole["input"]
            self._emit("response.custom_tool_call_input.delta", **where, delta=text)
            self._emit("response.custom_tool_call_input.done", **where, input=text)
        else:
            self._emit(
                "response.function_call_arguments.done", **where, arguments=whole["arguments"]
            )
        self._done_items.append(whole)
        self._emit("response.output_item.done", output_index=item.index, item=whole)

    def _shape(self, item: _Item, done: bool) -> dict[str, Any]:
        status = "completed" if done else "in_progress"
        if item.kind == "reasoning":
            summary = [{"type": "summary_text", "text": item.text}] if done else []
            return {"id": item.item_id, "type": "reasoning", "summary": summary}
        if item.kind in ("output_text", "refusal"):
            return {
                "id": item.item_id,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [_part(item.kind, item.text)] if done else [],
            }
        call = {"id": item.item_id, "status": status, "call_id": item.call_id, "name": item.name}
        if item.kind == "custom":
            return {
                **call,
                "type": "custom_tool_call",
                "input": _custom_input(item.text) if done else "",
            }
        arguments = (item.text or "{}") if done else ""
        return {**call, "type": "function_call", "arguments": arguments}

    # ---- ends

    def _close(self) -> None:
        """End the answer if the server said that it had finished; otherwise there is no end to tell."""
        if self._ended or self._finish is None:
            return
        self._finish_item()
        for item in self._calls.values():
            self._item_done(item)
        self._ended = True
        reason = _INCOMPLETE.get(self._finish)
        status = "incomplete" if reason else "completed"
        response = self._response(status)
        self._done_items.sort(key=lambda item: [i.item_id for i in self._items].index(item["id"]))
        response["output"] = self._done_items
        response["usage"] = _usage(self._usage)
        if reason:
            response["incomplete_details"] = {"reason": reason}
        self._emit(f"response.{status}", response=response)

    def _let_go(self) -> None:
        """An answer that failed is not put together any more."""
        self._ended = True
        self._items.clear()
        self._calls.clear()
        self._done_items.clear()
        self._open = None

    def _failed(self, error: Any) -> None:
        self._let_go()
        found = error if isinstance(error, dict) else {"message": str(error)}
        response = self._response("failed")
        code = found.get("code") or found.get("type") or "server_error"
        message = str(found.get("message") or "the upstream reported an error without a text")
        response["error"] = {**found, "code": code, "message": message}
        self._emit("response.failed", response=response)


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _custom_input(arguments: str) -> str:
    """Return the one string that a custom tool's stand-in was called with, or all of it as it is."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get(CUSTOM_INPUT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def _usage(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    given, made = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(given, int) or not isinstance(made, int):
        return None
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": _detail(usage, "prompt_tokens_details", "cached_tokens"),
            "cache_write_tokens": 0,
        },
        "output_tokens": made,
        "output_tokens_details": {
            "reasoning_tokens": _detail(usage, "completion_tokens_details", "reasoning_tokens")
        },
        "total_tokens": given + made,
    }


def _detail(usage: dict[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, int) else 0
