"""What a compatible server's refusal means, and which of its header fields a client may see. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from airelays.dialects.stream.failure import plain_words
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Fields, ResponseHead

# Of a longer error body only what names the failure goes on, without the keys of the server's own.
MAX_WHOLE_BYTES = 64 * 1024
MAX_TEXT_CHARS = 512
_SAFE = re.compile(rb"[\x20-\x7e]{1,1024}")
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
        self.names_model = b"model" in body.lower()
        self._redactor = redactor
        self._is_long = len(body) > MAX_WHOLE_BYTES
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        self.is_json = isinstance(value, dict)
        kind = head.get(b"content-type")
        self._plain = "" if self.is_json else plain_words(kind, body, redactor.said)
        if isinstance(value, dict):
            self._read(value)

    def _read(self, value: dict[str, Any]) -> None:
        error = value.get("error", value.get("detail"))
        if isinstance(error, dict):
            self.error = error
        elif isinstance(error, str):
            self.error = {"message": error}
        elif isinstance(value.get("message"), str):
            self.error = _named(value)
        if self._is_long:
            self.error = _named(self.error)
        self.error = self._redactor.told(self.error)

    @property
    def message(self) -> str:
        """What the server said, printable and bounded."""
        said = self.error.get("message")
        text = (said if isinstance(said, str) else self._plain)[:MAX_TEXT_CHARS]
        return "".join(c if c.isprintable() else " " for c in text)

    def fault(self, name: str) -> UpstreamFault:
        """Return what the client is answered with. Never 401: a client would blame its relay token."""
        if self.status < 300:
            text = (
                f"the upstream {name} answered with status {self.status}, which is no answer here"
            )
            return UpstreamFault(text, code="upstream_malformed", type="upstream_error")
        if self.status < 400:
            text = f"the upstream {name} answered with a redirect ({self.status}), which is never followed"
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
            retry_after_s=_seconds(self.head.get(b"retry-after")),
        )
        fields = {n.decode(): v.decode() for n, v in passed_fields(self.head, self._redactor)}
        fields.pop("retry-after", None)
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


def lacks_api(refused: Refused) -> bool:
    """Whether the server has no such address, as opposed to no such model.

    A model that is missing is a 404 too (OpenAI, Ollama), but its text speaks of the model.
    """
    if refused.status in (405, 501):
        return True
    if refused.status != 404:
        return False
    code = refused.error.get("code")
    return code != "model_not_found" and not refused.names_model


def _named(error: dict[str, Any]) -> dict[str, Any]:
    return {key: error[key] for key in ("message", "type", "code", "param") if key in error}


def _seconds(value: bytes | None) -> float | None:
    return float(value) if value is not None and value.isdigit() and len(value) < 9 else None
