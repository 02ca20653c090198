"""The error that a server reports, in whatever form it has, as one object with a message. Layer: rules.

Known forms: OpenAI's `error` object, a text under `error`, `{"object": "error"}` of vLLM and Mistral, FastAPI's
`detail` with pydantic's list, `message` alone, `errors`, MiniMax's `base_resp`, Google's list of one.
"""

from __future__ import annotations

from typing import Any

MAX_ENTRIES = 8
MAX_DEPTH = 6
_NAMES = ("error", "response.failed")
_ANSWERS = ("choices", "output", "data", "response")
_TEXTS = (
    *("message", "msg", "detail", "error", "errors", "error_message", "error_msg"),
    *("error_description", "status_msg", "description", "reason", "title", "Message"),
)
_KEPT = {"type": ("type", "error_type"), "code": ("code", "error_code"), "param": ("param",)}


def is_failure_name(kind: Any) -> bool:
    """Whether the `type` of an event means that the answer has failed."""
    return isinstance(kind, str) and (kind in _NAMES or kind.endswith((".failed", ".error")))


def is_failure(value: dict[str, Any]) -> bool:
    """Whether the object of a frame, or of a whole body, is an error and not an answer."""
    if value.get("error") or value.get("object") == "error":
        return True
    kind = value.get("type")
    if is_failure_name(kind):
        return True
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return True
    if any(value.get(name) is not None for name in _ANSWERS):
        return False
    if isinstance(kind, str) and not kind.endswith(("error", "Error")):
        return False  # an event of some other protocol
    return (
        isinstance(value.get("message"), str)
        or isinstance(value.get("detail"), (str, list))
        or (isinstance(value.get("errors"), list) and bool(value["errors"]))
    )


def error_object(value: Any) -> dict[str, Any]:
    """Return the error in `value` as one object: `message`, then the server's own keys; {} if it says nothing."""
    if isinstance(value, list):
        value = next((one for one in value if isinstance(one, dict)), {})
    if not isinstance(value, dict):
        return {}
    error = value.get("error")
    if isinstance(error, dict):
        return _with_message(error)
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return {"message": _text(base.get("status_msg")), "code": base["status_code"]}
    if isinstance(error, str) and error:
        longer = _text({name: value.get(name) for name in _TEXTS if name != "error"})
        found = {"message": longer, "code": error} if longer else {"message": error}
        return {**_kept(value), **found}
    detail = value.get("detail")
    if isinstance(detail, dict) and not value.get("message"):
        return _with_message(detail)
    text = _text(value)
    return {**_kept(value), "message": text} if text else _kept(value)


def choice_error(choice: dict[str, Any]) -> str:
    """Return what a choice says of the failure that ended it, as OpenRouter does; "" for nothing."""
    return _text(choice.get("error"))


def _with_message(error: dict[str, Any]) -> dict[str, Any]:
    message = error.get("message")
    if isinstance(message, str) and message:
        return error
    text = _text(error)
    return {**error, "message": text} if text else error


def _kept(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, spellings in _KEPT.items():
        for spelling in spellings:
            if isinstance(value.get(spelling), (str, int)) and name not in found:
                found[name] = value[spelling]
    entries = value.get("detail")
    if isinstance(value.get("message"), dict):
        entries = value["message"].get("detail")
    if "param" not in found and isinstance(entries, list) and entries:
        where = _place(entries[0]) if isinstance(entries[0], dict) else ""
        if where:
            found["param"] = where
    return found


def _text(value: Any, depth: int = 0) -> str:
    """Return the words of an error, wherever they stand in it."""
    if isinstance(value, str):
        return value.strip()
    if depth >= MAX_DEPTH:
        return ""
    if isinstance(value, list):
        texts = [_text(one, depth + 1) for one in value[:MAX_ENTRIES]]
        return "; ".join(text for text in texts if text)
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("msg"), str) and "loc" in value:
        where = _place(value)
        return f"{where}: {value['msg']}" if where else str(value["msg"])
    return next((text for name in _TEXTS if (text := _text(value.get(name), depth + 1))), "")


def _place(entry: dict[str, Any]) -> str:
    """Return the field that an entry of pydantic's list is about, without the part of the request it stands in."""
    loc = entry.get("loc")
    steps = [str(step) for step in loc[:MAX_ENTRIES]] if isinstance(loc, list) else []
    return ".".join(steps[1:] if steps[:1] == ["body"] and len(steps) > 1 else steps)
