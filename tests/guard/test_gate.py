"""guard.gate: the order of the checks, and what each refusal says and costs."""

from __future__ import annotations

from typing import Any

import pytest

from airelays.guard.gate import DOCS_WITHOUT_TOKEN, Admission, Gate
from airelays.guard.refused import Refused, check_length
from airelays.model import Peer, RequestHead, Route
from airelays.settings.values import Settings

TOKEN = b"t" * 43
OPEN = Route("health", "/healthz", ("GET",), open=True)
JSON = Route("chat", "/v1/chat/completions", ("POST",), "json")
UPLOAD = Route("files", "/v1/files", ("POST",), "multipart")


def gate(**changes: Any) -> Gate:
    return Gate(Settings(data_dir="/x", **changes))


def request(
    *fields: tuple[bytes, bytes],
    method: str = "POST",
    host: str = "127.0.0.1:8080",
    version: str = "1.1",
    length: int | None = 2,
    token: bytes | None = TOKEN,
) -> RequestHead:
    own = ((b"authorization", b"Bearer " + token),) if token else ()
    return RequestHead(method, "/", "", host, version, (*own, *fields), length, False, True, False)


def admit(
    g: Gate,
    head: RequestHead | None = None,
    *,
    route: Route | None = JSON,
    now_s: float = 0.0,
    peer: str = "127.0.0.1",
    token: bytes | None = TOKEN,
    here: str = "127.0.0.1",
    family: str = "/v1",
) -> Admission:
    """Do as the app does with a request that does not wait for a slot."""
    head = head or request()
    found = g.admit(head, Peer(peer), route, now_s, token=token, here=here, family=family)
    if found.lease is None:
        raise g.too_busy(found)
    check_length(head, 100)
    return found


def release(admission: Admission) -> None:
    assert admission.lease is not None
    admission.lease.release()


def refused(g: Gate, head: RequestHead | None = None, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        admit(g, head, **more)
    return caught.value


def test_the_right_token_is_admitted() -> None:
    assert admit(gate()).client == "127.0.0.1"


@pytest.mark.parametrize("route", [JSON, UPLOAD, None])
def test_every_other_route_needs_the_token_known_or_not(route: Route | None) -> None:
    error = refused(gate(), request(token=None), route=route)
    assert (error.status, error.code, error.reason) == (401, "invalid_api_key", "auth_failed")
    assert error.headers["www-authenticate"].startswith("Bearer")


def visit(*fields: tuple[bytes, bytes], method: str = "GET") -> RequestHead:
    return request(*fields, method=method, length=None, token=None)


def test_a_visit_outside_the_families_is_no_attempt() -> None:
    g = gate(failed_auth_max_attempts=2)
    for method in ("GET", "HEAD"):
        for route in (None, JSON):
            error = refused(g, visit(method=method), route=route, family="")
            assert (error.status, error.code) == (404, "unknown_route")
            assert error.reason == "path_without_token"
    texts = {refused(g, visit(), route=r, family="").message for r in (None, JSON)}
    assert len(texts) == 1  # it does not tell which paths exist
    assert g.blocklist.failures("127.0.0.1", 0.0) == 0
    assert len(g.buckets) == 0 and len(g.leases) == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_other_methods_outside_the_families_count(method: str) -> None:
    g = gate()
    assert refused(g, visit(method=method), route=None, family="").status == 401
    assert g.blocklist.failures("127.0.0.1", 0.0) == 1


@pytest.mark.parametrize("family", ["/v1", "/no-tools/v1", "/metrics", "/docs"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_inside_the_families_a_missing_credential_counts(family: str, method: str) -> None:
    g = gate()
    assert refused(g, visit(method=method), route=None, family=family).status == 401
    assert g.blocklist.failures("127.0.0.1", 0.0) == 1


@pytest.mark.parametrize(
    "field",
    [
        (b"authorization", b"Bearer wrong"),
        (b"authorization", b"Basic dXNlcjpwYXNz"),
        (b"authorization", b"wrong"),
        (b"x-api-key", b"wrong"),
        (b"api-key", b"wrong"),
    ],
)
@pytest.mark.parametrize("family", ["", "/docs"])
def test_a_wrong_credential_counts_everywhere(field: tuple[bytes, bytes], family: str) -> None:
    g = gate()
    navigation = (b"sec-fetch-mode", b"navigate")
    assert refused(g, visit(field, navigation), route=None, family=family).status == 401
    assert g.blocklist.failures("127.0.0.1", 0.0) == 1


@pytest.mark.parametrize(
    "field", [(b"authorization", b""), (b"authorization", b"Bearer"), (b"x-api-key", b"")]
)
def test_an_empty_credential_field_is_no_credential(field: tuple[bytes, bytes]) -> None:
    assert refused(gate(), visit(field), route=None, family="").status == 404


def test_a_browser_that_opens_the_documentation_is_no_attempt() -> None:
    g = gate()
    navigation = (b"sec-fetch-mode", b"navigate")
    for method in ("GET", "HEAD"):
        error = refused(g, visit(navigation, method=method), route=None, family="/docs")
        assert (error.status, error.reason) == (404, DOCS_WITHOUT_TOKEN)
    assert g.blocklist.failures("127.0.0.1", 0.0) == 0
    for head, family in (
        (visit(navigation, method="POST"), "/docs"),
        (visit((b"sec-fetch-mode", b"cors")), "/docs"),
        (visit(navigation), "/v1"),
        (visit(navigation), "/metrics"),
    ):
        assert refused(g, head, route=None, family=family).status == 401


def test_a_blocked_address_may_still_ask_for_an_icon() -> None:
    g = gate(failed_auth_max_attempts=1)
    assert refused(g, visit()).status == 401
    assert refused(g, visit()).status == 429
    assert refused(g, visit(), route=None, family="").status == 404


def test_open_routes_need_none_and_hold_no_slot() -> None:
    g = gate()
    for _ in range(50):
        admit(g, request(method="GET", token=None, length=None), route=OPEN)
    assert len(g.leases) == 0 and len(g.buckets) == 0


def test_missing_and_wrong_are_answered_alike() -> None:
    g = gate()
    missing, wrong = refused(g, request(token=None)), refused(g, request(token=b"wrong"))
    assert missing.to_object() == wrong.to_object()
    assert (missing.presented, len(wrong.presented)) == ("", 12)


def test_without_a_token_on_disk_nobody_gets_in() -> None:
    assert refused(gate(), request(token=None), token=None).status == 401
    assert refused(gate(), request(token=b""), token=None).status == 401


def test_eight_failures_then_a_block_that_a_long_token_passes() -> None:
    g = gate()
    errors = [refused(g, request(token=b"bad"), now_s=1.0) for _ in range(9)]
    assert [e.status for e in errors] == [401] * 8 + [429]
    assert [e.blocked for e in errors[:8]] == [False] * 7 + [True]
    assert errors[8].code == "ip_temporarily_blocked"
    assert errors[8].retry_after_s == 900.0
    assert admit(g, now_s=1.0)
    assert refused(g, request(token=b"bad"), now_s=900.9).status == 429
    assert refused(g, request(token=b"bad"), now_s=901.0).status == 401


def test_a_block_stops_a_short_token_too() -> None:
    g, short = gate(), b"s" * 31
    for _ in range(8):
        refused(g, request(token=b"bad"), token=short)
    assert refused(g, request(token=short), token=short).status == 429


def test_a_block_can_be_made_to_stop_everybody() -> None:
    g = gate(failed_auth_block_scope="address")
    for _ in range(8):
        refused(g, request(token=b"bad"))
    assert refused(g).status == 429


def test_a_failure_costs_nothing_from_the_bucket() -> None:
    g = gate()
    for _ in range(7):
        refused(g, request(token=None))
    assert g.buckets.level("127.0.0.1", 0.0) == 40.0


def test_a_page_cannot_lock_the_user_out() -> None:
    g = gate()
    for fields in ([(b"origin", b"https://evil.example")], [(b"sec-fetch-site", b"cross-site")]):
        for _ in range(20):
            assert refused(g, request(*fields, token=None)).status == 403
    for _ in range(20):
        assert refused(g, request(host="evil.example", token=None)).status == 421
    assert g.blocklist.failures("127.0.0.1", 0.0) == 0


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil", "2130706433", "a.local"])
def test_a_foreign_host_is_refused_even_with_the_token(host: str) -> None:
    for route in (JSON, OPEN, None):
        assert refused(gate(), request(host=host), route=route).status == 421


def test_the_address_that_was_connected_to_is_a_good_host() -> None:
    g = gate(host="0.0.0.0")
    assert admit(g, request(host="192.168.1.5:8080"), here="192.168.1.5")
    assert refused(g, request(host="192.168.1.6:8080"), here="192.168.1.5").status == 421


def test_a_host_can_be_listed() -> None:
    assert admit(gate(allowed_hosts=("Relay.lan",)), request(host="relay.LAN:1"))


def test_http_1_0_without_host_needs_the_token_even_for_open_routes() -> None:
    old: dict[str, Any] = {"host": "", "version": "1.0", "method": "GET", "length": None}
    assert admit(gate(), request(**old), route=OPEN)
    assert refused(gate(), request(token=None, **old), route=OPEN).status == 421


def test_a_page_of_a_listed_origin_may_call_with_the_token() -> None:
    g = gate(allowed_origins=("https://app.example",))
    fields = ((b"origin", b"https://app.example"), (b"sec-fetch-site", b"cross-site"))
    assert admit(g, request(*fields))
    assert refused(g, request(*fields, token=None)).status == 401


def test_a_link_to_a_public_page_may_be_followed() -> None:
    fields = (
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-mode", b"navigate"),
        (b"sec-fetch-dest", b"document"),
    )
    head = request(*fields, method="GET", token=None, length=None)
    assert admit(gate(), head, route=OPEN)
    assert refused(gate(), head, route=JSON).status == 403


@pytest.mark.parametrize(("host", "scope"), [("127.0.0.1", "loopback"), ("0.0.0.0", "private")])
def test_the_scope_follows_the_listener(host: str, scope: str) -> None:
    g = gate(host=host)
    assert g.scope == scope
    for route in (JSON, OPEN):
        error = refused(g, peer="8.8.8.8", route=route)
        assert error.status == 403
        assert error.code == (
            "client_not_on_this_machine" if scope == "loopback" else "client_not_on_private_network"
        )


def test_the_bucket_is_exact_and_tells_the_true_wait() -> None:
    g = gate(concurrent_requests_per_ip=1000)
    for _ in range(40):
        admit(g)
    error = refused(g)
    assert (error.status, error.code, error.retry_after_s) == (429, "rate_limit_exceeded", 0.5)
    assert admit(g, now_s=0.5)


def test_nine_at_once_are_one_too_many() -> None:
    g = gate()
    held = [admit(g) for _ in range(8)]
    error = refused(g)
    assert (error.status, error.code, error.retry_after_s) == (
        429,
        "too_many_concurrent_requests",
        1.0,
    )
    assert "security.concurrent_requests_per_ip" in error.message
    assert "security.queue_seconds" in error.message
    release(held[0])
    assert admit(g)


@pytest.mark.parametrize(("length", "good"), [(99, True), (100, True), (101, False)])
def test_a_declared_length_is_checked_last(length: int, good: bool) -> None:
    g = gate()
    if good:
        assert admit(g, request(length=length))
        return
    error = refused(g, request(length=length))
    assert (error.status, error.code) == (413, "request_too_large")
    assert "101 bytes; this route accepts at most 100" in error.message


def test_open_mode_takes_json_only() -> None:
    g = gate(require_bearer_auth=False)
    json = (b"content-type", b"Application/JSON; charset=utf-8")
    assert admit(g, request(json, token=None))
    for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data", b""):
        assert refused(g, request((b"content-type", kind), token=None)).status == 415
    assert refused(g, request(token=None)).status == 415
    assert admit(g, request((b"content-type", b"multipart/form-data"), token=None), route=UPLOAD)


def test_open_mode_keeps_every_other_check() -> None:
    g = gate(require_bearer_auth=False)
    json = (b"content-type", b"application/json")
    assert refused(g, request(json, (b"origin", b"null"), token=None)).status == 403
    assert refused(g, request(json, host="evil", token=None)).status == 421
    held = [admit(g, request(json, token=None)) for _ in range(8)]
    assert refused(g, request(json, token=None)).status == 429
    for admission in held:
        release(admission)
    for _ in range(32):
        release(admit(g, request(json, token=None)))
    assert refused(g, request(json, token=None)).code == "rate_limit_exceeded"


def test_forwarded_addresses_count_only_behind_a_trusted_proxy() -> None:
    forwarded = request((b"x-forwarded-for", b"203.0.113.9"))
    assert admit(gate(), forwarded).client == "127.0.0.1"
    g = gate(trust_x_forwarded_for=True, host="0.0.0.0", network_scope="any")
    assert admit(g, forwarded).client == "203.0.113.9"
    assert admit(g, forwarded, peer="198.51.100.1").client == "198.51.100.1"
