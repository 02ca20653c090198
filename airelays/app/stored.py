"""`/v1/responses/{id}`: answers that the relay still has, on disk (`store: true`) or in memory. Layer: app."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from airelays.app.query import list_body, paging_of, query_of
from airelays.dialects.checks import kept_id
from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.state import conversations
from airelays.state.turn import no_response

if TYPE_CHECKING:
    from airelays.app.desk import Desk

DEFAULT_PAGE, LONGEST_PAGE = 20, 100

_Found = tuple[dict[str, Any], list[dict[str, Any]]]


async def single(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET and DELETE /v1/responses/{id}."""
    wanted = kept_id(values["id"])
    if await _elsewhere(desk, request, wanted, ""):
        return
    if request.head.method == "DELETE":
        if not await _is_kept(desk, request, wanted):
            raise no_response(wanted)
        await _delete_there(desk, wanted)
        recent = desk.turns.recent.forget(wanted, request.caller.owner)
        stored = await desk.store.run(conversations.forget, wanted, request.caller.owner)
        if not recent and not stored:
            raise no_response(wanted)
        await request.reply(200, dumps({"id": wanted, "object": "response", "deleted": True}))
        return
    if query_of(request).get("stream") == "true":
        raise ClientFault(
            "stream is true, but a stored answer cannot be streamed; leave stream out",
            param="stream",
        )
    response, _ = await _find(desk, request, wanted)
    await request.reply(200, dumps(response))


async def items(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/responses/{id}/input_items: what was asked in that turn."""
    paging = paging_of(query_of(request), default=DEFAULT_PAGE, most=LONGEST_PAGE)
    if await _elsewhere(desk, request, kept_id(values["id"]), "/input_items"):
        return
    _, asked = await _find(desk, request, kept_id(values["id"]))
    listed = [_with_id(item, values["id"], at) for at, item in enumerate(asked)]
    if paging.newest_first:
        listed.reverse()
    if paging.after is not None:
        ids = [item["id"] for item in listed]
        if paging.after not in ids:
            raise ClientFault(
                f"there is no input item {paging.after[:80]} in this answer",
                status=404,
                param="after",
            )
        listed = listed[ids.index(paging.after) + 1 :]
    page = listed[: paging.limit]
    await request.reply(200, dumps(list_body(page, len(listed) > len(page))))


async def cancel(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/responses/{id}/cancel: nothing runs in the background here."""
    if await _elsewhere(desk, request, kept_id(values["id"]), "/cancel"):
        return
    await _find(desk, request, kept_id(values["id"]))
    raise ClientFault(
        "only an answer that runs in the background can be canceled; this one is complete",
        code="invalid_request",
        should_retry=False,
    )


async def _elsewhere(desk: Desk, request: Request, wanted: str, rest: str) -> bool:
    """Whether the upstream answered for an id that the relay does not keep."""
    if await _is_kept(desk, request, wanted):
        return False
    from airelays.app.forwarding import forward_stored

    return await forward_stored(desk, request, f"/responses/{wanted}{rest}")


async def _is_kept(desk: Desk, request: Request, wanted: str) -> bool:
    """Whether the relay keeps an answer that the caller may see."""
    viewer = request.caller.owner
    if desk.turns.recent.find(wanted, viewer) is not None:
        return True
    return await desk.store.run(conversations.find_answer, wanted, viewer) is not None


async def _delete_there(desk: Desk, wanted: str) -> None:
    """Make the upstream delete its own copy of an answer that is also stored here; it may not have one."""
    upstream = desk.upstreams.named(desk.turns.makers.of(wanted))
    if upstream is None or not upstream.passes:
        return
    path = f"/responses/{wanted}"
    response = await upstream.forward("DELETE", path)
    if response.status < 300:
        response.abort()
        return
    refused = await upstream.refusal(response)
    if response.status not in (404, 405, 501):
        raise await upstream.fault_of("DELETE", path, refused)


async def _find(desk: Desk, request: Request, wanted: str) -> _Found:
    viewer = request.caller.owner
    recent = desk.turns.recent.find(wanted, viewer)
    if recent is not None:
        return recent.response, recent.asked
    kept = await desk.store.run(conversations.find_answer, wanted, viewer)
    if kept is None:
        raise no_response(wanted)
    return json.loads(kept.body), json.loads(kept.input)


def _with_id(item: dict[str, Any], response_id: str, at: int) -> dict[str, Any]:
    """Return an input item with an id that is the same each time it is listed."""
    if isinstance(item.get("id"), str):
        return item
    made = hashlib.sha256(f"{response_id} {at}".encode()).hexdigest()[:32]
    return {"id": f"msg_{made}", **item}
