"""Earned resets of the subscription's windows, in the shape of `/v1/relay/accounts/resets`. Pure. Layer: I/O.

A reset is a credit that OpenAI grants. Wrongly typed values become null. Source: the backend's
`/wham/rate-limit-reset-credits` and its `/consume`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airelays.upstream.chatgpt.values import flag_of, iso_of, text_of

PATH = "/wham/rate-limit-reset-credits"
OUTCOMES = ("reset", "nothing_to_reset", "no_credit", "already_redeemed")
MAX_CREDITS = 100
_TEXTS = ("id", "reset_type", "status", "title", "description", "granted_by")
_TIMES = ("granted_at", "expires_at", "redeem_started_at", "redeemed_at")


def shape_resets(payload: dict[str, Any], now_s: float) -> dict[str, Any]:
    """Return what is there to redeem, from the backend's list."""
    listed = payload.get("credits")
    credits_ = listed if isinstance(listed, list) else []
    found = [_credit(one, now_s) for one in credits_ if isinstance(one, dict)]
    open_ones = [one for one in found if one["redeemed_at"] is None and not one["expired"]]
    expiries = sorted(one["expires_at"] for one in open_ones if one["expires_at"])
    count = _count(payload.get("available_count"))
    return {
        "object": "rate_limit_reset_credits",
        "captured_at": iso_of(int(now_s)),
        "source": {"kind": "chatgpt_subscription", "upstream_path": f"/backend-api{PATH}"},
        "available_count": len(open_ones) if count is None else count,
        "applicable_available_count": _count(payload.get("applicable_available_count")),
        "redeemable_now": flag_of(payload.get("redeemable_now")),
        "total_earned_count": _count(payload.get("total_earned_count")),
        "immediate_reset_purchase_eligible": flag_of(
            payload.get("immediate_reset_purchase_eligible")
        ),
        "next_expiry_at": expiries[0] if expiries else None,
        "credits": found[:MAX_CREDITS],
    }


def shape_redeemed(
    payload: dict[str, Any], credit_id: str | None, request_id: str
) -> dict[str, Any]:
    """Return what came of redeeming one."""
    outcome = _short(payload.get("outcome") or payload.get("status")) or "unknown"
    return {
        "outcome": outcome,
        "known_outcome": outcome in OUTCOMES,
        "reset_applied": outcome == "reset",
        "windows_reset": payload.get("windows_reset"),
        "credit_id": _short(payload.get("credit_id")) or credit_id,
        "redeem_request_id": request_id,
    }


def _credit(value: dict[str, Any], now_s: float) -> dict[str, Any]:
    found: dict[str, Any] = {name: _short(value.get(name)) for name in _TEXTS}
    found["supported_by_plan"] = flag_of(value.get("supported_by_plan"))
    for name in _TIMES:
        at_s = _time(value.get(name))
        found[name] = None if at_s is None else iso_of(int(at_s))
    expires_s = _time(value.get("expires_at"))
    found["expires_in_seconds"] = None if expires_s is None else max(0, int(expires_s - now_s))
    found["expired"] = expires_s is not None and expires_s <= now_s
    return found


def _time(value: object) -> float | None:
    """Return a Unix time from a number or an ISO 8601 text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 0 <= value < 253_402_300_800 else None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _short(value: object) -> str | None:
    text = text_of(value)
    return None if text is None else text[:500]


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 10**9 else None
