"""Rows N1 and N2: named keys, and listeners bound to one."""

from __future__ import annotations

import ast

from change import call, expression, never, removed, text
from entry import Defence

RULES = "airelays/guard/keys.py"
GATE = "airelays/guard/gate.py"
REFUSED = "airelays/guard/refused.py"
FILE = "airelays/credentials/keys.py"
CHOOSE = "airelays/upstream/choose.py"
OWNERS = "airelays/state/owners.py"
ROUTED = "test_models_and_upstreams_bind_aliases_names_and_fallbacks_on_every_route"
OBJECTS = "tests/app/test_keys.py::test_objects_are_seen_by_the_key_that_made_them_and_by_the_owner"

KEYS: tuple[Defence, ...] = (
    Defence(
        "N1",
        "a wrong checksum is seen",
        RULES,
        "is_well_formed",
        expression(ast.Compare, "_check_of", put="True"),
        ("tests/guard/test_keys.py::test_every_wrong_character_is_seen",),
    ),
    Defence(
        "N1",
        "a key that has ended opens nothing",
        RULES,
        "KeyTable.problem",
        never("live"),
        ("tests/guard/test_keys.py::test_when_a_key_opens_nothing",),
    ),
    Defence(
        "N1",
        "no key changes the relay",
        RULES,
        "allows_route",
        expression(ast.BoolOp, "all", put="{it.values[0]}"),
        ("tests/guard/test_keys.py::test_routes",),
    ),
    Defence(
        "N1",
        "a route outside of the key's class is refused",
        REFUSED,
        "check_key",
        call("route_refusal", put="''"),
        ("tests/app/test_keys.py::test_what_a_key_may_send_to_which_route",),
    ),
    Defence(
        "N1",
        "what an alias or a name leads to counts",
        CHOOSE,
        "Upstreams.targets",
        removed("check_model"),
        ("tests/app/test_keys.py::" + ROUTED,),
    ),
    Defence(
        "N1",
        "a fallback that the key cannot use is left out",
        CHOOSE,
        "Upstreams.targets",
        never("allows"),
        ("tests/app/test_keys.py::" + ROUTED,),
    ),
    Defence(
        "N1",
        "a rate is kept",
        GATE,
        "Gate._check_window",
        call("take", put="0.0"),
        ("tests/app/test_keys.py::test_requests_per_minute_are_exact_under_twenty_five_at_once",),
    ),
    Defence(
        "N1",
        "a budget is kept, also after a kill",
        REFUSED,
        "check_key",
        call("wait_s", put="0.0"),
        (
            "tests/app/test_keys.py::test_a_day_of_tokens_is_refused_once_it_is_used_and_survives_a_kill",
        ),
    ),
    Defence(
        "N1",
        "files and conversations have an owner",
        OWNERS,
        "",
        text("(? = '' OR owner = ?)", "(? = ? OR 1)"),
        (OBJECTS,),
    ),
    Defence(
        "N1",
        "answers have an owner",
        OWNERS,
        "row_of",
        expression(ast.IfExp, put="{it.orelse}"),
        (OBJECTS,),
    ),
    Defence(
        "N1",
        "running answers end with their key",
        "airelays/app/keys.py",
        "Keys.end_gone",
        removed("interrupt"),
        ("tests/app/test_keys.py::test_streams_of_a_revoked_key_end_with_a_typed_error",),
    ),
    Defence(
        "N1",
        "a file that others can read lets no key in",
        FILE,
        "_read_file",
        never(0o077),
        ("tests/commands/test_key.py::test_a_file_that_others_can_read_is_refused",),
    ),
    Defence(
        "N1",
        "a limit of a later version is not overlooked",
        FILE,
        "_key",
        expression(ast.BoolOp, "_FIELDS", put="{it.values[0]}"),
        ("tests/commands/test_key.py::test_a_file_that_cannot_be_understood_lets_nobody_in",),
    ),
    Defence(
        "N2",
        "no browser gets through",
        GATE,
        "Gate._admit_unasked",
        removed("refuse_browser"),
        ("tests/app/test_doors.py::test_no_browser_gets_through_a_bound_listener",),
    ),
    Defence(
        "N2",
        "text and model routes only",
        GATE,
        "Gate._admit_unasked",
        never("text"),
        ("tests/app/test_doors.py::test_a_bound_listener_serves_text_and_models_to_every_program",),
    ),
    Defence(
        "N2",
        "no more than its share of the slots",
        GATE,
        "Gate._slots_of_listener",
        call("min", put="100"),
        (
            "tests/app/test_doors.py::"
            "test_it_takes_at_most_four_at_once_and_half_of_the_slots_of_the_address",
        ),
    ),
    Defence(
        "N2",
        "loopback only",
        "airelays/settings/listen.py",
        "_checked",
        never("BOUND_HOSTS"),
        ("tests/app/test_doors.py::test_what_cannot_be_listened_on_is_one_sentence",),
    ),
    Defence(
        "N2",
        "its key has narrow routes and a limit",
        "airelays/app/doors.py",
        "bound_key",
        never("routes"),
        ("tests/app/test_doors.py::test_what_cannot_be_listened_on_is_one_sentence",),
    ),
)
