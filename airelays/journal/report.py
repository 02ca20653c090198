"""What is asked of the book, and the answer: for `usage` and for GET /v1/relay/usage. Pure. Layer: I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from airelays.errors import ConfigError
from airelays.journal.tally import Rows, Sums, day_of, total_of
from airelays.settings.values import Price

COLUMNS = ("day", "key", "model", "upstream", "program", "route", "session")
SINCE_DAYS = 7
DAY_S = 86_400
_SPAN = re.compile(r"([1-9][0-9]{0,3})d")
# What a row of --csv has after its columns, and where it is in the facts.
CSV_FIELDS = (
    "requests", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens",
    "total_tokens", "cache_hit_rate", "first_token_seconds", "duration_seconds", "cost",
)  # fmt: skip


class Query(NamedTuple):
    """Which days, and by which columns they are added up. Days are YYYY-MM-DD in UTC, both included."""

    by: tuple[str, ...]
    since: str
    until: str

    @property
    def sessions(self) -> bool:
        """Whether sessions are distinguished: then only requests with a session count."""
        return "session" in self.by


def read_query(by: str, since: str, until: str, now_s: float) -> Query:
    """Return the query in three texts; empty ones are by day, since 7 days ago, until now. Raises ConfigError."""
    columns = tuple(part.strip() for part in by.split(",")) if by else ("day",)
    for column in columns:
        if column not in COLUMNS:
            raise ConfigError(f"by is {by[:60]!r}; expected one or more of {', '.join(COLUMNS)}")
    if len(set(columns)) < len(columns):
        raise ConfigError(f"by is {by[:60]!r}; name each column once")
    first = _day(since, "since", now_s) if since else day_of(now_s - (SINCE_DAYS - 1) * DAY_S)
    last = _day(until, "until", now_s) if until else ""
    if last and last < first:
        raise ConfigError(f"until is {last}, which is before since ({first})")
    return Query(columns, first, last)


def _day(text: str, name: str, now_s: float) -> str:
    span = _SPAN.fullmatch(text)
    if span is not None:
        return day_of(now_s - (int(span[1]) - 1) * DAY_S)
    if text == "today":
        return day_of(now_s)
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ConfigError(
            f"{name} is {text[:60]!r}; expected a day such as 2026-05-31, a number of days such as 30d, or today"
        ) from None


def report(
    rows: Rows, query: Query, shown: Callable[[str], str], prices: tuple[Price, ...]
) -> dict[str, Any]:
    """Return the sums as JSON. `shown` names a key by its id."""
    groups: dict[tuple[str, ...], Rows] = {}
    for cell, sums in rows.items():
        named = cell._replace(key=shown(cell.key))
        group = tuple(getattr(named, column) for column in query.by)
        groups.setdefault(group, {})[cell] = sums
    return {
        "since": query.since,
        "until": query.until or None,
        "by": list(query.by),
        "rows": [
            {**dict(zip(query.by, group, strict=True)), **_facts(groups[group], prices)}
            for group in sorted(groups)
        ],
        "total": _facts(rows, prices),
    }


def _facts(rows: Rows, prices: tuple[Price, ...]) -> dict[str, Any]:
    found = total_of(rows).facts()
    if prices:
        costs = [cost_of(cell.model, sums, prices) for cell, sums in rows.items()]
        found["cost"] = round(sum(c for c in costs if c is not None), 6)
        found["tokens_without_price"] = sum(
            sums.total for sums, c in zip(rows.values(), costs, strict=True) if c is None
        )
    return found


def cost_of(model: str, sums: Sums, prices: tuple[Price, ...]) -> float | None:
    """Return what a row costs by the first price whose pattern fits its model, None without one."""
    for price in prices:
        if fnmatchcase(model.casefold(), price.model.casefold()):
            cached = min(sums.cached, sums.input)
            whole = (sums.input - cached) * price.input + cached * price.cached
            return (whole + sums.output * price.output) / 1e6
    return None


def csv_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Return a report as cells, the names of its columns first. A spreadsheet takes none of them for a formula."""
    fields = [name for name in CSV_FIELDS if name in found["total"]]
    return [
        [*found["by"], *fields],
        *(
            [*(_quoted(row[name]) for name in found["by"]), *(_cell(row[name]) for name in fields)]
            for row in found["rows"]
        ),
    ]


def _quoted(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("mean")
    return "" if value is None else str(value)
