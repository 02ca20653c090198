"""Requests in the log, as lines of the book: those that ended, and those without an end in the log.

Used to rebuild the book, and for requests that were running when a relay was killed. Layer: I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airelays.journal.book import program_of
from airelays.journal.files import LogFile, parse_line, read_lines

INTERRUPTED = "interrupted"
_BEGIN, _END = "inbound_request", "outbound_response"
_COLUMNS = {
    "in": "input_tokens",
    "out": "output_tokens",
    "total": "total_tokens",
    "cached": "cached_tokens",
    "reasoning": "reasoning_tokens",
}
Entry = dict[str, Any]


def entries_in(files: Iterable[LogFile], ids: Mapping[str, str]) -> Iterator[Entry]:
    """Yield the ended requests in `files`, oldest first, then those without an end. `ids` has keys by name."""
    begun: dict[str, dict[str, Any]] = {}
    for record in _records(files):
        asked = str(record.get("request_id"))
        if record["phase"] == _BEGIN:
            begun[asked] = record
        elif (entry := _entry(record, begun.pop(asked, {}), ids)) is not None:
            yield entry
    yield from _interrupted(begun.values(), ids)


def interrupted_in(
    files: Iterable[LogFile], ids: Mapping[str, str], since_s: float, until_s: float
) -> list[Entry]:
    """Return the requests without an end that began between the two Unix times."""
    begun: dict[str, dict[str, Any]] = {}
    for record in _records(files):
        asked = str(record.get("request_id"))
        if record["phase"] == _BEGIN:
            begun[asked] = record
        else:
            begun.pop(asked, None)
    return [one for one in _interrupted(begun.values(), ids) if since_s <= one["at"] < until_s]


def _records(files: Iterable[LogFile]) -> Iterator[dict[str, Any]]:
    """Yield the records at the beginning and the end of requests."""
    marks = (_BEGIN.encode(), _END.encode())
    for file in files:
        for raw in read_lines(file.path):
            # Most lines are of other phases, and long: they need no parsing.
            if not any(mark in raw for mark in marks):
                continue
            record = parse_line(raw)
            if record is not None and record["phase"] in (_BEGIN, _END):
                yield record


def _interrupted(records: Iterable[dict[str, Any]], ids: Mapping[str, str]) -> Iterator[Entry]:
    for record in records:
        entry = _entry({**record, "outcome": INTERRUPTED}, record, ids)
        if entry is not None:
            yield entry


def _entry(ended: dict[str, Any], begun: dict[str, Any], ids: Mapping[str, str]) -> Entry | None:
    try:
        at_s = datetime.fromisoformat(str(ended["logged_at"])).timestamp()
    except ValueError:
        return None
    name = str(ended.get("key") or "")
    headers = begun.get("headers")
    agent = headers.get("user-agent", "") if isinstance(headers, dict) else ""
    times, usage = ended.get("timings_ms") or {}, ended.get("usage") or {}
    details = {column: usage.get(field) for column, field in _COLUMNS.items()}
    for column, time_name in (("ms", "total"), ("first_ms", "first_token")):
        if isinstance(times.get(time_name), int | float):
            details[column] = round(times[time_name])
    outcome, session = str(ended.get("outcome", "")), ended.get("session")
    return {
        "at": at_s,
        "id": str(ended.get("request_id")),
        "key": ids.get(name, name),
        "route": ended.get("route"),
        "model": ended.get("model", ""),
        "upstream": ended.get("upstream", ""),
        "program": program_of(str(agent).encode()),
        **({"session": session} if session else {}),
        **({} if outcome == "ok" else {"end": outcome}),
        **details,
    }
