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
    def content_type(self) -> bytes:
        """The media type of the client's stream."""

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
    annotations: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
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
            most = len(text) if found.stopped else None
            found.annotations += annotations_of(item, len(found.text), most)
            found.logprobs += logprobs_of(item)
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


def annotations_of(item: dict[str, Any], offset: int, most: int | None = None) -> list[Any]:
    """Return the `url_citation` annotations of a message item as chat spells them.

    `offset` characters come before the item. Of its own text only `most` go out: a citation of the others does not.
    """
    found = []
    at = 0
    for part in _parts(item, "content", "output_text"):
        for one in _listed(part, "annotations"):
            end = one.get("end_index") if isinstance(one, dict) else None
            cut_off = most is not None and isinstance(end, int) and at + end > most
            if isinstance(one, dict) and one.get("type") == "url_citation" and not cut_off:
                found.append(chat_annotation(one, offset + at))
        text = part.get("text")
        at += len(text) if isinstance(text, str) else 0
    return found


def chat_annotation(annotation: dict[str, Any], offset: int) -> dict[str, Any]:
    """Return a `url_citation` as chat spells it, of a text that stands behind `offset` characters."""
    cited = {key: value for key, value in annotation.items() if key != "type"}
    for name in ("start_index", "end_index"):
        if type(cited.get(name)) is int:
            cited[name] += offset
    return {"type": "url_citation", "url_citation": cited}


def logprobs_of(item: dict[str, Any]) -> list[Any]:
    """Return the log probabilities of a message item's tokens; chat and Responses spell them alike."""
    return [
        one for part in _parts(item, "content", "output_text") for one in _listed(part, "logprobs")
    ]


def reasoning_texts(item: dict[str, Any]) -> list[str]:
    """Return the readable parts of one reasoning item: its summary, then its open text."""
    summary = list(_texts(item, "summary", "summary_text", "text"))
    return summary + list(_texts(item, "content", "reasoning_text", "text"))


def _texts(item: dict[str, Any], group: str, kind: str, key: str) -> Iterator[str]:
    for part in _parts(item, group, kind):
        text = part.get(key)
        if isinstance(text, str) and text:
            yield text


def _listed(part: dict[str, Any], name: str) -> list[Any]:
    value = part.get(name)
    return value if isinstance(value, list) else []


def _parts(item: dict[str, Any], group: str, kind: str) -> Iterator[dict[str, Any]]:
    parts = item.get(group)
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and part.get("type") == kind:
            yield part


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


# The counts of other servers beside those of the Responses API: chat, Ollama, Gemini.
_SPENT = ("input_tokens", "prompt_tokens", "prompt_eval_count", "promptTokenCount")
_MADE = ("output_tokens", "completion_tokens", "eval_count", "candidatesTokenCount")
_TOTAL = ("total_tokens", "totalTokenCount")
# DeepSeek, Moonshot, Anthropic through gateways.
_READ = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
_RESPONSES = {  # all that the Responses API itself sends
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "input_tokens_details",
    "output_tokens_details",
}


def read_usage(value: Any) -> Usage | None:
    """Return the usage of an answer in any spelling; None, never zeros, when it cannot be read."""
    if not isinstance(value, dict):
        return None
    spent, made = _count(value.get("input_tokens")), _count(value.get("output_tokens"))
    read, written = value.get("input_tokens_details"), value.get("output_tokens_details")
    if spent is None or made is None or not value.keys() <= _RESPONSES:
        return _any_usage(value)
    total = _count(value.get("total_tokens"))  # the Responses API, as nearly every answer has it
    return Usage(
        input_tokens=spent,
        output_tokens=made,
        total_tokens=spent + made if total is None else total,
        cached_tokens=_detail(read, "cached_tokens"),
        cache_write_tokens=_detail(read, "cache_write_tokens"),
        reasoning_tokens=_detail(written, "reasoning_tokens"),
    )


def _any_usage(value: dict[str, Any]) -> Usage | None:
    spent, made, total = (_first(value, names) for names in (_SPENT, _MADE, _TOTAL))
    if total is not None and spent is None and made is not None and total >= made:
        spent = total - made
    if total is not None and made is None and spent is not None and total >= spent:
        made = total - spent
    if spent is None or made is None:
        return None
    read = value.get("input_tokens_details") or value.get("prompt_tokens_details")
    written = value.get("output_tokens_details") or value.get("completion_tokens_details")
    cached = _detail(read, "cached_tokens")
    created = _detail(read, "cache_write_tokens")
    thought = _detail(written, "reasoning_tokens")
    return Usage(
        input_tokens=spent,
        output_tokens=made,
        total_tokens=spent + made if total is None else total,
        cached_tokens=_first(value, _READ) if cached is None else cached,
        cache_write_tokens=_count(value.get("cache_creation_input_tokens"))
        if created is None
        else created,
        reasoning_tokens=_count(value.get("reasoning_tokens")) if thought is None else thought,
    )


def summed(usages: list[Usage]) -> Usage | None:
    """Return the sum of several answers' usage, None of none; a detail that no answer has stays unknown."""
    if not usages:
        return None
    columns = [
        [value for value in column if value is not None] for column in zip(*usages, strict=True)
    ]
    return Usage(*(sum(column) if column else None for column in columns))  # type: ignore[arg-type]  # three are always there


def chunk_usage(chunk: dict[str, Any]) -> Any:
    """Return the usage in a chunk or a whole chat answer, wherever servers put it; None without one."""
    usage = chunk.get("usage")
    if isinstance(usage, dict) and usage:
        return usage
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    # Moonshot puts it into the last choice, Groq under a name of its own; Ollama and Gemini have other names.
    for place in (first, chunk.get("x_groq")):
        if isinstance(place, dict) and isinstance(place.get("usage"), dict):
            return place["usage"]
    if isinstance(chunk.get("usageMetadata"), dict):
        return chunk["usageMetadata"]
    return chunk if "prompt_eval_count" in chunk else None


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
    # Not isinstance: True is not a count, and this is asked a dozen times per request.
    if type(value) is float and value.is_integer() and value < 2**53:
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _first(value: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """Return the first of these counts that is there."""
    return next((found for name in names if (found := _count(value.get(name))) is not None), None)


def _detail(details: Any, name: str) -> int | None:
    return _count(details.get(name)) if isinstance(details, dict) else None


def id_of(response_id: Any, prefix: str) -> Any:
    """Return the id of a Responses object as chat ("chatcmpl-") or completions ("cmpl-") have theirs."""
    if not isinstance(response_id, str) or response_id.startswith(prefix):
        return response_id
    return prefix + response_id.removeprefix("resp_")
