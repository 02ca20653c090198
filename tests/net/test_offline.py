"""`upstream.offline`: nothing beyond loopback and private addresses is connected."""

from __future__ import annotations

import asyncio

import pytest

from airelays.errors import ConfigError, UpstreamFault
from airelays.net.client import Client
from airelays.settings.load import load
from airelays.settings.parse import Places
from airelays.settings.values import UpstreamSettings

PLACES = Places(home="/h", cwd="/")


def settings_of(text: str) -> object:
    return load(text, "c.toml", {}, {}, places=PLACES).settings


def test_chatgpt_cannot_be_reached_offline() -> None:
    with pytest.raises(ConfigError) as raised:
        settings_of("[upstream]\noffline = true\n")
    assert str(raised.value) == (
        'c.toml: upstream.offline is on and upstream.kind is "chatgpt", which is on the Internet; choose '
        '"compatible" with your own server, or "demo"'
    )


@pytest.mark.parametrize("url", ["https://8.8.8.8/v1", "https://[2606:4700::1]/v1"])
def test_a_public_address_is_refused_at_start(url: str) -> None:
    text = f'[upstream]\nkind = "demo"\noffline = true\n[upstreams.far]\nbase_url = "{url}"\n'
    with pytest.raises(ConfigError, match=r"far is at .* neither loopback nor private"):
        settings_of(text)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://10.0.0.1/v1", "https://gateway/v1"]
)
def test_near_addresses_and_names_start(url: str) -> None:
    text = f'[upstream]\nkind = "compatible"\noffline = true\nbase_url = "{url}"\n'
    assert settings_of(text)


def dial(url: str, **rest: object) -> UpstreamFault:
    settings = UpstreamSettings("x", "compatible", url, offline=True, proxy="http://127.0.0.1:1")

    async def go() -> None:
        client = Client.for_settings([url], settings)
        try:
            await client.request(method="GET", url=url)
        finally:
            await client.close()

    with pytest.raises(UpstreamFault) as raised:
        asyncio.run(go())
    return raised.value


def test_an_address_elsewhere_is_never_dialled() -> None:
    fault = dial("http://8.8.8.8:9/v1")
    assert fault.code == "upstream_offline" and fault.sent is False and fault.should_retry is False
    assert fault.message == (
        "8.8.8.8:9 is at 8.8.8.8, but the relay is in offline mode and only connects to loopback "
        "and private addresses (upstream.offline)"
    )


def test_loopback_is_dialled_without_the_proxy() -> None:
    fault = dial("http://127.0.0.1:1/v1")
    assert "cannot connect to 127.0.0.1:1 (connection refused)" in fault.message
    assert "proxy" not in fault.message
