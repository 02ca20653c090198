"""Defences against callers: token, Host, Origin, rows A1 to A6."""

from __future__ import annotations

import ast

from change import always, before, call, condition, dropped, expression, never, removed
from entry import Defence

AUTH = "airelays/guard/auth.py"
GATE = "airelays/guard/gate.py"
REFUSED = "airelays/guard/refused.py"
ORIGIN = "airelays/guard/browser.py"
PREFLIGHT = "airelays/app/preflight.py"

CALLER = (
    Defence(
        "A1",
        "a token that is missing or wrong is refused",
        GATE,
        "Gate._identify",
        call("matches", put="True"),
        ("tests/guard/test_gate.py::test_every_other_route_needs_the_token_known_or_not",),
    ),
    Defence(
        "A1",
        "nothing matches a token that does not exist",
        AUTH,
        "matches",
        expression(ast.BoolOp, "bool", put="{it.values[0]}"),
        ("tests/guard/test_auth.py::test_nothing_matches_a_token_that_does_not_exist",),
    ),
    Defence(
        "A1",
        "tokens are compared as bytes",
        AUTH,
        "matches",
        call(
            "compare_digest",
            put="{it.args[0].func.value.args[0]}.decode('ascii') == {within.args.args[1].arg}.decode()",
        ),
        ("tests/guard/test_auth.py::test_only_the_token_matches",),
    ),
    Defence(
        "A1",
        "tokens are compared in constant time",
        AUTH,
        "matches",
        call("compare_digest", put="{it.args[0].func.value.args[0]} == {within.args.args[1].arg}"),
        ("tests/guard/test_auth.py::test_a_comparison_tells_nothing_by_its_time",),
    ),
    Defence(
        "A1",
        "a refusal says WWW-Authenticate",
        REFUSED,
        "wrong",
        dropped("headers"),
        ("tests/guard/test_gate.py::test_every_other_route_needs_the_token_known_or_not",),
    ),
    Defence(
        "A2",
        "a credential that comes twice is 400",
        AUTH,
        "credentials",
        never("get_all"),
        ("tests/guard/test_auth.py::test_a_credential_that_comes_twice_is_refused",),
    ),
    Defence(
        "A2",
        "the token is not taken from the URL",
        AUTH,
        "credentials",
        expression(
            ast.Dict,
            put=(
                "{{b'': part.partition('=')[2].encode() for part in "
                "{within.args.args[0].arg}.query.split('&')}}"
            ),
        ),
        ("tests/guard/test_auth.py::test_the_token_stands_in_three_fields_only",),
    ),
    Defence(
        "A2",
        "the token is not taken from a cookie",
        AUTH,
        "credentials",
        expression(
            ast.Dict,
            put=(
                "{{b'': v.partition(b'=')[2] for n, v in {within.args.args[0].arg}.fields if n == "
                "b'cookie'}}"
            ),
        ),
        ("tests/guard/test_auth.py::test_the_token_stands_in_three_fields_only",),
    ),
    Defence(
        "A2",
        "the scheme is Bearer",
        AUTH,
        "credentials",
        expression(ast.IfExp, "strip", put="{it.body}"),
        ("tests/guard/test_auth.py::test_the_token_stands_in_three_fields_only",),
    ),
    Defence(
        "A3",
        "what is not marked open is closed, known or not",
        GATE,
        "Gate.admit",
        condition("open", put="{it.values[0].left} is None or {it.values[1]}"),
        (
            "tests/guard/test_gate.py::test_every_other_route_needs_the_token_known_or_not",
            "tests/net/test_live_wire.py::test_unknown_paths_are_told_only_to_who_has_the_token",
        ),
    ),
    Defence(
        "A3",
        "inside the families a missing token counts",
        GATE,
        "Gate._check_attempt",
        always("path_without_token"),
        ("tests/guard/test_gate.py::test_inside_the_families_a_missing_credential_counts",),
    ),
    Defence(
        "A1",
        "a wrong credential counts everywhere",
        GATE,
        "Gate._check_attempt",
        dropped("says_nothing"),
        ("tests/guard/test_gate.py::test_a_wrong_credential_counts_everywhere",),
    ),
    Defence(
        "A1",
        "only a visit is no attempt",
        GATE,
        "Gate._check_attempt",
        dropped("method"),
        ("tests/guard/test_gate.py::test_other_methods_outside_the_families_count",),
    ),
    Defence(
        "A3",
        "two routes are open, and no more",
        "airelays/app/routes.py",
        "_table",
        call("operator:metrics", put="{it}._replace(open=True)"),
        (
            "tests/net/test_security_page.py::test_protected_families_need_the_token_and_public_routes_do_not",
        ),
    ),
    Defence(
        "A4",
        "Host is on the allow-list",
        ORIGIN,
        "is_allowed_host",
        expression(ast.BoolOp, "bool", put="{it.values[0]}"),
        (
            "tests/guard/test_browser.py::test_only_listed_names_are_ours",
            "tests/guard/test_gate.py::test_a_foreign_host_is_refused_even_with_the_token",
        ),
    ),
    Defence(
        "A4",
        "an empty Host is nobody's",
        ORIGIN,
        "is_allowed_host",
        expression(ast.BoolOp, "bool", put="not {it.values[0].args[0]} or {it.values[1]}"),
        ("tests/guard/test_browser.py::test_only_listed_names_are_ours",),
    ),
    Defence(
        "A4",
        "no suffix such as .local",
        ORIGIN,
        "is_allowed_host",
        expression(
            ast.BoolOp,
            "bool",
            put="{it.values[1]} or {it.values[0].args[0]}.endswith(('.local', '.internal', '.localhost'))",
        ),
        ("tests/guard/test_browser.py::test_only_listed_names_are_ours",),
    ),
    Defence(
        "A4",
        "one final dot is dropped, no more",
        ORIGIN,
        "host_name",
        expression(ast.IfExp, "endswith", put="{it.test.func.value}.rstrip('.')"),
        ("tests/guard/test_browser.py::test_only_listed_names_are_ours",),
    ),
    Defence(
        "A4",
        "a public route needs a good Host too",
        GATE,
        "Gate.admit",
        before(
            "check_browser",
            put=(
                "if {it.value.args[1]} is not None and {it.value.args[1]}.open:\n"
                "    return Admission(self.client_of({it.value.args[0]}, {within.args.args[2].arg}), "
                "Lease(None, ''))"
            ),
        ),
        ("tests/guard/test_gate.py::test_a_foreign_host_is_refused_even_with_the_token",),
    ),
    Defence(
        "A4",
        "HTTP/1.0 without Host needs the token",
        GATE,
        "Gate.check_browser",
        never("matches"),
        (
            "tests/guard/test_gate.py::test_http_1_0_without_host_needs_the_token_even_for_open_routes",
        ),
    ),
    Defence(
        "A4",
        "a wide listener has a scope",
        GATE,
        "Gate.admit",
        removed("check_scope"),
        ("tests/guard/test_gate.py::test_the_scope_follows_the_listener",),
    ),
    Defence(
        "A5",
        "without a token a body is application/json",
        REFUSED,
        "require_json",
        never("has_body"),
        (
            "tests/guard/test_gate.py::test_open_mode_takes_json_only",
            "tests/net/test_security_page.py::test_open_mode_is_closed_to_web_pages",
        ),
    ),
    Defence(
        "A5",
        "a body of any type is taken from programs only",
        REFUSED,
        "require_json",
        always("field_of"),
        ("tests/app/test_ollama.py::test_a_body_of_any_type_from_programs_only",),
    ),
    Defence(
        "A5",
        "an Origin that is not listed is refused",
        GATE,
        "Gate.check_browser",
        never("allows_origin"),
        ("tests/guard/test_gate.py::test_a_page_cannot_lock_the_user_out",),
    ),
    Defence(
        "A5",
        "what another site causes is refused",
        GATE,
        "Gate.check_browser",
        never("is_cross_site"),
        ("tests/guard/test_gate.py::test_a_page_cannot_lock_the_user_out",),
    ),
    Defence(
        "A5",
        "same-site is as foreign as cross-site",
        ORIGIN,
        "is_cross_site",
        expression(ast.Tuple, b"same-origin", put="(b'same-origin', b'none', b'same-site')"),
        ("tests/guard/test_browser.py::test_fetch_metadata_tells_foreign_requests",),
    ),
    Defence(
        "A5",
        "only a followed link is let through, no frame",
        ORIGIN,
        "is_navigation",
        dropped("lower"),
        ("tests/guard/test_browser.py::test_a_link_that_was_followed_is_a_navigation",),
    ),
    Defence(
        "A6",
        "no grant for an origin that is not listed",
        PREFLIGHT,
        "grant_origin",
        always("allows_origin"),
        ("tests/net/test_security_page.py::test_open_mode_is_closed_to_web_pages",),
    ),
    Defence(
        "A6",
        "never a wildcard",
        PREFLIGHT,
        "grant_origin",
        expression(
            ast.Tuple, b"access-control-allow-origin", put="(b'access-control-allow-origin', b'*')"
        ),
        (
            "tests/net/test_security_page.py::test_a_listed_origin_gets_a_grant_and_still_needs_the_token",
        ),
    ),
    Defence(
        "A6",
        "an origin is matched whole",
        ORIGIN,
        "is_allowed_origin",
        expression(
            ast.BoolOp,
            "https",
            put="any({within.args.args[0].arg}.lower().startswith(one) for one in {within.args.args[2].arg})",
        ),
        ("tests/guard/test_browser.py::test_only_the_relays_own_page_and_listed_origins_may_call",),
    ),
    Defence(
        "A6",
        "a preflight is refused like the request behind it",
        PREFLIGHT,
        "answer_preflight",
        removed("check_browser"),
        ("tests/net/test_security_page.py::test_a_page_can_neither_call_nor_lock_out",),
    ),
)
