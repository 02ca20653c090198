"""The last answers of `/v1/responses`, in memory: so `previous_response_id` works for clients that never say `store`.

Nothing of it touches the disk, and a restart forgets it. Bounded by count and bytes. A kept answer holds its own turn
and names the one before it; when that one goes, its turn becomes part of the history of those that go on from
it. Layer: app.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from airelays.state.owners import row_of, sees

MAX_ANSWERS = 64
MAX_BYTES = 16 * 1024 * 1024
# An upstream keeps its answers longer than they are remembered here.
MAX_MAKERS = 4096
MAX_ID_CHARS = 128

Items = list[dict[str, Any]]


@dataclass(slots=True)
class Answered:
    """One answer: its Responses object, the items that were asked, what came before. `size` is in bytes of JSON.

    `parent` is what the one before it is kept under (`Recent.row`), `owner` whose it is. One that belongs to a
    `conversation` has no history of its own.
    """

    response: dict[str, Any]
    asked: Items
    size: int
    parent: str | None = None
    history: Items = field(default_factory=list)
    conversation: str | None = None
    owner: str = ""

    @property
    def output(self) -> Items:
        """The output items that are objects."""
        return output_items(self.response)


def output_items(response: dict[str, Any]) -> Items:
    """Return the output items of a Responses object."""
    output = response.get("output")
    return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []


class Makers:
    """Which upstream keeps the answers that it made itself, by response id. The oldest are forgotten."""

    def __init__(self, most: int = MAX_MAKERS) -> None:
        self._most = most
        self._names: OrderedDict[str, str] = OrderedDict()

    def note(self, response: dict[str, Any], name: str) -> None:
        """Remember that the upstream `name` made and keeps this answer."""
        found = response.get("id")
        if not isinstance(found, str) or not 0 < len(found) <= MAX_ID_CHARS:
            return
        self._names[found] = name
        self._names.move_to_end(found)
        while len(self._names) > self._most:
            self._names.popitem(last=False)

    def of(self, response_id: str) -> str:
        """Return the name of the upstream that made an answer; "" when that is not known."""
        return self._names.get(response_id, "")


class Recent:
    """Keeps the newest answers, each under its owner and id."""

    def __init__(self, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Answered] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, answer: Answered) -> None:
        """Keep an answer; the oldest go when there are too many. One that is too large by itself is not kept."""
        found = answer.response.get("id")
        if not isinstance(found, str) or not found or answer.size > self._max_bytes:
            return
        found = row_of(answer.owner, found)
        before = self._kept.get(found)
        if before is not None and answer.parent == found:
            # An upstream that repeats its ids must not make an answer its own ancestor.
            answer.history = [*before.history, *before.asked, *before.output, *answer.history]
            answer.parent = before.parent
            answer.size += before.size
        self._drop(found)
        self._kept[found] = answer
        self.bytes += answer.size
        while len(self._kept) > self._max_answers or self.bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def row(self, response_id: str, viewer: str) -> str | None:
        """Return what an answer that `viewer` may see is kept under; of several with this id the owner's own."""
        mine = self._kept.get(row_of(viewer, response_id))
        if mine is not None and mine.owner == viewer:
            return row_of(viewer, response_id)
        if viewer:
            return None
        same = (row for row, one in self._kept.items() if one.response.get("id") == response_id)
        return next(same, None)

    def find(self, response_id: str, viewer: str) -> Answered | None:
        """Return a kept answer that `viewer` may see."""
        row = self.row(response_id, viewer)
        return None if row is None else self._kept[row]

    def forget(self, response_id: str, viewer: str) -> bool:
        """Let go of an answer; False when it is not kept for `viewer`."""
        row = self.row(response_id, viewer)
        return row is not None and self._drop(row)

    def _drop(self, row: str) -> bool:
        gone = self._kept.pop(row, None)
        if gone is None:
            return False
        self.bytes -= gone.size
        for one in self._kept.values():
            if one.parent == row:
                one.history = [*gone.history, *gone.asked, *gone.output, *one.history]
                one.parent = gone.parent
                one.size += gone.size
                self.bytes += gone.size
        return True

    def history(self, answer: Answered) -> Items:
        """Return every item up to and with this answer, oldest first."""
        turns = [answer]
        while (parent := self._kept.get(turns[-1].parent or "")) is not None:
            turns.append(parent)
        found: Items = []
        for turn in reversed(turns):
            found += turn.history
            found += turn.asked
            found += turn.output
        return found

    def items(self, wanted: set[str], viewer: str) -> dict[str, dict[str, Any]]:
        """Return those items of kept answers that have one of the `wanted` ids and that `viewer` may see."""
        found = {}
        for answer in self._kept.values():
            if not sees(viewer, answer.owner):
                continue
            for item in answer.output:
                if item.get("id") in wanted:
                    found[item["id"]] = item
        return found
