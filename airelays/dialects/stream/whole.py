"""Whole answers of a server: their ends read, and one that answers a stream request as the stream it should have been.

Layer: rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airelays.dialects.stream.events import encode
from airelays.dialects.stream.failure import too_deep
from airelays.dialects.stream.finish import chunk_ends, interrupted
from airelays.dialects.stream.server_error import error_object, is_failure
from airelays.dialects.stream.told import tell_answer
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor

_DONE = b"data: [DONE]\n\n"
_DELTAS = {
    "output_text": ("output_text", "text"),
    "refusal": ("refusal", "refusal"),
    "summary_text": ("reasoning_summary_text", "text"),
    "reasoning_text": ("reasoning_text", "text"),
}
_CALLS = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}


def is_answer(value: Any) -> bool:
    """Whether a body is an answer of one of the text APIs, good or bad."""
    if not isinstance(value, dict):
        return False
    choices, output = value.get("choices"), value.get("output")
    if _is_message(value):
        return True
    return (isinstance(choices, list) and bool(choices)) or isinstance(output, list)


def _is_message(value: dict[str, Any]) -> bool:
    """Whether it is an answer of Anthropic's API."""
    return value.get("type") == "message" and isinstance(value.get("content"), list)


def check_answer(value: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return a whole answer as a client may see it: `value` itself where nothing has to be changed.

    Raises UpstreamFault for one that is an error, or that the server broke off.
    """
    told = tell_answer(value, redactor)
    if not isinstance(told.get("choices"), list):
        return told
    said = chunk_ends(told, set())
    if isinstance(said, tuple):
        raise interrupted(*(redactor.said(text) for text in said))
    return {**told} if said else told


def stream_of_answer(value: dict[str, Any], *, include_usage: bool) -> bytes:
    """Return a whole answer, or an error, as the event stream of its API. Raises UpstreamFault for what is neither."""
    if not is_answer(value):
        if is_failure(value):
            return b"data: " + encode({"error": error_object(value)}) + b"\n\n"
        raise UpstreamFault(
            "the upstream answered 200 with a JSON object that is neither an answer nor an error; check base_url",
            code="upstream_malformed",
            type="upstream_error",
        )
    try:
        return _stream_of(value, include_usage)
    except RecursionError:
        raise too_deep() from None


def _stream_of(value: dict[str, Any], include_usage: bool) -> bytes:
    if isinstance(value.get("choices"), list):
        chunks = _chunks(value, include_usage)
        return b"".join(b"data: " + encode(chunk) + b"\n\n" for chunk in chunks) + _DONE
    if _is_message(value):
        from airelays.dialects.anthropic.made import message_events

        return message_events(value)
    out = []
    for number, event in enumerate(_events(value)):
        data = encode({**event, "sequence_number": number})
        out.append(b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n")
    return b"".join(out)


def _chunks(value: dict[str, Any], include_usage: bool) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a chat completion, or of a text completion."""
    facts = {k: v for k, v in value.items() if k not in ("choices", "usage")}
    if str(facts.get("object")) == "chat.completion":
        facts["object"] = "chat.completion.chunk"
    for at, choice in enumerate(value["choices"]):
        if not isinstance(choice, dict):
            continue
        rest = {k: v for k, v in choice.items() if k not in ("message", "finish_reason", "index")}
        index = choice["index"] if isinstance(choice.get("index"), int) else at
        shown = {"index": index, **rest, "finish_reason": None}
        message = choice.get("message")
        if isinstance(message, dict):
            shown["delta"] = _delta(message)
        yield {**facts, "choices": [shown]}
        last: dict[str, Any] = {"index": index, "finish_reason": choice.get("finish_reason")}
        yield {
            **facts,
            "choices": [{**last, **({"text": ""} if "text" in choice else {"delta": {}})}],
        }
    usage = value.get("usage")
    if include_usage and isinstance(usage, dict):
        yield {**facts, "choices": [], "usage": usage}


def _delta(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    numbered = [
        {"index": at, **call} if isinstance(call, dict) else call for at, call in enumerate(calls)
    ]
    return {**message, "tool_calls": numbered}


def _events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a Responses object; one that is not finished gets no end."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    begun.update(error=None, incomplete_details=None)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        if isinstance(item, dict):
            yield from _item_events(item, index)
    status = response.get("status") or "completed"
    if status == "cancelled" or response.get("error"):
        status = "failed"
    if status in ("completed", "incomplete", "failed"):
        yield {"type": f"response.{status}", "response": {**response, "status": status}}


def _item_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    where: dict[str, Any] = {"item_id": item.get("id"), "output_index": index}
    groups = {k: item[k] for k in ("content", "summary") if isinstance(item.get(k), list)}
    kind = item.get("type")
    event, field = _CALLS.get(kind, ("", "")) if isinstance(kind, str) else ("", "")
    empty: dict[str, Any] = {**{key: [] for key in groups}, **({field: ""} if field else {})}
    begun = {**item, **empty}
    if "status" in item:
        begun["status"] = "in_progress"
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for group, parts in groups.items():
        for at, part in enumerate(parts):
            if isinstance(part, dict):
                number = {"summary_index" if group == "summary" else "content_index": at}
                yield from _part_events(part, {**where, **number}, group)
    if field and isinstance(item.get(field), str):
        text = item[field]
        yield {"type": f"response.{event}.delta", **where, "delta": text}
        yield {"type": f"response.{event}.done", **where, field: text}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(
    part: dict[str, Any], where: dict[str, Any], group: str
) -> Iterator[dict[str, Any]]:
    kind = part.get("type")
    event, field = _DELTAS.get(kind, ("", "")) if isinstance(kind, str) else ("", "")
    name = "reasoning_summary_part" if group == "summary" else "content_part"
    yield {
        "type": f"response.{name}.added",
        **where,
        "part": {**part, field: ""} if field else part,
    }
    text = part.get(field) if field else None
    if isinstance(text, str) and text:
        logprobs = {"logprobs": part["logprobs"]} if part.get("logprobs") else {}
        yield {"type": f"response.{event}.delta", **where, "delta": text, **logprobs}
        yield {"type": f"response.{event}.done", **where, field: text}
    yield {"type": f"response.{name}.done", **where, "part": part}
