"""JSON with bounds: request bodies in, compact bytes out.

Owns: size, depth and well-formedness of a request body, and what Python's parser raises beside its own error
(security.md, B1). Refuses to know: what the keys mean. Layer: rules.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from airelays.errors import ClientFault

__all__ = ["MAX_DEPTH", "dumps", "loads_object"]

MAX_DEPTH = 128

_BOM = b"\xef\xbb\xbf"
_OPEN_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

# An escape of half a surrogate pair: a high half that no low half follows, or a low half alone.
_LONE_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_LONE = re.compile(r"[\ud800-\udfff]")


def loads_object(
    raw: bytes | bytearray, *, max_bytes: int, max_depth: int = MAX_DEPTH
) -> dict[str, Any]:
    """Return the JSON object in `raw`; an empty body is an empty object.

    UTF-8 only, a byte order mark is tolerated. Of a repeated key the last counts. Half a surrogate pair
    becomes U+FFFD, so that every string in the result can be encoded. Raises ClientFault (413 for size, else
    400) for everything that is not an object within the bounds.
    """
    if len(raw) > max_bytes:
        raise ClientFault(
            f"request body is {len(raw):,} bytes; this route accepts at most {max_bytes:,}",
            status=413,
        )
    _check_depth(raw, max_depth)
    value = _parse(raw)
    if not isinstance(value, dict):
        raise ClientFault(f"request body is {_kind(value)}; expected a JSON object")
    if (b"\\ud" in raw or b"\\uD" in raw) and _LONE_ESCAPE.search(raw):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def dumps(value: Any) -> bytes:
    """Return `value` as compact ASCII JSON. Raises ClientFault for a number that JSON cannot carry."""
    try:
        return _ENCODER.encode(value).encode("ascii")
    except (ValueError, RecursionError) as error:
        raise ClientFault("request body cannot be written as JSON: it nests too deeply") from error


def _parse(raw: bytes | bytearray) -> Any:
    try:
        # A BOM is skipped here, not by "utf-8-sig": that codec is several times slower.
        text = (raw[3:] if raw.startswith(_BOM) else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ClientFault(
            f"request body is not UTF-8: byte {error.start:,} begins no character; send UTF-8"
        ) from error
    if not text or text.isspace():
        return {}
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ClientFault(
            f"request body is not valid JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}"
        ) from error
    except RecursionError as error:
        raise ClientFault("request body is not valid JSON: it nests too deeply") from error
    except ValueError as error:
        # int() refuses more than 4,300 digits (CVE-2020-10735).
        raise ClientFault(
            "request body holds an integer of more than 4,300 digits; send a shorter one"
        ) from error


def _check_depth(raw: bytes | bytearray, max_depth: int) -> None:
    """Refuse nesting beyond `max_depth`, by looking at brackets outside strings only.

    A body with few opening brackets cannot nest deeply, so most bodies cost two counts. For the others:
    `\\\\` and then `\\"` are taken out, so that every quote that is left begins or ends a string; every second
    piece between quotes is outside; innermost pairs are taken away layer by layer.
    """
    if raw.count(b"[") + raw.count(b"{") <= max_depth:
        return
    outside = raw
    if b"\\" in outside:
        outside = outside.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(outside.split(b'"')[::2]).translate(_OPEN_AS_SQUARE, _NOT_BRACKETS)
    for _ in range(max_depth):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    if b"[" in brackets and (b"[]" in brackets or brackets.count(b"[") > max_depth):
        raise ClientFault(
            f"request body nests arrays and objects deeper than {max_depth} levels; "
            f"at most {max_depth} are accepted"
        )


def _whole(value: Any) -> Any:
    """Return `value` with each lone surrogate replaced by U+FFFD; depth is already bounded."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "a JSON array"
    if isinstance(value, str):
        return "a JSON string"
    return "a JSON boolean" if isinstance(value, bool) else "a JSON number"


def _refuse_constant(name: str) -> NoReturn:
    raise ClientFault(f"request body holds {name}, which is not JSON; send a finite number or null")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ClientFault(
            f"request body holds the number {text[:32]}, which is beyond a double; send a smaller one"
        )
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
