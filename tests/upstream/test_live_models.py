"""A catalogue of 50,000 models: a bounded list, made into a body once, and every model usable by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airelays.settings.values import Settings
from airelays.upstream.choose import Upstreams
from tests.commands.test_cli import User
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.live import running
from tests.upstream.test_live_compatible import relaying

COUNT = 50_000
LONG = "m" * 257


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server("/models", "/chat/completions") as one:
        listed = [{"id": f"model-{number}"} for number in range(COUNT - 1)] + [{"id": LONG}]
        one.answers["/models"] = (200, "application/json", json.dumps({"data": listed}).encode())
        yield one


def listings_of(server: OpenAIServer) -> int:
    return [one.path for one in server.seen].count("/models")


def test_the_body_is_made_once_for_each_catalogue(tmp_path: Path, server: OpenAIServer) -> None:
    settings = Settings(
        data_dir=str(tmp_path), upstream_kind="compatible", upstream_base_url=server.url
    )

    async def ask() -> None:
        said: list[str] = []
        every = Upstreams(settings, said.append)
        first = await every.listing()
        assert first.left_out == COUNT - 5000
        # At the same time and later: the same bytes, not equal ones.
        again = await asyncio.gather(*(every.listing() for _ in range(20)))
        assert all(one.body is first.body for one in again)
        # The server says the same as before: the body stays.
        assert (await every.listing(refresh=True)).body is first.body
        # Another catalogue is another body, once.
        server.answers["/models"] = (200, "application/json", b'{"data": [{"id": "a"}]}')
        small = await every.listing(refresh=True)
        assert small.left_out == 0 and (await every.listing()).body is small.body
        assert len(said) == 1 and "can be used by name" in said[0]
        await every.close()

    asyncio.run(ask())


def test_a_running_relay_lists_5000_and_serves_all(tmp_path: Path, server: OpenAIServer) -> None:
    with relaying(tmp_path, server.url) as relay:
        bodies = {relay.get("/v1/models").body for _ in range(3)}
        assert len(bodies) == 1 and listings_of(server) == 1
        body = json.loads(bodies.pop())
        assert len(body["data"]) == 5000 and max(len(one["id"]) for one in body["data"]) <= 256
        assert body["airelays"] == {"models_left_out": COUNT - 5000}
        for name in (f"model-{COUNT - 2}", LONG):
            assert relay.get(f"/v1/models/{name}").json()["id"] == name
            messages = [{"role": "user", "content": "x"}]
            reply = relay.send(
                "POST", "/v1/chat/completions", {"model": name, "messages": messages}
            )
            assert reply.json()["choices"][0]["message"]["content"] == f"chat {name}: x"
        missing = relay.get("/v1/models/model-")
        assert (missing.status, missing.error["code"]) == (404, "model_not_found")
        assert "similar names are model-" in missing.error["message"]
        assert listings_of(server) == 1


def test_the_command_says_how_many_are_left_out(tmp_path: Path, server: OpenAIServer) -> None:
    env = {"AIRELAYS_UPSTREAM_KIND": "compatible", "AIRELAYS_UPSTREAM_BASE_URL": server.url}
    done = User(tmp_path).run("models", "--json", **env)
    assert "leaves out 45,000 models" in done.stderr and "can be used by name" in done.stderr
    body: Any = json.loads(done.stdout)
    assert body["airelays"]["models_left_out"] == COUNT - 5000


def test_a_demo_has_nothing_left_out(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        assert "airelays" not in relay.get("/v1/models").json()
