"""Encodes request bodies; large ones in a thread, so that other clients need not wait. Layer: I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from airelays.protocol.jsonio import LONG_BYTES, dumps, dumps_large

# Encoding more than this takes milliseconds.
OFF_LOOP_CHARS = 1024 * 1024


async def encode(body: dict[str, Any]) -> bytes:
    """Return `body` as JSON. Raises ClientFault for what JSON cannot carry."""
    total = longest = 0
    for size in _text_sizes(body):
        total += size
        longest = max(longest, size)
    if total <= OFF_LOOP_CHARS:
        return dumps(body)
    return await asyncio.to_thread(dumps_large if longest > LONG_BYTES else dumps, body)


def _text_sizes(body: dict[str, Any]) -> Iterator[int]:
    """Yield the lengths of the texts that can be long: of the items, of their parts, and one level below."""
    items = body.get("input") or body.get("messages") or body.get("images")
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        content = item.get("content") or item.get("output") or item.get("image_url")
        if isinstance(content, str):
            yield len(content)
        for part in content if isinstance(content, list) else ():
            for value in part.values() if isinstance(part, dict) else ():
                if isinstance(value, str):
                    yield len(value)
                elif isinstance(value, dict):
                    yield from (len(v) for v in value.values() if isinstance(v, str))
