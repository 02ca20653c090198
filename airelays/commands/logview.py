"""One record of the traffic log as one line for a person. Layer: commands."""

from __future__ import annotations

import time
from typing import Any

from airelays.terminal.console import Console, escaped

# So many requests are remembered to tell their client when they end.
MAX_OPEN = 2000
_GOOD, _BAD, _WARN, _SOFT = "32", "31", "33", "2"


class View:
    """Turns records into lines: time, client, model, status, tokens a second, duration."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._agents: dict[str, str] = {}

    def line(self, record: dict[str, Any]) -> str | None:
        """Return the line of one record; None for one that another tells better."""
        phase = str(record.get("phase"))
        if phase == "inbound_request":
            self._remember(record)
            return None
        if phase == "outbound_response":
            return self._ended(record)
        if phase in ("endpoint_auth_failed", "endpoint_rejected"):
            return self._refused(record)
        told = _TOLD.get(phase)
        if told is None:
            return None
        text = told.format_map(_Missing({k: _text(v) for k, v in record.items()}))
        return f"{self._time(record)}  {self._console.style(escaped(text), _WARN)}"

    def _remember(self, record: dict[str, Any]) -> None:
        if len(self._agents) >= MAX_OPEN:
            self._agents.clear()
        headers = record.get("headers")
        agent = headers.get("user-agent", "") if isinstance(headers, dict) else ""
        self._agents[str(record.get("request_id"))] = _text(agent).partition(" ")[0]

    def _ended(self, record: dict[str, Any]) -> str:
        style = self._console.style
        outcome = _text(record.get("outcome"))
        agent = self._agents.pop(str(record.get("request_id")), "")
        status = _text(record.get("status_code")) or "-"
        colour = _GOOD if outcome == "ok" else _WARN if outcome == "client_left" else _BAD
        total_ms = _number(_times(record).get("total"))
        usage = record.get("usage")
        tokens = _number(usage.get("output_tokens")) if isinstance(usage, dict) else 0
        rate = tokens_a_second(record)
        parts = [
            self._time(record),
            f"{escaped(_text(record.get('client_ip')))[:24]:<15}",
            f"{escaped(agent)[:18]:<18}",
            f"{escaped(_text(record.get('model')) or _text(record.get('route')))[:20]:<20}",
            style(f"{status:>3} {outcome:<15}", colour),
            f"{f'{tokens:,.0f} tok' if tokens else '':>10}",
            f"{f'{rate:,.1f}/s' if rate else '':>9}",
            f"{seconds_text(total_ms / 1000):>8}",
            style(_text(record.get("request_id")), _SOFT),
        ]
        return "  ".join(parts).rstrip()

    def _refused(self, record: dict[str, Any]) -> str:
        reason = _text(record.get("reason")) or "auth_failed"
        status = _text(record.get("status_code")) or "401"
        what = f"{_text(record.get('method'))} {_text(record.get('path'))}".strip()
        parts = [
            self._time(record),
            f"{escaped(_text(record.get('client_ip')))[:24]:<15}",
            f"{escaped(what)[:40]:<40}",
            self._console.style(f"{status:>3} refused: {escaped(reason)}", _WARN),
        ]
        if record.get("blocked") is True:
            parts.append(f"now blocked for {_text(record.get('block_seconds'))} s")
        return "  ".join(parts)

    def _time(self, record: dict[str, Any]) -> str:
        at_s = when(record)
        if at_s is None:
            return "--:--:--"
        return time.strftime("%H:%M:%S", time.localtime(at_s))


class _Missing(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


_TOLD = {
    "endpoint_security_ready": "the relay began to serve (token required: {require_bearer_auth})",
    "endpoint_unblocked": "{lifted} block(s) lifted for {client_ip}",
    "upstream_fallback": "{request_id}: {from_upstream} failed ({reason}), {to_upstream} took over",
    "relay_bug": "{request_id}: defect of the relay, {error} at {place}",
    "log_record_withheld": "a record was withheld: {reason}",
}


def when(record: dict[str, Any]) -> float | None:
    """Return the Unix time of a record, None when it has none that can be read."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(_text(record.get("logged_at"))).timestamp()
    except (ValueError, OverflowError):
        return None


def tokens_a_second(record: dict[str, Any]) -> float:
    """Return the speed at which an answer came, counted from its first token; 0.0 when unknown."""
    usage, times = record.get("usage"), _times(record)
    tokens = _number(usage.get("output_tokens")) if isinstance(usage, dict) else 0.0
    spent_ms = _number(times.get("total")) - _number(times.get("first_token"))
    return tokens * 1000 / spent_ms if tokens and spent_ms > 0 else 0.0


def seconds_text(seconds: float) -> str:
    """Return a duration in the unit that reads best."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _times(record: dict[str, Any]) -> dict[str, Any]:
    times = record.get("timings_ms")
    return times if isinstance(times, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
