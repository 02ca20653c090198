"""Defenses of the way to an upstream: kept connections, redirects, certificates, proxies; rows U5 to U7, U9, U10."""

from __future__ import annotations

import ast

from change import (
    always,
    dropped,
    expression,
    instead,
    never,
    removed,
    value,
)
from entry import Defence

CLIENT = "airelays/net/client.py"
DIAL = "airelays/net/dial.py"
EXCHANGE = "airelays/net/exchange.py"
FAULTS = "airelays/upstream/chatgpt/faults.py"
OAUTH = "airelays/upstream/chatgpt/oauth.py"
PROXY = "airelays/net/proxy.py"
TRUST = "airelays/net/trust.py"
BAD_CERTIFICATE = "tests/net/test_client.py::test_wrong_certificate_is_refused_with_advice"
STRICT = ("tests/net/test_trust.py::test_context_is_strict_and_made_once",)

CONNECTING = (
    Defence(
        "U5",
        "a kept connection is used for 5 seconds",
        CLIENT,
        "",
        value("IDLE_S", "3600.0"),
        ("tests/net/test_client.py::test_a_connection_that_was_idle_for_five_seconds_is_closed",),
    ),
    Defence(
        "U5",
        "a connection that is readable is dead",
        CLIENT,
        "Client._take",
        dropped("is_usable"),
        ("tests/net/test_client.py::test_bytes_on_an_idle_connection_close_it",),
    ),
    Defence(
        "U5",
        "a kept connection that died is replaced once",
        CLIENT,
        "Client.request",
        always("lost_unheard"),
        ("tests/net/test_client.py::test_kept_connection_that_died_is_replaced_without_a_word",),
    ),
    Defence(
        "U6",
        "bytes behind an answer close the connection",
        EXCHANGE,
        "Exchange._complete",
        expression(
            ast.BoolOp, "_closed_cleanly", put="{it.values[1]} or {it.values[2]} or {it.values[3]}"
        ),
        ("tests/net/test_client.py::test_connection_out_of_step_is_not_used_again",),
    ),
    Defence(
        "U6",
        "bytes before a request close the connection",
        EXCHANGE,
        "Exchange.buffer_updated",
        never("_IDLE"),
        (
            "tests/net/test_client.py::test_bytes_on_an_idle_connection_that_were_read_close_it_at_once",
        ),
    ),
    Defence(
        "U6",
        "an early answer leaves no connection out of step",
        EXCHANGE,
        "Exchange._complete",
        dropped("get_write_buffer_size"),
        (
            "tests/net/test_client.py::test_early_answer_to_a_large_request_does_not_leave_a_connection_out_of_step",
        ),
    ),
    Defence(
        "U7",
        "a redirect of ChatGPT is 502",
        FAULTS,
        "Refusal._classify",
        never(400),
        ("tests/upstream/test_backend.py::test_redirect_is_a_502_and_not_followed",),
    ),
    Defence(
        "U7",
        "a redirect of another server is 502",
        "airelays/upstream/compatible/refusal.py",
        "Refused.fault",
        never("answered with a redirect"),
        ("tests/upstream/test_live_compatible.py::test_errors_keep_status_and_body_but_never_401",),
    ),
    Defence(
        "U7",
        "a redirect of the issuer is refused",
        OAUTH,
        "Issuer._post",
        never(400),
        ("tests/upstream/test_oauth.py::test_redirect_of_the_issuer_is_not_followed",),
    ),
    Defence(
        "U9",
        "certificates are verified",
        TRUST,
        "Trust._build",
        instead(
            "set_alpn_protocols",
            put=(
                "{it.value.func.value}.check_hostname = False\n"
                "{it.value.func.value}.verify_mode = ssl.CERT_NONE"
            ),
        ),
        (*STRICT, "tests/net/test_client.py::test_unknown_authority_is_refused_with_advice"),
    ),
    Defence(
        "U9",
        "names are verified",
        TRUST,
        "Trust._build",
        instead("set_alpn_protocols", put="{it.value.func.value}.check_hostname = False"),
        (f"{BAD_CERTIFICATE}[other-name]",),
    ),
    Defence(
        "U9",
        "a common name is no name",
        TRUST,
        "Trust._build",
        removed("hostname_checks_common_name"),
        STRICT,
    ),
    Defence(
        "U9",
        "TLS 1.2 or newer",
        TRUST,
        "Trust._build",
        value("minimum_version", "ssl.TLSVersion.TLSv1"),
        STRICT,
    ),
    Defence(
        "U9",
        "the server is told which name is meant",
        DIAL,
        "_start_tls",
        value("server_hostname", "'other.test'"),
        ("tests/net/test_client.py::test_the_server_is_offered_http_1_1_and_told_the_name",),
    ),
    Defence(
        "U9",
        "HTTP/1.1 is agreed on",
        TRUST,
        "Trust._build",
        removed("set_alpn_protocols"),
        ("tests/net/test_client.py::test_the_server_is_offered_http_1_1_and_told_the_name",),
    ),
    Defence(
        "U9",
        "a missing close_notify is a cut",
        EXCHANGE,
        "Exchange.eof_received",
        expression(ast.BoolOp, "read", put="True"),
        ("tests/net/test_client.py::test_body_ended_by_close_needs_a_close_notify",),
    ),
    Defence(
        "U9",
        "plain http goes to near addresses only",
        "airelays/settings/named.py",
        "check_plain_http",
        never("is_near"),
        ("tests/settings/test_config.py::test_plain_http_only_to_near_addresses",),
    ),
    Defence(
        "U10",
        "proxy variables count only when told",
        CLIENT,
        "Client.for_settings",
        value("env", "os.environ"),
        ("tests/net/test_client.py::test_proxy_variables_count_only_when_told",),
    ),
    Defence(
        "U10",
        "loopback is never proxied",
        PROXY,
        "ProxyRules.choose",
        dropped("is_loopback"),
        ("tests/net/test_client.py::test_loopback_is_never_proxied",),
    ),
    Defence(
        "U10",
        "HTTP_PROXY of a CGI process is a header",
        PROXY,
        "ProxyRules.__init__",
        dropped("HTTP_PROXY", "REQUEST_METHOD"),
        ("tests/net/test_trust.py::test_proxy_is_chosen",),
    ),
    Defence(
        "U10",
        "https goes through CONNECT, its TLS inside",
        DIAL,
        "_reach",
        removed("_tunnel"),
        ("tests/net/test_client.py::test_https_goes_through_connect_with_credentials",),
    ),
)
