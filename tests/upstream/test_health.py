"""Which failures have an upstream skipped, for how long, and what has it asked again."""

from __future__ import annotations

import pytest

from airelays.errors import UpstreamFault
from airelays.upstream.cachekeys import MAX_KEYS, CacheKeys
from airelays.upstream.health import Health, counts, is_timeout, shows_life

HEAD = UpstreamFault("m", hop="upstream", status=504, code="upstream_timeout")
DIAL = UpstreamFault("m", hop="tcp", status=504, code="upstream_timeout", sent=False)


def silent(health: Health, now_s: float) -> bool:
    return health.failed("unreachable", now_s, now_s, timeout=True)


def refused(health: Health, now_s: float) -> bool:
    return health.failed("overloaded", now_s, now_s, timeout=False)


def test_one_timeout_is_enough_and_each_pause_is_longer() -> None:
    health, now_s = Health(), 100.0
    for seconds in (5, 10, 20, 40, 60, 60):
        assert silent(health, now_s)
        assert health.until_s == now_s + seconds
        assert health.why_not("m", now_s + seconds - 0.001) == "unreachable"
        now_s += seconds
        assert health.silent
    # Until a probe has succeeded no request waits for it, however late it is.
    assert health.why_not("m", now_s + 1e6) == "unreachable" and not health.begin(now_s)
    assert health.succeeded()
    assert health.why_not("m", now_s) == "" and not health.skipped
    assert silent(health, now_s) and health.until_s == now_s + 5


def test_three_failures_in_a_row_are_needed_of_any_other_kind() -> None:
    health = Health()
    assert not refused(health, 1) and not refused(health, 2)
    health.succeeded()
    assert not refused(health, 3) and not refused(health, 4) and health.why_not("m", 4) == ""
    assert refused(health, 5) and health.why_not("m", 9.99) == "overloaded"


def test_after_other_failures_one_request_decides_and_the_rest_go_elsewhere() -> None:
    health = Health()
    assert [refused(health, 0.0) for _ in range(3)] == [False, False, True]
    assert health.why_not("m", 5.0) == "" and not health.silent
    assert health.begin(5.0)
    assert health.why_not("m", 5.1) == "overloaded" and not health.begin(5.1)
    health.give_up()
    assert health.begin(5.2)
    # One failure is enough now, and the pause is the second one.
    assert refused(health, 5.3) and health.until_s == 15.3
    assert health.begin(15.3) and health.succeeded() and not refused(health, 16.0)


def test_requests_under_way_when_the_pause_began_do_not_make_it_longer() -> None:
    health = Health()
    assert silent(health, 10.0)
    assert not health.failed("unreachable", 9.0, 10.1, timeout=True)
    assert not health.failed("unreachable", 9.9, 60.0, timeout=True)
    # Nor does one that was sent in spite of it, because nobody else was left.
    assert not health.failed("unreachable", 11.0, 13.0, timeout=True)
    assert health.until_s == 15.0


def test_a_used_up_quota_is_skipped_until_its_reset_and_for_its_model_only() -> None:
    health = Health()
    health.spent("big", 3600.0)
    assert health.why_not("big", 3599.0) == "quota" and health.why_not("big", 3600.0) == ""
    assert health.why_not("small", 0.0) == "" and not health.skipped
    assert health.spent_models(3000.0) == {"big": 600.0}
    health.succeeded("big")
    assert health.why_not("big", 0.0) == ""
    for number in range(1000):
        health.spent(f"m{number}", 9.0)
    assert len(health.spent_models(0.0)) == 256


@pytest.mark.parametrize(
    ("fault", "timeout", "life", "counted"),
    [
        (HEAD, True, False, True),
        (DIAL, True, False, True),
        (UpstreamFault("m", hop="tcp"), False, False, True),
        (UpstreamFault("m", status=503), False, False, True),
        (UpstreamFault("m", status=404), False, True, False),
        (UpstreamFault("m", status=429), False, False, False),
        (UpstreamFault("m", hop="sign_in", status=401), False, False, False),
        # After the first byte it was alive.
        (
            UpstreamFault("m", hop="stream", status=504, code="upstream_timeout"),
            False,
            False,
            False,
        ),
        (UpstreamFault("m", hop="stream", code="incomplete_stream"), False, False, False),
    ],
)
def test_what_a_failure_says_of_the_upstream(
    fault: UpstreamFault, timeout: bool, life: bool, counted: bool
) -> None:
    assert (is_timeout(fault), shows_life(fault), counts(fault)) == (timeout, life, counted)


def test_a_cache_key_stays_where_it_was_answered_last() -> None:
    keys = CacheKeys()
    keys.note("k", "m", "second", 0.0, first=False)
    assert keys.of("k", "m", 3599.0) == "second"
    assert keys.of("k", "m", 3600.0) == keys.of("k", "other", 0.0) == keys.of(7, "m", 0.0) == ""
    keys.note("k", "m", "first", 1.0, first=True)
    assert keys.of("k", "m", 2.0) == ""
    for number in range(MAX_KEYS + 1):
        keys.note(str(number), "m", "second", 0.0, first=False)
    keys.note("x" * 513, "m", "second", 0.0, first=False)
    assert keys.of("0", "m", 0.0) == keys.of("x" * 513, "m", 0.0) == ""
    assert keys.of("1", "m", 0.0) == "second"
