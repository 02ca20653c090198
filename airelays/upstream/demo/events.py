"""A plan as the events of the Responses protocol, in the order and with the fields of the real backend. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airelays.upstream.demo.plan import Plan, ToolCall


def encode_event(event: dict[str, Any]) -> bytes:
    """Return one SSE frame."""
    data = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def events(
    plan: Plan, body: dict[str, Any], response_id: str, now_s: int
) -> Iterator[dict[str, Any]]:
    """Yield the events of the whole answer. The caller stops early to play a cut."""
    maker = _Maker(body, response_id, now_s)
    yield from maker.opening()
    for index, item in enumerate(_items(plan, response_id)):
        yield from maker.item(index, item, plan)
    yield maker.closing(plan)


def _items(plan: Plan, response_id: str) -> list[tuple[str, ToolCall | None]]:
    items: list[tuple[str, ToolCall | None]] = []
    if plan.reasoning:
        items.append(("reasoning", None))
    if plan.words or not plan.calls:
        items.append(("message", None))
    items.extend(("call", call) for call in plan.calls)
    return items


class _Maker:
    """Numbers the events and keeps what the final object needs."""

    def __init__(self, body: dict[str, Any], response_id: str, now_s: int) -> None:
        self._body = body
        self._id = response_id
        self._suffix = response_id.removeprefix("resp_")
        self._now_s = now_s
        self._sequence = 0
        self._output: list[dict[str, Any]] = []

    def _event(self, kind: str, **rest: Any) -> dict[str, Any]:
        event = {"type": kind, "sequence_number": self._sequence, **rest}
        self._sequence += 1
        return event

    def opening(self) -> Iterator[dict[str, Any]]:
        yield self._event("response.created", response=self._response("in_progress"))
        yield self._event("response.in_progress", response=self._response("in_progress"))

    def item(
        self, index: int, what: tuple[str, ToolCall | None], plan: Plan
    ) -> Iterator[dict[str, Any]]:
        kind, call = what
        if kind == "reasoning":
            yield from self._reasoning(index, plan)
        elif call is not None:
            yield from self._call(index, call)
        else:
            yield from self._message(index, plan)

    def _reasoning(self, index: int, plan: Plan) -> Iterator[dict[str, Any]]:
        where = {"item_id": f"rs_{self._suffix}", "output_index": index, "summary_index": 0}
        item = {"id": where["item_id"], "type": "reasoning", "summary": []}
        yield self._event("response.output_item.added", output_index=index, item=item)
        part = {"type": "summary_text", "text": ""}
        yield self._event("response.reasoning_summary_part.added", **where, part=part)
        for piece in plan.reasoning:
            yield self._event("response.reasoning_summary_text.delta", **where, delta=piece)
        text = "".join(plan.reasoning)
        done = {"type": "summary_text", "text": text}
        yield self._event("response.reasoning_summary_text.done", **where, text=text)
        yield self._event("response.reasoning_summary_part.done", **where, part=done)
        whole = {**item, "summary": [done], "encrypted_content": "gAAAAA-demo-reasoning"}
        yield self._done(index, whole)

    def _message(self, index: int, plan: Plan) -> Iterator[dict[str, Any]]:
        item_id = f"msg_{self._suffix}_{index}"
        where = {"item_id": item_id, "output_index": index, "content_index": 0}
        item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant"}
        kind, field = ("refusal", "refusal") if plan.refusal else ("output_text", "text")
        extra: dict[str, Any] = {} if plan.refusal else {"annotations": [], "logprobs": []}
        yield self._event(
            "response.output_item.added",
            output_index=index,
            item={**item, "content": [], "phase": "final_answer"},
        )
        yield self._event(
            "response.content_part.added", **where, part={"type": kind, **extra, field: ""}
        )
        for word in plan.words:
            more: dict[str, Any] = {} if plan.refusal else {"logprobs": []}
            yield self._event(f"response.{kind}.delta", **where, delta=word, **more)
        text = "".join(plan.words)
        part = {"type": kind, **extra, field: text}
        yield self._event(f"response.{kind}.done", **where, **{field: text})
        yield self._event("response.content_part.done", **where, part=part)
        status = "incomplete" if plan.incomplete else "completed"
        yield self._done(
            index, {**item, "status": status, "content": [part], "phase": "final_answer"}
        )

    def _call(self, index: int, call: ToolCall) -> Iterator[dict[str, Any]]:
        custom = call.kind == "custom"
        prefix, field = ("ctc", "input") if custom else ("fc", "arguments")
        item_id = f"{prefix}_{self._suffix}_{index}"
        item: dict[str, Any] = {
            "id": item_id,
            "type": "custom_tool_call" if custom else "function_call",
            "status": "in_progress",
            "call_id": f"call_{self._suffix}_{index}",
            "name": call.name,
        }
        if call.namespace:
            item["namespace"] = call.namespace
        kind = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        where = {"item_id": item_id, "output_index": index}
        yield self._event(
            "response.output_item.added", output_index=index, item={**item, field: ""}
        )
        for start in range(0, len(call.payload), 12):
            yield self._event(f"{kind}.delta", **where, delta=call.payload[start : start + 12])
        yield self._event(f"{kind}.done", **where, **{field: call.payload})
        yield self._done(index, {**item, "status": "completed", field: call.payload})

    def _done(self, index: int, item: dict[str, Any]) -> dict[str, Any]:
        self._output.append(item)
        return self._event("response.output_item.done", output_index=index, item=item)

    def closing(self, plan: Plan) -> dict[str, Any]:
        said = len(plan.words) + sum(len(call.payload.split()) for call in plan.calls)
        thought = sum(len(piece.split()) for piece in plan.reasoning)
        usage = {
            "input_tokens": plan.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said + thought,
            "output_tokens_details": {"reasoning_tokens": thought},
            "total_tokens": plan.input_tokens + said + thought,
        }
        status = "incomplete" if plan.incomplete else "completed"
        response = self._response(status)
        response.update(output=self._output, usage=usage)
        if plan.incomplete:
            response["incomplete_details"] = {"reason": plan.incomplete}
        return self._event(f"response.{status}", response=response)

    def failed(self, code: str, message: str) -> dict[str, Any]:
        response = self._response("failed")
        response["error"] = {"code": code, "message": message}
        return self._event("response.failed", response=response)

    def _response(self, status: str) -> dict[str, Any]:
        body = self._body
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._now_s,
            "status": status,
            "background": False,
            "completed_at": self._now_s if status == "completed" else None,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "max_tool_calls": None,
            "model": body.get("model"),
            "output": [],
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "prompt_cache_key": body.get("prompt_cache_key"),
            "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
            "safety_identifier": None,
            "service_tier": "default",
            "store": False,
            "temperature": 1.0,
            "text": body.get("text") or {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None,
            "user": None,
            "metadata": {},
        }


def failure_events(
    body: dict[str, Any], response_id: str, now_s: int, code: str, message: str
) -> list[dict[str, Any]]:
    """Return created, in_progress and `response.failed` with `code`."""
    maker = _Maker(body, response_id, now_s)
    return [*maker.opening(), maker.failed(code, message)]
