"""Upstreams that accept a connection and then say nothing: one step's time is spent once, and named."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airelays.settings.values import Settings
from airelays.upstream.choose import Upstreams
from tests.fakes.backend import FakeBackend
from tests.live import ROOT, Relay, program, running, wait_for

CHAT = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "x"}]}
# What is waited for in these tests, and what nobody may wait for: far longer than a test's patience.
SHORT = {"AIRELAYS_CONNECT_SECONDS": "0.3", "AIRELAYS_TLS_SECONDS": "0.3"}
ENDLESS = {"AIRELAYS_CONNECT_SECONDS": "600", "AIRELAYS_TLS_SECONDS": "600"}


class Mute:
    """A server that accepts and stays silent. `accepted` counts."""

    def __init__(self, listener: socket.socket) -> None:
        self.place = f"127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener
        self._held: list[socket.socket] = []

    @property
    def accepted(self) -> int:
        return len(self._held)

    def serve(self) -> None:
        while True:
            try:
                self._held.append(self._listener.accept()[0])
            except OSError:
                return

    def drop(self) -> None:
        for connection in self._held:
            connection.close()


@contextmanager
def mute() -> Iterator[Mute]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Mute(listener)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            server.drop()


@contextmanager
def relay_of(home: Path, config: str, env: dict[str, str]) -> Iterator[Relay]:
    data = home / ".airelays"
    data.mkdir(mode=0o700)
    sign_in(data)
    (home / "config.toml").write_text(config)
    with running(home, "--config", str(home / "config.toml"), env=env, demo=False) as one:
        yield one


def explained_once(relay: Relay, request_id: str, outcome: str) -> dict[str, Any] | None:
    """Return what `explain` says of a request, once it is in the log and ended so."""
    words = [*program(), "explain", request_id, "--json"]
    env = {"HOME": str(relay.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found if found.get("outcome") == outcome else None


def explained(relay: Relay, request_id: str) -> dict[str, Any]:
    """Return what `explain` says once the request is in the log."""
    story: dict[str, Any] = wait_for(lambda: explained_once(relay, request_id, "failed_upstream"))
    return story


@pytest.mark.parametrize("kind", ["chatgpt", "compatible"])
@pytest.mark.parametrize("step", ["tls", "proxy"])
def test_the_time_of_a_mute_step_is_spent_once_and_named(
    tmp_path: Path, kind: str, step: str
) -> None:
    with mute() as server:
        place = server.place if step == "tls" else "upstream.invalid"
        config = f'[upstream]\nkind = "{kind}"\nbase_url = "https://{place}/codex"\n'
        if step == "proxy":
            config += f'proxy = "http://{server.place}"\n'
        with relay_of(tmp_path, config, SHORT) as relay:
            reply = relay.send("POST", "/v1/chat/completions", CHAT)
            assert reply.status == 504
            assert "within 0.3 s" in reply.error["message"]
            story = explained(relay, reply.headers["x-request-id"])
    assert f"(at: {step} after " in story["why"]
    assert any(f"failed at {step} after " in one["what"] for one in story["timeline"])


def sign_in(home: Path) -> None:
    (home / "auth.json").write_bytes(FakeBackend().auth_json())
    (home / "auth.json").chmod(0o600)


def upstreams_of(home: Path, place: str, **more: Any) -> Upstreams:
    sign_in(home)
    base = f"https://{place}/codex"
    settings = Settings(data_dir=str(home), upstream_base_url=base, tls_seconds=0.3, **more)
    return Upstreams(settings, lambda text: None)


def test_a_request_does_not_dial_again_after_it_waited_for_the_models(tmp_path: Path) -> None:
    async def ask() -> None:
        upstreams = upstreams_of(tmp_path, server.place)
        [target] = await upstreams.targets("gpt-5.5")
        assert target.fault is not None and target.fault.hop == "tls"
        assert target.fault.step_s is not None and target.fault.step_s >= 0.29
        # The next one has not waited: it finds out by itself whether the upstream is back.
        [target] = await upstreams.targets("gpt-5.5")
        assert target.fault is None
        # The list of models is that of this release, as long as there is no other.
        assert b"gpt-5.5" in (await upstreams.listing()).body
        assert server.accepted == 1
        await upstreams.close()

    with mute() as server:
        asyncio.run(ask())


def test_a_copy_that_is_asked_for_anew_each_time_costs_one_dial(tmp_path: Path) -> None:
    async def ask() -> None:
        upstreams = upstreams_of(tmp_path, server.place, models_cache_ttl_seconds=0.0)
        for number in (1, 2):
            [target] = await upstreams.targets("gpt-5.5")
            assert target.fault is not None and server.accepted == number
        await upstreams.close()

    with mute() as server:
        asyncio.run(ask())


def test_a_mute_main_upstream_hands_over(tmp_path: Path) -> None:
    with mute() as server:
        config = (
            f'[upstream]\nbase_url = "https://{server.place}/codex"\n'
            'fallback = ["spare/m"]\nfallback_on = ["unreachable"]\n'
            '[upstreams.spare]\nkind = "demo"\n'
        )
        with relay_of(tmp_path, config, SHORT) as relay:
            reply = relay.send("POST", "/v1/chat/completions", CHAT)
            assert reply.status == 200
            assert reply.headers["x-airelays-fallback"] == "chatgpt:unreachable"


def test_a_fallback_is_not_waited_for_while_it_is_not_needed(tmp_path: Path) -> None:
    with mute() as server:
        config = (
            f'[upstream]\nbase_url = "https://{server.place}/codex"\n'
            '[upstreams.local]\nkind = "demo"\nmodels = ["demo*"]\n'
            'fallback = ["chatgpt/gpt-5.5"]\nfallback_on = ["unreachable"]\n'
        )
        with relay_of(tmp_path, config, ENDLESS) as relay:
            assert (
                relay.send("POST", "/v1/chat/completions", {**CHAT, "model": "demo"}).status == 200
            )
