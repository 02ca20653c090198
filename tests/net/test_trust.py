"""Whom the relay believes: one store, in a fixed order, never a union; and which proxy applies."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from airelays.errors import ConfigError, UpstreamFault
from airelays.net.address import split_url
from airelays.net.proxy import ProxyRules
from airelays.net.trust import Trust
from airelays.settings.hosts import is_loopback
from tests.fakes.authority import Authority


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Authority(tmp_path_factory.mktemp("ca")).ca_file


def count(trust: Trust) -> Any:
    return trust.context_now().cert_store_stats()["x509_ca"]


def test_file_of_the_settings_wins_over_everything(ca_file: str) -> None:
    trust = Trust(ca_file, env={"SSL_CERT_FILE": "/nonexistent"}, system_stores=("/nonexistent",))
    assert trust.store().kind == "settings" and count(trust) == 1


def test_environment_wins_over_the_system(ca_file: str, tmp_path: Path) -> None:
    trust = Trust(env={"SSL_CERT_FILE": ca_file}, system_stores=("/etc/hostname",))
    assert (trust.store().kind, trust.store().path) == ("environment", ca_file) and count(
        trust
    ) == 1


def test_first_system_store_that_holds_a_certificate_is_taken(ca_file: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    trust = Trust(env={}, system_stores=(str(tmp_path / "none"), str(empty), ca_file))
    assert (trust.store().kind, trust.store().path) == ("system", ca_file) and count(trust) == 1


def test_certifi_is_the_last_resort() -> None:
    trust = Trust(env={}, system_stores=())
    assert trust.store().kind == "certifi" and count(trust) > 50
    facts = trust.describe()
    assert facts["date"][:3] == "202" and facts["age_days"] >= 0


def test_context_is_strict_and_made_once(ca_file: str) -> None:
    trust = Trust(ca_file, env={})

    async def act() -> Any:
        return await asyncio.gather(*(trust.context() for _ in range(5)))

    found = asyncio.run(act())
    context = found[0]
    assert all(other is context for other in found)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
    assert context.hostname_checks_common_name is False


def test_age_of_a_file_is_told(ca_file: str) -> None:
    os.utime(ca_file, (time.time() - 10 * 86400,) * 2)
    assert Trust(ca_file, env={}).describe()["age_days"] == 10
    assert Trust("/nonexistent", env={}).describe()["age_days"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"", "contains no usable PEM certificate"),
        (b"x", "contains no usable PEM"),
    ],
)
def test_unusable_file_is_named_with_what_to_do(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UpstreamFault) as caught:
        asyncio.run(Trust(str(path), env={}).context())
    fault = caught.value
    assert (fault.hop, fault.sent, fault.should_retry) == ("tls", False, False)
    assert (
        said in fault.message and "upstream.ca_file" in fault.message and str(path) in fault.local
    )
    assert str(path) not in fault.message


# --- URLs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "authority", "target"),
    [
        ("https://chatgpt.com/a?b=c", "https", "chatgpt.com", 443, "chatgpt.com", "/a?b=c"),
        ("HTTP://Example.COM:80", "http", "example.com", 80, "example.com", "/"),
        ("http://[::1]:8080/x", "http", "::1", 8080, "[::1]:8080", "/x"),
        ("https://h:8443/", "https", "h", 8443, "h:8443", "/"),
    ],
)
def test_url_is_taken_apart(
    url: str, scheme: str, host: str, port: int, authority: str, target: str
) -> None:
    found = split_url(url)
    assert (found.scheme, found.host, found.port) == (scheme, host, port)
    assert (found.authority, found.target) == (authority, target)


@pytest.mark.parametrize(
    "url",
    [
        "", "chatgpt.com", "ftp://h/", "https://", "https:///x", "https://u:p@h/", "https://h/#f",
        "https://h:0/", "https://h:65536/", "https://h:/", "https://h/ x", "https://h/\r\nx", "https://-h/",
    ],
)  # fmt: skip
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_url(url)
    assert "u:p@" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("a.localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
        ("127.example.com", False), ("::2", False), ("10.0.0.1", False), ("localhost.example", False),
    ],
)  # fmt: skip
def test_loopback_is_recognised(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# --- proxies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "scheme", "expected"),
    [
        ({}, "https", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https", ("p", 1)),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https", ("p", 1)),
        ({"HTTPS_PROXY": "http://p:1"}, "http", None),
        ({"HTTP_PROXY": "p:1"}, "http", ("p", 1)),
        ({"HTTP_PROXY": "p:1", "REQUEST_METHOD": "GET"}, "http", None),
        ({"ALL_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "http", ("q", 2)),
        ({"all_proxy": "http://p"}, "https", ("p", 80)),
        ({"HTTPS_PROXY": ""}, "https", None),
        ({"HTTPS_PROXY": "http://[::1]:3128/"}, "https", ("::1", 3128)),
    ],
)
def test_proxy_is_chosen(
    env: dict[str, Any], scheme: str, expected: tuple[Any, ...] | None
) -> None:
    found = ProxyRules(env).choose(scheme, "far.example", 443)
    assert (None if found is None else (found.host, found.port)) == expected


@pytest.mark.parametrize(
    ("entries", "direct"),
    [
        ("*", True), ("far.example", True), (".far.example", True), ("example", True), ("*.example", True),
        ("r.example", False), ("FAR.example", True), ("far.example:443", True), ("far.example:80", False),
        ("a, far.example ,b", True), ("a b far.example", True), ("10.0.0.0/8", False), ("", False),
    ],
)  # fmt: skip
def test_no_proxy_makes_exceptions(entries: str, direct: bool) -> None:
    rules = ProxyRules({"HTTPS_PROXY": "http://p:1", "NO_PROXY": entries})
    assert (rules.choose("https", "far.example", 443) is None) is direct


@pytest.mark.parametrize(
    ("entry", "host", "direct"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("2001:db8::/32", "2001:db8::5", True),
    ],
)
def test_no_proxy_knows_networks(entry: str, host: str, direct: bool) -> None:
    rules = ProxyRules({"ALL_PROXY": "http://p:1", "no_proxy": entry})
    assert (rules.choose("https", host, 443) is None) is direct


def test_proxy_of_the_settings_wins() -> None:
    found = ProxyRules({"HTTPS_PROXY": "http://p:1"}, url="http://me:pw@q:2").choose(
        "https", "far.example", 443
    )
    assert found is not None
    assert (found.host, found.variable) == ("q", "upstream.proxy") and "pw" not in repr(found)


@pytest.mark.parametrize(
    "value", ["socks5://u:hunter2@p:1", "https://p:1", "http://", "http://p:99999", "://"]
)
def test_unusable_proxy_is_named_without_its_secret(value: str) -> None:
    with pytest.raises(UpstreamFault) as caught:
        ProxyRules({"HTTPS_PROXY": value}).choose("https", "far.example", 443)
    fault = caught.value
    assert (fault.hop, fault.sent, fault.should_retry) == ("proxy", False, False)
    assert fault.message.startswith("HTTPS_PROXY ") and "hunter2" not in fault.message
