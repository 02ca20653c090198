"""The subscription's windows in the shape of `GET /v1/subscription/status`.

Wrongly typed values become null; a boolean never counts as a number. The payload counts seconds, the response
headers minutes: both are labelled by their length, since first and second window are positions, not lengths.
Owns: that shape. Refuses to know: HTTP, caching. Pure.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from airelays.upstream.chatgpt.values import flag_of, iso_of, number_of, table_of, text_of, whole_of

_CREDITS = (
    "has_credits",
    "unlimited",
    "overage_limit_reached",
    "balance",
    "approx_local_messages",
    "approx_cloud_messages",
)


def shape_usage(
    payload: dict[str, Any], *, now_s: float, path: str, raw: bool = False
) -> dict[str, Any]:
    """Return the body of the subscription status for one answer of the upstream's usage route."""
    extra = payload.get("additional_rate_limits")
    credits_ = payload.get("credits")
    shaped: dict[str, Any] = {
        "object": "subscription_status",
        "captured_at": iso_of(now_s),
        "source": {"kind": "chatgpt_subscription", "upstream_path": path},
        "account": {
            key: text_of(payload.get(key))
            for key in ("user_id", "account_id", "email", "plan_type")
        },
        "rate_limits": {
            "default": _limit(payload.get("rate_limit")),
            "code_review": _limit(payload.get("code_review_rate_limit")),
            "additional": [_extra(e) for e in extra if isinstance(e, dict)]
            if isinstance(extra, list)
            else [],
        },
        "credits": {key: credits_.get(key) for key in _CREDITS}
        if isinstance(credits_, dict)
        else None,
        "spend_control": table_of(payload.get("spend_control")),
        "rate_limit_reached_type": payload.get("rate_limit_reached_type"),
        "rate_limit_reset_credits": table_of(payload.get("rate_limit_reset_credits")),
        "model_usage": payload.get("model_usage"),
    }
    if raw:
        shaped["raw"] = payload
    return shaped


def limits_from_fields(fields: dict[str, str]) -> dict[str, Any]:
    """Return the windows that the `x-codex-*` fields of an answer tell, in the same shape; {} for none."""
    found: dict[str, Any] = {}
    for name in ("primary", "secondary"):
        used = _decimal(fields.get(f"x-codex-{name}-used-percent"))
        minutes = _decimal(fields.get(f"x-codex-{name}-window-minutes"))
        if used is None or not minutes:
            continue
        reset_at = _decimal(fields.get(f"x-codex-{name}-reset-at"))
        window = {
            "used_percent": used,
            "limit_window_seconds": int(minutes * 60),
            "reset_at": None if reset_at is None else int(reset_at),
        }
        found[f"{name}_window"] = _window(window)
    if found:
        found["plan_type"] = fields.get("x-codex-plan-type")
        found["active_limit"] = fields.get("x-codex-active-limit")
    return found


def window_label(seconds: int) -> str:
    """Return how people call a window: "weekly", "5h", "30m"."""
    if seconds == 604_800:
        return "weekly"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _extra(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "limit_name": text_of(entry.get("limit_name")),
        "metered_feature": text_of(entry.get("metered_feature")),
        "rate_limit": _limit(entry.get("rate_limit")),
    }


def _limit(value: object) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    return {
        "allowed": flag_of(value.get("allowed")),
        "limit_reached": flag_of(value.get("limit_reached")),
        "primary_window": _window(value.get("primary_window")),
        "secondary_window": _window(value.get("secondary_window")),
    }


def _window(value: object) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    used = number_of(value.get("used_percent"))
    seconds = whole_of(value.get("limit_window_seconds"))
    reset_at = whole_of(value.get("reset_at"))
    return {
        "used_percent": used,
        "remaining_percent": None if used is None else round(min(max(100.0 - used, 0.0), 100.0), 2),
        "window_seconds": seconds,
        "window_minutes": None if seconds is None else ceil(seconds / 60),
        "window_label": None if seconds is None else window_label(seconds),
        "reset_after_seconds": whole_of(value.get("reset_after_seconds")),
        "reset_at": reset_at,
        "reset_at_iso": None if reset_at is None else iso_of(float(reset_at)),
    }


def _decimal(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None
