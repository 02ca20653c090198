"""Defences of the sign-in: its refresh, its way in, its claims, rows U11, U14 and U15."""

from __future__ import annotations

import ast

from change import always, call, dropped, expression, instead, never, removed, text, uncaught
from entry import Defence

CALLBACK = "airelays/upstream/chatgpt/callback.py"
LOCK = "airelays/credentials/lock.py"
LOGIN = "airelays/upstream/chatgpt/login.py"
OAUTH = "airelays/upstream/chatgpt/oauth.py"
SIGNIN = "airelays/upstream/chatgpt/signin.py"
TOKENS = "airelays/upstream/chatgpt/tokens.py"
ONE_REDIRECT = ("tests/upstream/test_login.py::test_only_the_one_redirect_counts",)

SIGN_IN = (
    Defence(
        "U11",
        "many tasks wait for one refresh",
        TOKENS,
        "Tokens._refresh",
        always("_flight"),
        ("tests/upstream/test_tokens.py::test_many_tasks_hold_up_one_thread",),
    ),
    Defence(
        "U11",
        "many processes make one refresh",
        LOCK,
        "FileLock.acquire",
        never("_try_lock"),
        (
            "tests/credentials/test_secretfile.py::test_two_holders_in_one_process_exclude_each_other",
            "tests/upstream/test_tokens.py::test_eight_processes_at_once_make_one_call",
        ),
    ),
    Defence(
        "U11",
        "under the lock a newer sign-in is adopted",
        TOKENS,
        "Tokens.refresh_now",
        removed("due_s"),
        ("tests/upstream/test_tokens.py::test_eight_processes_at_once_make_one_call",),
    ),
    Defence(
        "U11",
        "it is on disk before it is used",
        TOKENS,
        "Tokens.refresh_now",
        removed("save"),
        ("tests/upstream/test_tokens.py::test_rejection_refreshes_once_and_saves_before_use",),
    ),
    Defence(
        "U11",
        "a refusal is read again before it counts",
        TOKENS,
        "Tokens.refresh_now",
        expression(ast.IfExp, "permanent", put="None"),
        (
            "tests/upstream/test_tokens.py::test_refusal_because_somebody_without_our_lock_refreshed_is_no_refusal",
        ),
    ),
    Defence(
        "U11",
        "a 401 to an old token refreshes nothing",
        TOKENS,
        "Tokens.after_rejection",
        removed("same_tokens"),
        ("tests/upstream/test_tokens.py::test_rejection_refreshes_once_and_saves_before_use",),
    ),
    Defence(
        "U11",
        "a cancelled request cuts no refresh",
        TOKENS,
        "Tokens._refresh",
        call("shield", put="{it.args[0]}"),
        ("tests/upstream/test_tokens.py::test_cancelled_request_does_not_cancel_the_refresh",),
    ),
    Defence(
        "U11",
        "a permanent refusal is not repeated",
        TOKENS,
        "Tokens._refresh",
        never("permanent"),
        (
            "tests/upstream/test_tokens.py::test_permanent_refusal_is_remembered_for_that_snapshot_only",
        ),
    ),
    Defence(
        "U11",
        "on a full disk the new token stays in memory",
        TOKENS,
        "Tokens.refresh_now",
        uncaught("_unsaved"),
        (
            "tests/upstream/test_tokens.py::test_full_disk_keeps_the_new_token_in_memory_and_stores_it_later",
        ),
    ),
    Defence(
        "U14",
        "the challenge is S256",
        OAUTH,
        "Pkce.make",
        call("rstrip", "digest", put="{it.func.value.args[0].func.value.args[0]}"),
        ("tests/upstream/test_oauth.py::test_pkce_is_s256_over_64_bytes_with_a_state_of_32",),
    ),
    Defence(
        "U14",
        "the state is compared",
        CALLBACK,
        "read_answer",
        never("compare_digest"),
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "the issuer is compared",
        CALLBACK,
        "read_answer",
        never("rstrip"),
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "a parameter twice is refused",
        CALLBACK,
        "read_answer",
        never("values"),
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "the Host is compared",
        CALLBACK,
        "CallbackServer._answer",
        removed(421),
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "one path",
        CALLBACK,
        "CallbackServer._answer",
        never("CALLBACK_PATH"),
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "one use",
        CALLBACK,
        "CallbackServer._answer",
        instead("set_result", put=("if not self._code.done():\n    {it}")),
        (
            "tests/upstream/test_login.py::test_wrong_state_does_not_end_the_wait_and_the_right_one_counts_once",
        ),
    ),
    Defence(
        "U14",
        "the page is kept by nobody",
        CALLBACK,
        "_page",
        dropped(b"cache-control"),
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "the page is referred to by nobody",
        CALLBACK,
        "_page",
        dropped(b"referrer-policy"),
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "the listener is on loopback",
        CALLBACK,
        "_bind_both",
        text("127.0.0.1", "0.0.0.0"),
        ("tests/upstream/test_login.py::test_other_addresses_cannot_reach_the_listener",),
    ),
    Defence(
        "U14",
        "a visitor that says nothing stops nobody",
        CALLBACK,
        "_read_head",
        removed("ProtocolFault"),
        ("tests/upstream/test_login.py::test_a_head_without_end_is_cut",),
    ),
    Defence(
        "U14",
        "nobody waits for ever",
        LOGIN,
        "browser_login",
        call("timeout", put="asyncio.timeout(None)"),
        ("tests/upstream/test_login.py::test_a_browser_that_never_comes_back_is_not_waited_for",),
    ),
    Defence(
        "U14",
        "slow_down slows down",
        LOGIN,
        "device_login",
        removed("SLOWER_S"),
        ("tests/upstream/test_login.py::test_slow_down_is_obeyed",),
    ),
    Defence(
        "U14",
        "the poll's interval is bounded",
        OAUTH,
        "_interval_s",
        expression(ast.IfExp, "min", put="{it.test.left}"),
        ("tests/upstream/test_oauth.py::test_device_interval_is_read_and_bounded",),
    ),
    Defence(
        "U14",
        "what the terminal shows cannot move it",
        OAUTH,
        "Issuer.start_device",
        call("_printable", 40, put="{it.args[0]}"),
        ("tests/upstream/test_oauth.py::test_device_interval_is_read_and_bounded",),
    ),
    Defence(
        "U14",
        "no free text of a refusal is repeated",
        OAUTH,
        "_error_code",
        call("_printable", put="{it.args[0]}"),
        (
            "tests/upstream/test_oauth.py::test_refusal_text_is_bounded_printable_and_repeats_no_free_text",
        ),
    ),
    Defence(
        "U15",
        "a token is bounded",
        SIGNIN,
        "read_claims",
        dropped("MAX_TOKEN_BYTES"),
        ("tests/upstream/test_oauth.py::test_a_token_is_bounded",),
    ),
    Defence(
        "U15",
        "claims that are no JSON are no claims",
        SIGNIN,
        "read_claims",
        uncaught("ValueError"),
        ("tests/upstream/test_oauth.py::test_token_that_is_no_jwt_has_no_claims",),
    ),
    Defence(
        "U15",
        "claims that are no object are no claims",
        SIGNIN,
        "read_claims",
        expression(ast.IfExp, "isinstance", put="{it.test.args[0]}"),
        ("tests/upstream/test_oauth.py::test_token_that_is_no_jwt_has_no_claims",),
    ),
    Defence(
        "U15",
        "an issuer's answer is bounded",
        OAUTH,
        "Issuer._post",
        expression(ast.Name, "MAX_ANSWER_BYTES", put="1 << 30"),
        ("tests/upstream/test_oauth.py::test_an_answer_of_the_issuer_is_bounded",),
    ),
)
