"""The stream of a message: blocks one after the other, each opened, filled and closed.

Blocks have indexes without gaps, and one is open at a time. What belongs to a block that cannot be open yet (a second
call while the first is still being written) is held until its turn. Layer: rules.
"""

from __future__ import annotations

from typing import Any

from airelays.dialects.anthropic.errors import Words
from airelays.dialects.anthropic.request import Plan
from airelays.dialects.anthropic.settings import HIDDEN, SHOWN
from airelays.dialects.anthropic.whole import (
    call_id_of,
    message_id,
    part_key,
    search_blocks,
    stop_reason,
    usage_of,
)
from airelays.dialects.reply import message_texts, reasoning_texts
from airelays.dialects.stream.chunks import REPEATS
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

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_TEXT, _REFUSAL = "response.output_text.delta", "response.refusal.delta"
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ARGUMENTS = "response.function_call_arguments.delta"
_FOOT = b"}}\n\n"
_DELTAS = {"text": "text", "thinking": "thinking", "tool_use": "input_json"}
_FIELDS = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}
# The events that fill each kind of block, as the fast way names them.
_FAST = {
    "text": (_TEXT.encode(),),
    "thinking": tuple(name.encode() for name in _THOUGHTS),
    "tool_use": (_ARGUMENTS.encode(),),
}


class _Block:
    """One block of the answer. `start` is its `content_block`, `held` what waits until it is open."""

    __slots__ = ("done", "filled", "held", "key", "kind", "part", "signature", "start")

    def __init__(self, kind: str, key: bytes, start: dict[str, Any]) -> None:
        self.kind = kind
        self.key = key
        self.start = start
        self.held: list[str] = []
        self.done = False
        self.filled = False
        self.part: bytes | None = None
        self.signature = ""


class MessageStream(EventMap):
    """An answer as Anthropic's events. `plan` and `options` are of the request, `words` put errors into form."""

    skipped = skippable(*REPEATS)

    __slots__ = (
        "_by_key", "_declined", "_fast_key", "_fast_kinds", "_fast_part", "_filter", "_finished", "_has_calls",
        "_head", "_index", "_open_block", "_refused", "_stop_word", "_texted", "_thought_keys", "_waiting",
        "options", "plan", "words",
    )  # fmt: skip

    def __init__(
        self,
        options: ReplyOptions,
        plan: Plan,
        words: Words,
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
        self.plan = plan
        self.words = words
        self._filter = StopFilter(options.stop) if options.stop else None
        self._stop_word = ""
        self._index = 0
        self._open_block: _Block | None = None
        self._waiting: list[_Block] = []
        self._by_key: dict[tuple[str, bytes], _Block] = {}
        self._head = b""
        self._fast_kinds: tuple[bytes, ...] = ()
        self._fast_key: bytes | None = None
        self._fast_part: bytes | None = None
        self._texted: set[bytes] = set()
        self._declined: set[bytes] = set()
        self._thought_keys: set[bytes] = set()
        self._finished: set[bytes] = set()
        self._has_calls = False
        self._refused = False

    def ping(self) -> bytes:
        """Return the event that keeps an idle connection open."""
        return PING

    def _open(self, out: list[bytes]) -> None:
        message: dict[str, Any] = {
            "id": message_id(self.response_id),
            "type": "message",
            "role": "assistant",
            "model": self.options.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(None),
        }
        out.append(_event("message_start", message=message))

    # ---- what comes

    def _delta(self, found: Delta, frame: bytes, out: list[bytes]) -> bool:
        if found[1] not in self._fast_kinds or (found[5] or found[2]) != self._fast_key:
            return False
        if self._fast_part is not None and (found[6] or found[3]) != self._fast_part:
            return False
        literal = ascii_literal(found[4])
        if literal is None or len(literal) == 2:
            return False
        out += (self._head, literal, _FOOT)
        return True

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        key, item = key_of(event), event.get("item")
        if kind == "response.output_item.done":
            if isinstance(item, dict):
                self._item(key, item, out)
            return
        if kind == "response.output_item.added":
            if isinstance(item, dict) and item.get("type") == "function_call":
                self._call(key, item, out)
            return
        delta = event.get("delta")
        if not isinstance(delta, str) or not delta:
            return
        if kind == _TEXT:
            self._texted.add(key)
            self._say(key, delta, out)
        elif kind == _REFUSAL:
            self._declined.add(key)
            self._refuse(key, delta, out)
        elif kind in _THOUGHTS:
            self._thought_keys.add(key)
            self._think(key, part_key(event), delta, out)
        elif kind == _ARGUMENTS:
            block = self._by_key.get(("tool_use", key))
            # A piece of a call that was never announced waits for the finished item.
            if block is not None:
                block.filled = True
                self._fill(block, delta, out)
                if block is self._open_block and key.isdigit():
                    self._fast_kinds = _FAST["tool_use"]

    def _say(self, key: bytes, text: str, out: list[bytes]) -> None:
        if self._filter is not None:
            text = self._filter.feed(text)
            self.stopped = self._filter.hit
            self._stop_word = self._filter.word
        if text:
            self._fill(self._block("text", key, out), text, out)

    def _refuse(self, key: bytes, text: str, out: list[bytes]) -> None:
        self._refused = True
        self._fill(self._block("text", key, out), text, out)

    def _think(self, key: bytes, part: bytes, text: str, out: list[bytes]) -> None:
        if self.plan.thinking == HIDDEN:
            return
        block = self._block("thinking", key, out)
        if block.part not in (None, part):
            text = "\n\n" + text
        block.part = part
        if self.plan.thinking == SHOWN:
            self._fill(block, text, out)
            self._fast_part = part

    def _call(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> _Block:
        known = self._by_key.get(("tool_use", key))
        if known is not None:
            return known
        self._flush(out)
        self._has_calls = True
        name = item.get("name")
        start = {
            "type": "tool_use",
            "id": call_id_of(item),
            "name": self.plan.names.own(name if isinstance(name, str) else ""),
            "input": {},
        }
        block = _Block("tool_use", key, start)
        self._begin(block, out)
        return block

    def _item(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> None:
        """Take a finished item: put out what deltas did not bring, and close its blocks."""
        self._finished.add(key)
        kind = item.get("type")
        if kind == "message":
            text, refusal = message_texts(item)
            if text and not _came(self._texted, key):
                self._say(key, text, out)
            if refusal and not _came(self._declined, key):
                self._refuse(key, refusal, out)
            self._flush(out)
            self._end(("text", key), out)
        elif kind == "reasoning":
            self._reasoned(key, item, out)
        elif kind == "function_call":
            block, whole = self._call(key, item, out), item.get("arguments")
            if not block.filled and isinstance(whole, str) and whole:
                block.filled = True
                self._fill(block, whole, out)
            self._end(("tool_use", key), out)
        elif kind == "web_search_call":
            for start in search_blocks(item):
                block = _Block("other", key + start["type"].encode(), start)
                self._begin(block, out)
                self._end(("other", block.key), out)

    def _reasoned(self, key: bytes, item: dict[str, Any], out: list[bytes]) -> None:
        if self.plan.thinking == HIDDEN:
            return
        if not _came(self._thought_keys, key):
            for at, text in enumerate(reasoning_texts(item)):
                self._think(key, b"%d" % at, text, out)
        signature = self.plan.sealer.seal(item)
        if signature or ("thinking", key) in self._by_key:
            self._block("thinking", key, out).signature = signature
        self._end(("thinking", key), out)

    # ---- blocks

    def _block(self, kind: str, key: bytes, out: list[bytes]) -> _Block:
        """Return the block of this kind that belongs to an item; a new one if it is closed or never was."""
        block = self._by_key.get((kind, key))
        if block is None:
            empty = {"text": ""} if kind == "text" else {"thinking": "", "signature": ""}
            block = _Block(kind, key, {"type": kind, **empty})
            self._begin(block, out)
        return block

    def _begin(self, block: _Block, out: list[bytes]) -> None:
        self._by_key[(block.kind, block.key)] = block
        self.first_text = True
        last = self._open_block
        if last is not None and last.kind != "tool_use":
            # Text and thinking are written one after the other; whoever begins the next has ended the last.
            self._end((last.kind, last.key), out)
        if self._open_block is None:
            self._start(block, out)
        else:
            self._waiting.append(block)

    def _start(self, block: _Block, out: list[bytes]) -> None:
        self._open_block = block
        at = self._index
        out.append(_event("content_block_start", index=at, content_block=block.start))
        if block.kind not in _DELTAS:
            return
        self._head = (
            f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":{at},"delta":'
            f'{{"type":"{_DELTAS[block.kind]}_delta","{_FIELDS[block.kind]}":'
        ).encode()
        # A call is looked at until it has a first piece, thinking until the part that a piece belongs to is known.
        quick = {
            "text": self._filter is None,
            "thinking": self.plan.thinking == SHOWN,
            "tool_use": block.filled,
        }
        self._fast_kinds = _FAST[block.kind] if quick[block.kind] and block.key.isdigit() else ()
        self._fast_key = block.key
        self._fast_part = b"" if block.kind == "thinking" else None
        held, block.held = block.held, []
        for text in held:
            self._put(text, out)

    def _fill(self, block: _Block, text: str, out: list[bytes]) -> None:
        if block is self._open_block:
            self._put(text, out)
        else:
            block.held.append(text)

    def _put(self, text: str, out: list[bytes]) -> None:
        out += (self._head, encode(text), _FOOT)

    def _end(self, which: tuple[str, bytes], out: list[bytes]) -> None:
        """A block is complete: close it if it is open, and open those that waited for that."""
        block = self._by_key.pop(which, None)
        if block is None:
            return
        block.done = True
        if block.kind == "tool_use":
            self._by_key[which] = block  # a call is announced once
        while self._open_block is not None and self._open_block.done:
            self._stop(self._open_block, out)
            if self._waiting:
                self._start(self._waiting.pop(0), out)

    def _stop(self, block: _Block, out: list[bytes]) -> None:
        if block.kind == "thinking" and block.signature:
            delta = {"type": "signature_delta", "signature": block.signature}
            out.append(_event("content_block_delta", index=self._index, delta=delta))
        out.append(_event("content_block_stop", index=self._index))
        self._index += 1
        self._open_block = None
        self._fast_kinds = ()

    def _flush(self, out: list[bytes]) -> None:
        """Put out what was held back for a stop sequence that did not come."""
        if self._filter is None or self.stopped:
            return
        text = self._filter.flush()
        block = self._open_block
        if text:
            if block is None or block.kind != "text":
                block = self._block("text", b"", out)
            self._fill(block, text, out)

    # ---- the end

    def _finish(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        response = event.get("response")
        output = response.get("output") if isinstance(response, dict) else None
        for at, item in enumerate(output if isinstance(output, list) else []):
            key = b"%d" % at
            if isinstance(item, dict) and not _came(self._finished, key) and not self.stopped:
                self._item(key, item, out)
        self._flush(out)

    def _end_all(self, out: list[bytes]) -> None:
        for which in list(self._by_key):
            self._end(which, out)

    def _close(self, response: dict[str, Any], out: list[bytes]) -> None:
        self._end_all(out)
        reason = stop_reason(
            response, calls=self._has_calls, refused=self._refused, stopped=self.stopped
        )
        delta = {"stop_reason": reason, "stop_sequence": self._stop_word or None}
        out.append(_event("message_delta", delta=delta, usage=usage_of(self.usage)))
        out.append(_event("message_stop"))

    def _error(self, fault: RelayError, out: list[bytes]) -> None:
        self._flush(out)
        out.append(b"event: error\ndata: " + encode(self.words.event(fault)) + b"\n\n")


def _event(kind: str, **rest: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + encode({"type": kind, **rest}) + b"\n\n"


def _came(keys: set[bytes], key: bytes) -> bool:
    """Whether deltas brought this item; deltas that named no item count for every one."""
    return key in keys or b"" in keys
