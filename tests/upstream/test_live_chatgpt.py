"""A real relay process in front of the fake ChatGPT backend: what an SDK or the Codex CLI sees."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.http import json_reply
from tests.live import ROOT, Relay, program, running, wait_for


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as backend:
        yield backend


@pytest.fixture
def relay(tmp_path: Path, backend: FakeBackend) -> Iterator[Any]:
    data = tmp_path / "data"
    env = {
        **backend.sign_in(data),
        "AIRELAYS_STREAM_GAP_SECONDS": "1",
        "AIRELAYS_RATE_LIMIT_BURST": "100000",
    }
    with running(tmp_path, env=env, demo=False) as relay:
        yield relay


def chat(relay: Relay, stream: bool = False, **changes: Any) -> Any:
    body = {
        "model": "gpt-5.5",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
    }
    return relay.send("POST", "/v1/chat/completions", {**body, **changes})


def test_chat_whole_and_streamed(relay: Relay, backend: FakeBackend) -> None:
    reply = chat(relay)
    assert reply.status == 200 and reply.json()["choices"][0]["message"]["content"] == "echo: hello"
    assert reply.headers["x-codex-primary-used-percent"] == "12"
    events = chat(relay, stream=True).events()
    text = "".join(
        e["choices"][0]["delta"].get("content") or "" for e in events[:-1] if e["choices"]
    )
    assert (text, events[-1]) == ("echo: hello", "[DONE]")
    assert len(backend.calls("/models")) == 1


def test_upstream_refusals_become_true_statuses(relay: Relay, backend: FakeBackend) -> None:
    limit = {
        "error": {"type": "usage_limit_reached", "message": "used up", "resets_in_seconds": 120}
    }
    backend.replies.append(json_reply(limit, 429))
    reply = chat(relay)
    assert (reply.status, reply.headers["retry-after"]) == (429, "120")
    assert (
        reply.error["code"] == "usage_limit_reached" and reply.headers["x-should-retry"] == "false"
    )
    backend.replies.append(json_reply({"detail": "Workspace not found"}, 403))
    reply = chat(relay, stream=True)
    assert (reply.status, reply.headers["x-airelays-upstream-auth"]) == (503, "rejected")


def test_expired_token_is_refreshed_behind_the_clients_back(
    relay: Relay, backend: FakeBackend
) -> None:
    backend.issuer.expire_access()
    assert chat(relay).status == 200 and backend.issuer.refresh_calls == 1
    stored = json.loads((relay.home / "data" / "auth.json").read_bytes())
    assert stored["tokens"]["refresh_token"] == backend.issuer.refresh_token


def test_missing_sign_in_is_503_and_a_new_one_counts_without_a_restart(
    relay: Relay, backend: FakeBackend
) -> None:
    saved = (relay.home / "data" / "auth.json").read_bytes()
    (relay.home / "data" / "auth.json").unlink()
    # The relay looks at the file once a second.
    wait_for(lambda: chat(relay).status == 503, 5)
    assert chat(relay).error["code"] == "upstream_auth_missing"
    (relay.home / "data" / "auth.json").write_bytes(saved)
    (relay.home / "data" / "auth.json").chmod(0o600)
    wait_for(lambda: chat(relay).status == 200, 5)


def test_no_request_is_answered_after_logout_has_returned(
    relay: Relay, backend: FakeBackend
) -> None:
    assert chat(relay).status == 200
    data = relay.home / "data"
    env = {
        **os.environ,
        **backend.sign_in(relay.home / "elsewhere"),
        "AIRELAYS_DATA_DIR": str(data),
        "HOME": str(relay.home),
        "PYTHONPATH": str(ROOT),
    }
    for _ in range(
        3
    ):  # the remembered sign-in is up to a second old: not one answer may slip through
        saved = (data / "auth.json").read_bytes()
        done = subprocess.run([*program(), "logout"], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert chat(relay).error["code"] == "upstream_auth_missing"
        (data / "auth.json").write_bytes(saved)
        (data / "auth.json").chmod(0o600)
        wait_for(lambda: chat(relay).status == 200, 5)


def test_dropped_parameter_is_disclosed(relay: Relay, backend: FakeBackend) -> None:
    backend.max_output_tokens = "reject"
    reply = chat(relay, max_tokens=100)
    assert (
        reply.status == 200
        and "max_output_tokens" in reply.headers["x-airelays-ignored-parameters"]
    )


@pytest.mark.parametrize("cut", [{"cut_after_events": 6}, {"hang_after_events": 6}])
def test_broken_stream_ends_with_a_typed_error_and_no_done(
    relay: Relay, backend: FakeBackend, cut: dict[str, Any]
) -> None:
    for name, value in cut.items():
        setattr(backend, name, value)
    events = chat(relay, stream=True).events()
    assert "error" in events[-1] and "[DONE]" not in events
    assert chat(relay).status in (502, 504)


def test_catalogue_subscription_and_status(relay: Relay, backend: FakeBackend) -> None:
    models = relay.get("/v1/models").json()
    assert [m["id"] for m in models["data"]] == [*sorted(backend.models), "gpt-image-2"]
    assert chat(relay, model="no-such-model").status == 404
    usage = relay.get("/v1/subscription/status").json()
    assert usage["rate_limits"]["default"]["primary_window"]["window_label"] == "5h"
    assert relay.get("/v1/account/rate_limits?raw=true").json()["raw"]["plan_type"] == "plus"
    chat(relay)
    status = relay.get("/v1/relay/status").json()
    assert (
        status["ready"]["upstream_auth"] is True
        and status["auth"]["email"] == "someone@example.test"
    )
    assert status["auth"]["last_limits"]["primary_window"]["used_percent"] == 12.0
    tokens = json.loads((relay.home / "data" / "auth.json").read_bytes())["tokens"]
    assert tokens["access_token"] not in json.dumps(status)


@pytest.mark.parametrize(
    "path",
    [
        *("/embeddings", "/rerank", "/moderations", "/images/variations", "/realtime/sessions"),
        *("/audio/speech", "/audio/transcriptions", "/audio/translations", "/fim/completions"),
    ],
)
def test_an_api_that_is_not_there_is_501_whatever_the_model(
    relay: Relay, backend: FakeBackend, path: str
) -> None:
    for body in ({}, {"model": "text-embedding-3-small", "input": "x"}, {"model": "gpt-5.5"}):
        reply = relay.send("POST", "/v1" + path, body)
        assert (reply.status, reply.error["code"]) == (501, "unsupported_route")
        assert reply.headers["x-should-retry"] == "false"
    assert not backend.calls("/models")


@pytest.mark.parametrize("path", ["/v1/audio/zork", "/v1/images/zork"])
def test_a_path_that_no_api_has_is_404(relay: Relay, path: str) -> None:
    reply = relay.send("POST", path, {"model": "gpt-5.5"})
    assert (reply.status, reply.error["code"]) == (404, "unknown_route")


def test_the_model_of_the_images_is_listed_and_refused_for_text(relay: Relay) -> None:
    found = relay.get("/v1/models/GPT-image-2").json()
    assert found["id"] == "gpt-image-2"
    routes = found["airelays"]["capabilities"]["routes"]
    assert [name for name, has in routes.items() if has] == ["images"]
    assert "gpt-image-2" not in [one["slug"] for one in relay.get("/v1/models").json()["models"]]
    reply = chat(relay, model="gpt-image-2")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert "POST /v1/images/generations" in reply.error["message"]


@pytest.mark.parametrize("path", ["/v1/subscription/status", "/v1/account/rate_limits"])
def test_the_numbers_of_another_provider_are_not_made_up(relay: Relay, path: str) -> None:
    for provider in ("claude", "", "x" * 100):
        reply = relay.get(f"{path}?all_accounts=true&provider={provider}")
        assert (reply.status, reply.error["code"]) == (501, "unsupported_for_upstream")
        assert reply.error["param"] == "provider" and len(reply.error["message"]) < 160
    assert relay.get(f"{path}?provider=openai").json()["object"] == "subscription_status"


def test_the_backends_own_404_reaches_the_client(relay: Relay, backend: FakeBackend) -> None:
    backend.replies.append(json_reply({"detail": "model gone"}, 404))
    reply = chat(relay)
    assert (reply.status, reply.error["message"]) == (404, "model gone")


def test_models_that_this_release_does_not_know_are_not_refused_while_the_catalogue_is_down(
    relay: Relay, backend: FakeBackend
) -> None:
    backend.models_status = 500
    backend.models.add("gpt-next")
    assert chat(relay, model="gpt-next").status == 200


def test_client_that_leaves_ends_the_upstream_request(relay: Relay, backend: FakeBackend) -> None:
    backend.hang_after_events = 4
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", body))
        backend.wait_until(lambda: bool(backend.calls("/responses")))
    backend.wait_until(lambda: backend.open_connections <= 1, 1)
