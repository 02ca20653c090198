"""guard.bucket: how many requests an address has left."""

from __future__ import annotations

import pytest

from airelays.guard.limits import MAX_CLIENTS, Buckets


def test_a_burst_is_allowed_and_no_more() -> None:
    buckets = Buckets(per_minute=120, burst=40)
    assert [buckets.take("a", 0.0) for _ in range(40)] == [0.0] * 40
    assert buckets.take("a", 0.0) == pytest.approx(0.5)


def test_the_wait_that_is_told_is_true() -> None:
    buckets = Buckets(per_minute=60, burst=1)
    assert buckets.take("a", 10.0) == 0.0
    wait_s = buckets.take("a", 10.25)
    assert wait_s == pytest.approx(0.75)
    assert buckets.take("a", 10.25 + wait_s - 0.001) > 0.0
    assert buckets.take("a", 10.25 + wait_s) == 0.0


def test_a_refusal_takes_nothing() -> None:
    buckets = Buckets(per_minute=60, burst=1)
    buckets.take("a", 0.0)
    for _ in range(100):
        buckets.take("a", 0.5)
    assert buckets.take("a", 1.0) == 0.0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    buckets = Buckets(per_minute=60, burst=3)
    buckets.take("a", 0.0)
    assert buckets.level("a", 1e9) == 3.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    buckets = Buckets(per_minute=60, burst=2)
    buckets.take("a", 100.0)
    assert buckets.level("a", 50.0) == 1.0


def test_addresses_are_counted_apart() -> None:
    buckets = Buckets(per_minute=60, burst=1)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.0) > 0.0


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_table_is_bounded_and_forgets_the_oldest(over: int) -> None:
    buckets = Buckets(per_minute=60, burst=2)
    for n in range(MAX_CLIENTS + over):
        buckets.take(str(n), 0.0)
    assert len(buckets) == min(MAX_CLIENTS, MAX_CLIENTS + over)
    assert buckets.level("0", 0.0) == (2.0 if over > 0 else 1.0)


def test_who_came_last_is_forgotten_last() -> None:
    buckets = Buckets(per_minute=60, burst=3)
    for n in range(MAX_CLIENTS):
        buckets.take(str(n), 0.0)
    buckets.take("0", 0.0)
    buckets.take("new", 0.0)
    assert (buckets.level("0", 0.0), buckets.level("1", 0.0)) == (1.0, 3.0)


def test_what_was_taken_can_be_given_back_but_not_more() -> None:
    buckets = Buckets(per_minute=60, burst=2)
    buckets.take("a", 0.0)
    buckets.give_back("a")
    buckets.give_back("a")
    buckets.give_back("never seen")
    assert buckets.level("a", 0.0) == 2.0
    assert len(buckets) == 1
