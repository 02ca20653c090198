"""Defences of the page: codes, its token, the feed, the command that opens it, row N4."""

from __future__ import annotations

import ast

from change import always, call, dropped, expression, never, removed, text
from entry import Defence

RULES = "airelays/guard/pagetokens.py"
GATE = "airelays/guard/gate.py"
REFUSED = "airelays/guard/refused.py"
NETWORK = "airelays/guard/network.py"
VIEWER = "airelays/app/viewer.py"
FEED = "airelays/app/feed.py"
RELAY = "airelays/app/relay.py"
OPEN = "airelays/commands/open.py"
UNIT = "tests/guard/test_pagetokens.py::test_"
LIVE = "tests/app/test_page_session.py::test_"
FED = "tests/app/test_feed.py::test_"

PAGE = (
    Defence(
        "N4", "a code works once", RULES, "PageTokens.redeem",
        call("pop", put="{it.func.value}[{it.args[0]}]"),
        (UNIT + "a_code_is_good_once", LIVE + "a_code_becomes_a_token_once"),
    ),
    Defence(
        "N4", "a code works for a minute", RULES, "PageTokens._forget",
        always("CODE_S"),
        (UNIT + "a_code_is_good_for_a_minute",),
    ),
    Defence(
        "N4", "a code and a token are 32 random bytes", RULES, "_text_of",
        never("RANDOM_BYTES"),
        (UNIT + "a_code_and_a_token_are_32_random_bytes_each",),
    ),
    Defence(
        "N4", "a code is bound to the relay token", RULES, "PageTokens._find_code",
        call("compare_digest", "relay", put="True"),
        (UNIT + "a_new_relay_token_ends_codes_and_tokens",),
    ),
    Defence(
        "N4", "a new relay token ends the page", RULES, "PageTokens.keep",
        never("relay"),
        (UNIT + "a_new_relay_token_ends_codes_and_tokens",),
    ),
    Defence(
        "N4", "a token ends after 12 hours", RULES, "PageTokens._forget",
        dropped("LONGEST_S"),
        (UNIT + "a_token_ends_after_twelve_hours_however_much_it_is_used",),
    ),
    Defence(
        "N4", "a token ends after 30 idle minutes", RULES, "PageTokens._forget",
        dropped("IDLE_S"),
        (UNIT + "a_token_ends_after_thirty_idle_minutes",),
    ),
    Defence(
        "N4", "sixteen tokens at most", RULES, "PageTokens.redeem",
        never("MAX_TOKENS"),
        (UNIT + "of_seventeen_tokens_the_one_unused_for_longest_is_gone",),
    ),
    Defence(
        "N4", "sixteen codes at most", RULES, "PageTokens.make_code",
        never("MAX_CODES"),
        (UNIT + "of_seventeen_codes_the_oldest_is_gone",),
    ),
    Defence(
        "N4", "only digests are kept", RULES, "_digest",
        expression(ast.Call, "digest", put="{within.args.args[0].arg}"),
        (UNIT + "neither_is_kept_as_it_is",),
    ),
    Defence(
        "N4", "a token opens listed routes only", REFUSED, "check_page",
        never("opens"),
        (LIVE + "the_token_opens_nothing_else",),
    ),
    Defence(
        "N4", "a token reads, and changes nothing but blocks", RULES, "opens",
        expression(ast.IfExp, "GET", put="True"),
        (UNIT + "a_token_opens_the_listed_routes_and_no_other",),
    ),
    Defence(
        "N4", "a token is for the relay's own page", REFUSED, "check_page",
        never("is_own_page"),
        (LIVE + "the_token_is_good_for_the_relays_own_page_only",),
    ),
    Defence(
        "N4", "an origin that may call the API may not use the page", RULES, "is_own_page",
        text(b"origin", b"x-origin"),
        (LIVE + "an_origin_that_may_call_the_api_may_not_use_the_page",),
    ),
    Defence(
        "N4", "fetch metadata count where there is no origin", RULES, "is_own_page",
        text(b"sec-fetch-site", b"x-site"),
        (UNIT + "only_the_relays_own_page_may_use_a_token",),
    ),
    Defence(
        "N4", "only a trusted proxy names the scheme", NETWORK, "client_scheme",
        never("_in_any"),
        (LIVE + "without_a_trusted_proxy_nobody_names_the_scheme",),
    ),
    Defence(
        "N4", "a wrong code is a failed attempt", GATE, "Gate._identify",
        dropped("is_code"),
        (LIVE + "a_wrong_code_is_a_failed_attempt_and_a_right_one_passes_the_block",),
    ),
    Defence(
        "N4", "an open relay lifts blocks for a page only", VIEWER, "unblock",
        never("require_bearer_auth"),
        (LIVE + "an_open_relay_is_read_without_a_token_and_lifts_blocks_only_with_it",),
    ),
    Defence(
        "N4", "a named key sees no requests of others", VIEWER, "refuse_keys",
        never("key"),
        (LIVE + "a_named_key_does_not_see_requests_of_others",),
    ),
    Defence(
        "N4", "two feeds of an address at most", FEED, "Feeds.open",
        never("MAX_PER_ADDRESS"),
        (FED + "two_feeds_of_an_address_at_most",),
    ),
    Defence(
        "N4", "a feed makes way for a request that waits", "airelays/app/queue.py", "Queue.slot",
        never("_give_way"),
        (FED + "the_oldest_feed_makes_way_for_a_request_that_waits",),
    ),
    Defence(
        "N4", "a feed does not wait for a slot", RELAY, "Relay._slot",
        never("FEED"),
        (FED + "a_feed_that_gets_no_slot_comes_back_later",),
    ),
    Defence(
        "N4", "a feed ends with the page's token", FEED, "Feeds._tick",
        removed("_end_signed_out"),
        (FED + "a_feed_ends_with_the_page_and_with_the_relay",),
    ),
    Defence(
        "N4", "the file with the code goes when it was used", OPEN, "run",
        removed("unlink"),
        (LIVE + "open_hands_over_a_private_file_that_is_gone_afterwards",),
    ),
    Defence(
        "N4", "and when the command is ended", OPEN, "_ended_by_signals",
        text("SIGTERM", "SIGTERM_"),
        (LIVE + "open_leaves_no_file_when_it_is_interrupted",),
    ),
    Defence(
        "N4", "no argument holds the code", OPEN, "run",
        call("open_browser", put="{it.func}({it.args[0]}, {within.body[4].targets[0]})"),
        (LIVE + "open_hands_over_a_private_file_that_is_gone_afterwards",),
    ),
)  # fmt: skip
