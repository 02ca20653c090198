"""A running relay whose upstream echoes every credential in every form: nothing of it reaches the client."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.http import Reply as FakeReply
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.live import TOKEN, Relay, Reply, running
from tests.net.test_live_wire import WIDE
from tests.upstream.test_echoes import _wrapped, hidden_forms, said_by
from tests.upstream.test_live_compatible import ALL, KEY, relaying

COOKIE = "session-0a1B2c3D4e5F6g7H"
PASSWORD = "gate-pass-0a1B2c3D"
PROXY_PASSWORD = "proxy/pass word-77"
MESSAGES = [{"role": "user", "content": "x"}]
ROUTES: dict[str, dict[str, Any]] = {
    "/chat/completions": {"model": "tiny", "messages": MESSAGES},
    "/responses": {"model": "tiny", "input": "x"},
    "/completions": {"model": "tiny", "prompt": "x"},
}
OTHERS = ("/embeddings", "/images/generations", "/audio/speech")
HELD = {
    "relay token": TOKEN,
    "key": KEY,
    "cookie": COOKIE,
    "Basic": base64.b64encode(f"ann:{PASSWORD}".encode()).decode(),
    "password of Basic": PASSWORD,
    "proxy password": PROXY_PASSWORD,
}
CONFIG = f"""
[upstream.headers]
Cookie = "{COOKIE}; theme=dark"
X-Gate-Authorization = "Basic {HELD["Basic"]}"
"""
PROXY = f"http://ann:{PROXY_PASSWORD.replace('/', '%2F').replace(' ', '%20')}@127.0.0.1:9"


def everything_of(reply: Reply) -> bytes:
    return reply.raw_head + b"\n\n" + reply.body


def check(reply: Reply, secret: str, hidden: str, what: str) -> None:
    for said in said_by(everything_of(reply)):
        assert secret.lower() not in said, what
        assert hidden.lower() not in said, what


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server(*ALL, "/completions", *OTHERS) as one:
        yield one


@pytest.fixture
def relay(tmp_path: Path, server: OpenAIServer) -> Iterator[Relay]:
    wide = {"AIRELAYS_RATE_LIMIT_PER_MINUTE": "1000000", "AIRELAYS_RATE_LIMIT_BURST": "1000000"}
    with relaying(tmp_path, server.url, CONFIG, HTTPS_PROXY=PROXY, **wide) as one:
        yield one


def errors_with(text: str) -> Iterator[tuple[int, str, bytes]]:
    """Yield answers that echo `text`: status, type, body."""
    error = {"message": f"bad key {text}", "type": text, "code": text, "param": text, "x": [text]}
    line = _wrapped(text, 10**6, "").replace("\r", "").replace("\n", "")
    failed = {"type": "response.failed", "response": {"id": "r", "error": error, "metadata": error}}
    for status in (400, 401, 429, 500):
        yield status, "application/json", json.dumps({"error": error}).encode()
    yield 503, "text/plain", f"no room for {text}".encode()
    yield 502, "text/html", f"<h1>{text}</h1>".encode()
    yield 200, "application/json", json.dumps({"error": error}).encode()
    yield (
        200,
        f"text/event-stream; k={line[:60]}",
        b"data: %s\n\n" % json.dumps({"error": error}).encode(),
    )
    begun = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    for frame in (
        f"data: {json.dumps({'error': error})}",
        f"event: error\ndata: {json.dumps({**error, 'type': 'error'})}",
        f"event: response.failed\ndata: {json.dumps(failed)}",
        f"data: Error: {line}",
        f"Traceback: {text}",
    ):
        yield 200, "text/event-stream", begun + frame.encode() + b"\n\n"
    created = (
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'
    )
    delta = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
    last = f"event: response.failed\ndata: {json.dumps(failed)}\n\n".encode()
    yield 200, "text/event-stream", created + delta + last


@pytest.mark.parametrize("what", HELD)
def test_no_error_of_a_compatible_server_brings_a_credential(
    relay: Relay, server: OpenAIServer, what: str
) -> None:
    secret = HELD[what]
    with relay.connect() as wire:
        for number, (form, hidden) in enumerate(hidden_forms(secret)):
            field = "".join(c if " " <= c <= "~" else " " for c in hidden)
            server.fields = [("X-RateLimit-Key", field), ("OpenAI-Model", field)]
            for turn, answer in enumerate(errors_with(hidden)):
                if (number + turn) % 5:
                    continue  # every form in every shape: test_echoes.py
                path, body = list(ROUTES.items())[number % 3]
                stream = answer[1].startswith("text/event-stream") or bool(turn % 2)
                server.answers[path] = answer
                wire.send(relay.request("POST", "/v1" + path, {**body, "stream": stream}))
                reply = wire.reply("POST")
                check(reply, secret, hidden, f"{form} on {path}: {answer}")
                assert b"[DONE]" not in reply.body
                if reply.status == 200 and turn != 12:
                    assert b"error" in reply.body


@pytest.mark.parametrize("what", ["key", "cookie"])
def test_neither_do_other_routes_nor_successes(
    relay: Relay, server: OpenAIServer, what: str
) -> None:
    secret = HELD[what]
    for form, hidden in hidden_forms(secret)[::6]:
        field = "".join(c if " " <= c <= "~" else " " for c in hidden)
        server.fields = [("X-RateLimit-Key", field), ("Content-Disposition", field)]
        for path in (*OTHERS, *ROUTES):
            server.answers.pop(path, None)
            reply = relay.send(
                "POST", "/v1" + path, {"prompt": "x", **ROUTES.get(path, {"model": "tiny"})}
            )
            assert reply.status == 200
            check(reply, secret, hidden, form)
        for path in OTHERS:
            for answer in errors_with(hidden):
                if (
                    answer[0] == 200
                    and "event-stream" not in answer[1]
                    and path != "/images/generations"
                ):
                    continue  # a success that nobody reads
                server.answers[path] = answer
                check(relay.send("POST", "/v1" + path, {"model": "tiny"}), secret, hidden, form)


def test_the_log_has_no_credential_either(
    tmp_path: Path, relay: Relay, server: OpenAIServer
) -> None:
    for answer in errors_with(KEY):
        server.answers["/chat/completions"] = answer
        relay.send("POST", "/v1/chat/completions", ROUTES["/chat/completions"])
    relay.stop()
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*.jsonl"))
    assert written and KEY.encode() not in written


def test_no_error_of_chatgpt_brings_a_credential(tmp_path: Path) -> None:
    with FakeBackend() as backend:
        data = tmp_path / "data"
        env = {**WIDE, **backend.sign_in(data), "HTTPS_PROXY": PROXY}
        tokens = json.loads((data / "auth.json").read_bytes())["tokens"]
        held = {name: tokens[name] for name in ("access_token", "refresh_token", "id_token")}
        with running(tmp_path, env=env, demo=False) as relay:
            for secret in (*held.values(), TOKEN):
                for form, hidden in hidden_forms(secret)[::7]:
                    _one_of_each(backend, relay, secret, hidden, form)


def _one_of_each(backend: FakeBackend, relay: Relay, secret: str, hidden: str, form: str) -> None:
    field = "".join(c if " " <= c <= "~" else " " for c in hidden)[:8000]
    error = {
        "message": f"bad key {hidden}",
        "type": "x",
        "code": hidden,
        "param": hidden,
        "y": hidden,
    }
    body = json.dumps({"error": error}).encode()
    fields = {"x-codex-turn-state": field, "x-request-id": field[:128].replace(" ", "")}
    backend.headers = fields
    asked = {"model": "gpt-5.5", "messages": MESSAGES}
    for status, stream in ((400, False), (429, True), (403, False)):
        backend.replies.append(
            FakeReply(status, body, {"content-type": "application/json", **fields})
        )
        check(
            relay.send("POST", "/v1/chat/completions", {**asked, "stream": stream}),
            secret,
            hidden,
            form,
        )
    for name in ("failed", "error_event"):
        without_type = {key: value for key, value in error.items() if key != "type"}
        setattr(backend, name, error if name == "failed" else without_type)
        for path in ("/chat/completions", "/responses"):
            sent = {"model": "gpt-5.5", "input": "x"} if path == "/responses" else asked
            for stream in (False, True):
                reply = relay.send("POST", "/v1" + path, {**sent, "stream": stream})
                check(reply, secret, hidden, f"{form} in {name}")
                assert b"bad key" in reply.body or b"REDACTED" in reply.body
        setattr(backend, name, None)
    check(relay.send("POST", "/v1/chat/completions", asked), secret, hidden, form)
