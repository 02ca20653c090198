"""Defences against callers: token, Host, Origin, rows A1 to A6."""

from __future__ import annotations

from entry import Defence

__all__ = ["CALLER"]

AUTH = "airelays/guard/auth.py"
GATE = "airelays/guard/gate.py"
ORIGIN = "airelays/guard/browser.py"
PREFLIGHT = "airelays/app/preflight.py"

CALLER = (
    Defence(
        "A1",
        "a token that is missing or wrong is refused",
        GATE,
        '        good = auth.matches(presented, token or b"")\n',
        "        good = True\n",
        ("tests/guard/test_gate.py::test_every_other_route_needs_the_token_known_or_not",),
    ),
    Defence(
        "A1",
        "nothing matches a token that does not exist",
        AUTH,
        "    return good and bool(token)\n",
        "    return good\n",
        ("tests/guard/test_auth.py::test_nothing_matches_a_token_that_does_not_exist",),
    ),
    Defence(
        "A1",
        "tokens are compared as bytes",
        AUTH,
        "hmac.compare_digest(hashlib.sha256(value).digest(), wanted)",
        'value.decode("ascii") == token.decode()',
        ("tests/guard/test_auth.py::test_only_the_token_matches",),
    ),
    Defence(
        "A1",
        "tokens are compared in constant time",
        AUTH,
        "hmac.compare_digest(hashlib.sha256(value).digest(), wanted)",
        "value == token",
        ("tests/guard/test_auth.py::test_a_comparison_tells_nothing_by_its_time",),
    ),
    Defence(
        "A1",
        "a refusal says WWW-Authenticate",
        GATE,
        '            headers={"www-authenticate": \'Bearer realm="airelays"\'},\n',
        "",
        ("tests/guard/test_gate.py::test_every_other_route_needs_the_token_known_or_not",),
    ),
    Defence(
        "A2",
        "a credential that comes twice is 400",
        AUTH,
        "            if name in found:\n",
        "            if False:\n",
        ("tests/guard/test_auth.py::test_a_credential_that_comes_twice_is_refused",),
    ),
    Defence(
        "A2",
        "the token is not taken from the URL",
        AUTH,
        "    found: dict[bytes, bytes] = {}\n",
        '    found = {b"": part.partition("=")[2].encode() for part in head.query.split("&")}\n',
        ("tests/guard/test_auth.py::test_the_token_stands_in_three_fields_only",),
    ),
    Defence(
        "A2",
        "the token is not taken from a cookie",
        AUTH,
        "    found: dict[bytes, bytes] = {}\n",
        '    found = {b"": v.partition(b"=")[2] for n, v in head.fields if n == b"cookie"}\n',
        ("tests/guard/test_auth.py::test_the_token_stands_in_three_fields_only",),
    ),
    Defence(
        "A2",
        "the scheme is Bearer",
        AUTH,
        ' if scheme.lower() == b"bearer" else b""\n',
        "\n",
        ("tests/guard/test_auth.py::test_the_token_stands_in_three_fields_only",),
    ),
    Defence(
        "A3",
        "what is not marked open is closed, known or not",
        GATE,
        "        if route is not None and route.open:\n            return Admission",
        "        if route is None or route.open:\n            return Admission",
        (
            "tests/guard/test_gate.py::test_every_other_route_needs_the_token_known_or_not",
            "tests/net/test_live_wire.py::test_unknown_paths_are_told_only_to_who_has_the_token",
        ),
    ),
    Defence(
        "A3",
        "inside the families a missing token counts",
        GATE,
        "    if not family:\n",
        "    if True:\n",
        ("tests/guard/test_gate.py::test_inside_the_families_a_missing_credential_counts",),
    ),
    Defence(
        "A1",
        "a wrong credential counts everywhere",
        GATE,
        " or not auth.says_nothing(head):",
        ":",
        ("tests/guard/test_gate.py::test_a_wrong_credential_counts_everywhere",),
    ),
    Defence(
        "A1",
        "only a visit is no attempt",
        GATE,
        'if head.method not in ("GET", "HEAD") or not auth',
        "if not auth",
        ("tests/guard/test_gate.py::test_other_methods_outside_the_families_count",),
    ),
    Defence(
        "A3",
        "two routes are open, and no more",
        "airelays/app/routes.py",
        '        Route("metrics", "/metrics", GET, handler=',
        '        Route("metrics", "/metrics", GET, open=True, handler=',
        (
            "tests/net/test_security_page.py::test_protected_families_need_the_token_and_public_routes_do_not",
        ),
    ),
    Defence(
        "A4",
        "Host is on the allow-list",
        ORIGIN,
        "    return bool(name) and name in allowed\n",
        "    return bool(name)\n",
        (
            "tests/guard/test_browser.py::test_only_listed_names_are_ours",
            "tests/guard/test_gate.py::test_a_foreign_host_is_refused_even_with_the_token",
        ),
    ),
    Defence(
        "A4",
        "an empty Host is nobody's",
        ORIGIN,
        "    return bool(name) and name in allowed\n",
        "    return not name or name in allowed\n",
        ("tests/guard/test_browser.py::test_only_listed_names_are_ours",),
    ),
    Defence(
        "A4",
        "no suffix such as .local",
        ORIGIN,
        "    return bool(name) and name in allowed\n",
        '    return name in allowed or name.endswith((".local", ".internal", ".localhost"))\n',
        ("tests/guard/test_browser.py::test_only_listed_names_are_ours",),
    ),
    Defence(
        "A4",
        "one final dot is dropped, no more",
        ORIGIN,
        '    return name[:-1] if name.endswith(".") else name\n',
        '    return name.rstrip(".")\n',
        ("tests/guard/test_browser.py::test_only_listed_names_are_ours",),
    ),
    Defence(
        "A4",
        "a public route needs a good Host too",
        GATE,
        "        self.check_browser(head, route, here, token)\n        self.check_scope(client)\n"
        "        if route is not None and route.open:\n"
        '            return Admission(client, Lease(None, ""))\n',
        '        if route is not None and route.open:\n            return Admission(client, Lease(None, ""))\n'
        "        self.check_browser(head, route, here, token)\n        self.check_scope(client)\n",
        ("tests/guard/test_gate.py::test_a_foreign_host_is_refused_even_with_the_token",),
    ),
    Defence(
        "A4",
        "HTTP/1.0 without Host needs the token",
        GATE,
        "            if not (token and auth.matches(auth.credentials(head), token)):\n",
        "            if False:\n",
        (
            "tests/guard/test_gate.py::test_http_1_0_without_host_needs_the_token_even_for_open_routes",
        ),
    ),
    Defence(
        "A4",
        "a wide listener has a scope",
        GATE,
        "        self.check_scope(client)\n        if route is not None",
        "        if route is not None",
        ("tests/guard/test_gate.py::test_the_scope_follows_the_listener",),
    ),
    Defence(
        "A5",
        "without a token a body is application/json",
        GATE,
        '    if head.has_body and kind != b"application/json":\n',
        "    if False:\n",
        (
            "tests/guard/test_gate.py::test_open_mode_takes_json_only",
            "tests/net/test_security_page.py::test_open_mode_is_closed_to_web_pages",
        ),
    ),
    Defence(
        "A5",
        "an Origin that is not listed is refused",
        GATE,
        "        if page is not None and not self.allows_origin(page, head.authority):\n",
        "        if False:\n",
        ("tests/guard/test_gate.py::test_a_page_cannot_lock_the_user_out",),
    ),
    Defence(
        "A5",
        "what another site causes is refused",
        GATE,
        "        if page is None and browser.is_cross_site(head) and not followed:\n",
        "        if False:\n",
        ("tests/guard/test_gate.py::test_a_page_cannot_lock_the_user_out",),
    ),
    Defence(
        "A5",
        "same-site is as foreign as cross-site",
        ORIGIN,
        'not in (b"same-origin", b"none")',
        'not in (b"same-origin", b"none", b"same-site")',
        ("tests/guard/test_browser.py::test_fetch_metadata_tells_foreign_requests",),
    ),
    Defence(
        "A5",
        "only a followed link is let through, no frame",
        ORIGIN,
        ' and (head.get(b"sec-fetch-dest") or b"").lower() == b"document"\n',
        "\n",
        ("tests/guard/test_browser.py::test_a_link_that_was_followed_is_a_navigation",),
    ),
    Defence(
        "A6",
        "no grant for an origin that is not listed",
        PREFLIGHT,
        "    if gate.allows_origin(page, request.head.authority):\n",
        "    if True:\n",
        ("tests/net/test_security_page.py::test_open_mode_is_closed_to_web_pages",),
    ),
    Defence(
        "A6",
        "never a wildcard",
        PREFLIGHT,
        '(b"access-control-allow-origin", page)',
        '(b"access-control-allow-origin", b"*")',
        (
            "tests/net/test_security_page.py::test_a_listed_origin_gets_a_grant_and_still_needs_the_token",
        ),
    ),
    Defence(
        "A6",
        "an origin is matched whole",
        ORIGIN,
        "    if folded in allowed:\n",
        "    if any(folded.startswith(one) for one in allowed):\n",
        ("tests/guard/test_browser.py::test_only_the_relays_own_page_and_listed_origins_may_call",),
    ),
    Defence(
        "A6",
        "a preflight is refused like the request behind it",
        PREFLIGHT,
        "    gate.check_browser(request.head, route, request.connection.here, token)\n",
        "",
        ("tests/net/test_security_page.py::test_a_page_can_neither_call_nor_lock_out",),
    ),
)
