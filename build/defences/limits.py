"""Defences of what is served and how often: files, limits, slots, the relay token, rows A7 to A13."""

from __future__ import annotations

import ast

from change import always, before, call, dropped, expression, instead, never, removed, text
from entry import Defence

BLOCKLIST = "airelays/guard/limits.py"
BUCKET = "airelays/guard/limits.py"
GATE = "airelays/guard/gate.py"
REFUSED = "airelays/guard/refused.py"
LEASES = "airelays/guard/limits.py"
NETWORK = "airelays/guard/network.py"
RELAY = "airelays/app/relay.py"
TOKEN = "airelays/credentials/token.py"

LIMITS = (
    Defence(
        "A7",
        "an uploaded file is never shown: type",
        "airelays/app/files.py",
        "content",
        expression(ast.Tuple, b"content-type", put="(b'content-type', b'text/html')"),
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "an uploaded file is never shown: attachment",
        "airelays/app/files.py",
        "content",
        dropped("filename", b"content-disposition"),
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "an uploaded file is never shown: sandbox",
        "airelays/app/files.py",
        "content",
        dropped(b"content-security-policy", b"sandbox; default-src 'none'"),
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "every answer says nosniff",
        "airelays/net/request.py",
        "",
        dropped(b"x-content-type-options", b"nosniff"),
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "no answer is kept by a cache",
        "airelays/net/request.py",
        "",
        dropped(b"cache-control", b"no-store"),
        ("tests/net/test_live_bounds.py::test_an_answer_is_kept_by_nobody_and_names_no_server",),
    ),
    Defence(
        "A7",
        "no page may be framed or sent from",
        "airelays/app/page.py",
        "",
        text(
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'", "frame-ancestors 'self'"
        ),
        (
            "tests/app/test_page.py::test_the_policy_lets_in_this_style_and_this_script_and_nothing_else",
        ),
    ),
    Defence(
        "A7",
        "the page runs its own script only",
        "airelays/app/page.py",
        "page_fields",
        call("_hash", put="\"'unsafe-inline'\"", at=0),
        (
            "tests/app/test_page.py::test_the_policy_lets_in_this_style_and_this_script_and_nothing_else",
        ),
    ),
    Defence(
        "A7",
        "what is put into the page is escaped",
        "airelays/app/page.py",
        "render_page",
        call("escape", put="{it.args[0]}", at=2),
        ("tests/app/test_page.py::test_what_is_put_into_the_page_is_escaped",),
    ),
    Defence(
        "A8",
        "X-Forwarded-For counts only from a trusted proxy",
        NETWORK,
        "client_address",
        never("_in_any", "parse_address"),
        (
            "tests/guard/test_network.py::test_nothing_is_believed_of_a_peer_that_is_no_proxy",
            "tests/guard/test_network.py::test_nothing_is_believed_when_no_proxy_is_trusted",
        ),
    ),
    Defence(
        "A8",
        "X-Forwarded-For counts only when told",
        GATE,
        "Gate.configure",
        always("trust_x_forwarded_for"),
        ("tests/guard/test_gate.py::test_forwarded_addresses_count_only_behind_a_trusted_proxy",),
    ),
    Defence(
        "A8",
        "the right-most hop that is no proxy counts",
        NETWORK,
        "client_address",
        call("reversed", put="{it.args[0]}"),
        ("tests/guard/test_network.py::test_the_right_most_untrusted_hop_counts",),
    ),
    Defence(
        "A8",
        "what is no address is not believed",
        NETWORK,
        "client_address",
        instead(put="continue", kind=ast.Break, at=0),
        ("tests/guard/test_network.py::test_the_right_most_untrusted_hop_counts",),
    ),
    Defence(
        "A9",
        "IPv6 is counted by /64",
        NETWORK,
        "limiter_key",
        always("is_loopback"),
        ("tests/guard/test_network.py::test_limits_are_keyed_by_address_or_by_64",),
    ),
    Defence(
        "A9",
        "a mapped address is its IPv4 address",
        "airelays/settings/hosts.py",
        "parse_address",
        never("ipv4_mapped"),
        ("tests/guard/test_network.py::test_limits_are_keyed_by_address_or_by_64",),
    ),
    Defence(
        "A9",
        "the table of buckets is bounded",
        BUCKET,
        "Buckets.take",
        never("MAX_CLIENTS"),
        ("tests/guard/test_bucket.py::test_the_table_is_bounded_and_forgets_the_oldest",),
    ),
    Defence(
        "A9",
        "the oldest bucket goes first",
        BUCKET,
        "Buckets.take",
        removed("move_to_end"),
        ("tests/guard/test_bucket.py::test_who_came_last_is_forgotten_last",),
    ),
    Defence(
        "A9",
        "the table of failures is bounded",
        BLOCKLIST,
        "Blocklist.fail",
        never("MAX_CLIENTS"),
        ("tests/guard/test_blocklist.py::test_the_table_is_bounded",),
    ),
    Defence(
        "A10",
        "requests have a rate",
        GATE,
        "Gate.admit",
        removed("_check_rate"),
        ("tests/guard/test_gate.py::test_the_bucket_is_exact_and_tells_the_true_wait",),
    ),
    Defence(
        "A10",
        "a refusal tells the true wait, rounded up",
        "airelays/net/request.py",
        "error_fields",
        call("max", put="int({it.args[1].operand.args[0].left.operand})"),
        ("tests/net/test_security_page.py::test_the_burst_is_40_and_the_wait_is_true",),
    ),
    Defence(
        "A10",
        "the token comes before the rate",
        GATE,
        "Gate.admit",
        before(
            "_identify",
            put="{it.value.func.value}._check_rate({it.value.func.value}.buckets, "
            "{it.value.args[1]}, {it.value.args[2]})",
        ),
        ("tests/guard/test_gate.py::test_a_failure_costs_nothing_from_the_bucket",),
    ),
    Defence(
        "A10",
        "looks have a rate of their own",
        GATE,
        "Gate._admit_look",
        removed("_check_rate"),
        ("tests/app/test_ollama.py::test_looks_are_counted_by_themselves",),
    ),
    Defence(
        "A10",
        "a clock that goes back gives nothing",
        BUCKET,
        "Buckets.level",
        call("max", put="abs({it.args[1]})"),
        ("tests/guard/test_bucket.py::test_a_clock_that_goes_back_gives_nothing",),
    ),
    Defence(
        "A10",
        "requests that run at a time are limited",
        LEASES,
        "Leases.take",
        never("limit"),
        ("tests/guard/test_leases.py::test_the_limit_is_exact",),
    ),
    Defence(
        "A11",
        "many failures begin a block",
        GATE,
        "Gate._identify",
        call("fail", put="False"),
        ("tests/guard/test_gate.py::test_eight_failures_then_a_block_that_a_long_token_passes",),
    ),
    Defence(
        "A11",
        "a block does not lock the owner out",
        GATE,
        "Gate._identify",
        dropped("_block_holds"),
        ("tests/guard/test_gate.py::test_eight_failures_then_a_block_that_a_long_token_passes",),
    ),
    Defence(
        "A11",
        "a block stops a token that could be guessed",
        GATE,
        "Gate._block_holds",
        dropped("LONG_TOKEN_BYTES"),
        ("tests/guard/test_gate.py::test_a_block_stops_a_short_token_too",),
    ),
    Defence(
        "A11",
        "addresses are counted and blocked apart",
        GATE,
        "Gate.admit",
        call("limiter_key", put="''"),
        ("tests/net/test_security_page.py::test_other_addresses_are_not_blocked_with_it",),
    ),
    Defence(
        "A11",
        "what a page causes is no failed attempt",
        GATE,
        "Gate.admit",
        instead(
            "check_browser",
            put=(
                "try:\n"
                "    {it}\n"
                "except Refused:\n"
                "    where = self.client_of({it.value.args[0]}, {within.args.args[2].arg})\n"
                "    self.blocklist.fail(network.limiter_key(where), {within.args.args[4].arg})\n"
                "    raise"
            ),
        ),
        ("tests/guard/test_gate.py::test_a_page_cannot_lock_the_user_out",),
    ),
    Defence(
        "A12",
        "a slot is given back however a request ends",
        RELAY,
        "Relay.handle",
        instead("release", "_admitted", put=("{it.body[0]}\n{it.finalbody[0]}")),
        (
            "tests/net/test_live_wire.py::test_slots_are_freed_whatever_a_client_does",
            "tests/net/test_live_wire.py::test_a_client_that_leaves_ends_the_request",
        ),
    ),
    Defence(
        "A12",
        "a slot is given back once",
        LEASES,
        "Lease.release",
        instead("_leases", put="{it.targets[0].elts[0]} = {it.targets[0].elts[1]}"),
        ("tests/guard/test_leases.py::test_a_slot_is_given_back_once",),
    ),
    Defence(
        "A12",
        "a stream holds its slot to its end",
        RELAY,
        "Relay.handle",
        instead(
            "release",
            "_admitted",
            put=("try:\n    {it.finalbody[0]}\n    {it.body[0]}\nfinally:\n    {it.finalbody[0]}"),
        ),
        ("tests/net/test_security_page.py::test_eight_run_at_once_and_a_stream_holds_its_slot",),
    ),
    Defence(
        "A12",
        "a refusal behind the slot gives it back",
        "airelays/app/relay.py",
        "Relay._slot",
        removed("release"),
        ("tests/app/test_queue.py::test_a_request_that_is_too_long_gives_its_slot_back",),
    ),
    Defence(
        "A10",
        "requests wait in the order of coming",
        "airelays/guard/limits.py",
        "Leases.take",
        never("_places"),
        ("tests/guard/test_queue.py::test_a_slot_goes_to_who_came_first",),
    ),
    Defence(
        "A10",
        "only so many requests wait",
        "airelays/guard/limits.py",
        "Leases.wait",
        never("MAX_WAITING_IN_ALL"),
        ("tests/guard/test_queue.py::test_the_queue_is_bounded_per_key_and_in_all",),
    ),
    Defence(
        "A13",
        "the token is 32 random bytes",
        TOKEN,
        "generate_token",
        expression(ast.Constant, 32, put="12"),
        (
            "tests/credentials/test_secretfile.py::test_a_token_is_43_url_safe_characters_and_never_the_same",
        ),
    ),
    Defence(
        "A13",
        "a file that others can change gives no token",
        "airelays/credentials/secretfile.py",
        "_check_trusted",
        never(0o022),
        (
            "tests/credentials/test_secretfile.py::test_a_file_that_others_could_change_is_refused_with_the_command",
            "tests/net/test_live_machine.py::test_a_token_file_that_cannot_be_trusted_is_refused",
        ),
    ),
    Defence(
        "A13",
        "of many who make the token one does",
        "airelays/credentials/secretfile.py",
        "_put",
        removed("_link_as_new"),
        (
            "tests/credentials/test_secretfile.py::test_of_many_who_create_at_once_exactly_one_does",
            "tests/credentials/test_secretfile.py::test_an_existing_token_is_kept",
        ),
    ),
    Defence(
        "A13",
        "init again shows no token",
        TOKEN,
        "TokenSource.__repr__",
        instead("source", put="return f'TokenSource({{self.path!r}}, {{self.current()!r}})'"),
        ("tests/credentials/test_secretfile.py::test_a_token_is_not_in_the_repr",),
    ),
    Defence(
        "A13",
        "a starting relay shows no token",
        "airelays/commands/serve.py",
        "_reveal",
        instead("source", put="return ({it.test.left.value}.current() or b'').decode()"),
        (
            "tests/commands/test_cli.py::test_serve_on_a_terminal_prints_lines_to_paste_and_no_token",
        ),
    ),
    Defence(
        "A13",
        "a failed attempt leaves a fingerprint",
        REFUSED,
        "wrong",
        call("fingerprint", put="{it.args[0]}.decode('latin-1')"),
        (
            "tests/guard/test_gate.py::test_missing_and_wrong_are_answered_alike",
            "tests/journal/test_live_journal.py::test_a_failed_attempt_leaves_a_fingerprint_only",
        ),
    ),
)
