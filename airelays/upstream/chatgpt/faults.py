"""What an answer of the backend that is not 200 means for a client.

Never a 401 (a client would blame its relay token), never HTML, never a redirect; 429 with the true wait; the
upstream's own error object with all its keys where there is one.
Owns: the classification. Refuses to know: retries, sockets. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airelays.dialects.stream.failure import name_full_context, plain_words
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor
from airelays.hints import told
from airelays.model import Fields, ResponseHead
from airelays.upstream.chatgpt.signin import sign_in_fault

MAX_TEXT = 512
_SAFE_VALUE = re.compile(rb"[\x20-\x7e]{1,8192}")
_SAFE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_PASSED = frozenset((b"x-models-etag", b"x-reasoning-included", b"openai-processing-ms"))
_IDS = {b"x-request-id": b"x-upstream-request-id", b"x-oai-request-id": b"x-oai-request-id"}
_UNSUPPORTED = re.compile(
    r"Unsupported (?:parameter: ['\"]?(?P<name>[A-Za-z0-9_.\[\]-]{1,64})|(?P<tier>service_tier)\b)"
)
_POLICY = frozenset(("cyber_policy", "bio_policy", "misalignment_policy_violation"))
# A 404 or 405 that says no more than its status: a web server's or a framework's own, no answer of the backend.
_NO_REASON = frozenset(("", "not found", "method not allowed"))
# Waiting longer than this for an SDK's automatic retry helps nobody.
LONGEST_RETRY_S = 60.0


def passed_fields(head: ResponseHead, redactor: Redactor) -> Fields:
    """Return the fields of an upstream's head that a client may see: limits, turn state, request ids."""
    found = []
    for name, value in head.fields:
        if name.startswith(b"x-codex-") or name in _PASSED:
            if _SAFE_VALUE.fullmatch(value):
                found.append((name, value))
        elif name in _IDS and _SAFE_ID.fullmatch(value):
            found.append((_IDS[name], value))
    return redactor.passed(tuple(found))


class Refusal:
    """One refused request, read once: `error` is the upstream's error object, {} when it sent none.

    Somebody on the way may echo our request: nothing that is read here is kept as it came, but as `redactor`
    leaves it.
    """

    def __init__(self, head: ResponseHead, body: bytes, redactor: Redactor) -> None:
        self.status = head.status
        self.head = head
        self._redactor = redactor
        self.error: dict[str, Any] = {}
        self.detail = ""
        self.is_html = body.lstrip()[:1] == b"<"
        self._markers = body[:65536].lower() if self.is_html else b""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        self.is_json = isinstance(value, dict)
        if isinstance(value, dict):
            self._read(value)
        else:
            self.detail = _clean(plain_words(head.get(b"content-type"), body, redactor.said))

    def _read(self, value: dict[str, Any]) -> None:
        said = {name: value[name] for name in ("error", "detail") if name in value}
        told = self._redactor.told(said)
        error, detail = told.get("error"), told.get("detail")
        if isinstance(error, dict):
            self.error = error
        elif isinstance(error, str):
            self.error = {"message": error}
        elif isinstance(detail, dict):
            self.error = {"message": detail.get("message") or detail.get("code"), **detail}
        elif isinstance(detail, str):
            self.detail = _clean(detail)

    @property
    def code(self) -> str:
        """The upstream's code, or ""."""
        code = self.error.get("code")
        return _clean(code) if isinstance(code, str) else ""

    @property
    def message(self) -> str:
        """What the upstream said, made safe to show, or ""."""
        said = self.error.get("message")
        return _clean(said) if isinstance(said, str) and said else self.detail

    @property
    def unsupported_parameter(self) -> str:
        """The top-level parameter that a 400 complains of, or ""."""
        if self.status != 400:
            return ""
        match = _UNSUPPORTED.search(self.message)
        if match is not None:
            return (match["name"] or match["tier"]).rstrip(".").partition(".")[0]
        param = self.error.get("param")
        if self.code in ("unsupported_parameter", "unknown_parameter") and isinstance(param, str):
            return param.partition(".")[0].partition("[")[0]
        return ""

    @property
    def wants_instructions(self) -> bool:
        """Whether a 400 complains that there are none; some models did until July 2026."""
        return self.status == 400 and "instructions are required" in self.message.casefold()

    @property
    def is_no_address(self) -> bool:
        """Whether a 404 or 405 means a wrong address: what the backend itself refuses has a reason, in JSON."""
        if self.status not in (404, 405) or self.error:
            return False
        return not self.is_json or self.detail.strip(" .").casefold() in _NO_REASON

    @property
    def is_challenge(self) -> bool:
        """Whether Cloudflare answered in place of the backend."""
        if self.head.get(b"cf-mitigated") is not None:
            return True
        return self.is_html and b"cloudflare" in self._markers

    def fault(self, *, now_s: float, codex: bool) -> UpstreamFault:
        """Return what the client is answered with. `codex`: the Codex CLI, which would wait for a Retry-After."""
        fault = self._classify(now_s, codex)
        headers = {name.decode(): value.decode() for name, value in self._fields()}
        fault.headers = {**headers, **fault.headers}
        return fault

    def _fields(self) -> Fields:
        return passed_fields(self.head, self._redactor)

    def _classify(self, now_s: float, codex: bool) -> UpstreamFault:
        if self.is_challenge:
            return self._challenge()
        if self.status < 300:
            text = f"ChatGPT answered with status {self.status}, which is not an answer to this request"
            return UpstreamFault(text, code="upstream_malformed", type="upstream_error")
        if self.status < 400:
            text = (
                f"ChatGPT answered with a redirect ({self.status}), and redirects are not followed; check "
                "upstream.base_url"
            )
            return UpstreamFault(text, code="upstream_redirect", type="upstream_error")
        if self.status == 429:
            return self._limited(now_s, codex)
        if self.status in (401, 402, 403, 407) and self.code not in _POLICY:
            return self._denied()
        if self.status >= 500:
            return self._failed()
        return self._refused()

    def _challenge(self) -> UpstreamFault:
        ray = self.head.get(b"cf-ray") or b""
        shown = ""
        if _SAFE_ID.fullmatch(ray):
            shown = f" (cf-ray {self._redactor.said(ray.decode())})"
        return UpstreamFault(
            f"Cloudflare stopped the request before it reached ChatGPT{shown}; this happens to some networks, VPNs"
            " and data centers: try another network, or try again later",
            hop="challenge",
            code="upstream_challenge",
            type="upstream_error",
            should_retry=False,
        )

    def _limited(self, now_s: float, codex: bool) -> UpstreamFault:
        wait_s = self._wait_s(now_s)
        kind = self.error.get("type")
        code = self.code or (_clean(kind) if isinstance(kind, str) else "") or "rate_limit_exceeded"
        used_up = code.startswith(("usage_", "insufficient_quota"))
        message = self.message or "ChatGPT refuses requests at the moment (429)"
        if wait_s is not None and used_up:
            message = f"{message.rstrip('.')}; the limit ends in {_span(wait_s)}"
        return UpstreamFault(
            message,
            status=429,
            code=code,
            type=_clean(kind) if isinstance(kind, str) else "rate_limit_error",
            param=None,
            retry_after_s=None if codex and used_up else wait_s,
            should_retry=False if used_up or (wait_s or 0.0) > LONGEST_RETRY_S else None,
            upstream=self.error,
        )

    def _wait_s(self, now_s: float) -> float | None:
        """Return the true wait: what the body says of the reset, else the Retry-After field."""
        seconds, at = self.error.get("resets_in_seconds"), self.error.get("resets_at")
        if (
            isinstance(seconds, (int, float))
            and not isinstance(seconds, bool)
            and 0 <= seconds < 1e9
        ):
            return max(float(seconds), 1.0)
        if isinstance(at, (int, float)) and not isinstance(at, bool) and now_s < at < 1e11:
            return float(at) - now_s
        field = self.head.get(b"retry-after") or b""
        return max(float(field), 1.0) if field.isdigit() and len(field) < 9 else None

    def _denied(self) -> UpstreamFault:
        said = f": {self.message or self.code}" if self.message or self.code else ""
        return sign_in_fault(
            "rejected",
            f"ChatGPT does not accept this account or workspace ({self.status}{said}); check the plan, or sign in"
            f" again: {told('login')}",
        )

    def _failed(self) -> UpstreamFault:
        message = (
            self.message or f"ChatGPT answered with an error without an explanation ({self.status})"
        )
        kind = self.error.get("type")
        return UpstreamFault(
            message,
            status=self.status if self.status < 600 else 502,
            code=self.code or None,
            type=_clean(kind) if isinstance(kind, str) else "upstream_error",
            retry_after_s=self._wait_s(0.0),
            upstream=self.error,
        )

    def _refused(self) -> UpstreamFault:
        if self.is_no_address:
            said = f": {self.message}" if self.message else ""
            text = (
                f"ChatGPT does not know this address ({self.status}{said}); check upstream.base_url"
            )
            return UpstreamFault(
                text, code="upstream_not_found", type="upstream_error", should_retry=False
            )
        param = self.error.get("param")
        code, param = self.code or None, param if isinstance(param, str) else None
        if name := self.unsupported_parameter:
            code, param = code or "unsupported_parameter", param or name
        elif "model is not supported" in self.message:
            code, param = code or "model_not_found", param or "model"
        kind = self.error.get("type")
        fault = UpstreamFault(
            self.message or f"ChatGPT refused the request without an explanation ({self.status})",
            status=self.status if self.status in (404, 408, 409, 413) else 400,
            code=code,
            param=param,
            type=_clean(kind) if isinstance(kind, str) else "invalid_request_error",
            should_retry=False,
            upstream=self.error,
        )
        name_full_context(fault)
        return fault


def _clean(text: str) -> str:
    """Return `text` printable and bounded; what is not printable becomes a blank."""
    cut = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
    return cut if cut.isprintable() else "".join(c if c.isprintable() else " " for c in cut)


def _span(seconds: float) -> str:
    """Return a wait in words: the two largest units."""
    total = int(seconds + 0.999)
    days, hours, minutes = total // 86400, total // 3600 % 24, total // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (total % 60, "s")]
    shown = [f"{n} {unit}" for n, unit in parts if n]
    return " ".join(shown[:2]) or "1 s"
