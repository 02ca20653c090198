"""The stream of `/v1/responses`: every event goes through as it came, with the few exceptions named here.

`response.completed` and `.incomplete` get their `output` from the finished items when the upstream left it empty,
as ChatGPT does. An SDK gets a failure of the relay, or an `error` event of the upstream, as `event: error`
with an `error` object inside, on which the openai packages raise. The Codex CLI ignores that event: it gets
`response.failed`, refusals as text (it cannot read refusal parts), and real events as keep-alive. Layer: rules.
"""

from __future__ import annotations

import re
from typing import Any

from airelays.dialects.stream.events import Delta, EventMap, encode, is_utf8, key_of, raw_delta
from airelays.dialects.stream.failure import classify
from airelays.dialects.translated import ReplyOptions
from airelays.errors import RelayError
from airelays.protocol.sse import MAX_EVENT_BYTES

_SEQUENCE = re.compile(rb'"sequence_number": ?([0-9]{1,15})')
# On these the Codex CLI acts; any other code means "try again" to it.
_CODEX_CODES = frozenset(
    {
        "context_length_exceeded",
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "usage_not_included",
        "invalid_prompt",
        "cyber_policy",
        "bio_policy",
        "misalignment_policy_violation",
        "server_is_overloaded",
        "rate_limit_exceeded",
        "slow_down",
    }
)


class ItemKeeper:
    """The finished output items of one answer, in the order of their indexes."""

    def __init__(self) -> None:
        self._items: dict[tuple[int, int], Any] = {}

    def keep(self, event: dict[str, Any]) -> None:
        """Take an `output_item.done`; a repeated index replaces, items without one come last."""
        item = event.get("item")
        if isinstance(item, dict):
            key = key_of(event)
            at = (0, int(key)) if key.isdigit() else (1, len(self._items))
            self._items[at] = item

    def fill(self, response: dict[str, Any]) -> bool:
        """Give `response` these items as `output` if it has none; say whether that changed it."""
        output = response.get("output")
        if (isinstance(output, list) and output) or not self._items:
            return False
        response["output"] = [item for _, item in sorted(self._items.items(), key=_order)]
        return True


def _order(entry: tuple[tuple[int, int], Any]) -> tuple[int, int]:
    return entry[0]


class ResponsesStream(EventMap):
    """The pass-through of one answer. `codex` chooses the form for the Codex CLI."""

    __slots__ = (
        "_codex",
        "_held",
        "_items",
        "_last",
        "_own_words",
        "extra",
        "options",
        "response",
    )

    def __init__(
        self,
        options: ReplyOptions,
        *,
        codex: bool,
        now_s: float,
        reply_id: str,
        max_event_bytes: int = MAX_EVENT_BYTES,
        fast: bool = True,
    ) -> None:
        super().__init__(
            now_s=now_s,
            reply_id=reply_id,
            model=options.model,
            max_event_bytes=max_event_bytes,
            fast=fast,
        )
        self.options = options
        self._codex = codex
        self._items = ItemKeeper()
        self._held: list[bytes] = []
        self._last = b""
        # The failure event of an upstream that has begun, which goes out as it came.
        self._own_words = b""
        self.response: dict[str, Any] | None = None
        # What the finished object says of the relay's own state, in place of what the upstream said.
        self.extra: dict[str, Any] = {}

    def ping(self) -> bytes:
        """Return a keep-alive: for the Codex CLI an event, since comments do not reset its timer."""
        if self._codex:
            return b'event: keepalive\ndata: {"type":"keepalive"}\n\n'
        return super().ping()

    def raw(self, data: bytes) -> bytes:
        """Return `data` as it is if `feed` would change nothing in it. Not for what the Codex CLI gets rewritten."""
        if not self.first_text or self.done or self._tail or self._parser:
            return b""
        if raw_delta(data) is None or (self._codex and b"response.refusal." in data):
            return b""
        self._last = data
        self.events += 1
        return data

    def _open(self, out: list[bytes]) -> None:
        out += self._held
        self._held.clear()

    def _silent(self, kind: str, name: str, data: bytes, out: list[bytes]) -> None:
        self._last = data
        (out if self.committed else self._held).append(_frame(name or kind, data))

    def _delta(self, found: Delta, frame: bytes, out: list[bytes]) -> bool:
        if not is_utf8(found[4]) or (self._codex and found[1] == b"response.refusal.delta"):
            return False
        self._last = frame
        self.first_text = True
        out += (frame, b"\n\n")
        return True

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        if self._codex and b'"refusal"' in data and _without_refusal(event):
            data = encode(event)
        if self._codex and kind.startswith("response.refusal."):
            kind = _refusal_event(kind, event)
            name, data = kind, encode(event)
        if kind == "response.output_item.done":
            self._items.keep(event)
        elif kind.endswith(".delta"):
            self.first_text = True
        self._last = data
        out.append(_frame(name or kind, data))

    def _finish(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        response = event.get("response")
        if isinstance(response, dict):
            self._note(response)
            changed = self._items.fill(response)
            if self._codex and b'"refusal"' in data:
                changed = _refusals_to_text(response.get("output")) or changed
            self.response = response
            if self.extra:
                response.update(self.extra)
                changed = True
            if changed:
                data = encode(event)
        out.append(_frame(name or kind, data))

    def _upstream_failed(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        if self._codex:
            self._commit(out)
        if kind == "response.failed" and self.committed:
            self._own_words = _frame(name or kind, data)
        self._last = data
        self._fail(classify(event))

    def _error(self, fault: RelayError, out: list[bytes]) -> None:
        self._open(out)
        if self._own_words:
            out.append(self._own_words)
            return
        numbers = _SEQUENCE.findall(self._last)
        number = int(numbers[-1]) + 1 if numbers else 0
        if self._codex:
            out.append(_frame("response.failed", encode(self._failed_event(fault, number))))
            return
        error = fault.to_object()
        event = {
            "type": "error",
            "code": error["code"],
            "message": error["message"],
            "param": error["param"],
            "sequence_number": number,
            "error": error,
        }
        out.append(_frame("error", encode(event)))

    def _failed_event(self, fault: RelayError, number: int) -> dict[str, Any]:
        code = fault.code if fault.code in _CODEX_CODES else "server_error"
        response = {
            "id": self.response_id,
            "object": "response",
            "created_at": self.created_s,
            "status": "failed",
            "error": {"code": code, "message": fault.message},
            "incomplete_details": None,
            "model": self.model,
            "output": [],
            "usage": None,
        }
        return {"type": "response.failed", "response": response, "sequence_number": number}


def _frame(name: str, data: bytes) -> bytes:
    # A LF inside data would end its line; the standard joins several `data` lines with LF.
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    line = name.encode("utf-8", "replace")
    return b"event: " + line + b"\ndata: " + data + b"\n\n"


def _refusal_event(kind: str, event: dict[str, Any]) -> str:
    """Turn a refusal event into the text event of the same place; return its type."""
    made = kind.replace("response.refusal.", "response.output_text.")
    event["type"] = made
    event["logprobs"] = []
    if "refusal" in event:
        event["text"] = event.pop("refusal")
    return made


def _without_refusal(event: dict[str, Any]) -> bool:
    """Turn refusal parts of a part or item event into text parts; say whether there were any."""
    changed = False
    part = event.get("part")
    if isinstance(part, dict) and part.get("type") == "refusal":
        event["part"] = _text_part(part)
        changed = True
    return _refusals_to_text([event.get("item")]) or changed


def _refusals_to_text(items: Any) -> bool:
    changed = False
    for item in items if isinstance(items, list) else []:
        content = item.get("content") if isinstance(item, dict) else None
        if not isinstance(content, list):
            continue
        for at, part in enumerate(content):
            if isinstance(part, dict) and part.get("type") == "refusal":
                content[at] = _text_part(part)
                changed = True
    return changed


def _text_part(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "output_text",
        "annotations": [],
        "logprobs": [],
        "text": part.get("refusal") or "",
    }
