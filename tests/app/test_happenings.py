"""What those who watch a relay are told: each request, refusal, block and change once, without secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from airelays.app.happenings import NOTICE, REFUSED, REQUEST, UPSTREAM, Happening, Happenings
from airelays.app.relay import Relay
from airelays.credentials.token import TokenSource
from airelays.errors import RelayError
from airelays.host.process import listen
from airelays.model import Door
from airelays.net.listener import bind
from airelays.settings.values import Settings

TOKEN = "t" * 40
WRONG = "wrong-and-long-enough-to-be-a-secret"


def told(
    visits: Callable[[Relay], Awaitable[None]], home: Path, kind: str = "demo"
) -> list[Happening]:
    """Return what a watcher is told while `visits` runs against a relay with an upstream of `kind`."""
    return asyncio.run(_told(visits, home, kind))


async def _told(
    visits: Callable[[Relay], Awaitable[None]], home: Path, kind: str
) -> list[Happening]:
    settings = Settings(
        data_dir=str(home),
        logs_dir="",
        upstream_kind=kind,
        demo_pace_ms=0,
        failed_auth_max_attempts=2,
        queue_seconds=0.0,
    )
    token = TokenSource(str(home / "token"), {"AIRELAYS_BEARER_TOKEN": TOKEN})
    relay = Relay(settings, token, complain=lambda text: None)
    listener = listen(
        relay, {one: Door("127.0.0.1", one.getsockname()[1]) for one in bind("127.0.0.1", 0)}
    )
    relay.start()
    listener.start()
    found: list[Happening] = []
    stop = relay.desk.happenings.watch(found.append)
    try:
        await visits(relay)
    finally:
        await listener.stop_accepting()
        await relay.close()
        stop()
    assert not relay.desk.happenings.wanted
    return found


async def send(relay: Relay, raw: bytes) -> bytes:
    """Send one request that closes; return the answer, when the relay has noted its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.desk.port)
    writer.write(raw)
    answer = await reader.read(-1)
    writer.close()
    if relay.desk.listener is not None:
        await relay.desk.listener.drain(5.0, RelayError("late"))
    return answer


def post(
    body: object, *, token: str = TOKEN, agent: str = "codex_cli_rs/1.2", path: str = ""
) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {path or '/v1/chat/completions'} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\nUser-Agent: {agent}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def chat(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}]}


def get(path: str, token: str = TOKEN) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


def test_a_request_is_told_at_its_end_with_what_it_used(tmp_path: Path) -> None:
    async def visits(relay: Relay) -> None:
        await send(relay, post(chat("demo-1")))
        await send(relay, get("/healthz"))

    (only,) = told(visits, tmp_path)
    assert (only.kind, only.state, only.status, only.failed) == (REQUEST, "ok", 200, False)
    assert (only.program, only.route, only.model) == ("codex_cli_rs", "chat", "demo-1")
    assert only.id.startswith("req_")
    assert only.output_tokens and only.took_ms is not None and only.took_ms > 0
    facts = only.facts()
    assert facts["kind"] == "request" and "text" not in facts and "key" not in facts


def test_a_refusal_has_the_id_that_its_answer_has(tmp_path: Path) -> None:
    answers: list[bytes] = []

    async def visits(relay: Relay) -> None:
        answers.append(await send(relay, post(chat("demo-1"), token=WRONG)))
        answers.append(await send(relay, b"NOT A REQUEST\r\n\r\n"))

    wrong, malformed = told(visits, tmp_path)
    assert (wrong.kind, wrong.state, wrong.status, wrong.code) == (
        REFUSED,
        "auth_failed",
        401,
        "invalid_api_key",
    )
    assert wrong.failed and wrong.client == "127.0.0.1" and wrong.path == "/v1/chat/completions"
    assert f"x-request-id: {wrong.id}".encode() in answers[0].lower()
    assert (malformed.kind, malformed.state, malformed.status) == (
        REFUSED,
        "malformed_request",
        400,
    )
    assert f"x-request-id: {malformed.id}".encode() in answers[1].lower()


def test_a_block_is_told_when_it_begins_and_when_it_is_lifted(tmp_path: Path) -> None:
    async def visits(relay: Relay) -> None:
        for _ in range(2):
            await send(relay, get("/v1/models", WRONG))
        relay.unblock("127.0.0.1", None)

    found = told(visits, tmp_path)
    assert [(one.kind, one.state) for one in found] == [
        ("refused", "auth_failed"),
        ("block", "blocked"),
        ("refused", "auth_failed"),
        ("block", "lifted"),
    ]
    assert found[1].client == "127.0.0.1" and found[1].seconds


def test_what_a_request_presents_as_its_secret_is_in_none_of_its_texts(tmp_path: Path) -> None:
    async def visits(relay: Relay) -> None:
        await send(relay, post(chat(f"x-{TOKEN}"), agent=TOKEN))
        await send(relay, get(f"/v1/{WRONG}", WRONG))
        await send(relay, get("/v1/nothing"))
        await send(relay, get(f"/v1/{TOKEN}", WRONG))

    found = [one for one in told(visits, tmp_path) if one.kind != "block"]
    assert [one.status for one in found] == [200, 401, 404, 401]
    assert [(one.fault, one.code) for one in found][2] == ("client", "unknown_route")
    assert TOKEN not in repr(found) and WRONG not in repr(found)


def test_a_sign_in_that_requests_fail_for_is_told_once(tmp_path: Path) -> None:
    async def visits(relay: Relay) -> None:
        for _ in range(2):
            await send(relay, post(chat("gpt-5.5")))

    found = told(visits, tmp_path, "chatgpt")
    assert [(one.kind, one.state, one.code) for one in found] == [
        ("request", "failed_upstream", "upstream_auth_missing"),
        ("sign_in", "failing", "upstream_auth_missing"),
        ("request", "failed_upstream", "upstream_auth_missing"),
    ]
    assert found[0].fault == "upstream" and found[1].text.startswith("requests fail: ")


def test_who_wants_no_requests_is_told_of_the_rest(tmp_path: Path) -> None:
    all_of_it: list[Happening] = []
    rest: list[Happening] = []
    hub = Happenings()
    stop_rest = hub.watch(rest.append, requests=False)
    assert hub.wanted is False
    stop = hub.watch(all_of_it.append)
    assert [hub.wanted] == [True]
    for kind in (REQUEST, REFUSED, UPSTREAM, NOTICE):
        hub.tell(Happening(kind, 1.0))
    stop()
    stop()
    hub.tell(Happening(UPSTREAM, 2.0))
    stop_rest()
    hub.tell(Happening(UPSTREAM, 3.0))
    assert [one.kind for one in all_of_it] == [REQUEST, REFUSED, UPSTREAM, NOTICE]
    assert [(one.kind, one.at_s) for one in rest] == [
        (UPSTREAM, 1.0),
        (NOTICE, 1.0),
        (UPSTREAM, 2.0),
    ]


def test_a_complaint_of_another_thread_is_told_on_the_loop(tmp_path: Path) -> None:
    async def visits(relay: Relay) -> None:
        await asyncio.to_thread(relay.complain, "the disk is full")
        await asyncio.sleep(0)

    assert [(one.kind, one.text) for one in told(visits, tmp_path)] == [
        ("notice", "the disk is full")
    ]
