"""guard.pagetokens: the life of codes and tokens of the page, and what a token opens."""

from __future__ import annotations

import pytest

from airelays.app.routes import ROUTES, routes_of
from airelays.guard import pagetokens
from airelays.guard.pagetokens import (
    CODE_S,
    IDLE_S,
    LONGEST_S,
    MAX_CODES,
    MAX_TOKENS,
    PageTokens,
    is_own_page,
    opens,
)
from airelays.model import RequestHead
from airelays.settings.values import Settings

RELAY = b"r" * 43


def random(number: int) -> bytes:
    return number.to_bytes(32, "big")


def token_of(pages: PageTokens, number: int = 1, now_s: float = 0.0) -> bytes:
    code, _ = pages.make_code(random(number), now_s, RELAY)
    token = pages.redeem([code.encode()], random(1000 + number), now_s, RELAY)
    assert token is not None
    return token.encode()


def test_a_code_and_a_token_are_32_random_bytes_each() -> None:
    pages = PageTokens()
    code, _ = pages.make_code(random(1), 0.0, RELAY)
    assert len(code) == 43 and code.isascii()
    token = pages.redeem([code.encode()], random(2), 0.0, RELAY)
    assert token is not None and token.startswith("airp_") and len(token) == 48
    with pytest.raises(ValueError):
        pages.make_code(b"short", 0.0, RELAY)


def test_a_code_is_good_once() -> None:
    pages = PageTokens()
    code, code_id = pages.make_code(random(1), 0.0, RELAY)
    presented = [code.encode()]
    assert pages.state_of(code_id, 1.0) == "waiting" and pages.is_code(presented, 1.0, RELAY)
    assert pages.redeem(presented, random(2), 1.0, RELAY)
    assert pages.state_of(code_id, 1.0) == "used" and not pages.is_code(presented, 1.0, RELAY)
    assert pages.redeem(presented, random(3), 1.0, RELAY) is None


def test_a_code_is_good_for_a_minute() -> None:
    pages = PageTokens()
    code, code_id = pages.make_code(random(1), 0.0, RELAY)
    assert pages.is_code([code.encode()], CODE_S - 0.001, RELAY)
    assert pages.state_of(code_id, CODE_S) == "ended"
    assert not pages.is_code([code.encode()], CODE_S, RELAY)
    assert pages.redeem([code.encode()], random(2), CODE_S, RELAY) is None


def test_a_wrong_code_opens_nothing_and_does_not_use_up_the_right_one() -> None:
    pages = PageTokens()
    code, _ = pages.make_code(random(1), 0.0, RELAY)
    assert pages.redeem([b"x" * 43], random(2), 0.0, RELAY) is None
    assert pages.redeem([], random(2), 0.0, RELAY) is None
    assert pages.is_code([code.encode()], 0.0, RELAY)


def test_of_seventeen_codes_the_oldest_is_gone() -> None:
    pages = PageTokens()
    codes = [pages.make_code(random(n), float(n), RELAY)[0] for n in range(MAX_CODES + 1)]
    good = [pages.is_code([code.encode()], 20.0, RELAY) for code in codes]
    assert good == [False] + [True] * MAX_CODES


def test_a_token_ends_after_twelve_hours_however_much_it_is_used() -> None:
    pages = PageTokens()
    token = token_of(pages)
    now_s = 0.0
    while now_s + 600 < LONGEST_S:
        now_s += 600
        assert pages.use([token], now_s, RELAY)
    assert not pages.use([token], LONGEST_S, RELAY)


def test_a_token_ends_after_thirty_idle_minutes() -> None:
    pages = PageTokens()
    token = token_of(pages)
    assert pages.use([token], IDLE_S - 1, RELAY)
    assert pages.use([token], 2 * IDLE_S - 2, RELAY)
    assert not pages.use([token], 3 * IDLE_S - 2, RELAY)


def test_a_new_relay_token_ends_codes_and_tokens() -> None:
    pages = PageTokens()
    token = token_of(pages)
    code, _ = pages.make_code(random(5), 0.0, RELAY)
    assert not pages.is_code([code.encode()], 0.0, b"new" * 20)
    assert not pages.use([token], 0.0, b"new" * 20)
    assert not pages.use([token], 0.0, RELAY), "and it stays ended"


def test_of_seventeen_tokens_the_one_unused_for_longest_is_gone() -> None:
    pages = PageTokens()
    tokens = [token_of(pages, n, float(n)) for n in range(MAX_TOKENS)]
    assert pages.use([tokens[0]], 50.0, RELAY)
    newest = token_of(pages, 100, 51.0)
    assert len(pages) == MAX_TOKENS
    good = [bool(pages.use([token], 52.0, RELAY)) for token in (*tokens, newest)]
    assert good == [True, False] + [True] * (MAX_TOKENS - 1)


def test_a_code_is_no_token_and_a_token_no_code() -> None:
    pages = PageTokens()
    token = token_of(pages)
    code, _ = pages.make_code(random(5), 0.0, RELAY)
    assert not pages.use([code.encode()], 0.0, RELAY)
    assert not pages.is_code([token], 0.0, RELAY)


def test_neither_is_kept_as_it_is() -> None:
    pages = PageTokens()
    token = token_of(pages)
    code, _ = pages.make_code(random(5), 0.0, RELAY)
    kept = repr([(pages._codes, pages._tokens)])
    assert code not in kept and token.decode() not in kept


def test_a_token_opens_the_listed_routes_and_no_other() -> None:
    opened = {(r.name, m) for r in ROUTES for m in r.methods if opens(r, m)}
    names = set(pagetokens.PAGE_ROUTES)
    reads = {(name, m) for name in names - {"relay_unblock"} for m in ("GET", "HEAD")}
    assert opened == {*reads, ("relay_unblock", "POST")}
    assert not opens(None, "GET")
    others = {m for r in ROUTES for m in ("POST", "PUT", "DELETE", "PATCH") if opens(r, m)}
    assert others == {"POST"}
    posts = {r.name for r in ROUTES if opens(r, "POST")}
    assert posts == {"relay_unblock"}
    for route in routes_of(Settings(data_dir="/x", ollama_enabled=True)):
        if opens(route, route.methods[0]):
            assert route.path.startswith(("/v1/relay/", "/docs"))
            assert route.name not in ("relay_logging", "relay_metrics", "page_session")


def asked(method: str = "GET", **fields: str) -> RequestHead:
    pairs = tuple((n.replace("_", "-").encode(), v.encode()) for n, v in fields.items())
    host = "127.0.0.1:8080"
    return RequestHead(method, "/", "", host, "1.1", pairs, None, False, True, False)


@pytest.mark.parametrize(
    ("head", "scheme", "own"),
    [
        (asked(sec_fetch_site="same-origin"), "http", True),
        (asked(), "http", True),
        (asked(sec_fetch_site="cross-site"), "http", False),
        (asked(sec_fetch_site="same-site"), "http", False),
        (asked(sec_fetch_site="none"), "http", False),
        (asked(origin="http://127.0.0.1:8080"), "http", True),
        (asked(origin="http://127.0.0.1:8081"), "http", False),
        (asked(origin="https://127.0.0.1:8080"), "http", False),
        (asked(origin="https://127.0.0.1:8080"), "https", True),
        (asked(origin="null"), "http", False),
        (asked("POST"), "http", False),
        (asked("POST", sec_fetch_site="same-origin"), "http", True),
        (asked("POST", origin="http://127.0.0.1:8080"), "http", True),
        (asked("POST", origin="http://127.0.0.1:8080", sec_fetch_site="cross-site"), "http", False),
    ],
)
def test_only_the_relays_own_page_may_use_a_token(
    head: RequestHead, scheme: str, own: bool
) -> None:
    assert is_own_page(head, scheme) is own
