"""guard.blocklist: when failures block an address, and for how long."""

from __future__ import annotations

import pytest

from airelays.guard.limits import MAX_CLIENTS, Blocklist


def failing(count: int, *, at_s: float = 0.0) -> tuple[Blocklist, list[bool]]:
    blocklist = Blocklist(max_attempts=8, window_s=300.0, block_s=900.0)
    return blocklist, [blocklist.fail("a", at_s) for _ in range(count)]


@pytest.mark.parametrize("count", [7, 8])
def test_the_eighth_failure_begins_the_block(count: int) -> None:
    blocklist, began = failing(count)
    assert began == [False] * min(count, 7) + [True] * (count - 7)
    assert blocklist.blocked_for_s("a", 0.0) == (900.0 if count == 8 else 0.0)


@pytest.mark.parametrize(("now_s", "left_s"), [(899.0, 1.0), (900.0, 0.0), (901.0, 0.0)])
def test_a_block_ends_on_the_second(now_s: float, left_s: float) -> None:
    blocklist, _ = failing(8)
    assert blocklist.blocked_for_s("a", now_s) == left_s


@pytest.mark.parametrize(("gap_s", "blocked"), [(299.9, True), (300.0, False)])
def test_failures_outside_the_window_do_not_count(gap_s: float, blocked: bool) -> None:
    blocklist, _ = failing(7)
    assert blocklist.fail("a", gap_s) is blocked


def test_addresses_are_blocked_apart() -> None:
    blocklist, _ = failing(8)
    assert blocklist.blocked_for_s("b", 0.0) == 0.0
    assert blocklist.blocked(0.0) == 1


def test_after_a_block_counting_starts_anew() -> None:
    blocklist, _ = failing(8)
    assert blocklist.failures("a", 901.0) == 0
    assert blocklist.fail("a", 901.0) is False


def test_a_block_can_be_lifted() -> None:
    blocklist, _ = failing(8)
    assert blocklist.lift("b") == 0
    assert blocklist.lift("a") == 1
    assert blocklist.blocked_for_s("a", 0.0) == 0.0
    blocklist.fail("c", 0.0)
    assert blocklist.lift() == 1


def test_the_table_is_bounded() -> None:
    blocklist = Blocklist(8, 300.0, 900.0)
    for n in range(MAX_CLIENTS + 5):
        blocklist.fail(str(n), 0.0)
    assert len(blocklist) == MAX_CLIENTS
