"""What a compatible server's refusal means, and which of its header fields a client may see."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC
from typing import Any

from airelays.dialects.stream.failure import LASTING, classify, page_title, plain_words
from airelays.dialects.stream.server_error import error_object
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Fields, ResponseHead

# Of a longer error body only what names the failure goes on, without the keys of the server's own.
MAX_WHOLE_BYTES = 64 * 1024
MAX_TEXT_CHARS = 512
MAX_WAIT_S = 30 * 86_400.0
_LONG_KEYS = ("error", "message", "detail", "object", "type", "code", "param")
_SAFE = re.compile(rb"[\x20-\x7e]{1,1024}")
# What LiteLLM says of itself behind the words of the server that it asked.
GATEWAY_WORDS = re.compile(
    r"litellm: model group|received model group ?=|available model group fallbacks ?=|fallback model group"
)
_PASSED = frozenset(
    {
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"openai-processing-ms",
        b"openai-version",
        b"openai-model",
        b"x-reasoning-included",
        b"content-disposition",
    }
)
_PREFIXES = (b"x-ratelimit-", b"x-airelays-", b"x-codex-")


def passed_fields(head: ResponseHead, redactor: Redactor) -> Fields:
    """Return the fields that go on to the client: an allow-list; hop-by-hop fields are never among them."""
    found = []
    for name, value in head.fields:
        if _SAFE.fullmatch(value) is None:
            continue
        if name in _PASSED or name.startswith(_PREFIXES):
            found.append((name, value))
        elif name == b"x-request-id":
            found.append((b"x-upstream-request-id", value))
    return tuple(
        (name, value[:128] if name == b"x-upstream-request-id" else value)
        for name, value in redactor.passed(tuple(found))
    )


class Refused:
    """An answer that is no success, read once. `error` is its error object, {} when it has none.

    Servers echo keys: nothing of the body is kept as it came, but as `redactor` leaves it.
    """

    def __init__(self, head: ResponseHead, body: bytes, redactor: Redactor) -> None:
        self.head = head
        self.status = head.status
        self.error: dict[str, Any] = {}
        self.names_model = "model" in GATEWAY_WORDS.sub("", body.decode("latin-1").lower())
        self._redactor = redactor
        self._is_long = len(body) > MAX_WHOLE_BYTES
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        self.is_json = isinstance(value, (dict, list))
        self._plain = "" if self.is_json else _plain(head.get(b"content-type"), body, redactor)
        if self.is_json:
            self._read(value)

    def _read(self, value: Any) -> None:
        if self._is_long and isinstance(value, dict):
            value = {key: _short(value[key]) for key in _LONG_KEYS if key in value}
        # First each text by itself: two halves of a secret must not meet in a message that is made of several.
        told = self._redactor.told
        self.error = told(error_object(told(value)))

    @property
    def message(self) -> str:
        """What the server said, printable and bounded."""
        said = self.error.get("message")
        text = (said if isinstance(said, str) else self._plain)[:MAX_TEXT_CHARS]
        return "".join(c if c.isprintable() else " " for c in text)

    def fault(self, name: str) -> UpstreamFault:
        """Return what the client is answered with. Never 401: a client would blame its relay token."""
        if self.status == 200 and self.is_json:
            return classify({"type": "error", "error": self.error})
        if self.status < 300:
            text = f"the upstream {name} answered with status {self.status}, which is not an answer"
            return UpstreamFault(text, code="upstream_malformed", type="upstream_error")
        if self.status < 400:
            text = f"the upstream {name} answered with a redirect ({self.status}), and redirects are not followed"
            return UpstreamFault(text, code="upstream_redirect", type="upstream_error")
        if self.status in (401, 403, 407):
            return self._denied(name)
        said = self.message or f"the upstream {name} refused without an explanation ({self.status})"
        code, kind, param = (self.error.get(key) for key in ("code", "type", "param"))
        fault = UpstreamFault(
            said,
            status=self.status if 400 <= self.status < 600 else 502,
            code=str(code) if code is not None else None,
            type=kind if isinstance(kind, str) else None,
            param=param if isinstance(param, str) else None,
            upstream=self.error,
            retry_after_s=wait_s(self.head, time.time()),
        )
        fields = {n.decode(): v.decode() for n, v in passed_fields(self.head, self._redactor)}
        fields.pop("retry-after", None)
        if self.status == 429 and code in LASTING and "x-should-retry" not in fields:
            fault.should_retry = False
        fault.headers = fields
        return fault

    def _denied(self, name: str) -> UpstreamFault:
        said = f": {self.message}" if self.message else ""
        return UpstreamFault(
            f"the upstream {name} does not accept its key ({self.status}{said}); check api_key_env or "
            "api_key_file",
            hop="sign_in",
            status=502,
            code="upstream_auth_rejected",
            type="authentication_error",
            should_retry=False,
            headers={"x-airelays-upstream-auth": "rejected"},
        )


def explained(fault: UpstreamFault) -> UpstreamFault:
    """Return `fault`; one that asks for the reasoning of a tool call also says why it was not sent."""
    if fault.status == 400 and "reasoning_content" in fault.message:
        fault.message += (
            " (the relay sends it back if the client replays the reasoning items, or within an hour of the "
            "call; start a new conversation)"
        )
    return fault


def _plain(kind: bytes | None, body: bytes, redactor: Redactor) -> str:
    """Return the words of an error body that is not JSON: a text's first line, or the title of a page."""
    word = (kind or b"").partition(b";")[0].strip().lower()
    is_text = not word or word.startswith(b"text/") or word == b"application/json"
    if is_text and (word == b"text/plain" or body.lstrip()[:1] not in (b"{", b"[")):
        kind = b"text/plain"
    return plain_words(kind, body, redactor.said) or page_title(body, redactor.said)


def _short(value: Any) -> Any:
    """Return of a long error what names it, without the keys of the server's own."""
    if not isinstance(value, dict):
        return value
    return {key: value[key] for key in ("message", "type", "code", "param") if key in value}


def wait_s(head: ResponseHead, now_s: float) -> float | None:
    """Return the wait that `Retry-After` asks for, in seconds or as a date; None without a valid one.

    A date counts from the server's own Date, which a clock that is off does not change, else from `now_s`.
    """
    prefix = b""
    value = head.get(b"retry-after")
    if value is None:
        # LiteLLM gives the fields of the server that it asked under this prefix.
        prefix = b"llm_provider-"
        value = head.get(prefix + b"retry-after")
    if value is None:
        return None
    if value.isdigit():
        return float(value) if len(value) < 9 else None
    until = _date_s(value)
    if until is None:
        return None
    since = _date_s(head.get(prefix + b"date") or b"")
    return min(max(0.0, until - (now_s if since is None else since)), MAX_WAIT_S)


def _date_s(value: bytes) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        found = parsedate_to_datetime(value.decode("latin-1"))
    except (TypeError, ValueError, OverflowError):
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found.timestamp()
