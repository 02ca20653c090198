"""Upstreams, aliases and fallbacks change in a running relay; what has begun ends on what it began with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airelays.app.generations import Generations
from airelays.errors import ConfigError
from airelays.host.contact import find
from airelays.settings.reload import spelled
from airelays.settings.values import Alias, Settings, UpstreamSettings
from airelays.upstream.choose import Upstreams
from tests.app.test_live_reload import hang_up
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.live import Relay, Wire, running
from tests.net.test_live_wire import WIDE
from tests.upstream.test_live_compatible import ALL, chat


@pytest.fixture
def servers() -> Iterator[tuple[OpenAIServer, OpenAIServer]]:
    with openai_server(*ALL) as old, openai_server(*ALL) as new:
        yield old, new


def config_of(server: OpenAIServer, alias: str = "local/first") -> str:
    return f'[upstreams.local]\nbase_url = "{server.url}"\n[aliases]\nfast = "{alias}"\n'


def fast(relay: Relay, text: str, *, stream: bool = False) -> bytes:
    return relay.request(
        "POST", "/v1/chat/completions", {**chat(text, stream=stream), "model": "fast"}
    )


def begun(relay: Relay, text: str) -> Wire:
    """Return the connection of a stream that has begun and is not over."""
    wire = relay.connect()
    wire.send(fast(relay, text, stream=True))
    wire.head()
    wire.until(b"data: ")
    return wire


def test_a_running_stream_ends_where_it_began_and_the_next_goes_elsewhere(
    tmp_path: Path, servers: tuple[OpenAIServer, OpenAIServer]
) -> None:
    old, new = servers
    old.gap_s = 0.1
    config = tmp_path / "config.toml"
    config.write_text(config_of(old))
    with running(tmp_path, "--config", str(config), env=WIDE) as relay:
        wires = [begun(relay, "a b c d e f") for _ in range(10)]
        config.write_text(config_of(new, "local/second"))
        assert "applied: upstreams.local, aliases.fast" in hang_up(relay)
        with relay.connect() as wire:
            wire.send(fast(relay, "x"))
            reply = wire.reply("POST")
        assert reply.status == 200 and new.last("/chat/completions").json()["model"] == "second"
        for wire in wires:
            with wire:
                said = b"".join(wire.chunks()) if not wire.buffer else wire.until(b"0\r\n\r\n")
                assert b"[DONE]" in said and b"error" not in said
        assert len([one for one in old.seen if one.path == "/chat/completions"]) == 10


def test_a_bad_file_keeps_the_old_upstreams_and_status_says_why(
    tmp_path: Path, servers: tuple[OpenAIServer, OpenAIServer]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(config_of(servers[0]))
    with running(tmp_path, "--config", str(config), env=WIDE) as relay:
        config.write_text('[upstreams.local]\nbase_url = "ftp://nowhere"\n')
        assert "the settings were not changed" in hang_up(relay)
        contact = find(str(tmp_path / ".airelays"))
        assert contact is not None
        problem = contact.ask("GET", "/status")["process"]["reload_problem"]
        assert "upstreams.local.base_url" in problem
        with relay.connect() as wire:
            wire.send(fast(relay, "x"))
            assert wire.reply("POST").status == 200
        config.write_text("[server]\nwrite_stall_seconds = 61\n" + config_of(servers[1]))
        assert contact.ask("POST", "/reload", {}) == {
            "taken": ["upstreams.local"],
            "need_restart": ["write_stall_seconds"],
        }
        assert contact.ask("GET", "/status")["process"]["reload_problem"] is None


def settings_of(*named: UpstreamSettings, **more: Any) -> Settings:
    return Settings(
        data_dir="/x",
        upstream_kind="compatible",
        upstream_base_url="http://127.0.0.1:1/v1",
        upstreams=named,
        **more,
    )


def named(name: str, port: int = 2, **more: Any) -> UpstreamSettings:
    return UpstreamSettings(
        name=name, kind="compatible", base_url=f"http://127.0.0.1:{port}/v1", **more
    )


def test_what_did_not_change_is_handed_on_and_the_rest_closed_after_its_last_request() -> None:
    async def run() -> None:
        generations = Generations(Upstreams(settings_of(named("a"), named("b")), lambda _: None))
        first = generations.hold()
        main, a, b = first.every()
        second = generations.replace(settings_of(named("a", models=("x*",)), named("b", 3)))
        assert second.every()[:2] == [main, a] and second.named("b") is not b
        # It is in use only by a request that began before it: as long as that runs, nothing of either is closed.
        third = generations.replace(settings_of(named("b", 3)))
        assert third.every() == [main, second.named("b")]
        await generations.settled()
        assert not closed(b) and not closed(a)
        generations.release(first)
        await generations.settled()
        assert closed(b) and closed(a) and not closed(main)
        await generations.close()
        assert closed(main) and closed(third.every()[1])

    asyncio.run(run())


def closed(upstream: object) -> bool:
    return bool(upstream.client._closed)  # type: ignore[attr-defined]


def test_an_upstream_that_cannot_be_made_changes_nothing() -> None:
    async def run() -> None:
        generations = Generations(Upstreams(settings_of(named("a")), lambda _: None))
        before = generations.newest
        a = before.every()[1]
        with pytest.raises(ConfigError):
            generations.replace(settings_of(named("a"), named("b").replace(base_url="no url")))
        assert generations.newest is before and generations.hold().every()[1] is a
        await generations.close()
        assert closed(a)

    asyncio.run(run())


def test_changed_tables_are_told_by_the_names_in_them() -> None:
    old = settings_of(named("a"), named("b"), aliases=(Alias("x", "m"),))
    new = settings_of(named("b"), named("c"), aliases=(Alias("x", "n"),))
    assert spelled(["port", "upstreams", "aliases"], old, new) == [
        "port",
        "upstreams.a",
        "upstreams.c",
        "aliases.x",
    ]
