"""One whole answer out of an event stream, for clients that asked for no stream. Layer: rules."""

from __future__ import annotations

import json
from typing import Any

from airelays.dialects.responses.stream import ItemKeeper
from airelays.dialects.stream.events import DELTA, EventMap, is_utf8, key_of, read_event, skippable
from airelays.dialects.stream.told import holds_error, tell
from airelays.errors import UpstreamFault
from airelays.protocol.sse import MAX_EVENT_BYTES

# So many finished items and text deltas are kept unread: most answers are over before, and then most are needless.
MAX_KEPT = 256
_ITEM_DONE = b"event: response.output_item.done"
_TEXT_DELTA = b"event: response.output_text.delta"


def _make_table() -> dict[bytes, tuple[bytes, bool]]:
    """Return for the first line of an event how its data begins in the usual spelling, and whether it is kept."""
    names = (
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.refusal.delta",
        "response.refusal.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
        "response.output_text.delta",
    )
    kept = (_ITEM_DONE, _TEXT_DELTA)
    lines = {b"event: " + name: start for name, start in skippable(*names).items()}
    return {line: (start, line in kept) for line, start in lines.items()}


class Collector(EventMap):
    """Reads a stream to its end and puts nothing out; `result` is the answer.

    `failure` is set when there is none. Items come from `output_item.done`; text that came by deltas only is kept
    too, so that an upstream that never closes its items still gives the same answer as in a stream. Events that are
    passed over or kept are not counted.
    """

    _table = _make_table()

    __slots__ = ("_items", "_kept", "_response", "_texts")

    def __init__(
        self,
        *,
        now_s: float,
        reply_id: str,
        model: str = "",
        max_event_bytes: int = MAX_EVENT_BYTES,
        fast: bool = True,
    ) -> None:
        super().__init__(
            now_s=now_s,
            reply_id=reply_id,
            model=model,
            max_event_bytes=max_event_bytes,
            fast=fast,
        )
        self.committed = True  # nothing goes out, so nothing is held back
        self._items = ItemKeeper()
        # The data lines of finished items and text deltas in their usual spelling: a terminal event that has all
        # items makes them needless.
        self._kept: list[bytes] = []
        self._texts: dict[bytes, list[Any]] = {}
        self._response: dict[str, Any] = {}

    def _created(self, event: dict[str, Any]) -> None:
        """The terminal event has the same object in its last state."""

    def feed(self, data: bytes) -> bytes:
        """Take one read; nothing ever goes out."""
        super().feed(data)
        return b""

    def result(self) -> dict[str, Any]:
        """Return the Responses object of a success; only the caller of a success may ask."""
        response = self._response
        response.setdefault("id", self.response_id)
        response.setdefault("object", "response")
        response.setdefault("created_at", self.created_s)
        response.setdefault("model", self.model)
        response["status"] = self.terminal
        output = response.get("output")
        if not (isinstance(output, list) and output):
            self._read_kept()
            if not self._items.fill(response) and not output:
                response["output"] = self._spoken()
        return response

    def so_far(self) -> dict[str, Any]:
        """Return the Responses object of an answer that the relay itself ended: what had come by then."""
        done: dict[str, Any] = {"output": []}
        self._read_kept()
        self._items.fill(done)
        self.terminal = "completed"
        self._response["output"] = [*done["output"], *self._spoken()]
        return self.result()

    def _spoken(self) -> list[dict[str, Any]]:
        """Return message items made of deltas, for want of finished items."""
        made = []
        for at, pieces in enumerate(self._texts.values()):
            text = "".join(p if isinstance(p, str) else json.loads(p) for p in pieces)
            part = {"type": "output_text", "text": text, "annotations": []}
            made.append(
                {
                    "id": f"msg_{self.response_id}_{at}",
                    "type": "message",
                    "status": self.terminal,
                    "role": "assistant",
                    "content": [part],
                }
            )
        return made

    def _feed_frames(self, data: bytes, out: list[bytes]) -> None:
        """As in EventMap, by lines: an event of two lines is passed over or kept by how they begin."""
        lines = self._framing.whole(data).split(b"\n")
        known, kept = self._table, self._kept
        # Behind the last frame come its blank line and what split leaves.
        at, end = 0, len(lines) - 2
        while at < end:
            found = known.get(lines[at])
            if found is not None and not lines[at + 2] and lines[at + 1].startswith(found[0]):
                if found[1]:
                    kept.append(lines[at + 1])
                at += 3
                continue
            stop = lines.index(b"", at)
            self._frame(lines[at:stop], out)
            at = stop + 1
            if self.done or self.stopped:
                return
        if len(kept) > MAX_KEPT:
            self._read_kept()

    def _fail(self, fault: UpstreamFault) -> None:
        super()._fail(fault)
        self._kept.clear()
        self._texts.clear()
        self._items = ItemKeeper()

    def _read_kept(self) -> None:
        """Read what was kept, in its order."""
        kept = self._kept.copy()
        self._kept.clear()
        for data in kept:
            found = DELTA.match(_TEXT_DELTA + b"\n" + data)
            key = found and (found[5] or found[2])
            if found is not None and key is not None and is_utf8(found[4]):
                self._texts.setdefault(key, []).append(found[4])
                continue
            event = read_event(data[6:])
            if event is None:
                continue
            if holds_error("", event):
                event = tell("", event, data, self.redactor())[1]
            if event.get("type") == "response.output_item.done":
                self._keep(event)
            else:
                self._say(event)

    def _keep(self, event: dict[str, Any]) -> None:
        self._items.keep(event)
        self._texts.pop(key_of(event), None)

    def _say(self, event: dict[str, Any]) -> None:
        if isinstance(event.get("delta"), str):
            self._texts.setdefault(key_of(event), []).append(event["delta"])

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        if kind == "response.output_item.done":
            self._read_kept()  # those that came before: of a repeated index the last counts
            self._keep(event)
        elif kind == "response.output_text.delta":
            self._read_kept()
            self._say(event)

    def _finish(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        response = event.get("response")
        if isinstance(response, dict):
            self._note(response)
            self._response = response
