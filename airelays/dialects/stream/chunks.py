"""Streams of small chunks: what chat and completions share, and the completions stream itself. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.reply import chat_usage, finish_reason, id_of, message_texts
from airelays.dialects.stream.events import (
    Delta,
    EventMap,
    ascii_literal,
    encode,
    key_of,
    skippable,
)
from airelays.dialects.stream.stop import StopFilter
from airelays.dialects.translated import ReplyOptions
from airelays.errors import RelayError
from airelays.protocol.sse import MAX_EVENT_BYTES

# Events that repeat what deltas or `output_item.done` say.
REPEATS = (
    "response.in_progress",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.done",
    "response.output_text.annotation.added",
    "response.refusal.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.done",
    "response.reasoning_text.done",
    "response.function_call_arguments.done",
    "response.custom_tool_call_input.done",
)
_DONE = b"data: [DONE]\n\n"


class ChunkStream(EventMap):
    """Text with stop sequences, refusals, and the order of the last chunks, for one answer."""

    object_name = ""
    id_prefix = "chatcmpl-"
    # Around the JSON text of a text delta, inside `choices`.
    text_frame = (b"", b"")
    skipped = skippable(*REPEATS)

    __slots__ = (
        "_declined", "_filter", "_finished", "_foot", "_has_calls", "_head", "_refused",
        "_text_foot", "_text_head", "_texted", "options",
    )  # fmt: skip

    def __init__(
        self,
        options: ReplyOptions,
        *,
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
        self._filter = StopFilter(options.stop) if options.stop else None
        self._has_calls = False
        self._refused = False
        # Keys of output items whose text or refusal came as deltas, and of items that are done.
        self._texted: set[bytes] = set()
        self._declined: set[bytes] = set()
        self._finished: set[bytes] = set()
        self._head = self._foot = self._text_head = self._text_foot = b""

    def _open(self, out: list[bytes]) -> None:
        facts = {
            "id": id_of(self.response_id, self.id_prefix),
            "object": self.object_name,
            "created": self.created_s,
            "model": self.model,
        }
        self._head = b"data: " + encode(facts)[:-1] + b',"choices":'
        self._foot = b',"usage":null}\n\n' if self.options.include_usage else b"}\n\n"
        self._text_head = self._head + self.text_frame[0]
        self._text_foot = self.text_frame[1] + self._foot

    def _delta(self, found: Delta, frame: bytes, out: list[bytes]) -> bool:
        if found[1] != b"response.output_text.delta" or self._filter is not None:
            return False
        key, literal = found[5] or found[2], ascii_literal(found[4])
        if key is None or literal is None or len(literal) == 2:
            return False
        self._texted.add(key)
        self.first_text = True
        out += (self._text_head, literal, self._text_foot)
        return True

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        key = key_of(event)
        if kind == "response.output_item.done":
            item = event.get("item")
            if isinstance(item, dict):
                self._item(key, item, out)
            return
        delta = event.get("delta")
        if not isinstance(delta, str) or not delta:
            return
        if kind == "response.output_text.delta":
            self._texted.add(key)
            self._put_text(delta, out)
        elif kind == "response.refusal.delta":
            self._declined.add(key)
            self._put_refusal(delta, out)

    def _item(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> None:
        """Take a finished item: put out what deltas did not bring."""
        self._finished.add(key)
        if item.get("type") != "message":
            return
        text, refusal = message_texts(item)
        if text and not self._came(self._texted, key):
            self._put_text(text, out)
        if refusal and not self._came(self._declined, key):
            self._put_refusal(refusal, out)
        self._flush(out)

    def _came(self, keys: set[bytes], key: bytes) -> bool:
        """Whether deltas brought this item; deltas that named no item count for every one."""
        return key in keys or b"" in keys

    def _put_text(self, text: str, out: list[bytes]) -> None:
        if self._filter is not None:
            text = self._filter.feed(text)
            self.stopped = self._filter.hit
        if text:
            self.first_text = True
            out += (self._text_head, encode(text), self._text_foot)

    def _put_refusal(self, text: str, out: list[bytes]) -> None:
        self._refused = True
        self.first_text = True

    def _flush(self, out: list[bytes]) -> None:
        if self._filter is not None and not self.stopped:
            text = self._filter.flush()
            if text:
                out += (self._text_head, encode(text), self._text_foot)

    def _finish(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        response = event.get("response")
        output = response.get("output") if isinstance(response, dict) else None
        for at, item in enumerate(output if isinstance(output, list) else []):
            key = b"%d" % at
            if isinstance(item, dict) and not self._came(self._finished, key) and not self.stopped:
                self._item(key, item, out)
        self._flush(out)

    def _reason(self, response: dict[str, Any]) -> str:
        return finish_reason(
            response,
            calls=self._has_calls,
            legacy=self.options.legacy_functions,
            stopped=self.stopped,
        )

    def _close(self, response: dict[str, Any], out: list[bytes]) -> None:
        out.append(self._head + self._last_choice(self._reason(response)) + self._foot)
        if self.options.include_usage and self.usage is not None:
            out.append(self._head + b'[],"usage":' + encode(chat_usage(self.usage)) + b"}\n\n")
        out.append(_DONE)

    def _last_choice(self, reason: str) -> bytes:
        raise NotImplementedError

    def _error(self, fault: RelayError, out: list[bytes]) -> None:
        self._flush(out)
        out.append(b"data: " + encode({"error": fault.to_object()}) + b"\n\n")


class CompletionStream(ChunkStream):
    """The stream of `/v1/completions`: text only; a refusal is text with `content_filter` at the end."""

    __slots__ = ()

    object_name = "text_completion"
    id_prefix = "cmpl-"
    text_frame = (b'[{"text":', b',"index":0,"logprobs":null,"finish_reason":null}]')

    def _put_refusal(self, text: str, out: list[bytes]) -> None:
        super()._put_refusal(text, out)
        out += (self._text_head, encode(text), self._text_foot)

    def _last_choice(self, reason: str) -> bytes:
        if self._refused and not self.stopped:
            reason = "content_filter"
        choice = {"text": "", "index": 0, "logprobs": None, "finish_reason": reason}
        return encode([choice])
