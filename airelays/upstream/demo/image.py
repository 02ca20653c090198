"""The demo's pictures: a small PNG whose colours come from the prompt, the same each time. Pure."""

from __future__ import annotations

import binascii
import struct
import zlib
from typing import Any

EDGE = 64


def image_answer(body: dict[str, Any], now_s: int) -> dict[str, Any]:
    """Return the backend's answer to one request for an image."""
    prompt = str(body.get("prompt", ""))
    seen = len(body.get("images") or [])
    picture = draw(prompt, seen)
    words = len(prompt.split())
    return {
        "created": now_s,
        "background": "opaque",
        "output_format": "png",
        "quality": body.get("quality", "auto"),
        "size": f"{EDGE}x{EDGE}",
        "data": [{"b64_json": binascii.b2a_base64(picture, newline=False).decode()}],
        "usage": {
            "input_tokens": words,
            "input_tokens_details": {"text_tokens": words, "image_tokens": 0},
            "output_tokens": EDGE,
            "total_tokens": words + EDGE,
        },
    }


def draw(prompt: str, seen: int) -> bytes:
    """Return a PNG: two colours of the prompt in stripes, one more stripe for each image that was shown."""
    seed = zlib.crc32(prompt.encode("utf-8", "replace"))
    first, second = seed.to_bytes(4, "big")[:3], (seed ^ 0xFFFFFFFF).to_bytes(4, "big")[:3]
    width = max(1, EDGE // (2 + seen))
    row = b"\0" + b"".join(first if x // width % 2 else second for x in range(EDGE))
    head = struct.pack(">IIBBBBB", EDGE, EDGE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(row * EDGE, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
