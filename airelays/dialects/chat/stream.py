"""The stream of `/v1/chat/completions`. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.reply import (
    annotations_of,
    chat_annotation,
    message_texts,
    reasoning_texts,
)
from airelays.dialects.stream.chunks import REPEATS, ChunkStream
from airelays.dialects.stream.events import Delta, ascii_literal, encode, key_of, skippable

_AFTER = b',"logprobs":null,"finish_reason":null}]'
_CALL_KINDS = {"function_call": "function", "custom_tool_call": "custom"}
_CALL_TEXTS = {"function": "arguments", "custom": "input"}
_CALL_DELTAS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_THOUGHT_DELTAS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_CITED = "response.output_text.annotation.added"
_FAST_CALL_DELTAS = tuple(name.encode() for name in _CALL_DELTAS)
_FAST_THOUGHTS = tuple(name.encode() for name in _THOUGHT_DELTAS)


class ChatStream(ChunkStream):
    """Role first, then reasoning, text, refusal and tool calls as they come, one finish, `[DONE]`.

    The citations of a message follow its text.

    A tool call's first chunk has index, id, type and name; later ones its index and more of its arguments.
    With `legacy_functions` the first call goes out as `function_call`, others are not asked for.
    """

    object_name = "chat.completion.chunk"
    text_frame = (b'[{"index":0,"delta":{"content":', b"}" + _AFTER)

    skipped = skippable(*(name for name in REPEATS if name != _CITED))

    __slots__ = (
        "_argued",
        "_call_frames",
        "_calls",
        "_chars",
        "_citations",
        "_thought",
        "_thought_head",
        "_thought_items",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._thought_head = b""
        # The reasoning part that was put out last, to set a blank line between parts.
        self._thought: tuple[bytes, bytes] | None = None
        self._thought_items: set[bytes] = set()
        self._calls: dict[bytes, int] = {}
        # Per call: what stands before and after the JSON text of its next piece.
        self._call_frames: dict[bytes, tuple[bytes, bytes]] = {}
        self._argued: set[bytes] = set()
        # Citations that were announced by themselves, by item; and how long the finished messages are together.
        self._citations: dict[bytes, list[dict[str, Any]]] = {}
        self._chars = 0

    def _open(self, out: list[bytes]) -> None:
        super()._open(out)
        self._thought_head = self._head + b'[{"index":0,"delta":{"reasoning_content":'
        out.append(self._chunk({"role": "assistant", "content": ""}))

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._head + b'[{"index":0,"delta":' + encode(delta) + _AFTER + self._foot

    def _last_choice(self, reason: str) -> bytes:
        return encode([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}])

    def _delta(self, found: Delta, frame: bytes, out: list[bytes]) -> bool:
        if found[1] == b"response.output_text.delta":
            return super()._delta(found, frame, out)
        key, literal = found[5] or found[2], ascii_literal(found[4])
        if key is None or literal is None or len(literal) == 2:
            return False
        if found[1] in _FAST_CALL_DELTAS:
            call = self._call_frames.get(key)
            if call is None:
                return False
            self._argued.add(key)
            out += (call[0], literal, call[1])
            return True
        part = found[6] or found[3]
        if part is None or self._thought != (key, part) or found[1] not in _FAST_THOUGHTS:
            return False
        self._thought_items.add(key)
        out += (self._thought_head, literal, self._text_foot)
        return True

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        if kind in _THOUGHT_DELTAS:
            delta, key = event.get("delta"), key_of(event)
            if isinstance(delta, str) and delta:
                self._thought_items.add(key)
                self._put_thought(delta, (key, _part_of(event)), out)
        elif kind == "response.output_text.delta" and event.get("logprobs"):
            self._put_logprobs(event, out)
        elif kind == _CITED:
            annotation = event.get("annotation")
            if isinstance(annotation, dict) and annotation.get("type") == "url_citation":
                self._citations.setdefault(key_of(event), []).append(annotation)
        elif kind == "response.output_item.added":
            item = event.get("item")
            if isinstance(item, dict) and item.get("type") in tuple(_CALL_KINDS):
                self._announce(key_of(event), item, out)
        elif kind in _CALL_DELTAS:
            key, delta = key_of(event), event.get("delta")
            call = self._call_frames.get(key)
            # A piece of a call that was never announced waits for the finished item.
            if call is not None and isinstance(delta, str) and delta:
                self._argued.add(key)
                out += (call[0], encode(delta), call[1])
        else:
            super()._event(kind, name, event, data, out)

    def _put_refusal(self, text: str, out: list[bytes]) -> None:
        super()._put_refusal(text, out)
        out.append(self._chunk({"refusal": text}))

    def _put_thought(self, text: str, part: tuple[bytes, bytes], out: list[bytes]) -> None:
        if self._thought is not None and self._thought != part:
            text = "\n\n" + text
        self._thought = part
        self.first_text = True
        out += (self._thought_head, encode(text), self._text_foot)

    def _item(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> None:
        kind = item.get("type")
        if not isinstance(kind, str):
            return
        if kind == "reasoning":
            if not self._came(self._thought_items, key):
                for at, text in enumerate(reasoning_texts(item)):
                    self._put_thought(text, (key, b"%d" % at), out)
        elif kind in _CALL_KINDS:
            self._announce(key, item, out)
            whole = item.get(_CALL_TEXTS[_CALL_KINDS[kind]])
            call = self._call_frames.get(key)
            if call is not None and key not in self._argued and isinstance(whole, str) and whole:
                self._argued.add(key)
                out += (call[0], encode(whole), call[1])
        super()._item(key, item, out)
        if kind == "message" and not self.stopped:
            self._cite(key, item, out)

    def _cite(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> None:
        """Put out the citations of a finished message."""
        announced = self._citations.pop(key, [])
        found = annotations_of(item, self._chars) or [
            chat_annotation(one, self._chars) for one in announced
        ]
        self._chars += len(message_texts(item)[0])
        if found:
            out.append(self._chunk({"annotations": found}))

    def _put_logprobs(self, event: dict[str, Any], out: list[bytes]) -> None:
        """Put out a piece of text with the log probabilities of its tokens."""
        text = event.get("delta")
        if not isinstance(text, str) or not text:
            return
        self._texted.add(key_of(event))
        if self._filter is not None:
            self._put_text(text, out)  # a stop sequence may cut it in the middle of a token
            return
        self.first_text = True
        logprobs = {"content": event["logprobs"], "refusal": None}
        choice = {"index": 0, "delta": {"content": text}, "logprobs": logprobs}
        out.append(self._head + encode([{**choice, "finish_reason": None}]) + self._foot)

    def _announce(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> None:
        """Put out a call's first chunk, once."""
        if key in self._calls:
            return
        self._flush(out)
        at = self._calls[key] = len(self._calls)
        legacy = self.options.legacy_functions
        self._has_calls = True
        if legacy and at > 0:
            return
        self.first_text = True
        kind = _CALL_KINDS[item["type"]]
        inner = {"name": _word(item, "name"), _CALL_TEXTS[kind]: ""}
        if legacy:
            out.append(self._chunk({"function_call": inner}))
            head, foot = b'[{"index":0,"delta":{"function_call":{"arguments":', b"}}"
        else:
            call_id = _word(item, "call_id") or _word(item, "id") or f"call_{at}"
            call = {"index": at, "id": call_id, "type": kind, kind: inner}
            out.append(self._chunk({"tool_calls": [call]}))
            where = f'[{{"index":0,"delta":{{"tool_calls":[{{"index":{at},"{kind}":'
            head, foot = f'{where}{{"{_CALL_TEXTS[kind]}":'.encode(), b"}}]}"
        self._call_frames[key] = (self._head + head, foot + _AFTER + self._foot)


def _part_of(event: dict[str, Any]) -> bytes:
    """Return which part of a reasoning item a delta belongs to."""
    for name, mark in (("summary_index", b""), ("content_index", b"c")):
        index = event.get(name)
        if isinstance(index, int):
            return mark + b"%d" % index
    return b""


def _word(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""
