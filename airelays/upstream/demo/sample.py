"""A value that obeys a JSON Schema, always the same one. Pure.

Covers what structured output and tool parameters use: type, enum, const, properties, required, items, anyOf, oneOf,
allOf, $ref into the same document, and the usual bounds. `pattern` is honoured only where it is a plain literal.
"""

from __future__ import annotations

import binascii
import math
import struct
import zlib
from typing import Any

MAX_DEPTH = 12
_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "email": "demo@example.com",
    "uri": "https://example.com/demo",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "duration": "PT1M",
}


def sample(schema: Any, name: str = "value") -> Any:
    """Return a value for `schema`; strings without other rules are `name`."""
    root = schema if isinstance(schema, dict) else {}
    return _make(root, root, name, 0)


def _make(schema: Any, root: dict[str, Any], name: str, depth: int) -> Any:
    if not isinstance(schema, dict):
        return name
    schema = _resolve(schema, root)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    for several in ("enum", "examples"):
        if isinstance(schema.get(several), list) and schema[several]:
            return schema[several][0]
    kind = _kind(schema, depth)
    if kind == "any":
        return _make(_branch(schema, depth), root, name, depth + 1)
    return _of_kind(kind, schema, root, name, depth)


def _of_kind(kind: str, schema: dict[str, Any], root: dict[str, Any], name: str, depth: int) -> Any:
    if kind == "object":
        return _object(schema, root, depth)
    if kind == "array":
        return _array(schema, root, name, depth)
    if kind == "integer":
        return int(_number(schema, whole=True))
    if kind == "number":
        return _number(schema, whole=False)
    if kind == "boolean":
        return True
    return None if kind == "null" else _string(schema, name)


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref` inside this document and join `allOf`."""
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            break
        found: Any = root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        schema = found if isinstance(found, dict) else {}
    if isinstance(schema.get("allOf"), list):
        schema = _joined(schema, root)
    return schema


def _joined(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    joined: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
    for part in schema["allOf"]:
        resolved = _resolve(part, root) if isinstance(part, dict) and part is not schema else {}
        for key, value in resolved.items():
            if key == "properties":
                joined["properties"] = {**joined.get("properties", {}), **value}
            elif key == "required":
                joined["required"] = [*joined.get("required", []), *value]
            else:
                joined.setdefault(key, value)
    return joined


def _kind(schema: dict[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        if depth >= MAX_DEPTH and "null" in kind:
            return "null"
        kind = next((k for k in kind if k != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "anyOf" in schema or "oneOf" in schema:
        return "any"
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _branch(schema: dict[str, Any], depth: int) -> Any:
    """Return the first alternative; deep inside a recursive schema the one that ends it."""
    branches = [
        b for b in (schema.get("anyOf") or schema.get("oneOf") or []) if isinstance(b, dict)
    ]
    if depth >= MAX_DEPTH:
        branches.sort(key=lambda branch: branch.get("type") != "null")
    return branches[0] if branches else {}


def _object(schema: dict[str, Any], root: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    if depth >= MAX_DEPTH:
        return {}
    made = {
        key: _make(value, root, key, depth + 1)
        for key, value in properties.items()
        if depth < 4 or key in required
    }
    for key in required:
        made.setdefault(key, str(key))
    return made


def _array(schema: dict[str, Any], root: dict[str, Any], name: str, depth: int) -> list[Any]:
    if isinstance(schema.get("prefixItems"), list):
        return [_make(item, root, name, depth + 1) for item in schema["prefixItems"]]
    least = schema.get("minItems")
    most = schema.get("maxItems")
    count = least if isinstance(least, int) and least > 0 else int(depth < MAX_DEPTH)
    if isinstance(most, int):
        count = min(count, most)
    return [_make(schema.get("items", {}), root, name, depth + 1) for _ in range(min(count, 64))]


def _number(schema: dict[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf")
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    unit = step if isinstance(step, (int, float)) and step > 0 else 1 if whole else 0.5
    value: float = 1
    if isinstance(low, (int, float)):
        value = max(value, low)
    if isinstance(above, (int, float)) and not isinstance(above, bool):
        value = max(value, above + unit)
    if isinstance(high, (int, float)):
        value = min(value, high)
    if isinstance(below, (int, float)) and not isinstance(below, bool):
        value = min(value, below - unit)
    if isinstance(step, (int, float)) and step > 0:
        value = math.ceil(value / step) * step
    return math.ceil(value) if whole and value != int(value) else value


def _string(schema: dict[str, Any], name: str) -> str:
    text = _FORMATS.get(str(schema.get("format")), name)
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern.strip("^$").isalnum():
        text = pattern.strip("^$")
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and len(text) < least:
        text = (text or "x") * (least // max(1, len(text)) + 1)
        text = text[:least]
    return text[:most] if isinstance(most, int) else text


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
