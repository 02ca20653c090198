"""Type and value checks of request fields; each failure is a 400 that names the field's path. Layer: rules."""

from __future__ import annotations

import json
from typing import Any

from airelays.errors import ClientFault

# Of metadata, as at OpenAI.
MAX_PAIRS, MAX_KEY_CHARS, MAX_VALUE_CHARS = 16, 64, 512


def fault(path: str, text: str, code: str = "invalid_value") -> ClientFault:
    """Return a 400 whose text begins with the field's path."""
    return ClientFault(f"{path} {text}", param=path, code=code)


def missing(path: str, expected: str) -> ClientFault:
    """Return the 400 for a field that has to be there."""
    return fault(path, f"is missing; expected {expected}", "missing_required_parameter")


def shown(value: Any) -> str:
    """Return a short, one-line, ASCII picture of a JSON value for an error text."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else value[:57] + "...")
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def wrong_type(path: str, value: Any, expected: str) -> ClientFault:
    """Return the 400 for a value of another JSON type than expected."""
    return fault(path, f"is {shown(value)}; expected {expected}", "invalid_type")


def want_text(value: Any, path: str, expected: str = "a non-empty string") -> str:
    """Return a non-empty string."""
    if not isinstance(value, str):
        raise missing(path, expected) if value is None else wrong_type(path, value, expected)
    if not value:
        raise fault(path, f"is empty; expected {expected}")
    return value


def want_bool(value: Any, path: str) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise wrong_type(path, value, "true or false")
    return value


def want_object(value: Any, path: str) -> dict[str, Any]:
    """Return an object."""
    if not isinstance(value, dict):
        raise missing(path, "an object") if value is None else wrong_type(path, value, "an object")
    return value


def want_list(value: Any, path: str, *, most: int) -> list[Any]:
    """Return an array of at most `most` entries."""
    if not isinstance(value, list):
        raise missing(path, "an array") if value is None else wrong_type(path, value, "an array")
    if len(value) > most:
        raise fault(path, f"has {len(value):,} entries; at most {most:,} are accepted")
    return value


def present(body: dict[str, Any]) -> dict[str, Any]:
    """Return `body` without its nulls: a null is an absent field to every map of this room."""
    return {key: value for key, value in body.items() if value is not None}


def kept_id(response_id: str) -> str:
    """Return the id under which an answer is kept; a chat or text completion shows its own spelling of it."""
    for prefix in ("chatcmpl-", "cmpl-"):
        if response_id.startswith(prefix):
            return "resp_" + response_id.removeprefix(prefix)
    return response_id


def asks(value: Any) -> bool:
    """Whether a parameter's value asks for something: not null, false, 0, "", [] or {}."""
    return bool(value)


def want_metadata(value: Any) -> dict[str, str]:
    """Return metadata: at most 16 pairs of texts. Raises ClientFault."""
    if value is None:
        return {}
    found = want_object(value, "metadata")
    if len(found) > MAX_PAIRS:
        raise fault("metadata", f"has {len(found):,} pairs; at most {MAX_PAIRS} are accepted")
    for key, text in found.items():
        if len(key) > MAX_KEY_CHARS:
            raise fault("metadata", f"has a key of more than {MAX_KEY_CHARS} characters")
        if not isinstance(text, str):
            raise fault(f"metadata.{key}", "is not a string; send one", "invalid_type")
        if len(text) > MAX_VALUE_CHARS:
            raise fault(f"metadata.{key}", f"has more than {MAX_VALUE_CHARS} characters")
    return found
