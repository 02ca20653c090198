"""Defenses of upstreams that stand in for one another, of SOCKS5 proxies and of leased keys: U2, U10, N11, N12."""

from __future__ import annotations

from change import always, call, condition, never, removed
from entry import Defence

HEALTH = "airelays/upstream/health.py"
CARE = "airelays/upstream/care.py"
SOCKS = "airelays/protocol/socks5.py"
KEYS = "airelays/app/keys.py"
LIVE_HEALTH = "tests/app/test_live_health.py"
PURE_HEALTH = "tests/upstream/test_health.py"
SOCKS_TEST = "tests/net/test_socks.py"
REFUSALS = f"{SOCKS_TEST}::test_garbage_and_refusals_are_one_sentence_without_a_secret"
RUN = "tests/commands/test_run.py"

GROWTH = (
    Defence(
        "U2",
        "an upstream that fails three times in a row is skipped",
        HEALTH,
        "Health.failed",
        condition("MAX_FAILURES", put="True"),
        (f"{PURE_HEALTH}::test_three_failures_in_a_row_are_needed_of_any_other_kind",),
    ),
    Defence(
        "U2",
        "requests from before a pause do not make it longer",
        HEALTH,
        "Health.failed",
        never("_since_s"),
        (f"{PURE_HEALTH}::test_requests_under_way_when_the_pause_began_do_not_make_it_longer",),
    ),
    Defence(
        "U2",
        "after a pause one request decides, not all of them",
        HEALTH,
        "Health.begin",
        removed("_trying", at=1),
        (
            f"{PURE_HEALTH}::test_after_other_failures_one_request_decides_and_the_rest_go_elsewhere",
        ),
    ),
    Defence(
        "U2",
        "a probe that hangs has an end",
        CARE,
        "Care._probe",
        call("timeout", "PROBE_S", put="asyncio.timeout(None)"),
        (f"{LIVE_HEALTH}::test_a_probe_that_hangs_has_an_end",),
    ),
    Defence(
        "U10",
        "a SOCKS5 proxy chooses only a way to sign in that it was offered",
        SOCKS,
        "chosen_method",
        always("USER_AND_PASSWORD", "NO_AUTHENTICATION"),
        (f"{SOCKS_TEST}::test_a_proxy_chooses_what_it_was_offered",),
    ),
    Defence(
        "U10",
        "a refusal of a SOCKS5 proxy is not a connection",
        SOCKS,
        "rest_of_reply",
        never("_REFUSALS"),
        (REFUSALS,),
    ),
    Defence(
        "U10",
        "names are resolved by the SOCKS5 proxy",
        SOCKS,
        "connect_request",
        call("_packed", put="bytes([1, 127, 0, 0, 1])"),
        (f"{SOCKS_TEST}::test_a_name_goes_to_the_proxy_with_user_and_password",),
    ),
    Defence(
        "N11",
        "a leased key ends with the command that it was made for",
        KEYS,
        "Keys.end_lease",
        removed("pop"),
        (f"{RUN}::test_in_the_running_relay_the_key_ends_with_the_command",),
    ),
    Defence(
        "N11",
        "a lease does not take the place of a key that is known",
        "airelays/app/leases.py",
        "hold_lease",
        never("by_id"),
        (f"{RUN}::test_a_lease_is_of_one_new_key",),
    ),
    Defence(
        "N12",
        "a request that has passed too many relays is refused",
        "airelays/upstream/hops.py",
        "arrive",
        never("MAX_HOPS"),
        ("tests/upstream/test_live_hops.py::test_too_many",),
    ),
    Defence(
        "N12",
        "what is sent on says how many relays it has passed",
        "airelays/upstream/hops.py",
        "hop",
        call("get", put="0"),
        (
            "tests/upstream/test_live_hops.py::test_three_relays_in_a_row_are_fine_and_the_server_is_told_how_many",
        ),
    ),
)
