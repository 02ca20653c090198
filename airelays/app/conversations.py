"""`/v1/conversations` and their items, the way OpenAI's API has them. Layer: app."""

from __future__ import annotations

import copy
import json
import os
import time
from typing import TYPE_CHECKING, Any

from airelays.app.bodies import read_json
from airelays.app.query import list_body, paging_of, query_of
from airelays.dialects.checks import fault, present, want_list, want_metadata, want_object
from airelays.dialects.responses.items import MAX_ITEMS, input_items
from airelays.dialects.translated import Notes
from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.state import conversations
from airelays.state.conversations import Conversation
from airelays.state.turn import no_conversation, with_ids

if TYPE_CHECKING:
    from airelays.app.desk import Desk

DEFAULT_PAGE, LONGEST_PAGE = 20, 100

Items = list[dict[str, Any]]


async def create(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/conversations."""
    body = await read_json(desk, request)
    metadata = want_metadata(body.get("metadata"))
    first = await _want_items(desk, request, body.get("items") or [])
    settings, now = desk.settings, int(time.time())
    made = Conversation(
        "conv_" + os.urandom(16).hex(),
        dumps(metadata).decode(),
        None,
        now,
        now,
        0,
        0,
        request.caller.owner,
    )
    rows = with_ids(first, set())
    _check_room(desk, made, rows)
    most = settings.max_conversations
    if not await desk.store.run(conversations.create, made, rows, most):
        raise ClientFault(
            f"{most:,} conversations are stored, which is the limit (storage.max_conversations); delete some",
            code="too_many_conversations",
        )
    await request.reply(200, dumps(_shown(made)))


async def single(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET, POST (update) and DELETE /v1/conversations/{id}."""
    wanted = values["id"]
    if request.head.method == "DELETE":
        if not await _in_turn(desk, wanted, conversations.remove, wanted, request.caller.owner):
            raise no_conversation(wanted)
        gone = {"id": wanted, "object": "conversation.deleted", "deleted": True}
        await request.reply(200, dumps(gone))
        return
    if request.head.method == "POST":
        body = await read_json(desk, request)
        found = await _find(desk, request, wanted)
        metadata = want_metadata(
            {**json.loads(found.metadata), **want_metadata(body.get("metadata"))}
        )
        await desk.store.run(conversations.update, wanted, dumps(metadata).decode(), time.time())
    await request.reply(200, dumps(_shown(await _find(desk, request, wanted))))


async def items(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET and POST /v1/conversations/{id}/items."""
    wanted = values["id"]
    if request.head.method == "POST":
        body = await read_json(desk, request)
        more = await _want_items(desk, request, body.get("items"))
        await request.reply(200, dumps(await _append(desk, request, wanted, more)))
        return
    query = query_of(request)
    paging = paging_of(query, default=DEFAULT_PAGE, most=LONGEST_PAGE)
    await _find(desk, request, wanted)
    found = await desk.store.run(conversations.page, wanted, **paging._asdict())
    if found is None:
        raise _no_item(paging.after or "", "after")
    texts, has_more = found
    await request.reply(200, dumps(list_body([json.loads(text) for text in texts], has_more)))


async def item(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET and DELETE /v1/conversations/{id}/items/{item}."""
    wanted, which = values["id"], values["item"]
    if request.head.method == "DELETE":
        await _find(desk, request, wanted)
        if not await _in_turn(desk, wanted, conversations.remove_item, wanted, which, time.time()):
            raise _no_item(which)
        await request.reply(200, dumps(_shown(await _find(desk, request, wanted))))
        return
    await _find(desk, request, wanted)
    text = await desk.store.run(conversations.item, wanted, which)
    if text is None:
        raise _no_item(which)
    await request.reply(200, text.encode())


async def _append(desk: Desk, request: Request, wanted: str, more: Items) -> dict[str, Any]:
    """Append items behind whatever turn is running; return them as a list."""
    await desk.turns.acquire(wanted)
    try:
        found = await _find(desk, request, wanted)
        there = await desk.store.run(conversations.ids, wanted)
        rows = with_ids(more, there)
        _check_room(desk, found, rows)
        if not await desk.store.run(conversations.add_items, wanted, rows, time.time()):
            raise no_conversation(wanted)
    finally:
        desk.turns.release(wanted)
    return list_body([json.loads(row.body) for row in rows], False)


async def _in_turn(desk: Desk, wanted: str, work: Any, *args: Any) -> Any:
    """Do `work` in the store while no turn of the conversation runs."""
    await desk.turns.acquire(wanted)
    try:
        return await desk.store.run(work, *args)
    finally:
        desk.turns.release(wanted)


async def _find(desk: Desk, request: Request, wanted: str) -> Conversation:
    found = await desk.store.run(conversations.find, wanted, request.caller.owner)
    if found is None:
        raise no_conversation(wanted)
    return found


def _check_room(desk: Desk, found: Conversation, rows: list[conversations.Item]) -> None:
    settings = desk.settings
    count = found.item_count + len(rows)
    size = found.item_bytes + sum(len(row.body) for row in rows)
    for have, most, name in (
        (count, settings.max_conversation_items, "items"),
        (size, settings.max_conversation_bytes, "bytes"),
    ):
        if have > most:
            raise ClientFault(
                f"with these items the conversation has {have:,} {name}; at most {most:,} are accepted "
                f"(storage.max_conversation_{name})",
                param="items",
                code="conversation_too_large",
            )


async def _want_items(desk: Desk, request: Request, value: Any) -> Items:
    """Return items as they are stored: as the client sent them, known to be usable in a later turn."""
    given = [
        want_object(one, f"items[{at}]")
        for at, one in enumerate(want_list(value, "items", most=MAX_ITEMS))
    ]
    notes = Notes()
    made: Items = []
    for at, one in enumerate(given):
        try:
            usable = input_items([copy.deepcopy(one)], notes)
        except ClientFault as refused:
            path = f"items[{at}]"
            text = refused.message.replace("input[0]", path, 1)
            param = (refused.param or "").replace("input[0]", path, 1)
            raise ClientFault(text, param=param, code=refused.code) from refused
        made.append(_stored(one, usable))
    await _check_files(desk, request, notes)
    if notes.item_refs:
        raise fault("items", "contains an item_reference; send the item itself")
    return made


def _stored(one: dict[str, Any], usable: Items) -> dict[str, Any]:
    """Return an item with its fields as they came; of a message the content is always an array of parts."""
    item = present(one)
    if item.get("type", "message") == "message":
        item = {"type": "message", **item}
        if not isinstance(item.get("content"), list):
            item["content"] = usable[0]["content"] if usable else []
    return item


async def _check_files(desk: Desk, request: Request, notes: Notes) -> None:
    from airelays.state import files
    from airelays.state.quota import is_file_id

    for ref in notes.file_refs:
        known = is_file_id(ref.file_id)
        viewer = request.caller.owner
        if not known or await desk.store.run(files.find, ref.file_id, time.time(), viewer) is None:
            raise fault(
                ref.path.replace("input[", "items[", 1),
                f"names a file that does not exist: {ref.file_id[:80]}",
            )


def _no_item(which: str, param: str | None = None) -> ClientFault:
    return ClientFault(
        f"there is no item {which[:80]} in this conversation",
        status=404,
        param=param,
        code="item_not_found",
    )


def _shown(found: Conversation) -> dict[str, Any]:
    return {
        "id": found.id,
        "object": "conversation",
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "latest_response_id": found.latest_response_id,
        "metadata": json.loads(found.metadata),
    }
