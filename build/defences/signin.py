"""Defences of the sign-in: its refresh, its way in, its claims, rows U11, U14 and U15."""

from __future__ import annotations

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
        "        if self._flight is None:\n            loop",
        "        if True:\n            loop",
        ("tests/upstream/test_tokens.py::test_many_tasks_hold_up_one_thread",),
    ),
    Defence(
        "U11",
        "many processes make one refresh",
        LOCK,
        "            while not _try_lock(fd):\n",
        "            while False:\n",
        (
            "tests/credentials/test_secretfile.py::test_two_holders_in_one_process_exclude_each_other",
            "tests/upstream/test_tokens.py::test_eight_processes_at_once_make_one_call",
        ),
    ),
    Defence(
        "U11",
        "under the lock a newer sign-in is adopted",
        TOKENS,
        "            if not stored.same_tokens(stale) and self._clock() < stored.due_s():\n"
        "                return stored\n",
        "",
        ("tests/upstream/test_tokens.py::test_eight_processes_at_once_make_one_call",),
    ),
    Defence(
        "U11",
        "it is on disk before it is used",
        TOKENS,
        "                self.store.save(fresh)\n            except ConfigError",
        "                pass\n            except ConfigError",
        ("tests/upstream/test_tokens.py::test_rejection_refreshes_once_and_saves_before_use",),
    ),
    Defence(
        "U11",
        "a refusal is read again before it counts",
        TOKENS,
        "                again = self.store.load() if refused.permanent else None\n",
        "                again = None\n",
        (
            "tests/upstream/test_tokens.py::test_refusal_because_somebody_without_our_lock_refreshed_is_no_refusal",
        ),
    ),
    Defence(
        "U11",
        "a 401 to an old token refreshes nothing",
        TOKENS,
        "        if not sign_in.same_tokens(used):\n            return await self.current()\n",
        "",
        ("tests/upstream/test_tokens.py::test_rejection_refreshes_once_and_saves_before_use",),
    ),
    Defence(
        "U11",
        "a cancelled request cuts no refresh",
        TOKENS,
        "        return await asyncio.shield(self._flight)\n",
        "        return await self._flight\n",
        ("tests/upstream/test_tokens.py::test_cancelled_request_does_not_cancel_the_refresh",),
    ),
    Defence(
        "U11",
        "a permanent refusal is not repeated",
        TOKENS,
        "            if failure.permanent or time.monotonic() - failure.at_s < calm_s:\n",
        "            if False:\n",
        (
            "tests/upstream/test_tokens.py::test_permanent_refusal_is_remembered_for_that_snapshot_only",
        ),
    ),
    Defence(
        "U11",
        "on a full disk the new token stays in memory",
        TOKENS,
        "            except ConfigError as error:\n                # A full disk",
        "            except ZeroDivisionError as error:\n                # A full disk",
        (
            "tests/upstream/test_tokens.py::test_full_disk_keeps_the_new_token_in_memory_and_stores_it_later",
        ),
    ),
    Defence(
        "U14",
        "the challenge is S256",
        OAUTH,
        'urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=")',
        "verifier",
        ("tests/upstream/test_oauth.py::test_pkce_is_s256_over_64_bytes_with_a_state_of_32",),
    ),
    Defence(
        "U14",
        "the state is compared",
        CALLBACK,
        '    if not hmac.compare_digest(given.encode("utf-8", "replace"), state.encode()):\n',
        "    if False:\n",
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "the issuer is compared",
        CALLBACK,
        '    if found.get("iss", [issuer])[0].rstrip("/") != issuer:\n',
        "    if False:\n",
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "a parameter twice is refused",
        CALLBACK,
        "    if any(len(values) > 1 for values in found.values()):\n",
        "    if False:\n",
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "the Host is compared",
        CALLBACK,
        "            return 421, _REFUSED\n",
        "            pass\n",
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "one path",
        CALLBACK,
        "        if head.path != CALLBACK_PATH:\n",
        "        if False:\n",
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "one use",
        CALLBACK,
        "        except asyncio.InvalidStateError:\n            # Used once: whoever comes second, with the"
        " right state or not, gets nothing.\n            return 400, _REFUSED\n",
        "        except asyncio.InvalidStateError:\n            return 200, _ARRIVED\n",
        (
            "tests/upstream/test_login.py::test_wrong_state_does_not_end_the_wait_and_the_right_one_counts_once",
        ),
    ),
    Defence(
        "U14",
        "the page is kept and referred to by nobody",
        CALLBACK,
        '        (b"cache-control", b"no-store"),\n        (b"referrer-policy", b"no-referrer"),\n',
        "",
        ONE_REDIRECT,
    ),
    Defence(
        "U14",
        "the listener is on loopback",
        CALLBACK,
        '(socket.AF_INET, "127.0.0.1")',
        '(socket.AF_INET, "0.0.0.0")',
        ("tests/upstream/test_login.py::test_other_addresses_cannot_reach_the_listener",),
    ),
    Defence(
        "U14",
        "a visitor that says nothing stops nobody",
        CALLBACK,
        "        try:\n"
        "            check_partial_head(raw)\n"
        "        except ProtocolFault:\n"
        "            break\n",
        "",
        ("tests/upstream/test_login.py::test_a_head_without_end_is_cut",),
    ),
    Defence(
        "U14",
        "nobody waits for ever",
        LOGIN,
        "        async with asyncio.timeout(timeout_s):\n            code",
        "        async with asyncio.timeout(None):\n            code",
        ("tests/upstream/test_login.py::test_a_browser_that_never_comes_back_is_not_waited_for",),
    ),
    Defence(
        "U14",
        "slow_down slows down",
        LOGIN,
        "            interval_s += SLOWER_S\n",
        "            pass\n",
        ("tests/upstream/test_login.py::test_slow_down_is_obeyed",),
    ),
    Defence(
        "U14",
        "the poll's interval is bounded",
        OAUTH,
        "    return min(max(seconds, 0.05), 60.0) if seconds == seconds else 5.0\n",
        "    return seconds\n",
        ("tests/upstream/test_oauth.py::test_device_interval_is_read_and_bounded",),
    ),
    Defence(
        "U14",
        "what the terminal shows cannot move it",
        OAUTH,
        "device_auth_id, _printable(user_code, 40), page,",
        "device_auth_id, user_code, page,",
        ("tests/upstream/test_oauth.py::test_device_interval_is_read_and_bounded",),
    ),
    Defence(
        "U14",
        "no free text of a refusal is repeated",
        OAUTH,
        '    return _printable(found, 64) if isinstance(found, str) else ""\n',
        '    return found if isinstance(found, str) else ""\n',
        (
            "tests/upstream/test_oauth.py::test_refusal_text_is_bounded_printable_and_repeats_no_free_text",
        ),
    ),
    Defence(
        "U15",
        "a token is bounded",
        SIGNIN,
        "    if len(parts) != 3 or len(token) > MAX_TOKEN_BYTES:\n",
        "    if len(parts) != 3:\n",
        ("tests/upstream/test_oauth.py::test_a_token_is_bounded",),
    ),
    Defence(
        "U15",
        "claims that are no JSON are no claims",
        SIGNIN,
        "    except (ValueError, RecursionError):\n        return {}\n",
        "    except ZeroDivisionError:\n        return {}\n",
        ("tests/upstream/test_oauth.py::test_token_that_is_no_jwt_has_no_claims",),
    ),
    Defence(
        "U15",
        "claims that are no object are no claims",
        SIGNIN,
        "    return claims if isinstance(claims, dict) else {}\n",
        "    return claims\n",
        ("tests/upstream/test_oauth.py::test_token_that_is_no_jwt_has_no_claims",),
    ),
    Defence(
        "U15",
        "an issuer's answer is bounded",
        OAUTH,
        "response.read(MAX_ANSWER_BYTES, within_s=within_s)",
        "response.read(1 << 30, within_s=within_s)",
        ("tests/upstream/test_oauth.py::test_an_answer_of_the_issuer_is_bounded",),
    ),
)
