"""The subscription's windows as lines with bars, for `usage` and `status`. Layer: commands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airelays.terminal.console import Console, escaped

BAR_COLUMNS = 24
NEARLY_USED_PERCENT = 80.0


def print_windows(console: Console, usage: dict[str, Any]) -> None:
    """Print every window of a subscription status: label, bar, percent, time to its reset."""
    limits = usage["rate_limits"]
    console.section("Limits")
    rows = list(_rows(limits))
    for name, window in rows:
        _print_row(console, name, window)
    if not rows:
        console.line("  the upstream told of no window")
    credits_ = usage.get("credits") or {}
    if credits_.get("unlimited"):
        console.field("Credits", "unlimited")
    elif credits_.get("has_credits"):
        console.field("Credits", credits_.get("balance"))


def _rows(limits: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    named = [("", limits.get("default")), ("code review", limits.get("code_review"))]
    named += [
        (e.get("limit_name") or "further", e.get("rate_limit"))
        for e in limits.get("additional") or ()
    ]
    for name, limit in named:
        for key in ("primary_window", "secondary_window"):
            window = (limit or {}).get(key)
            # A length of 0 means that this position is not in use (seen on free plans).
            if window and window.get("window_seconds"):
                yield f"{name} {window['window_label']}".strip(), window


def _print_row(console: Console, name: str, window: dict[str, Any]) -> None:
    used = window["used_percent"]
    if used is None:
        shown, text = "?" * BAR_COLUMNS, "unknown"
    else:
        filled = round(min(max(used, 0.0), 100.0) / 100 * BAR_COLUMNS)
        shown = "#" * filled + "-" * (BAR_COLUMNS - filled)
        text = f"{used:5.1f} % used"
    colour = "32" if used is None or used < NEARLY_USED_PERCENT else "31" if used >= 100 else "33"
    label = escaped(name + ":")
    console.line(f"  {label:<26} [{console.style(shown, colour)}] {text}{_reset(window)}")


def _reset(window: dict[str, Any]) -> str:
    at = window["reset_at"]
    left_s = window["reset_after_seconds"] if at is None else at - time.time()
    return "" if left_s is None or left_s <= 0 else f", resets in {span(left_s)}"


def span(seconds: float) -> str:
    """Return a time in its two largest units: "6 d 3 h", "12 min"."""
    total = int(seconds)
    parts = [(total // 86400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "min")]
    shown = [f"{n} {unit}" for n, unit in parts if n]
    return " ".join(shown[:2]) or f"{total} s"
