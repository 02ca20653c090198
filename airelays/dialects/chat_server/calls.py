"""Which tool call a piece of a chat stream belongs to. Layer: rules.

OpenAI numbers calls by `index`. Other servers give every call the index 0, or none, or send the id with each piece, or
the name only later; the pieces are told apart by what they bring.
"""

from __future__ import annotations

import json
from typing import Any

from airelays.dialects.chat_server.tools import Named

MAX_LOOKS = 16


class Call:
    """One tool call while it is being made. `index` is that of its output item, -1 until it is announced."""

    __slots__ = (
        "_looks",
        "_patience",
        "call_id",
        "index",
        "item_id",
        "kind",
        "name",
        "pieces",
        "tool",
    )

    def __init__(self) -> None:
        self._looks = 0
        self._patience = 0
        self.kind = "call"
        self.tool: Named | None = None
        self.index = -1
        self.item_id = ""
        self.call_id = ""
        self.name = ""
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        """The arguments so far."""
        return "".join(self.pieces)

    def is_whole(self) -> bool:
        """Whether the arguments so far are a whole JSON object.

        After some looks in vain it looks only when they have twice as many pieces, so that all looks take linear time.
        """
        pieces = self.pieces
        if not pieces or not pieces[-1].rstrip().endswith("}"):
            return False
        if self._looks >= MAX_LOOKS and len(pieces) < self._patience:
            return False
        self._looks += 1
        self._patience = 2 * len(pieces)
        try:
            return isinstance(json.loads(self.text), dict)
        except (ValueError, RecursionError):
            return False


class Calls:
    """The calls of one answer, in the order in which they began."""

    __slots__ = ("_by_id", "_by_index", "every")

    def __init__(self) -> None:
        self.every: list[Call] = []
        self._by_id: dict[str, Call] = {}
        self._by_index: dict[int, Call] = {}

    def clear(self) -> None:
        """Hold nothing."""
        self.every.clear()
        self._by_id.clear()
        self._by_index.clear()

    def take(self, at: int, among: int, piece: dict[str, Any]) -> tuple[Call, str]:
        """Return the call that `piece` belongs to and what it adds to the arguments.

        `piece` is number `at` of `among` pieces that came together.
        """
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name = _word(piece.get("id")), _word(function.get("name"))
        added = function.get("arguments")
        if isinstance(added, (dict, list)):
            added = json.dumps(added)
        added = added if isinstance(added, str) else ""
        index = piece.get("index")
        if isinstance(index, str) and index.isdigit():
            index = int(index)
        if type(index) is not int or index < 0:
            index = at if among > 1 else None
        call = self._find(call_id, index, name, added)
        if call is None:
            call = self._begin(index)
        if call_id and not call.call_id:
            call.call_id = call_id
            self._by_id[call_id] = call
        if name and not call.name:
            call.name = name
        if added:
            call.pieces.append(added)
        return call, added

    def _begin(self, index: int | None) -> Call:
        call = Call()
        self.every.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _find(self, call_id: str, index: int | None, name: str, added: str) -> Call | None:
        """Return the call that goes on, None when a new one begins."""
        if call_id and call_id in self._by_id:
            return self._by_id[call_id]
        last = self.every[-1] if self.every else None
        call = last if index is None else self._by_index.get(index)
        if call is None:
            return None
        if call_id and call.call_id:
            # Another id: a new call, unless the server makes up an id for each piece of one.
            return None if name or call.is_whole() else call
        if name and call.name:
            another = name != call.name or (bool(added) and call.is_whole())
            return None if another else call
        return call


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
