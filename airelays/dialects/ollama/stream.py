"""The stream of `/api/chat` and `/api/generate`: one line for each piece, calls whole, a last line. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.ollama.errors import line
from airelays.dialects.ollama.request import GENERATE, Plan
from airelays.dialects.ollama.whole import Meter, call_of, is_call
from airelays.dialects.reply import finish_reason, reasoning_texts
from airelays.dialects.stream.chunks import ChunkStream
from airelays.dialects.stream.events import Delta, ascii_literal, encode, key_of
from airelays.dialects.translated import ReplyOptions
from airelays.errors import RelayError
from airelays.protocol.sse import MAX_EVENT_BYTES

CONTENT_TYPE = b"application/x-ndjson"
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_FAST_THOUGHTS = tuple(name.encode() for name in _THOUGHTS)


class OllamaStream(ChunkStream):
    """An answer as Ollama's lines. `plan` is of the request, `meter` counts for the last line."""

    content_type = CONTENT_TYPE

    __slots__ = ("_calls", "_thought", "_thought_items", "_thought_text", "meter", "plan")

    def __init__(
        self,
        options: ReplyOptions,
        plan: Plan,
        meter: Meter,
        *,
        now_s: float,
        reply_id: str,
        max_event_bytes: int = MAX_EVENT_BYTES,
        fast: bool = True,
    ) -> None:
        super().__init__(
            options, now_s=now_s, reply_id=reply_id, max_event_bytes=max_event_bytes, fast=fast
        )
        self.plan = plan
        self.meter = meter
        self._calls: set[bytes] = set()
        self._thought: tuple[bytes, bytes] | None = None
        self._thought_items: set[bytes] = set()
        self._thought_text: tuple[bytes, bytes] = (b"", b"")

    def feed(self, data: bytes) -> bytes:
        """Take one read of the upstream's body; return all that goes to the client for it."""
        out = super().feed(data)
        if self.first_text and not self.meter.first_s:
            self.meter.first()
        return out

    def ping(self) -> bytes:
        """Return white space, which belongs to the line behind it: an empty line of its own breaks clients."""
        return b" "

    def _open(self, out: list[bytes]) -> None:
        facts = {"model": self.plan.model, "created_at": self.meter.stamp()}
        self._head = encode(facts)[:-1]
        self._foot = b',"done":false}\n'
        if self.plan.api == GENERATE:
            self._text_head, self._text_foot = self._head + b',"response":', self._foot
            thought = b',"response":"","thinking":', self._foot
        else:
            said = b',"message":{"role":"assistant","content":'
            self._text_head, self._text_foot = self._head + said, b"}" + self._foot
            thought = said + b'"","thinking":', b"}" + self._foot
        self._thought_text = (self._head + thought[0], thought[1])

    def _delta(self, found: Delta, frame: bytes, out: list[bytes]) -> bool:
        if found[1] == b"response.output_text.delta":
            return super()._delta(found, frame, out)
        part = found[6] or found[3]
        key, literal = found[5] or found[2], ascii_literal(found[4])
        if not self.plan.thoughts or found[1] not in _FAST_THOUGHTS or part is None:
            return False
        if literal is None or len(literal) == 2 or self._thought != (key, part):
            return False
        out += (self._thought_text[0], literal, self._thought_text[1])
        return True

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        if kind not in _THOUGHTS:
            super()._event(kind, name, event, data, out)
            return
        delta, key = event.get("delta"), key_of(event)
        if isinstance(delta, str) and delta:
            self._thought_items.add(key)
            index = event.get("summary_index", event.get("content_index"))
            self._put_thought(delta, (key, b"%d" % index if type(index) is int else b""), out)

    def _put_thought(self, text: str, part: tuple[bytes, bytes], out: list[bytes]) -> None:
        if not self.plan.thoughts:
            return
        if self._thought is not None and self._thought != part:
            text = "\n\n" + text
        self._thought = part
        self.first_text = True
        out += (self._thought_text[0], encode(text), self._thought_text[1])

    def _put_refusal(self, text: str, out: list[bytes]) -> None:
        super()._put_refusal(text, out)
        out += (self._text_head, encode(text), self._text_foot)

    def _item(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> None:
        if item.get("type") == "reasoning" and not self._came(self._thought_items, key):
            for at, text in enumerate(reasoning_texts(item)):
                self._put_thought(text, (key, b"%d" % at), out)
        elif is_call(item) and self.plan.api != GENERATE:
            self._flush(out)
            call = call_of(item, len(self._calls), self.plan)
            self._calls.add(key)
            self.first_text = True
            message = {"role": "assistant", "content": "", "tool_calls": [call]}
            out.append(self._head + b',"message":' + encode(message) + self._foot)
        super()._item(key, item, out)

    def _close(self, response: dict[str, Any], out: list[bytes]) -> None:
        reason = finish_reason(response, calls=False, legacy=False, stopped=self.stopped)
        said: dict[str, Any] = {"message": {"role": "assistant", "content": ""}}
        last = {
            "model": self.plan.model,
            "created_at": self.meter.stamp(),
            **({"response": ""} if self.plan.api == GENERATE else said),
            "done": True,
            "done_reason": reason,
            **self.meter.counts(self.usage, self.events),
        }
        out.append(encode(last) + b"\n")

    def _error(self, fault: RelayError, out: list[bytes]) -> None:
        self._flush(out)
        out.append(line(fault))
