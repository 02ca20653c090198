"""One whole answer out of an event stream, for clients that asked for no stream. Layer: rules."""

from __future__ import annotations

import json
from typing import Any

from airelays.protocol.sse import MAX_EVENT_BYTES
from airelays.translate.frames import Delta, EventMap, is_utf8, key_of, read_event, skippable
from airelays.translate.responses_stream import ItemKeeper

__all__ = ["Collector"]

_ITEM_DONE = b'event: response.output_item.done\ndata: {"type":"response.output_item.done",'


class Collector(EventMap):
    """Reads a stream to its end and puts nothing out; `result` is the answer.

    `failure` is set when there is none. Items come from `output_item.done`; text that came by deltas only is kept
    too, so that an upstream that never closes its items still gives the same answer as in a stream.
    """

    skipped = skippable(
        "response.created",
        "response.in_progress",
        "response.output_item.added",
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

    __slots__ = (
        "_items",
        "_response",
        "_texts",
        "_unread",
    )

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
        # Nothing goes out, so nothing is held back: announcements can be skipped from the first event on.
        self.committed = True
        self._items = ItemKeeper()
        # Finished items in their usual spelling, unread, each with the texts that came since the one before: a
        # terminal event that has them all makes them needless.
        self._unread: list[tuple[bytes, dict[bytes, list[Any]]]] = []
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
            self._read_items()
            if not self._items.fill(response) and not output:
                response["output"] = self._spoken()
        return response

    def so_far(self) -> dict[str, Any]:
        """Return the Responses object of an answer that the relay itself ended: what had come by then."""
        done: dict[str, Any] = {"output": []}
        self._read_items()
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

    def _read_items(self) -> None:
        unread, self._unread = self._unread, []
        last, self._texts = self._texts, {}
        for frame, texts in unread:
            self._add_texts(texts)
            event = read_event(frame[frame.index(b"\ndata: ") + 7 :])
            if event is not None:
                self._keep(event)
        self._add_texts(last)

    def _add_texts(self, texts: dict[bytes, list[Any]]) -> None:
        for key, pieces in texts.items():
            self._texts.setdefault(key, []).extend(pieces)

    def _keep(self, event: dict[str, Any]) -> None:
        self._items.keep(event)
        self._texts.pop(key_of(event), None)

    def _frame(self, frame: bytes, out: list[bytes]) -> None:
        if frame.startswith(_ITEM_DONE) and frame.count(b"\n") == 1:
            self.events += 1
            self._unread.append((frame, self._texts))
            self._texts = {}
        else:
            super()._frame(frame, out)

    def _delta(self, found: Delta, frame: bytes, out: list[bytes]) -> bool:
        if found[1] == b"response.output_text.delta":
            key = found[5] or found[2]
            if key is None or not is_utf8(found[4]):
                return False
            self._texts.setdefault(key, []).append(found[4])
        self.first_text = True
        return True

    def _event(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        if kind == "response.output_item.done":
            self._read_items()  # those that came before: of a repeated index the last counts
            self._keep(event)
        elif kind == "response.output_text.delta":
            self.first_text = True
            if isinstance(event.get("delta"), str):
                self._texts.setdefault(key_of(event), []).append(event["delta"])
        elif kind.endswith(".delta"):
            self.first_text = True

    def _finish(
        self, kind: str, name: str, event: dict[str, Any], data: bytes, out: list[bytes]
    ) -> None:
        response = event.get("response")
        if isinstance(response, dict):
            self._note(response)
            self._response = response
