"""Sums of the book: what a line adds, how many names a day has, grouping."""

from __future__ import annotations

from typing import Any

from airelays.journal.tally import (
    MAX_ROWS_PER_DAY,
    OTHER,
    Cell,
    Rows,
    Sums,
    bounded,
    cell_of,
    grouped,
    total_of,
)

NOON_S = 1_764_417_600.0  # 2025-11-29 12:00 UTC


def line(**more: Any) -> dict[str, Any]:
    return {
        "at": NOON_S,
        "id": "req_1",
        "key": "",
        "route": "chat",
        "model": "m",
        "upstream": "u",
        "program": "p",
        "status": 200,
        **more,
    }


def test_a_line_is_added_to_its_cell() -> None:
    sums = Sums()
    used = {"in": 100, "cached": 60, "out": 10, "reasoning": 4, "total": 110}
    sums.take(line(**used, ms=1000, first_ms=300))
    sums.take(line(end="failed_upstream", status=502, ms=3))
    assert cell_of(line()) == Cell("2025-11-29", "", "m", "u", "p", "chat")
    assert sums.facts() == {
        "requests": 2,
        "failed": 1,
        "failures": {"failed_upstream": 1},
        "input_tokens": 100,
        "cached_tokens": 60,
        "output_tokens": 10,
        "reasoning_tokens": 4,
        "total_tokens": 110,
        "cache_hit_rate": 0.6,
        "first_token_seconds": {"mean": 0.3, "p50": 0.512, "p95": 0.512},
        "duration_seconds": {"mean": 0.501, "p50": 0.004, "p95": 1.024},
    }


def test_a_line_with_wrong_values_adds_nothing_but_itself() -> None:
    sums = Sums()
    sums.take(line(**{"in": -1, "out": "7", "total": True, "cached": 10**30, "end": 3}))
    assert (sums.requests, sums.input, sums.output, sums.total, sums.cached) == (1, 0, 0, 0, 0)
    assert sums.failures == {} and cell_of(line(model=None)).model == ""


def test_names_beyond_the_most_of_a_day_are_other() -> None:
    rows = Rows()
    for number in range(40):
        cell = bounded(cell_of(line(program=f"p{number}")), rows)
        rows.setdefault(cell, Sums()).take(line())
    assert len(rows) == 33
    assert rows[cell_of(line(program=OTHER))].requests == 8
    assert bounded(cell_of(line(program="p3")), rows).program == "p3"


def test_rows_beyond_the_most_of_a_day_are_one_row() -> None:
    rows = Rows()
    for program in range(32):
        for model in range(200):
            entry = line(program=f"p{program}", model=f"m{model}")
            rows.setdefault(bounded(cell_of(entry), rows), Sums()).take(entry)
    assert len(rows) == MAX_ROWS_PER_DAY + 1
    assert total_of(rows).requests == 32 * 200


def test_rows_are_grouped_and_keys_named() -> None:
    rows = Rows()
    for key, model in (("key_1", "a"), ("key_1", "b"), ("", "a")):
        rows[cell_of(line(key=key, model=model))] = sums = Sums()
        sums.take(line(total=5))
    found = grouped(rows, ("key",), lambda key: {"key_1": "aider"}.get(key, ""))
    assert [(one["key"], one["requests"], one["total_tokens"]) for one in found] == [
        ("", 1, 5),
        ("aider", 2, 10),
    ]
