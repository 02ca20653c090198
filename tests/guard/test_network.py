"""guard.network: which address counts, how it is keyed, whether it is in scope."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from airelays.guard.network import client_address, in_scope, limiter_key
from airelays.model import RequestHead
from airelays.settings.hosts import is_loopback

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
PROXIES = (*LOOPBACK, ip_network("10.0.0.0/8"))


def forwarded(*values: str) -> RequestHead:
    fields = tuple((b"x-forwarded-for", value.encode()) for value in values)
    return RequestHead("GET", "/", "", "h", "1.1", fields, None, False, True, False)


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (("203.0.113.9",), "203.0.113.9"),
        (("6.6.6.6, 203.0.113.9",), "203.0.113.9"),
        (("6.6.6.6", "203.0.113.9"), "203.0.113.9"),
        (("203.0.113.9, 10.1.2.3",), "203.0.113.9"),
        (("203.0.113.9, 10.1.2.3, 127.0.0.5",), "203.0.113.9"),
        (("10.1.2.3",), "10.1.2.3"),
        (("::ffff:203.0.113.9",), "203.0.113.9"),
        (("[2001:db8::1]",), "2001:db8::1"),
        (("203.0.113.9:4444",), "127.0.0.1"),
        (("garbage",), "127.0.0.1"),
        (("203.0.113.9, garbage",), "127.0.0.1"),
        (("",), "127.0.0.1"),
        ((), "127.0.0.1"),
        (("203.0.113.9, \xff",), "127.0.0.1"),
    ],
)
def test_the_right_most_untrusted_hop_counts(values: tuple[str, ...], address: str) -> None:
    assert client_address("127.0.0.1", forwarded(*values), PROXIES) == address


def test_nothing_is_believed_of_a_peer_that_is_no_proxy() -> None:
    assert client_address("192.0.2.1", forwarded("203.0.113.9"), PROXIES) == "192.0.2.1"


def test_nothing_is_believed_when_no_proxy_is_trusted() -> None:
    assert client_address("127.0.0.1", forwarded("203.0.113.9"), ()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("", "unknown"),
        ("x", "unknown"),
    ],
)
def test_limits_are_keyed_by_address_or_by_64(address: str, key: str) -> None:
    assert limiter_key(address) == key


@pytest.mark.parametrize(
    ("address", "loopback", "private"),
    [
        ("127.0.0.1", True, True),
        ("127.255.1.2", True, True),
        ("::1", True, True),
        ("::ffff:127.0.0.1", True, True),
        ("10.0.0.1", False, True),
        ("172.16.0.1", False, True),
        ("172.32.0.1", False, False),
        ("192.168.3.4", False, True),
        ("100.64.0.1", False, True),
        ("169.254.1.1", False, True),
        ("fd00::1", False, True),
        ("fe80::1", False, True),
        ("8.8.8.8", False, False),
        ("2001:db8::1", False, False),
        ("garbage", False, False),
    ],
)
def test_scopes(address: str, loopback: bool, private: bool) -> None:
    assert in_scope(address, "loopback") is loopback
    assert in_scope(address, "private") is private
    assert in_scope(address, "any")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.1.2.3", True),
        ("0.0.0.0", False),
        ("a", False),
    ],
)
def test_loopback_names(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
