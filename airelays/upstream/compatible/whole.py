"""Whole answers of a compatible server: bounded, and known to be JSON before anyone relies on them. Layer: I/O."""

from __future__ import annotations

import asyncio
from typing import Any

from airelays.errors import UpstreamFault
from airelays.net.malloc import return_large_blocks
from airelays.net.response import Response
from airelays.protocol.jsonio import loads_answer

# Parsing more than this takes milliseconds; clients must not wait for it.
OFF_LOOP_BYTES = 1024 * 1024


async def read_answer(response: Response, limit_bytes: int, name: str) -> tuple[bytes, Any]:
    """Return the body of a 200, as it came and parsed. `name` is the upstream's, for the errors.

    Raises UpstreamFault 502 for a body of more than `limit_bytes`, and for one that is not JSON.
    """
    body, value = await read_body(response, limit_bytes)
    if isinstance(value, ValueError):
        raise not_json(name, str(value))
    return body, value


async def read_body(response: Response, limit_bytes: int) -> tuple[bytes, Any]:
    """Return a body as it came and its JSON value: a ValueError, not raised, for what is not JSON."""
    body = await response.read(limit_bytes, within_s=None)
    try:
        if len(body) > OFF_LOOP_BYTES:
            return_large_blocks()
            return body, await asyncio.to_thread(loads_answer, body)
        return body, loads_answer(body)
    except ValueError as error:
        return body, error


def not_json(name: str, why: str) -> UpstreamFault:
    """Return the fault of an answer that claims success and cannot be read."""
    return UpstreamFault(
        f"the upstream {name} answered 200 with a body that isn't valid JSON: {why}; check base_url and the "
        "server's log",
        code="upstream_malformed",
        type="upstream_error",
    )


def too_large(name: str, limit_bytes: int) -> UpstreamFault:
    """Return the fault of an answer that is more than is read whole."""
    return UpstreamFault(
        f"the answer of the upstream {name} is larger than {limit_bytes:,} bytes (max_answer_bytes), the "
        "limit for an answer that is not streamed; request a stream",
        code="upstream_too_large",
        type="upstream_error",
    )


def claims_json(response: Response) -> bool:
    """Whether the Content-Type says that the body is one JSON value."""
    kind = (response.head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")
