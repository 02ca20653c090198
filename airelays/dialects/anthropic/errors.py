"""Errors in Anthropic's form: the type for each status, and the words by which its clients know what to do.

Clients steer by them: a prompt that is too long is compacted, what is overloaded is asked again, a plan that is used
up is not (its `x-should-retry: false` goes with it). Layer: rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from airelays.errors import RelayError, UpstreamFault

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
OVERLOADED = 529
_BUSY = frozenset({"server_is_overloaded", "overloaded", "slow_down", "overloaded_error"})
_FULL_CODES = frozenset(
    ("context_length_exceeded", "exceed_context_size_error", "model_context_window_exceeded")
)
# OpenAI, vLLM and LiteLLM; llama.cpp; Ollama and LM Studio; Anthropic; SGLang; TGI.
_FULL = re.compile(
    r"maximum context length|context (?:size|window|length)\b.{0,40}\b(?:exceed|full|too)|"
    r"exceeds? (?:the )?(?:available |model's |maximum )?context (?:size|window|length)|prompt is too long|"
    r"input is too long|prompt too long|input is longer than",
    re.IGNORECASE,
)
_NUMBER = r"([0-9][0-9,_]{0,12})"
_MOST = re.compile(
    rf"(?:maximum context length (?:is|of)|context (?:size|window|length) (?:is |of |\()?|maximum of|>) ?{_NUMBER}",
    re.IGNORECASE,
)
_FOUND = re.compile(
    rf"(?:resulted in|requested(?: about)?|request(?: has)? \(?|prompt (?:is too long: |contains |has )|"
    rf"has at least|input \(?)\s*{_NUMBER} (?:input )?tokens",
    re.IGNORECASE,
)


class Room(NamedTuple):
    """How full a context is: tokens of the prompt by estimate, and how many the model takes, 0 if unknown."""

    tokens: int = 0
    most: int = 0


def _no_room() -> Room:
    return Room()


class Words:
    """Puts errors into Anthropic's form. `room` is asked for numbers when a context is full."""

    __slots__ = ("request_id", "room")

    def __init__(self, request_id: str, room: Callable[[], Room] = _no_room) -> None:
        self.request_id = request_id
        self.room = room

    def answer(self, error: RelayError) -> tuple[int, bytes]:
        """Return status and body for `error`."""
        status = status_of(error)
        body = {
            "type": "error",
            "error": self._object(error, status),
            "request_id": self.request_id,
        }
        return status, json.dumps(body).encode() + b"\n"

    def event(self, error: RelayError) -> dict[str, Any]:
        """Return the data of the `error` event that ends a stream."""
        return {"type": "error", "error": self._object(error, status_of(error))}

    def _object(self, error: RelayError, status: int) -> dict[str, Any]:
        message = full_words(error, self.room()) if is_full(error) else error.message
        made: dict[str, Any] = {"type": type_of(status), "message": message}
        if error.code is not None:
            made["code"] = error.code
        if error.param is not None:
            made["param"] = error.param
        return made


def type_of(status: int) -> str:
    """Return the `type` of an error of this status."""
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def status_of(error: RelayError) -> int:
    """Return the status that a client of this API is to see."""
    if is_full(error):
        return 400
    if isinstance(error, UpstreamFault):
        unnamed = error.status == 503 and error.code is None and error.hop == "upstream"
        if error.code in _BUSY or error.type in _BUSY or unnamed:
            return OVERLOADED
    return error.status


def is_full(error: RelayError) -> bool:
    """Whether an upstream says that the prompt is longer than its model takes."""
    if not isinstance(error, UpstreamFault) or error.status in (413, 429):
        return False
    if error.code in _FULL_CODES or error.type in _FULL_CODES:
        return True
    return error.status in (400, 500, 502) and _FULL.search(error.message) is not None


def full_words(error: RelayError, room: Room) -> str:
    """Return the message for a full context: its beginning is what makes Claude Code compact the conversation."""
    said = error.upstream or {}
    most = _count(said.get("n_ctx")) or _number(_MOST, error.message) or room.most
    tokens = _count(said.get("n_prompt_tokens")) or _number(_FOUND, error.message) or room.tokens
    if not most:
        return f"prompt is too long: {error.message}"
    return f"prompt is too long: {max(tokens, most + 1)} tokens > {most} maximum"


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(found[1].replace(",", "").replace("_", "")) if found is not None else 0
