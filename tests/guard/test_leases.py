"""guard.limits: slots are given back once, and only by who holds them."""

from __future__ import annotations

from airelays.guard.limits import Leases


def test_the_limit_is_exact() -> None:
    leases = Leases(8)
    held = [leases.take("a") for _ in range(8)]
    assert all(held)
    assert leases.take("a") is None
    assert leases.take("b") is not None


def test_a_slot_is_given_back_once() -> None:
    leases = Leases(2)
    first, second = leases.take("a"), leases.take("a")
    assert first and second
    first.release()
    first.release()
    assert leases.in_use("a") == 1
    assert leases.take("a") is not None
    assert leases.take("a") is None


def test_a_refusal_frees_no_slot() -> None:
    leases = Leases(1)
    assert leases.take("a") is not None
    for _ in range(5):
        assert leases.take("a") is None
    assert leases.in_use("a") == 1


def test_nothing_is_kept_of_an_address_without_slots() -> None:
    leases = Leases(1)
    for n in range(1000):
        lease = leases.take(str(n))
        assert lease is not None
        lease.release()
    assert len(leases) == 0
