"""guard.browser: what Host, Origin and Sec-Fetch-Site say."""

from __future__ import annotations

import pytest

from airelays.guard.browser import (
    host_name,
    is_allowed_host,
    is_allowed_origin,
    is_cross_site,
    is_navigation,
)
from airelays.model import RequestHead

HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "relay.lan"})


def head(**fields: str) -> RequestHead:
    pairs = tuple((k.replace("_", "-").encode(), v.encode()) for k, v in fields.items())
    return RequestHead("GET", "/", "", "h", "1.1", pairs, None, False, True, False)


@pytest.mark.parametrize(
    ("authority", "allowed"),
    [
        ("localhost", True),
        ("localhost:8080", True),
        ("LocalHost.:8080", True),
        ("127.0.0.1:1", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("relay.lan", True),
        ("RELAY.LAN:80", True),
        ("", False),
        (":8080", False),
        (".", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evil.localhost", False),
        ("x.local", False),
        ("x.internal", False),
        ("2130706433", False),
        ("0x7f000001", False),
        ("127.1", False),
        ("127.0.0.1,evil", False),
        ("[::ffff:127.0.0.1]", False),
        ("localhost..", False),
    ],
)
def test_only_listed_names_are_ours(authority: str, allowed: bool) -> None:
    assert is_allowed_host(authority, HOSTS) is allowed


def test_the_host_part_is_folded() -> None:
    assert host_name("[2001:DB8::1]:80") == "2001:db8::1"
    assert host_name("A.B.:1") == "a.b"


@pytest.mark.parametrize(
    ("page", "allowed"),
    [
        ("http://127.0.0.1:8080", True),
        ("HTTP://127.0.0.1:8080", True),
        ("http://127.0.0.1", False),
        ("http://127.0.0.1:8081", False),
        ("https://127.0.0.1:8080", False),
        ("https://app.example", True),
        ("https://app.example.evil", False),
        ("app://obsidian.md", True),
        ("app.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
    ],
)
def test_only_the_relays_own_page_and_listed_origins_may_call(page: str, allowed: bool) -> None:
    listed = frozenset({"https://app.example", "app://", "https://"})
    assert is_allowed_origin(page, "127.0.0.1:8080", listed) is allowed


def test_null_can_be_listed() -> None:
    assert is_allowed_origin("null", "127.0.0.1:8080", frozenset({"null"}))


@pytest.mark.parametrize(
    ("site", "cross"),
    [
        ("cross-site", True),
        ("same-site", True),
        ("same-origin", False),
        ("none", False),
        ("x", True),
    ],
)
def test_fetch_metadata_tells_foreign_requests(site: str, cross: bool) -> None:
    assert is_cross_site(head(sec_fetch_site=site)) is cross


def test_a_client_that_is_no_browser_says_nothing() -> None:
    assert not is_cross_site(head())


def test_a_link_that_was_followed_is_a_navigation() -> None:
    assert is_navigation(head(sec_fetch_mode="navigate", sec_fetch_dest="document"))
    assert not is_navigation(head(sec_fetch_mode="navigate", sec_fetch_dest="iframe"))
    assert not is_navigation(head(sec_fetch_mode="no-cors", sec_fetch_dest="image"))
