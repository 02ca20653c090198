"""The raw lane in a running relay: a backend that sends each event as a chunk of its own, a moment apart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.events import Stream
from tests.fakes.http import Reply as FakeReply
from tests.journal.test_live_journal import GENEROUS, logs_of, of_request, records
from tests.live import Relay, running
from tests.state.test_live_conversations import said

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
TEXT = "one two three four five six seven eight"
SAID = f"echo: {TEXT}"


@pytest.fixture(scope="module")
def backend() -> Iterator[Any]:
    with FakeBackend() as one:
        one.event_s = 0.004
        yield one


@pytest.fixture(scope="module")
def relay(backend: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    home = tmp_path_factory.mktemp("home")
    with running(home, env={**GENEROUS, **backend.sign_in(home / ".airelays")}, demo=False) as one:
        yield one


def chat(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": TEXT}]
    return {"model": "gpt-5.5", "messages": messages, "stream": True, **more}


def test_a_paced_chat_stream_is_whole_and_measured(relay: Relay) -> None:
    reply = relay.send("POST", CHAT, chat())
    assert said(reply) == SAID
    record = of_request(relay, reply.headers["x-request-id"])["outbound_response"]
    assert 0 < record["timings_ms"]["first_token"] < record["timings_ms"]["total"]
    assert record["events"] > len(TEXT.split())


def test_a_client_that_speaks_http_1_0_gets_no_chunks(relay: Relay) -> None:
    raw = relay.request("POST", CHAT, chat()).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
    with relay.connect() as wire:
        wire.send(raw)
        head, _, body = wire.rest().partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body.endswith(b"data: [DONE]\n\n")
    assert all(line.startswith(b"data: ") for line in body.split(b"\n\n") if line)


@pytest.mark.parametrize("api", [CHAT, RESPONSES])
def test_what_is_stored_is_the_whole_answer(relay: Relay, api: str) -> None:
    body = {"model": "gpt-5.5", "input": TEXT, "stream": True}
    reply = relay.send("POST", api, {**(chat() if api == CHAT else body), "store": True})
    assert said(reply) == SAID
    first = reply.events()[0]
    made = first["id"] if api == CHAT else first["response"]["id"]
    kept = relay.get(f"{RESPONSES}/{made}").json()
    assert kept["output"][0]["content"][0]["text"] == SAID


def test_an_answer_that_is_told_by_deltas_alone_is_stored_whole(relay: Relay, backend: Any) -> None:
    stream = Stream("gpt-5.5", "resp_deltas", empty_output=True)
    stream.text(SAID)
    stream.end()

    async def pieces() -> AsyncIterator[bytes]:
        for frame in stream.frames():
            if not re.match(rb"event: response\.\w+(\.\w+)?\.done", frame):
                yield frame
                await asyncio.sleep(backend.event_s)

    backend.replies.append(FakeReply(200, pieces()))
    reply = relay.send("POST", CHAT, chat(store=True))
    assert said(reply) == SAID
    kept = relay.get(f"{RESPONSES}/{reply.events()[0]['id']}").json()
    assert kept["output"][0]["content"][0]["text"] == SAID


@pytest.mark.parametrize("what", ["AIRELAYS_LOG_BODIES", "AIRELAYS_LOG_STREAM_LINES"])
def test_a_log_of_bodies_or_lines_misses_none(backend: Any, tmp_path: Path, what: str) -> None:
    value = "redacted" if what == "AIRELAYS_LOG_BODIES" else "true"
    env = {**GENEROUS, **backend.sign_in(tmp_path / ".airelays"), what: value}
    with running(tmp_path, env=env, demo=False) as one:
        reply = one.send("POST", CHAT, chat())
        assert said(reply) == SAID
        found = of_request(one, reply.headers["x-request-id"])
        one.stop()
        lines = [r for r in records(logs_of(one)) if r["phase"] == "upstream_stream_line"]
    if value == "redacted":
        assert found["outbound_response"]["body"]["text"]["content"] == SAID
    else:
        assert sum("event: response.output_text.delta" in str(r) for r in lines) == len(
            SAID.split()
        )
