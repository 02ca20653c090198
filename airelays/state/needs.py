"""Which requests need what the relay keeps: answers, conversations, files. A server has none of these. Layer: I/O."""

from __future__ import annotations

from typing import Any

from airelays.state.thread import Store
from airelays.state.turn import Turns


async def is_ours(store: Store, turns: Turns, body: dict[str, Any], viewer: str) -> bool:
    """Whether a Responses request needs what the relay keeps: a server does not have that.

    An answer that the relay does not know may be one that the server keeps; for a named key (`viewer`) it is not
    looked for there, because the server does not know whose it is.
    """
    if viewer and (body.get("previous_response_id") is not None or _refers(body.get("input"))):
        return True
    if body.get("conversation") is not None or body.get("store") is True:
        return True
    previous = body.get("previous_response_id")
    if not isinstance(previous, str):
        return previous is not None
    if turns.recent.find(previous, viewer) is not None:
        return True
    from airelays.state import conversations

    if not store.may_hold:
        return False
    return await store.run(conversations.find_answer, previous, viewer) is not None


def _refers(items: Any) -> bool:
    """Whether one of the input items is a reference to an item of an earlier answer."""
    return isinstance(items, list) and any(
        isinstance(one, dict) and one.get("type") == "item_reference" for one in items
    )


def names_own_file(body: dict[str, Any]) -> bool:
    """Whether a request, as the client sent it, names a file by an id of ours: then no server may get it as it is."""
    from airelays.state.quota import is_file_id

    rest: list[Any] = [body.get("input"), body.get("messages")]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            found = value.get("file_id")
            if isinstance(found, str) and is_file_id(found):
                return True
            rest += (v for v in value.values() if isinstance(v, dict | list))
    return False
