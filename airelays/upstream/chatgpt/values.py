"""Values of the backend's answers about the account, None for those of another type. Pure. Layer: I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def text_of(value: object) -> str | None:
    """Return a string."""
    return value if isinstance(value, str) else None


def flag_of(value: object) -> bool | None:
    """Return a boolean."""
    return value if isinstance(value, bool) else None


def table_of(value: object) -> dict[str, Any] | None:
    """Return an object."""
    return value if isinstance(value, dict) else None


def number_of(value: object) -> float | None:
    """Return a number; a boolean never counts as one."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def whole_of(value: object) -> int | None:
    """Return a number without its fraction, up to 1e12."""
    number = number_of(value)
    return int(number) if number is not None and -1e12 < number < 1e12 else None


def iso_of(at_s: float) -> str | None:
    """Return a Unix time as ISO 8601 in UTC, None beyond what the system can tell."""
    try:
        return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
