"""Failures inside an event stream: what they mean, and how each becomes a fault with a status.

And the one error body that is no JSON and may be shown: a line of plain text. Layer: rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

from airelays.errors import RelayError, UpstreamFault, default_type

MAX_MESSAGE_CHARS = 2000
# LiteLLM, and with it aider and many agents, knows a full context by such a phrase only, not by the code.
_CONTEXT_PHRASE = "this model's maximum context length is"

# Codes of ChatGPT and of OpenAI's API for a plan, a budget or a rate that is used up.
_QUOTA = frozenset(
    {
        "usage_limit_reached",
        "rate_limit_reached",
        "rate_limit_exceeded",
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "usage_not_included",
    }
)
# Of these a second try cannot help before a person or a long window does.
LASTING = _QUOTA - {"rate_limit_exceeded", "rate_limit_reached"}
_CLIENT = frozenset(
    {
        "context_length_exceeded",
        "invalid_prompt",
        "invalid_value",
        "unsupported_value",
        "unsupported_parameter",
        "unknown_parameter",
        "string_above_max_length",
        "missing_required_parameter",
        "invalid_encrypted_content",
        "previous_response_not_found",
        "cyber_policy",
        "bio_policy",
        "misalignment_policy_violation",
    }
)
_BUSY = frozenset({"server_is_overloaded", "slow_down"})
_TITLE = re.compile(rb"(?i)<title[^<>]{0,100}>([^<>]{1,300})</title")
MAX_TITLE_AT = 16 * 1024
_MARKUP = re.compile(r"<[A-Za-z!/?]")
_WAIT = re.compile(
    r"try again in ([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(ms|milliseconds?|s|seconds?|m|minutes?)\b"
)


def classify(event: dict[str, Any]) -> UpstreamFault:
    """Return the fault for a `response.failed` or `error` event."""
    error = error_of(event)
    code, kind, param = (_word(error.get(key)) for key in ("code", "type", "param"))
    message = (
        _word(error.get("message")) or "upstream failed during its answer without giving a reason"
    )
    names = {code, kind}
    status = 502
    if names & _QUOTA:
        status = 429
    elif kind == "invalid_request_error" or code in _CLIENT or param:
        status = 400
    elif code in _BUSY:
        status = 503
    else:
        status = _status_in(error.get("code"))
    fault = UpstreamFault(
        message,
        status=status,
        hop="stream",
        code=code,
        param=param,
        type=kind or default_type(status),
        retry_after_s=_wait_s(error, message) if status in (429, 503) else None,
        should_retry=False if status == 400 or names & LASTING else None,
        upstream=error,
    )
    name_full_context(fault)
    return fault


def name_full_context(fault: UpstreamFault) -> None:
    """Add the phrase that clients look for to the message of a `fault` that says the context is full."""
    if fault.code == "context_length_exceeded" and _CONTEXT_PHRASE not in fault.message.lower():
        fault.message = f"{fault.message.rstrip()} ({_CONTEXT_PHRASE} exceeded)"
        fault.headers = {**fault.headers, "x-airelays-quirks": "context_phrase_added"}


def error_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return the error object of a failure event, wherever it is; its keys are the upstream's own."""
    error = event.get("error")
    if not isinstance(error, dict):
        response = event.get("response")
        error = response.get("error") if isinstance(response, dict) else None
    if not isinstance(error, dict):
        error = {key: event[key] for key in ("code", "message", "param") if key in event}
        if isinstance(event.get("error"), str):
            error.setdefault("message", event["error"])
    return error


def incomplete_stream() -> UpstreamFault:
    """Return the fault for a stream that ended without its last event."""
    return UpstreamFault(
        "upstream ended its stream before the answer was complete; what has arrived is incomplete",
        hop="stream",
        code="incomplete_stream",
        type="server_error",
    )


def too_deep() -> UpstreamFault:
    """Return the fault for an event that Python's parser or encoder gives up on."""
    return UpstreamFault(
        "upstream sent an event that nests too deeply to be written again", hop="stream"
    )


def page_title(body: bytes, said: Callable[[str], str]) -> str:
    """Return the title of an error page, as `said` leaves it; "" without one. Nothing else of a page is shown."""
    found = _TITLE.search(body[:MAX_TITLE_AT])
    if found is None:
        return ""
    try:
        text = unescape(found[1].decode("utf-8"))
    except UnicodeDecodeError:
        return ""
    if _MARKUP.search(text):
        return ""
    return " ".join(said(text).split())


def plain_words(kind: bytes | None, body: bytes, said: Callable[[str], str]) -> str:
    """Return the first line of what `said` makes of an error body whose Content-Type `kind` is text/plain.

    "" for any other type, for bytes that are no UTF-8 and for what has a tag in it: a page is never passed on.
    """
    if (kind or b"").partition(b";")[0].strip().lower() != b"text/plain":
        return ""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    if _MARKUP.search(text):
        return ""
    # The whole text, not the line: a secret may be broken over several.
    return next((line.strip() for line in said(text).splitlines() if line.strip()), "")


def in_band(fault: RelayError) -> UpstreamFault:
    """Return `fault` as it stands inside a stream: there SDKs know "server_error", not our "upstream_error"."""
    return UpstreamFault(
        fault.message,
        status=fault.status,
        code=fault.code,
        param=fault.param,
        type="server_error" if fault.type == "upstream_error" else fault.type,
        retry_after_s=fault.retry_after_s,
        should_retry=fault.should_retry,
        upstream=fault.upstream,
        hop=fault.hop if isinstance(fault, UpstreamFault) else "stream",
    )


def _status_in(code: Any) -> int:
    """Return the status that an error's code is, 502 for any other."""
    # vLLM, OpenRouter and llama.cpp write the HTTP status as the code. A 401 is about the upstream's key.
    if type(code) is not int or not 400 <= code < 600 or code in (401, 403, 407):
        return 502
    return code


def _word(value: Any) -> str | None:
    return value[:MAX_MESSAGE_CHARS] if isinstance(value, str) and value else None


def _wait_s(error: dict[str, Any], message: str) -> float | None:
    wait = error.get("resets_in_seconds")
    if isinstance(wait, (int, float)) and not isinstance(wait, bool) and 0 <= wait < 1e9:
        return float(wait)
    found = _WAIT.search(message)
    if found is None:
        return None
    number, unit = float(found[1]), found[2]
    if unit.startswith(("ms", "mil")):
        return number / 1000
    return number * 60 if unit.startswith("m") else number
