"""Sums of the book: how its lines become rows, and how rows are added up and grouped. Pure. Layer: I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
OTHER = "other"
# A client chooses these names: up to this many differ on one day, the rest is `other`.
MAX_NAMES = {"program": 32, "model": 200, "key": 100, "session": 100}
# A day of 400 rows is about 32 KiB, so a year stays below 20 MiB whatever clients do.
MAX_ROWS_PER_DAY = 400
BUCKETS = 24  # the last one: 2^22 ms, more than an hour
MAX_COUNT = 10**15


class Cell(NamedTuple):
    """What a row of the book is about. `day` is YYYY-MM-DD in UTC, or YYYY-MM for a month; `key` is an id.

    `session` is "" except in rows that distinguish sessions, which contain only requests with a session.
    """

    day: str
    key: str
    model: str
    upstream: str
    program: str
    route: str
    session: str = ""


class Sums:
    """What is added up. A histogram maps n to how many took from 2^(n-1) up to 2^n milliseconds."""

    __slots__ = (
        "cached",
        "failures",
        "first",
        "first_ms",
        "input",
        "last_s",
        "output",
        "reasoning",
        "requests",
        "took",
        "took_ms",
        "total",
    )

    def __init__(self) -> None:
        self.requests = self.input = self.cached = self.output = self.reasoning = self.total = 0
        self.first_ms = self.took_ms = 0
        self.last_s = 0.0
        self.failures: dict[str, int] = {}
        self.first: dict[int, int] = {}
        self.took: dict[int, int] = {}

    def take(self, entry: dict[str, Any]) -> None:
        """Add one line of the book."""
        self.requests += 1
        self.last_s = max(self.last_s, entry["at"])
        self.input += _count(entry, "in")
        self.cached += _count(entry, "cached")
        self.output += _count(entry, "out")
        self.reasoning += _count(entry, "reasoning")
        self.total += _count(entry, "total")
        if ended := _text(entry, "end"):
            self.failures[ended[:32]] = self.failures.get(ended[:32], 0) + 1
        if "first_ms" in entry:
            self.first_ms += _observe(self.first, _count(entry, "first_ms"))
        if "ms" in entry:
            self.took_ms += _observe(self.took, _count(entry, "ms"))

    def add(self, other: Sums) -> None:
        """Add other sums."""
        for name in (
            "requests", "input", "cached", "output", "reasoning", "total", "first_ms", "took_ms",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.last_s = max(self.last_s, other.last_s)
        _merge(self.failures, other.failures)
        _merge(self.first, other.first)
        _merge(self.took, other.took)

    def facts(self) -> dict[str, Any]:
        """Return them as JSON. Times are seconds; the percentiles are the upper bounds of their buckets."""
        return {
            "requests": self.requests,
            "failed": sum(self.failures.values()),
            "failures": dict(sorted(self.failures.items())),
            "input_tokens": self.input,
            "cached_tokens": self.cached,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
            "total_tokens": self.total,
            "cache_hit_rate": round(self.cached / self.input, 4) if self.input else None,
            "first_token_seconds": _times(self.first, self.first_ms),
            "duration_seconds": _times(self.took, self.took_ms),
        }


Rows = dict[Cell, Sums]


def day_of(wall_s: float) -> str:
    """Return the UTC day of a Unix time."""
    t = time.gmtime(wall_s)
    return f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}"


def cell_of(entry: dict[str, Any], *, sessions: bool = False) -> Cell:
    """Return the row to which a line belongs, or with `sessions` the row among those."""
    return Cell(
        day_of(entry["at"]),
        _text(entry, "key"),
        _text(entry, "model"),
        _text(entry, "upstream"),
        _text(entry, "program"),
        _text(entry, "route"),
        _text(entry, "session") if sessions else "",
    )


def bounded(cell: Cell, there: Rows) -> Cell:
    """Return `cell`, with `other` for a name or a row that would exceed the limit of its day."""
    if cell in there:
        return cell
    for name, most in MAX_NAMES.items():
        known = {getattr(one, name) for one in there}
        if getattr(cell, name) not in known and len(known - {OTHER}) >= most:
            cell = cell._replace(**{name: OTHER})
    if cell in there or len(there) < MAX_ROWS_PER_DAY:
        return cell
    return Cell(cell.day, OTHER, OTHER, OTHER, OTHER, OTHER, OTHER if cell.session else "")


def grouped(rows: Rows, by: Iterable[str], shown: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return sums for each value of the columns `by`, in order. `shown` names a key by its id."""
    names, found = tuple(by), dict[tuple[str, ...], Sums]()
    for cell, sums in rows.items():
        named = cell._replace(key=shown(cell.key))
        group = tuple(getattr(named, name) for name in names)
        found.setdefault(group, Sums()).add(sums)
    return [
        {**dict(zip(names, group, strict=True)), **found[group].facts()} for group in sorted(found)
    ]


def total_of(rows: Rows) -> Sums:
    """Return the sums of all rows."""
    found = Sums()
    for sums in rows.values():
        found.add(sums)
    return found


def _merge(mine: dict[T, int], theirs: dict[T, int]) -> None:
    for at, count in theirs.items():
        mine[at] = mine.get(at, 0) + count


def _observe(histogram: dict[int, int], ms: int) -> int:
    at = min(ms.bit_length(), BUCKETS - 1)
    histogram[at] = histogram.get(at, 0) + 1
    return ms


def _times(histogram: dict[int, int], total_ms: int) -> dict[str, float] | None:
    count = sum(histogram.values())
    if not count:
        return None
    found = {"mean": round(total_ms / count / 1000, 3)}
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        seen = 0
        for at in sorted(histogram):
            seen += histogram[at]
            if seen >= share * count:
                found[name] = 2**at / 1000
                break
    return found


def _count(entry: dict[str, Any], name: str) -> int:
    value = entry.get(name)
    return value if type(value) is int and 0 <= value <= MAX_COUNT else 0


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    return value[:200] if isinstance(value, str) else ""
