"""A chat completions stream as the events of the Responses protocol. Layer: rules.

For servers that have no Responses API. The relay's reply maps then read these events like any upstream's, so
every dialect keeps its truths: there is a terminal event only after the server's own end, a `finish_reason` or
`[DONE]`; an error in a chunk, or a `finish_reason` that means one, is `response.failed`; and a stream that just stops
stays without an end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airelays.dialects.chat_server.calls import Call, Calls
from airelays.dialects.chat_server.content import (
    annotations_of,
    citations_of,
    logprobs_of,
    pieces_of,
)
from airelays.dialects.chat_server.messages import seal
from airelays.dialects.chat_server.tools import CUSTOM_INPUT, Named
from airelays.dialects.reply import chunk_usage, read_usage
from airelays.dialects.stream.events import encode
from airelays.dialects.stream.failure import too_deep
from airelays.dialects.stream.finish import FAILED, finish_of, interruption
from airelays.dialects.stream.server_error import choice_error, error_object, is_failure
from airelays.errors import UpstreamFault
from airelays.model import Usage
from airelays.protocol.sse import MAX_EVENT_BYTES, Event, Parser

MAX_CITED = 256
# What a chunk may have beside its choices.
_BESIDE = frozenset(("usage", "x_groq", "citations", "search_results"))
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Item:
    """One output item of text while it is being made."""

    __slots__ = ("annotations", "index", "item_id", "kind", "logprobs", "pieces")

    def __init__(self, kind: str, index: int, item_id: str) -> None:
        self.kind = kind
        self.index = index
        self.item_id = item_id
        self.pieces: list[str] = []
        self.annotations: list[dict[str, Any]] = []
        self.logprobs: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ChatEvents:
    """Feed it the bytes of a chat stream; it gives the bytes of a Responses stream.

    `tools` are the client's tools by the name of the function that stands for each. `ids` make the item ids: one
    string, unique for this answer.
    """

    def __init__(
        self,
        *,
        model: str,
        ids: str,
        now_s: float,
        tools: Mapping[str, Named] | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._parser = Parser(max_event_bytes)
        self._model = model
        self._ids = ids
        self._created_s = int(now_s)
        self._tools = tools or {}
        # What came as `reasoning_content` goes back with its calls: the server may ask for it.
        self._returns = False
        self._sequence = 0
        self._out: list[bytes] = []
        self._count = 0
        self._done_items: list[tuple[int, dict[str, Any]]] = []
        self._open: _Item | None = None
        self._calls = Calls()
        self._finish = ""
        self._usage: Usage | None = None
        self._sources: dict[str, Any] = {}
        self._thoughts: list[str] = []
        # The reasoning that led to each call of a finished answer, by its id.
        self.thoughts: dict[str, str] = {}
        self._ends_line = True
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Return the events for the chunks that `data` completes. Raises UpstreamFault for an endless one."""
        try:
            for event in self._parser.feed(self._lines(data)):
                self._take(event)
        except UpstreamFault:
            self._let_go()
            raise
        except RecursionError:
            self._let_go()
            raise too_deep() from None
        return self._taken()

    def end(self) -> bytes:
        """The body has ended properly; return the terminal event if the server had finished."""
        for event in self._parser.finish():
            self._take(event)
        if self._finish:
            self._close()
        return self._taken()

    def _lines(self, data: bytes) -> bytes:
        """Return `data` with an object that stands bare between two frames, as some servers' errors do, as an event."""
        if self._ends_line and data[:1] == b"{":
            data = b"data: " + data
        if data:
            self._ends_line = data[-1:] == b"\n"
        return data.replace(b"\n{", b"\ndata: {") if b"\n{" in data else data

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def _take(self, event: Event) -> None:
        if self._ended:
            return
        data = event.data
        if data[:1] != b"{" and data.strip() == b"[DONE]":
            # The server's own end, also where it left out the reason.
            self._finish = self._finish or "stop"
            self._close()
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            if event.name == "error":
                self._failed({"message": data.decode("utf-8", "replace")})
            return
        if event.name == "error":
            self._failed(error_object(chunk) or {"message": str(chunk)})
        elif isinstance(chunk, dict):
            self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        choices = chunk.get("choices")
        if ("error" in chunk or not choices) and is_failure(chunk):
            self._failed(error_object(chunk))
            return
        if isinstance(chunk.get("model"), str) and chunk["model"]:
            self._model = chunk["model"]
        self._begin()
        if not choices or not _BESIDE.isdisjoint(chunk):
            self._usage = read_usage(chunk_usage(chunk)) or self._usage
            if "citations" in chunk or "search_results" in chunk:
                self._sources = chunk
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            self._delta(delta, logprobs_of(choice) if choice.get("logprobs") else [])
        if "usage" in choice:
            self._usage = read_usage(choice["usage"]) or self._usage
        word = choice.get("finish_reason")
        if word:
            found = finish_of(word)
            if found == FAILED:
                said = interruption(str(word), choice_error(choice))
                self._failed({"message": said, "code": "upstream_interrupted"})
                return
            self._finish = found or self._finish

    def _delta(self, delta: dict[str, Any], logprobs: list[dict[str, Any]]) -> None:
        if not self._returns and delta.get("reasoning_content"):
            self._returns = True
        for kind, text in pieces_of(delta):
            self._text(kind, text, logprobs)
        if delta.get("annotations"):
            for annotation in annotations_of(delta):
                self._cite(annotation)
        calls = delta.get("tool_calls")
        if calls and isinstance(calls, list):
            for at, piece in enumerate(calls):
                if isinstance(piece, dict):
                    self._call(*self._calls.take(at, len(calls), piece))

    # ---- events

    def _emit(self, kind: str, **rest: Any) -> None:
        event = {"type": kind, "sequence_number": self._sequence, **rest}
        self._sequence += 1
        self._out += (b"event: ", kind.encode(), b"\ndata: ", encode(event), b"\n\n")

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

    def _text(self, kind: str, text: str, logprobs: list[dict[str, Any]]) -> None:
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
            return
        where["content_index"] = 0
        if kind == "output_text" and logprobs:
            item.logprobs += logprobs
            self._emit("response.output_text.delta", **where, delta=text, logprobs=logprobs)
        else:
            self._emit(f"response.{kind}.delta", **where, delta=text)

    def _cite(self, annotation: dict[str, Any]) -> None:
        """Put out a citation of the text that is being made."""
        item = self._open
        if item is None or item.kind != "output_text":
            self._finish_item()
            item = self._start("output_text")
        if annotation in item.annotations[-MAX_CITED:]:
            return  # some servers repeat all of them in each chunk
        where: dict[str, Any] = {"item_id": item.item_id, "output_index": item.index}
        number = len(item.annotations)
        item.annotations.append(annotation)
        self._emit(
            "response.output_text.annotation.added",
            **where,
            content_index=0,
            annotation_index=number,
            annotation=annotation,
        )

    def _start(self, kind: str) -> _Item:
        """Begin an item of text."""
        prefix = "rs" if kind == "reasoning" else "msg"
        item = self._open = _Item(kind, self._count, f"{prefix}_{self._ids}_{self._count}")
        self._count += 1
        where: dict[str, Any] = {"item_id": item.item_id, "output_index": item.index}
        self._emit("response.output_item.added", output_index=item.index, item=_begun(item))
        if kind == "reasoning":
            part = {"type": "summary_text", "text": ""}
            self._emit("response.reasoning_summary_part.added", **where, summary_index=0, part=part)
        else:
            part = _part(_Item(kind, 0, ""))
            self._emit("response.content_part.added", **where, content_index=0, part=part)
        return item

    def _call(self, call: Call, added: str) -> None:
        """Put out a piece of a call, and the call itself once its name is known."""
        if call.index < 0:
            if not call.name:
                return
            self._announce(call)
            added = call.text
        if added and call.kind == "call":
            where = {"item_id": call.item_id, "output_index": call.index}
            self._emit("response.function_call_arguments.delta", **where, delta=added)

    def _announce(self, call: Call) -> None:
        self._finish_item()
        call.tool = self._tools.get(call.name)
        call.kind = "custom" if call.tool is not None and call.tool.custom else "call"
        call.index = self._count
        self._count += 1
        prefix = "ctc" if call.kind == "custom" else "fc"
        call.item_id = f"{prefix}_{self._ids}_{call.index}"
        call.call_id = call.call_id or f"call_{self._ids}_{call.index}"
        shape = _call_shape(call, False)
        self._emit("response.output_item.added", output_index=call.index, item=shape)

    def _finish_item(self) -> None:
        item, self._open = self._open, None
        if item is not None:
            self._item_done(item)

    def _item_done(self, item: _Item) -> None:
        where: dict[str, Any] = {"item_id": item.item_id, "output_index": item.index}
        text = item.text
        if item.kind == "reasoning":
            part = {"type": "summary_text", "text": text}
            self._emit("response.reasoning_summary_text.done", **where, summary_index=0, text=text)
            self._emit("response.reasoning_summary_part.done", **where, summary_index=0, part=part)
            whole: dict[str, Any] = {**_begun(item), "summary": [part]}
            if self._returns:
                whole["encrypted_content"] = seal(text)
                self._thoughts.append(text)
        else:
            where["content_index"] = 0
            field = "refusal" if item.kind == "refusal" else "text"
            part = _part(item)
            self._emit(f"response.{item.kind}.done", **where, **{field: text})
            self._emit("response.content_part.done", **where, part=part)
            whole = {**_begun(item), "status": "completed", "content": [part]}
        self._whole(item.index, whole)

    def _call_done(self, call: Call) -> None:
        if call.index < 0:
            self._announce(call)  # a call without a name: the client is told what came
        where: dict[str, Any] = {"item_id": call.item_id, "output_index": call.index}
        whole = _call_shape(call, True)
        if call.kind == "custom":
            self._emit("response.custom_tool_call_input.delta", **where, delta=whole["input"])
            self._emit("response.custom_tool_call_input.done", **where, input=whole["input"])
        else:
            arguments = whole["arguments"]
            self._emit("response.function_call_arguments.done", **where, arguments=arguments)
        self._whole(call.index, whole)
        if self._thoughts:
            self.thoughts[call.call_id] = "".join(self._thoughts)

    def _whole(self, index: int, item: dict[str, Any]) -> None:
        self._done_items.append((index, item))
        self._emit("response.output_item.done", output_index=index, item=item)

    # ---- ends

    def _close(self) -> None:
        """End the answer: the server said that it had finished."""
        if self._ended:
            return
        self._begin()
        if self._sources and self._open is not None and not self._open.annotations:
            for annotation in citations_of(self._sources, self._open.text):
                self._cite(annotation)
        self._finish_item()
        for call in self._calls.every:
            self._call_done(call)
        self._ended = True
        reason = _INCOMPLETE.get(self._finish)
        status = "incomplete" if reason else "completed"
        response = self._response(status)
        self._done_items.sort(key=_index_of)
        response["output"] = [item for _, item in self._done_items]
        response["usage"] = _usage(self._usage)
        if reason:
            response["incomplete_details"] = {"reason": reason}
        self._emit(f"response.{status}", response=response)

    def _let_go(self) -> None:
        """An answer that failed is not put together any more."""
        self._ended = True
        self._calls.clear()
        self._done_items.clear()
        self._open = None

    def _failed(self, error: dict[str, Any]) -> None:
        self._let_go()
        response = self._response("failed")
        code = error.get("code") or error.get("type") or "server_error"
        message = str(error.get("message") or "the upstream reported an error without a text")
        response["error"] = {**error, "code": code, "message": message}
        self._emit("response.failed", response=response)


def _index_of(entry: tuple[int, dict[str, Any]]) -> int:
    return entry[0]


def _begun(item: _Item) -> dict[str, Any]:
    """Return an item of text as it is announced."""
    if item.kind == "reasoning":
        return {"id": item.item_id, "type": "reasoning", "summary": []}
    return {
        "id": item.item_id,
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }


def _part(item: _Item) -> dict[str, Any]:
    if item.kind == "refusal":
        return {"type": "refusal", "refusal": item.text}
    return {
        "type": "output_text",
        "annotations": item.annotations,
        "logprobs": item.logprobs,
        "text": item.text,
    }


def _call_shape(call: Call, done: bool) -> dict[str, Any]:
    status = "completed" if done else "in_progress"
    tool = call.tool or Named(call.name)
    shape = {"id": call.item_id, "status": status, "call_id": call.call_id, "name": tool.name}
    if tool.namespace:
        shape["namespace"] = tool.namespace
    if call.kind == "custom":
        text = _custom_input(call.text) if done else ""
        return {**shape, "type": "custom_tool_call", "input": text}
    return {**shape, "type": "function_call", "arguments": (call.text or "{}") if done else ""}


def _custom_input(arguments: str) -> str:
    """Return the one string that a custom tool's stand-in was called with, or all of it as it is."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get(CUSTOM_INPUT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }
