"""Defences of what is served and how often: files, limits, slots, the relay token, rows A7 to A13."""

from __future__ import annotations

from entry import Defence

__all__ = ["LIMITS"]

BLOCKLIST = "airelays/guard/blocklist.py"
BUCKET = "airelays/guard/bucket.py"
GATE = "airelays/guard/gate.py"
LEASES = "airelays/guard/limits.py"
NETWORK = "airelays/guard/network.py"
RELAY = "airelays/app/relay.py"
TOKEN = "airelays/credentials/token.py"

LIMITS = (
    Defence(
        "A7",
        "an uploaded file is never shown: type",
        "airelays/app/files.py",
        '(b"content-type", b"application/octet-stream")',
        '(b"content-type", row.content_type.encode())',
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "an uploaded file is never shown: attachment",
        "airelays/app/files.py",
        '        (b"content-disposition", disposition(row.filename)),\n',
        "",
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "an uploaded file is never shown: sandbox",
        "airelays/app/files.py",
        '        (b"content-security-policy", b"sandbox; default-src \'none\'"),\n',
        "",
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "every answer says nosniff",
        "airelays/net/request.py",
        ', (b"x-content-type-options", b"nosniff"))',
        ",)",
        ("tests/state/test_live_files.py::test_a_browser_can_only_save_what_was_uploaded",),
    ),
    Defence(
        "A7",
        "no answer is kept by a cache",
        "airelays/net/request.py",
        '_ALWAYS = ((b"cache-control", b"no-store"), ',
        "_ALWAYS = (",
        ("tests/net/test_live_bounds.py::test_an_answer_is_kept_by_nobody_and_names_no_server",),
    ),
    Defence(
        "A7",
        "the page may load and be framed by nothing",
        "airelays/app/page.py",
        "        b\"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \"\n",
        "        b\"base-uri 'none'; \"\n",
        ("tests/app/test_page.py::test_the_page_is_closed_to_scripts_frames_and_forms",),
    ),
    Defence(
        "A7",
        "what is put into the page is escaped",
        "airelays/app/page.py",
        '<code class="base">{escape(base_url)}</code>',
        '<code class="base">{base_url}</code>',
        ("tests/app/test_page.py::test_what_is_put_into_the_page_is_escaped",),
    ),
    Defence(
        "A8",
        "X-Forwarded-For counts only from a trusted proxy",
        NETWORK,
        "    if not trusted or not _in_any(parse_address(peer), trusted):\n        return peer\n",
        "",
        (
            "tests/guard/test_network.py::test_nothing_is_believed_of_a_peer_that_is_no_proxy",
            "tests/guard/test_network.py::test_nothing_is_believed_when_no_proxy_is_trusted",
        ),
    ),
    Defence(
        "A8",
        "X-Forwarded-For counts only when told",
        GATE,
        "            if settings.trust_x_forwarded_for\n",
        "            if True\n",
        ("tests/guard/test_gate.py::test_forwarded_addresses_count_only_behind_a_trusted_proxy",),
    ),
    Defence(
        "A8",
        "the right-most hop that is no proxy counts",
        NETWORK,
        "    for hop in reversed(hops):\n",
        "    for hop in hops:\n",
        ("tests/guard/test_network.py::test_the_right_most_untrusted_hop_counts",),
    ),
    Defence(
        "A8",
        "what is no address is not believed",
        NETWORK,
        "        if address is None:\n            break\n",
        "        if address is None:\n            continue\n",
        ("tests/guard/test_network.py::test_the_right_most_untrusted_hop_counts",),
    ),
    Defence(
        "A9",
        "IPv6 is counted by /64",
        NETWORK,
        "    return str(IPv6Network((int(address) >> 64 << 64, 64)))\n",
        "    return str(address)\n",
        ("tests/guard/test_network.py::test_limits_are_keyed_by_address_or_by_64",),
    ),
    Defence(
        "A9",
        "a mapped address is its IPv4 address",
        NETWORK,
        "        return address.ipv4_mapped\n",
        "        return address\n",
        ("tests/guard/test_network.py::test_limits_are_keyed_by_address_or_by_64",),
    ),
    Defence(
        "A9",
        "the table of buckets is bounded",
        BUCKET,
        "        if len(self._table) > MAX_CLIENTS:\n",
        "        if False:\n",
        ("tests/guard/test_bucket.py::test_the_table_is_bounded_and_forgets_the_oldest",),
    ),
    Defence(
        "A9",
        "the oldest bucket goes first",
        BUCKET,
        "        self._table.move_to_end(key)\n",
        "",
        ("tests/guard/test_bucket.py::test_who_came_last_is_forgotten_last",),
    ),
    Defence(
        "A9",
        "the table of failures is bounded",
        BLOCKLIST,
        "            if len(self._table) > MAX_CLIENTS:\n",
        "            if False:\n",
        ("tests/guard/test_blocklist.py::test_the_table_is_bounded",),
    ),
    Defence(
        "A10",
        "requests have a rate",
        GATE,
        "        self._check_rate(key, now_s)\n",
        "",
        ("tests/guard/test_gate.py::test_the_bucket_is_exact_and_tells_the_true_wait",),
    ),
    Defence(
        "A10",
        "a refusal tells the true wait, rounded up",
        "airelays/net/request.py",
        "max(1, -int(-error.retry_after_s // 1))",
        "int(error.retry_after_s)",
        ("tests/net/test_security_page.py::test_the_burst_is_40_and_the_wait_is_true",),
    ),
    Defence(
        "A10",
        "the token comes before the rate",
        GATE,
        "            self._check_token(head, key, now_s, token, family)\n",
        "            self._check_rate(key, now_s)\n            self._check_token(head, key, now_s, token, family)\n",
        ("tests/guard/test_gate.py::test_a_failure_costs_nothing_from_the_bucket",),
    ),
    Defence(
        "A10",
        "a clock that goes back gives nothing",
        BUCKET,
        "level + max(0.0, now_s - since_s) * self._rate_per_s",
        "level + abs(now_s - since_s) * self._rate_per_s",
        ("tests/guard/test_bucket.py::test_a_clock_that_goes_back_gives_nothing",),
    ),
    Defence(
        "A10",
        "requests that run at a time are limited",
        LEASES,
        "        if used >= self.limit:\n",
        "        if False:\n",
        ("tests/guard/test_leases.py::test_the_limit_is_exact",),
    ),
    Defence(
        "A11",
        "many failures begin a block",
        GATE,
        "        began = self.blocklist.fail(key, now_s)\n",
        "        began = False\n",
        ("tests/guard/test_gate.py::test_eight_failures_then_a_block_that_a_long_token_passes",),
    ),
    Defence(
        "A11",
        "a block does not lock the owner out",
        GATE,
        '        if good and not (left_s and self._block_holds(token or b"")):\n',
        "        if good and not left_s:\n",
        ("tests/guard/test_gate.py::test_eight_failures_then_a_block_that_a_long_token_passes",),
    ),
    Defence(
        "A11",
        "a block stops a token that could be guessed",
        GATE,
        " or len(token) < auth.LONG_TOKEN_BYTES\n",
        "\n",
        ("tests/guard/test_gate.py::test_a_block_stops_a_short_token_too",),
    ),
    Defence(
        "A11",
        "addresses are counted and blocked apart",
        GATE,
        "        key = network.limiter_key(client)\n",
        '        key = ""\n',
        ("tests/net/test_security_page.py::test_other_addresses_are_not_blocked_with_it",),
    ),
    Defence(
        "A11",
        "what a page causes is no failed attempt",
        GATE,
        "        self.check_browser(head, route, here, token)\n        self.check_scope(client)\n"
        "        if route is not None",
        "        try:\n            self.check_browser(head, route, here, token)\n        except Refused:\n"
        "            self.blocklist.fail(network.limiter_key(client), now_s)\n            raise\n"
        "        self.check_scope(client)\n        if route is not None",
        ("tests/guard/test_gate.py::test_a_page_cannot_lock_the_user_out",),
    ),
    Defence(
        "A12",
        "a slot is given back however a request ends",
        RELAY,
        "        try:\n            await self._admitted(request, route, values)\n        finally:\n"
        "            admission.lease.release()\n",
        "        await self._admitted(request, route, values)\n        admission.lease.release()\n",
        (
            "tests/net/test_live_wire.py::test_slots_are_freed_whatever_a_client_does",
            "tests/net/test_live_wire.py::test_a_client_that_leaves_ends_the_request",
        ),
    ),
    Defence(
        "A12",
        "a slot is given back once",
        LEASES,
        "        leases, self._leases = self._leases, None\n",
        "        leases = self._leases\n",
        ("tests/guard/test_leases.py::test_a_slot_is_given_back_once",),
    ),
    Defence(
        "A12",
        "a stream holds its slot to its end",
        RELAY,
        "            await self._admitted(request, route, values)\n",
        "            admission.lease.release()\n            await self._admitted(request, route, values)\n",
        ("tests/net/test_security_page.py::test_eight_run_at_once_and_a_stream_holds_its_slot",),
    ),
    Defence(
        "A12",
        "a refusal behind the slot gives it back",
        GATE,
        "        except Refused:\n            lease.release()\n",
        "        except Refused:\n",
        (
            "tests/guard/test_gate.py::test_a_declared_length_is_checked_last_and_gives_its_slot_back",
        ),
    ),
    Defence(
        "A13",
        "the token is 32 random bytes",
        TOKEN,
        "os.urandom(32)",
        "os.urandom(12)",
        (
            "tests/credentials/test_secretfile.py::test_a_token_is_43_url_safe_characters_and_never_the_same",
        ),
    ),
    Defence(
        "A13",
        "a file that others can change gives no token",
        "airelays/credentials/secretfile.py",
        "    if mode & 0o022:\n",
        "    if False:\n",
        (
            "tests/credentials/test_secretfile.py::test_a_file_that_others_could_change_is_refused_with_the_command",
            "tests/net/test_live_machine.py::test_a_token_file_that_cannot_be_trusted_is_refused",
        ),
    ),
    Defence(
        "A13",
        "of many who make the token one does",
        "airelays/credentials/secretfile.py",
        "            if keep and not _link_as_new(staged, path):\n                return False\n",
        "",
        (
            "tests/credentials/test_secretfile.py::test_of_many_who_create_at_once_exactly_one_does",
            "tests/credentials/test_secretfile.py::test_an_existing_token_is_kept",
        ),
    ),
    Defence(
        "A13",
        "init again shows no token",
        TOKEN,
        '        return f"TokenSource({self.path!r}, source={self.source!r})"\n',
        '        return f"TokenSource({self.path!r}, {self.current()!r})"\n',
        ("tests/credentials/test_secretfile.py::test_a_token_is_not_in_the_repr",),
    ),
    Defence(
        "A13",
        "a starting relay shows no token",
        "airelays/commands/serve.py",
        '    if context.token.source == "env":\n        return "$AIRELAYS_BEARER_TOKEN"\n',
        '    return (context.token.current() or b"").decode()\n',
        (
            "tests/commands/test_cli.py::test_serve_on_a_terminal_prints_lines_to_paste_and_no_token",
        ),
    ),
    Defence(
        "A13",
        "a failed attempt leaves a fingerprint",
        GATE,
        'presented=auth.fingerprint(presented[0]) if presented else ""',
        'presented=presented[0].decode("latin-1") if presented else ""',
        (
            "tests/guard/test_gate.py::test_missing_and_wrong_are_answered_alike",
            "tests/journal/test_live_journal.py::test_a_failed_attempt_leaves_a_fingerprint_only",
        ),
    ),
)
