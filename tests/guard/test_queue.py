"""guard.limits: who waits for a slot gets it in the order of coming, within bounds, and none is lost."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from airelays.guard.limits import MAX_WAITING, MAX_WAITING_IN_ALL, Lease, Leases, Place


def test_a_slot_goes_to_who_came_first() -> None:
    leases = Leases(1)
    got: list[tuple[str, Lease]] = []

    def keep(name: str, lease: Lease) -> None:
        got.append((name, lease))

    first = leases.take("a")
    assert first is not None
    for name in ("x", "y", "z"):
        assert leases.wait("a", partial(keep, name)) is not None
    assert leases.take("a") is None
    first.release()
    assert [name for name, _ in got] == ["x"] and leases.take("a") is None
    got[0][1].release()
    got[1][1].release()
    assert [name for name, _ in got] == ["x", "y", "z"]
    got[2][1].release()
    assert len(leases) == 0 and leases.waiting == 0


def test_the_queue_is_bounded_per_key_and_in_all() -> None:
    leases = Leases(1)
    for number in range(MAX_WAITING_IN_ALL // MAX_WAITING):
        key = f"k{number}"
        assert leases.take(key) is not None
        places = [leases.wait(key, Lease.release) for _ in range(MAX_WAITING)]
        assert None not in places and leases.waiting_for(key) == MAX_WAITING
        assert leases.wait(key, Lease.release) is None
    assert leases.take("other") is not None
    assert leases.wait("other", Lease.release) is None
    assert places[0] is not None
    places[0].leave()
    places[0].leave()
    assert leases.wait("other", Lease.release) is not None


@given(
    st.lists(st.tuples(st.sampled_from("twlr"), st.integers(0, 5)), max_size=60), st.integers(1, 3)
)
def test_never_more_than_the_limit_and_nobody_is_forgotten(
    steps: list[tuple[str, int]], limit: int
) -> None:
    leases = Leases(limit)
    held: list[Lease] = []
    places: list[Place] = []
    for what, number in steps:
        if what == "t":
            lease = leases.take("k")
            held += [lease] if lease is not None else []
        elif what == "w" and leases.in_use("k") == limit:
            place = leases.wait("k", held.append)
            places += [place] if place is not None else []
        elif what == "l" and places:
            places.pop(number % len(places)).leave()
        elif what == "r" and held:
            held.pop(number % len(held)).release()
        assert leases.in_use("k") == len(held) <= limit
        assert not leases.waiting or leases.in_use("k") == limit
    while held:
        held.pop().release()
    assert len(leases) == 0 and leases.waiting == 0
