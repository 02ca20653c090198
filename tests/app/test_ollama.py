"""Ollama's API through a running relay: what its clients send, and what they read."""

from __future__ import annotations

import base64
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.app.keyed import make
from tests.app.test_doors import ports, through
from tests.fakes.openai_server import openai_server
from tests.live import Relay, Reply, running
from tests.net.test_live_wire import WIDE

ON = {**WIDE, "AIRELAYS_OLLAMA_ENABLED": "true"}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()


def user(content: str, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content, **more}]


def ask(relay: Relay, text: str = "hi", path: str = "/api/chat", **more: Any) -> Reply:
    body = {"model": "demo:latest", "messages": user(text), **more}
    return relay.send("POST", path, {k: v for k, v in body.items() if v is not None})


def lines(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.body.endswith(b"\n")
    return [json.loads(one) for one in reply.body.decode().splitlines()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("ollama"), env=ON) as relay:
        yield relay


def test_it_is_off_without_a_word(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        assert relay.get("/api/tags").status == 404
        assert b"Ollama is running" not in relay.get("/").body


def test_the_greeting(demo: Relay) -> None:
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        assert demo.send("GET", "/", token=None, headers=accept).body == b"Ollama is running"
    assert demo.send("HEAD", "/", token=None).status == 200
    page = demo.send("GET", "/", token=None, headers={"Accept": "text/html,*/*"})
    assert b"<html" in page.body


def test_what_a_program_looks_at_before_it_asks(demo: Relay) -> None:
    """As VS Code Copilot does: version, tags, show for each, then chat at /v1."""
    version = demo.get("/api/version").json()["version"]
    assert tuple(map(int, version.split("."))) >= (0, 6, 4)
    for path in ("/api/tags", "//api/tags", "/api/tags/"):
        models = demo.get(path).json()["models"]
        assert {"demo:latest"} <= {one["model"] for one in models}
    for one in models:
        shown = demo.send("POST", "/api/show", {"model": one["model"]}).json()
        info = shown["model_info"]
        assert info[info["general.architecture"] + ".context_length"] > 0
        assert "completion" in shown["capabilities"]
        chat = {"model": one["model"], "messages": user("hi")}
        assert demo.send("POST", "/v1/chat/completions", chat).status == 200
    assert demo.send("POST", "/api/show", {"name": "demo"}).status == 200
    for path, body in (("/api/show", {"model": "nope"}), ("/api/pull", {"model": "nope"})):
        missing = demo.send("POST", path, body)
        assert missing.status == 404 and missing.json() == {"error": "model 'nope' not found"}
    pulled = demo.send("POST", "/api/pull", {"model": "demo:latest"})
    assert lines(pulled) == [{"status": "success"}]


def test_chat_streamed_and_whole(demo: Relay) -> None:
    for model in ("demo", "demo:latest"):
        *pieces, last = lines(ask(demo, model=model))
        text = "".join(one["message"]["content"] for one in pieces)
        assert last["done"] and last["model"] == model and last["done_reason"] == "stop"
        whole = ask(demo, model=model, stream=False)
        assert whole.headers["content-type"] == "application/json"
        said = whole.json()
        assert said["message"]["content"] == text and said["done"] is True
        for end in (last, said):
            counts = [v for k, v in end.items() if k.endswith(("_count", "_duration"))]
            assert len(counts) == 6 and all(type(v) is int and v > 0 for v in counts)
    used = [one["name"] for one in demo.get("/api/ps").json()["models"]]
    assert used == ["demo:latest"]
    thought = lines(ask(demo, think=True))
    assert any(one["message"].get("thinking") for one in thought)
    assert not any(one["message"].get("thinking") for one in lines(ask(demo)))


def test_generate_and_load(demo: Relay) -> None:
    body = {"model": "demo", "prompt": "hi"}
    *pieces, last = lines(demo.send("POST", "/api/generate", body))
    assert "".join(one["response"] for one in pieces) and last["done"]
    for path in ("/api/generate", "/api/chat"):
        for keep, reason in ((None, "load"), (-1, "load"), ("5m", "load"), (0, "unload")):
            (one,) = lines(demo.send("POST", path, {"model": "demo", "keep_alive": keep}))
            assert one["done"] is True and one["done_reason"] == reason
    assert demo.get("/api/ps").json() == {"models": []}


def test_tools_both_ways(demo: Relay) -> None:
    found = lines(ask(demo, "call the tool get_weather", tools=[TOOL]))
    (call,) = [c for one in found for c in one["message"].get("tool_calls", ())]
    assert call["function"]["name"] == "get_weather"
    assert type(call["function"]["arguments"]) is dict
    history = [
        *user("weather?"),
        {"role": "assistant", "tool_calls": [{"function": call["function"]}]},
        {"role": "tool", "content": "rain"},
    ]
    assert lines(ask(demo, messages=history, tools=[TOOL]))[-1]["done"]
    zed = {"User-Agent": "Zed/0.230"}
    sent = {"model": "demo", "messages": user("call the tool get_weather"), "tools": [TOOL]}
    reply = demo.send("POST", "/api/chat", {**sent, "stream": False}, headers=zed)
    assert list(reply.json()["message"]["tool_calls"][0]) == ["function"]


@pytest.mark.parametrize("switch", ["cut", "fail"])
def test_a_broken_stream_ends_with_an_error_line(demo: Relay, switch: str) -> None:
    found = lines(ask(demo, f"demo:{switch} demo:words=9"))
    assert list(found[-1]) == ["error"] and isinstance(found[-1]["error"], str)
    assert not any(one.get("done") for one in found)
    whole = ask(demo, f"demo:{switch} demo:words=9", stream=False)
    assert whole.status >= 500 and isinstance(whole.json()["error"], str)


def test_every_error_is_one_text(demo: Relay) -> None:
    def error(reply: Reply, status: int) -> str:
        assert reply.status == status, reply.body
        assert list(reply.json()) == ["error"]
        text = reply.json()["error"]
        assert isinstance(text, str)
        return text

    for path in ("/api/tags", "/api/chat", "/api/nothing", "//api/tags"):
        error(demo.send("GET", path, token="wrong"), 401)
    error(demo.get("/api/nothing"), 404)
    error(demo.get("/api/chat"), 405)
    error(demo.send("POST", "/api/chat", b"{"), 400)
    assert "think" in error(ask(demo, think="ultra"), 400)
    assert "images[0]" in error(ask(demo, messages=user("x", images=["@"])), 400)
    assert error(demo.send("GET", "/api/tags", headers={"Host": "evil.example"}), 421)
    assert error(demo.send("GET", "/api/tags", headers={"Origin": "https://evil.example"}), 403)
    for path in (
        "/api/create",
        "/api/copy",
        "/api/push",
        "/api/blobs/sha256:1",
        "/api/experimental/x",
    ):
        assert "is not available" in error(demo.send("POST", path, {}), 501)
    for path in ("/api/embed", "/api/embeddings"):
        body = {"model": "demo", "input": "x", "prompt": "x"}
        assert "embeddings" in error(demo.send("POST", path, body), 501)


def test_a_body_of_any_type_from_programs_only(demo: Relay, tmp_path: Path) -> None:
    body = json.dumps({"model": "demo", "messages": user("hi")}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    own = {"Origin": f"http://127.0.0.1:{demo.port}"}
    assert demo.send("POST", "/api/chat", body, headers=form).status == 200
    assert demo.send("POST", "/api/chat", body, headers={**form, **own}).status == 415
    as_json = {"Content-Type": "application/json"}
    assert demo.send("POST", "/api/chat", body, headers={**as_json, **own}).status == 200
    with running(tmp_path, "--no-auth", env=ON) as relay:
        assert relay.send("POST", "/api/chat", body, headers=form, token=None).status == 200
        path = "/v1/chat/completions"
        assert relay.send("POST", path, body, headers=form, token=None).status == 415
        with_page = {**form, "Referer": "http://x/"}
        assert relay.send("POST", "/api/chat", body, headers=with_page, token=None).status == 415


def test_looks_are_counted_by_themselves(tmp_path: Path) -> None:
    make(tmp_path, "few", "--requests-per-minute", "2", "--concurrent", "1", "--models", "demo")
    env = {
        "AIRELAYS_OLLAMA_ENABLED": "true",
        "AIRELAYS_RATE_LIMIT_BURST": "3",
        "AIRELAYS_RATE_LIMIT_PER_MINUTE": "1",
    }
    with running(tmp_path, "--listen", "127.0.0.1:0,key=few", env=env) as relay:
        door = through(relay, ports(relay)[1])
        for _ in range(20):
            assert relay.get("/api/tags").status == 200
            assert door.send("GET", "/api/tags", token=None).status == 200
        names = [one["name"] for one in door.send("GET", "/api/tags", token=None).json()["models"]]
        assert names == ["demo:latest"]
        assert door.send("POST", "/api/show", {"model": "demo-mini"}, token=None).status == 404
        assert relay.send("POST", "/api/show", {"model": "demo-mini"}).status == 200
        for _ in range(2):
            sent = {"model": "demo:latest", "messages": user("hi")}
            assert door.send("POST", "/api/chat", sent, token=None).status == 200
        assert door.send("POST", "/api/chat", sent, token=None).status == 429
        assert ask(relay).status == 200
        assert ask(relay).status == 429
        refused = [relay.get("/api/version") for _ in range(80)][-1]
        assert refused.status == 429 and "error" in refused.json()
        assert int(refused.headers["retry-after"]) >= 1


def test_the_list_comes_from_the_cache_while_the_upstream_is_down(tmp_path: Path) -> None:
    env = {**ON, "AIRELAYS_MODELS_CACHE_TTL_SECONDS": "0.05"}
    with ExitStack() as stack:
        upstream = stack.enter_context(ExitStack())
        server = upstream.enter_context(openai_server("/models"))
        listed = {"data": [{"id": f"model-{at}"} for at in range(200)]}
        server.answers["/models"] = (200, "application/json", json.dumps(listed).encode())
        relay = stack.enter_context(
            running(tmp_path, "--upstream", server.url, env=env, demo=False)
        )
        assert len(relay.get("/api/tags").json()["models"]) == 200
        upstream.close()
        taken = []
        for _ in range(8):
            begun_s = time.perf_counter()
            assert len(relay.get("/api/tags").json()["models"]) == 200
            taken.append(time.perf_counter() - begun_s)
        assert min(taken) < 0.05


def test_embeddings_of_a_compatible_server(tmp_path: Path) -> None:
    with openai_server("/models", "/embeddings") as server:
        flags = ("--upstream", server.url)
        with running(tmp_path, *flags, env=ON, demo=False) as relay:
            for asked in ("x", ["x"]):
                sent = {"model": "tiny:latest", "input": asked}
                made = relay.send("POST", "/api/embed", sent).json()
                assert made["embeddings"] == [[0.25, -1.5e-9]] and made["model"] == "tiny:latest"
                assert made["prompt_eval_count"] > 0
            old = relay.send("POST", "/api/embeddings", {"model": "tiny", "prompt": "x"}).json()
            assert old == {"embedding": [0.25, -1.5e-9]}
            assert json.loads(server.last("/embeddings").body)["model"] == "tiny"
            bad = relay.send("POST", "/api/embed", {"model": "tiny", "input": [5]})
            assert bad.status == 400 and "input[0]" in bad.json()["error"]


def test_an_upstream_that_is_an_ollama_gets_the_requests_as_they_are(tmp_path: Path) -> None:
    home, own = tmp_path / "one", tmp_path / "two"
    home.mkdir()
    own.mkdir()
    config = own / "config.toml"
    with running(home, env=ON) as ollama:
        config.write_text(
            f'[upstream]\nkind = "compatible"\nbase_url = "{ollama.url}"\n'
            f'api_key_env = "THEIRS"\n[aliases]\nmine = "demo:latest"\n'
        )
        env = {**ON, "THEIRS": ollama.token}
        with running(own, "--config", str(config), env=env, demo=False) as relay:
            said = lines(ask(relay, options={"num_ctx": 4096}))
            assert said[-1]["done"] and said[-1]["eval_count"] > 0
            whole = ask(relay, stream=False, model="mine").json()
            assert whole["message"]["content"] and whole["model"] == "demo:latest"
            made = ask(relay, path="/api/generate", messages=None, prompt="hi", stream=False)
            assert made.json()["response"]
            refused = ask(relay, think="perhaps")
            assert refused.status == 400 and "think" in refused.json()["error"]
            vectors = relay.send("POST", "/api/embed", {"model": "demo:latest", "input": "x"})
            assert vectors.status >= 500 and "/api/embed" in vectors.json()["error"]
            used = relay.get("/v1/relay/usage?by=route").json()["book"]["total"]
            assert used["output_tokens"] > 0
            relay.stop()
        ollama.stop()
    log = "".join(f.read_text() for f in (home / ".airelays/logs").rglob("*.jsonl"))
    assert log.count('"route":"ollama_chat"') > 2 and '"route":"ollama_generate"' in log
    assert '"route":"ollama_embed"' in log
    assert '"route":"chat"' not in log and '"route":"responses"' not in log
