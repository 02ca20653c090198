"""Request bodies: JSON, decoded and within its limits. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airelays.errors import ClientFault
from airelays.guard.sessions import session_of
from airelays.model import Route
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.app.desk import Desk

import asyncio
from typing import TYPE_CHECKING, Any

from airelays.net.malloc import return_large_blocks
from airelays.net.zstd import zstd_decoder
from airelays.protocol.coding import check_coding, decode_body
from airelays.protocol.jsonio import loads_object

if TYPE_CHECKING:
    from airelays.app.desk import Desk

# Parsing and encoding more than this takes milliseconds; other clients must not wait for it.
OFF_LOOP_BYTES = 1024 * 1024


async def read_json(desk: Desk, request: Request) -> dict[str, Any]:
    """Return the request's JSON object. Raises ClientFault for a body that is not one, or is too large."""
    limit = desk.settings.max_json_body_bytes
    coding, zstd = request.head.get(b"content-encoding"), None
    if coding is not None:
        zstd = zstd_decoder() if coding.strip().lower() == b"zstd" else None
        check_coding(coding, has_zstd=zstd is not None)
    raw = await request.read_body(limit)
    if coding is not None:
        raw = await asyncio.to_thread(decode_body, raw, coding, limit, zstd)
    if desk.notes.bodies:
        desk.notes.body(request, raw)
    if len(raw) > OFF_LOOP_BYTES:
        return_large_blocks()
        body = await asyncio.to_thread(loads_object, raw, max_bytes=limit)
    else:
        body = loads_object(raw, max_bytes=limit)
    if not request.outcome.session and "prompt_cache_key" in body:
        request.outcome.session = session_of(body["prompt_cache_key"])
    return body


async def refuse(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """Answer that this relay does not have the route, and that a retry cannot help."""
    kind = desk.settings.upstream_kind
    raise ClientFault(
        f"{route.path} is not available: the upstream in use ({kind}) does not have this API",
        status=501,
        code="unsupported_route",
        should_retry=False,
    )
