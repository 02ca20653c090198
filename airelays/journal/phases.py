"""The records about the relay itself: how it is guarded, what it refused, and its defects. Layer: I/O."""

from __future__ import annotations

from airelays.credentials.token import TokenSource
from airelays.errors import RelayError
from airelays.guard.refused import Refused
from airelays.journal.notes import Recorder
from airelays.net.request import Request
from airelays.settings.values import Settings


def note_ready(notes: Recorder, settings: Settings, token: TokenSource, scope: str) -> None:
    """Note at startup how the relay is guarded."""
    notes.event(
        "endpoint_security_ready",
        "startup",
        require_bearer_auth=settings.require_bearer_auth,
        bearer_token_present=token.current() is not None,
        bearer_token_created=token.created,
        bearer_token_source=token.source,
        bearer_token_file=settings.bearer_token_file,
        rate_limit_per_minute=settings.rate_limit_per_minute,
        rate_limit_burst=settings.rate_limit_burst,
        concurrent_requests_per_ip=settings.concurrent_requests_per_ip,
        network_scope=scope,
        upstream=settings.upstream_kind,
    )


def note_refused(
    notes: Recorder, request: Request, refused: Refused, client: str, block_seconds: float
) -> None:
    """Note a request that the gate refused; a wrong or missing token has its own kind of record."""
    request.outcome.reason = refused.reason
    notes.metrics.reject(refused.reason)
    if refused.reason == "auth_failed":
        notes.event(
            "endpoint_auth_failed",
            request.id,
            method=request.head.method,
            path=request.head.path,
            client_ip=client,
            headers=request.head.fields,
            token_fingerprint=refused.presented,
            **_key(refused),
            blocked=refused.blocked,
            block_seconds=block_seconds if refused.blocked else 0,
        )
    else:
        notes.event(
            "endpoint_rejected",
            request.id,
            client_ip=client,
            method=request.head.method,
            path=request.head.path,
            reason=refused.reason,
            status_code=refused.status,
            retry_after_seconds=refused.retry_after_s,
            **_key(refused),
        )


def note_control_refused(notes: Recorder, request: Request) -> None:
    """Note a wrong secret at the control listener. Its fields are left out: one of them is what was tried."""
    notes.event(
        "endpoint_auth_failed",
        request.id,
        listener="control",
        method=request.head.method,
        path=request.head.path,
        client_ip=request.peer.host,
        blocked=False,
        block_seconds=0,
    )


def _key(refused: Refused) -> dict[str, str]:
    """Return which key was presented and why it opens nothing, where that is known."""
    found = {"key": refused.key, "key_problem": refused.problem}
    return {name: value for name, value in found.items() if value}


def note_bad_head(notes: Recorder, request: Request, error: RelayError) -> None:
    """Note bytes that are not a request."""
    notes.metrics.reject("malformed_request")
    notes.event(
        "endpoint_rejected",
        request.id,
        client_ip=request.peer.host,
        reason="malformed_request",
        status_code=error.status,
        message=error.message,
    )


def note_bug(notes: Recorder, request_id: str, bug: BaseException) -> str:
    """Note a defect; return a line with its place, never with its text, which can contain what a client sent."""
    at = bug.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at is not None else "?"
    notes.metrics.bugs += 1
    notes.event("relay_bug", request_id, error=type(bug).__name__, place=place)
    return f"{request_id}: {type(bug).__name__} at {place}"
