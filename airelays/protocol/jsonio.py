"""JSON with bounds: request bodies in, compact bytes out.

Owns: size, depth and well-formedness of a request body, and what Python's parser raises beside its own error
(threat-model.md, B1). Refuses to know: what the keys mean. Layer: rules.
"""

from __future__ import annotations

import json
import json.encoder
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from airelays.errors import ClientFault

MAX_DEPTH = 128
LONG_BYTES = 64 * 1024

_CONTROLS = bytes((*range(32), 127))
_OPENINGS = ("{", "[")
_PLACE = "\ud800"
_PLACE_ENCODED = b'"\\ud800"'
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
    # One byte is looked for ten times as fast as three: most large bodies are base64 without an escape.
    if b"\\" in raw and (b"\\ud" in raw or b"\\uD" in raw) and _LONE_ESCAPE.search(raw):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def loads_answer(raw: bytes) -> Any:
    """Return the JSON value in the body of an answer. Raises ValueError with what is wrong with it, in words.

    As strict as RFC 8259: UTF-8, no NaN, no infinity, nothing after the value. A byte order mark is tolerated.
    """
    try:
        text = _text_of(raw)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start:,})") from None
    if not text or text.isspace():
        raise ValueError("it is empty")
    try:
        return _decode_answer(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise ValueError(f"it ends too early, after {len(raw):,} bytes") from None
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{error.msg} at {where}") from None
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def decode_with(decoder: json.JSONDecoder) -> Callable[[str], Any]:
    """Return what `decoder.decode` does, without its two searches for white space where there is none."""
    raw_decode, usual = decoder.raw_decode, decoder.decode

    def decode(text: str) -> Any:
        if text[:1] in _OPENINGS:
            value, end = raw_decode(text)
            if end == len(text) or not text[end:].strip(" \t\n\r"):
                return value
        return usual(text)

    return decode


def compact_encoder(*, allow_nan: bool) -> Callable[[Any, int], Iterable[str]]:
    """Return an encoder of compact ASCII JSON: called with a value and 0, it gives the pieces of its text.

    JSONEncoder makes such an encoder anew for each value, which takes a third of the time for a small one; one that
    is kept does the same (json.encoder.c_make_encoder, CPython). Circular values end in RecursionError.
    """
    encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=allow_nan)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _: (encoder.encode(value),)
    form = json.encoder.encode_basestring_ascii
    made: Callable[[Any, int], Iterable[str]] = make(
        None, encoder.default, form, None, ":", ",", False, False, allow_nan
    )
    return made


def dumps(value: Any) -> bytes:
    """Return `value` as compact ASCII JSON. Raises ClientFault for a number that JSON cannot carry."""
    try:
        return "".join(_encode(value, 0)).encode("ascii")
    except (ValueError, RecursionError) as error:
        raise ClientFault("request body cannot be written as JSON: it nests too deeply") from error


def dumps_large(value: Any) -> bytes:
    """Return what `dumps` returns, for a value with texts of megabytes in it: 8 MiB of base64 in 13 ms, not 36.

    A long text that needs no escape, down to six levels deep, leaves its place to half a surrogate pair, which
    no value from `loads_object` holds, and goes into the result as it is. Raises as `dumps` does.
    """
    texts: list[str] = []
    frame = dumps(_lifted(value, texts, 6)).split(_PLACE_ENCODED)
    if len(frame) != len(texts) + 1:
        return dumps(value)
    parts = [frame[0]]
    for text, after in zip(texts, frame[1:], strict=True):
        parts += [b'"', text.encode("ascii"), b'"', after]
    return b"".join(parts)


def _lifted(value: Any, texts: list[str], depth: int) -> Any:
    """Return a copy of `value` without its long plain texts, which are appended to `texts` in order."""
    if isinstance(value, str):
        if len(value) <= LONG_BYTES or not _is_plain(value):
            return value
        texts.append(value)
        return _PLACE
    if depth and isinstance(value, list):
        return [_lifted(item, texts, depth - 1) for item in value]
    if depth and isinstance(value, dict):
        return {key: _lifted(item, texts, depth - 1) for key, item in value.items()}
    return value


def _is_plain(text: str) -> bool:
    """Whether `text` stands in JSON as it is: ASCII without quotes, backslashes and control characters."""
    if not text.isascii() or '"' in text or "\\" in text:
        return False
    for at in range(0, len(text), LONG_BYTES):
        piece = text[at : at + LONG_BYTES].encode("ascii")
        if len(piece.translate(None, _CONTROLS)) != len(piece):
            return False
    return True


def _text_of(raw: bytes | bytearray) -> str:
    # A BOM is skipped here, not by "utf-8-sig": that codec is several times slower.
    return (raw[3:] if raw.startswith(_BOM) else raw).decode("utf-8")


def _parse(raw: bytes | bytearray) -> Any:
    try:
        text = _text_of(raw)
    except UnicodeDecodeError as error:
        raise ClientFault(
            f"request body is not UTF-8: byte {error.start:,} does not start a character; send UTF-8"
        ) from error
    if not text or text.isspace():
        return {}
    try:
        return _decode(text)
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
            "request body contains an integer of more than 4,300 digits; send a shorter one"
        ) from error


def _check_depth(raw: bytes | bytearray, max_depth: int) -> None:
    """Refuse nesting beyond `max_depth`, by looking at brackets outside strings only.

    A body with few opening brackets cannot nest deeply, so most bodies cost two counts. For the others:
    `\\\\` and then `\\"` are taken out, so that every quote that is left begins or ends a string; every second
    piece between quotes is outside; innermost pairs are taken away layer by layer.
    """
    if _has_at_most(raw, max_depth):
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


def _has_at_most(raw: bytes | bytearray, most: int) -> bool:
    """Whether `raw` has at most so many opening brackets.

    `count` looks at each byte, `find` at many at once: 11 ms against 1 in 8 MiB.
    """
    if len(raw) <= LONG_BYTES:
        return raw.count(b"[") + raw.count(b"{") <= most
    for bracket in (b"[", b"{"):
        at = raw.find(bracket)
        while at >= 0:
            most -= 1
            if most < 0:
                return False
            at = raw.find(bracket, at + 1)
    return True


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
    raise ClientFault(
        f"request body contains {name}, which is not JSON; send a finite number or null"
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it contains {name}, which is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ClientFault(
            f"request body contains the number {text[:32]}, which does not fit a double; send a smaller one"
        )
    return number


_decode = decode_with(json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite))
_decode_answer = decode_with(json.JSONDecoder(parse_constant=_no_constant))
_encode = compact_encoder(allow_nan=False)
