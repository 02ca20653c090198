"""What a client sees of the failures inside a stream: the upstream's words without secrets.

An upstream that echoes our request in an error echoes our credentials. Every event or frame that is recognised as
an error goes through the redactor here, also where a stream is otherwise passed on as it is; ordinary events are
left alone. Layer: rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from airelays.dialects.stream.failure import classify
from airelays.dialects.stream.framing import BLANK
from airelays.dialects.stream.server_error import error_object, is_failure, is_failure_name
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor

# Of a failed answer that is longer, or that has a secret elsewhere, only these fields go on.
TOLD_BYTES = 256 * 1024
MAX_ERROR_BYTES = 64 * 1024
_KEPT = frozenset(
    ("id", "object", "created_at", "status", "model", "error", "incomplete_details", "usage")
)
_FAILURES = ("error", "response.failed")
_FAILED = frozenset((b"error", b"response.failed"))
_FIELDS = (b"data", b"event", b"id", b"retry")
_LINE = re.compile(rb"\r\n|\n|\r")
_CHOICES = re.compile(rb'"choices"\s*:\s*\[')
_STARTS = (b"data: {", b"data:{")
MAX_DEPTH = 32


def holds_error(name: str, event: dict[str, Any]) -> bool:
    """Whether an event of the Responses protocol is a failure, or tells of one."""
    kind = event.get("type")
    if event.get("error") or name in _FAILURES or is_failure_name(kind):
        return True
    response = event.get("response")
    output = response.get("output") if isinstance(response, dict) else None
    return _has_error([response, event.get("item")]) or _has_error(output)


def tell_answer(value: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return a whole answer of a server as a client may see it: `value` itself unless it tells of an error.

    Raises UpstreamFault for one that is an error and nothing else, although its status said success.
    """
    failed = is_failure(value)
    if not (failed or any(_has_error(value.get(key)) for key in ("choices", "output"))):
        return value
    # A Responses object that failed has an empty `output` and is an answer all the same.
    if failed and not (value.get("choices") or "output" in value or "data" in value):
        raise classify({"type": "error", "error": error_object(redactor.told(value))})
    return _table(tell_errors(value, redactor))


def tell(
    name: str, event: dict[str, Any], data: bytes, redactor: Redactor
) -> tuple[str, dict[str, Any], bytes]:
    """Return name, object and data of an event that `holds_error` as a client may see them."""
    told = _tell(name, event, len(data), redactor)
    if told != event:
        data = json.dumps(told, separators=(",", ":")).encode()
    return redactor.said(name), told, data


def _tell(name: str, event: dict[str, Any], size: int, redactor: Redactor) -> dict[str, Any]:
    kind = event.get("type")
    untyped = not isinstance(kind, str) and event.get("error")
    if not (name in _FAILURES or is_failure_name(kind) or untyped):
        return _table(tell_errors(event, redactor))
    response = event.get("response")
    if not isinstance(response, dict):
        return _table(redactor.told(event))
    short = {key: value for key, value in response.items() if key in _KEPT}
    long = {key: value for key, value in response.items() if key not in _KEPT}
    if size > TOLD_BYTES or not redactor.is_plain(json.dumps(long).encode()):
        long = {}
    told = _table(redactor.told({**event, "response": short}))
    # In their order: what is left as it came is to be recognised as that.
    made = {**_table(told.get("response")), **long}
    return {**told, "response": {key: made[key] for key in response if key in made}}


def tell_errors(tree: Any, redactor: Redactor, depth: int = 0) -> Any:
    """Return JSON data with what stands under the name `error`, at any depth, as a client may see it."""
    if depth >= MAX_DEPTH:
        return tree
    if isinstance(tree, list):
        return [tell_errors(item, redactor, depth + 1) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: redactor.told(value)
        if key == "error" and value
        else tell_errors(value, redactor, depth + 1)
        for key, value in tree.items()
    }


def is_usual(frames: bytes) -> bool:
    """Whether whole frames consist of one `data` line each that begins an object: those need no second look."""
    if not frames.startswith(_STARTS) or b"\r" in frames:
        return False
    lines = frames.count(b"\n")
    return lines == 2 or lines == 2 * (1 + frames.count(b"\n\ndata: {"))


class Look(NamedTuple):
    """What came of looking at frames: `before` goes on; the rest is behind the failure that `fault` tells of."""

    before: bytes
    fault: UpstreamFault | None = None


def look_through(
    frames: bytes, ask: Callable[[], Redactor], note: Callable[[dict[str, Any]], None]
) -> Look:
    """Return whole frames of a server's stream as a client may see them, up to the first that is a failure.

    A frame without an error stays as it is, but for lines that no event stream has: some servers write the text of
    an exception between two frames. `ask` returns the redactor; `note` is given the object of each. None is
    parsed twice.
    """
    before: list[bytes] = []
    for frame in _split(frames):
        name, data, odd = _read(frame)
        value = _value(data if data is not None else frame.strip() if odd else None, frame, name)
        if isinstance(value, dict):
            if name in _FAILED or is_failure(value):
                told = _table(ask().told(value))
                fault = classify(told if "response" in told else {"error": error_object(told)})
                return Look(b"".join(before), fault)
            note(value)
        if name == b"error" and data is not None:
            said = ask().said(data.decode("utf-8", "replace"))
            return Look(b"".join(before), classify({"error": {"message": said}}))
        before.append(_passed(frame, value, data, odd, ask))
    return Look(b"".join(before))


def _passed(
    frame: bytes, value: Any, data: bytes | None, odd: bool, ask: Callable[[], Redactor]
) -> bytes:
    """Return a frame that is no failure as it goes on."""
    if isinstance(value, dict) and b'"error"' in frame:
        told = tell_errors(value, ask())
        if told != value:
            return b"data: " + json.dumps(told).encode() + b"\n\n"
    known = data is not None and (data[:1] == b"{" or data.strip() == b"[DONE]")
    if known and not odd and (value is not None or b'"error"' not in frame):
        return frame
    redactor = ask()
    if data is None and not odd and redactor.is_plain(frame):
        return frame
    lines = [line for line in _LINE.split(frame) if line]
    kept = [
        redactor.said(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        for line in lines
        if line.partition(b":")[0] in (b"", *_FIELDS)
    ]
    if kept == lines:
        return frame
    return b"\n".join([*kept, b"\n"]) if kept else b""


def _split(frames: bytes) -> Iterator[bytes]:
    """Yield each frame with the blank line behind it."""
    start = 0
    for match in BLANK.finditer(frames):
        yield frames[start : match.end()]
        start = match.end()
    if start < len(frames):
        yield frames[start:]


def _read(frame: bytes) -> tuple[bytes, bytes | None, bool]:
    """Return name and data of a frame, None without data, and whether it has lines that no event stream has."""
    name, data, odd = b"", [], False
    for line in _LINE.split(frame):
        field, colon, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
        elif field == b"event":
            name = value.strip()
        elif line and not (colon and (not field or field in _FIELDS)):
            odd = True
    return name, b"\n".join(data) if data else None, odd


def _value(data: bytes | None, frame: bytes, name: bytes) -> Any:
    """Return the JSON value of a frame that may tell of an error; None for others, and for what is no JSON."""
    if data is None:
        return None
    named = b'"error"' in frame or b'"usage"' in frame or name in _FAILED
    # An error without that word in it has no list of choices, and is short.
    if not named and (
        _CHOICES.search(frame) is not None or data[:1] != b"{" or len(data) > MAX_ERROR_BYTES
    ):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _has_error(parts: Any) -> bool:
    if not isinstance(parts, list):
        return False
    return any(isinstance(part, dict) and part.get("error") for part in parts)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
