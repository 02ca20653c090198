"""Which requests need what the relay keeps: answers, conversations, files. A server has none of these. Layer: I/O."""

from __future__ import annotations

from typing import Any

from airelays.state.thread import Store
from airelays.state.turn import Turns


async def is_ours(store: Store, turns: Turns, body: dict[str, Any]) -> bool:
    """Whether a Responses request needs what the relay keeps: a server does not have that.

    An answer that the relay does not know may be one that the server keeps.
    """
    if body.get("conversation") is not None or body.get("store") is True:
        return True
    previous = body.get("previous_response_id")
    if not isinstance(previous, str):
        return previous is not None
    if turns.recent.find(previous) is not None:
        return True
    from airelays.state import conversations

    return store.may_hold and await store.run(conversations.find_answer, previous) is not None


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
