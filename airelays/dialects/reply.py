"""What every reply map is, and a finished Responses object read for the chat and completions replies. Layer: rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from airelays.dialects.stream.stop import cut
from airelays.dialects.translated import ReplyOptions
from airelays.errors import RelayError, UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Usage


class ReplyMap(Protocol):
    """What the app needs of each of them; `frames.EventMap` tells what the fields mean."""

    committed: bool
    terminal: str
    failure: UpstreamFault | None
    stopped: bool
    done: bool
    usage: Usage | None
    model: str
    response_id: str
    first_text: bool
    events: int
    redactor: Callable[[], Redactor]

    @property
    def raw(self) -> Callable[[bytes], bytes] | None:
        """What takes a read with its chunk framing and returns the same for the client, b"" for "use `feed`"."""

    def feed(self, data: bytes) -> bytes:
        """Take one read of the upstream's body; return what goes to the client for it."""

    def end(self) -> bytes:
        """Say that the body has ended; return whatever closes the client's stream."""

    def fail(self, fault: RelayError) -> bytes:
        """Return the error event of this dialect, once."""

    def ping(self) -> bytes:
        """Return a keep-alive for this client."""


@dataclass(slots=True)
class Reading:
    """What the output items of one answer say, in order. `calls` are call items as they came."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False


def read_output(response: dict[str, Any], options: ReplyOptions) -> Reading:
    """Return the texts and calls of a response; everything after a stop sequence is left out."""
    found = Reading()
    thoughts: list[str] = []
    output = response.get("output")
    for item in output if isinstance(output, list) else []:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "message":
            text, refusal = message_texts(item)
            text, found.stopped = cut(text, options.stop)
            found.text += text
            found.refusal += refusal
            if found.stopped:
                break
        elif kind == "reasoning":
            thoughts += reasoning_texts(item)
        elif kind in ("function_call", "custom_tool_call"):
            found.calls.append(item)
    found.reasoning = "\n\n".join(thoughts)
    return found


def message_texts(item: dict[str, Any]) -> tuple[str, str]:
    """Return (text, refusal) of one message item."""
    text = "".join(_texts(item, "content", "output_text", "text"))
    return text, "".join(_texts(item, "content", "refusal", "refusal"))


def reasoning_texts(item: dict[str, Any]) -> list[str]:
    """Return the readable parts of one reasoning item: its summary, then its open text."""
    summary = list(_texts(item, "summary", "summary_text", "text"))
    return summary + list(_texts(item, "content", "reasoning_text", "text"))


def _texts(item: dict[str, Any], group: str, kind: str, key: str) -> Iterator[str]:
    parts = item.get(group)
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and part.get("type") == kind:
            text = part.get(key)
            if isinstance(text, str) and text:
                yield text


def finish_reason(response: dict[str, Any], *, calls: bool, legacy: bool, stopped: bool) -> str:
    """Return chat's `finish_reason`: a cut wins over tool calls, tool calls win over stop."""
    if stopped:
        return "stop"
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "content_filter" if reason == "content_filter" else "length"
    if calls:
        return "function_call" if legacy else "tool_calls"
    return "stop"


def read_usage(value: Any) -> Usage | None:
    """Return the usage of a Responses object; None, never zeros, when it cannot be read."""
    if not isinstance(value, dict):
        return None
    spent, made = _count(value.get("input_tokens")), _count(value.get("output_tokens"))
    if spent is None or made is None:
        return None
    total = _count(value.get("total_tokens"))
    read, written = value.get("input_tokens_details"), value.get("output_tokens_details")
    return Usage(
        input_tokens=spent,
        output_tokens=made,
        total_tokens=spent + made if total is None else total,
        cached_tokens=_detail(read, "cached_tokens"),
        cache_write_tokens=_detail(read, "cache_write_tokens"),
        reasoning_tokens=_detail(written, "reasoning_tokens"),
    )


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Return `usage` as chat and completions spell it; details only where they are known."""
    made: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    details = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    known = {key: value for key, value in details.items() if value is not None}
    if known:
        made["prompt_tokens_details"] = known
    if usage.reasoning_tokens is not None:
        made["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return made


def _count(value: Any) -> int | None:
    # Not isinstance: True is no count, and this is asked a dozen times a request.
    return value if type(value) is int and value >= 0 else None


def _detail(details: Any, name: str) -> int | None:
    return _count(details.get(name)) if isinstance(details, dict) else None


def id_of(response_id: Any, prefix: str) -> Any:
    """Return the id of a Responses object as chat ("chatcmpl-") or completions ("cmpl-") have theirs."""
    if not isinstance(response_id, str) or response_id.startswith(prefix):
        return response_id
    return prefix + response_id.removeprefix("resp_")
