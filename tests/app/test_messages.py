"""`/v1/messages` through a running relay: what Claude Code and Anthropic's SDKs meet."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airelays.dialects.anthropic.tools import Names
from tests.dialects.anthropic_maps import assistant, body, check_order, events, user
from tests.fakes.openai_server import openai_server
from tests.live import TOKEN, Relay, Reply, running
from tests.net.test_live_wire import WIDE

CLAUDE = {"User-Agent": "claude-cli/2.1.332 (external, sdk-cli)", "anthropic-version": "2023-06-01"}
WEATHER = {"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}
ASK = 'call the tools get_weather, get_weather with {"city": "Oslo"}'


def ask(relay: Relay, path: str = "/v1/messages", **more: Any) -> Reply:
    headers = {**CLAUDE, **more.pop("headers", {})}
    token = more.pop("token", "")
    return relay.send("POST", path, body(**more), token=token, headers=headers)


def streamed(relay: Relay, **more: Any) -> list[dict[str, Any]]:
    reply = ask(relay, stream=True, **more)
    assert reply.status == 200, reply.body
    return events(reply.body)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("messages")
    (home / "config.toml").write_text(
        '[aliases]\n"claude-*" = "demo"\n"claude-haiku-*" = "demo-mini"\n'
    )
    flags = ("--config", str(home / "config.toml"))
    with running(home, *flags, env={**WIDE, "AIRELAYS_PING_SECONDS": "0.05"}) as relay:
        yield relay


def test_facts_1_and_2_every_version_and_either_credential(demo: Relay) -> None:
    for version in ("2023-06-01", "2026-10-21", "2031-01-01"):
        assert ask(demo, headers={"anthropic-version": version}).status == 200
    assert demo.send("POST", "/v1/messages", body()).status == 200  # no version
    key = {"x-api-key": TOKEN}
    assert ask(demo, token=None, headers=key).status == 200
    assert ask(demo, token="wrong", headers=key).status == 200
    assert ask(demo, headers={"x-api-key": "sk-ant-of-another-vendor"}).status == 200
    refused = ask(demo, token="wrong")
    assert refused.status == 401
    found = refused.json()
    assert found["error"]["type"] == "authentication_error"
    assert found["request_id"] == refused.headers["request-id"]
    log = b"".join(path.read_bytes() for path in demo.home.rglob("*.jsonl"))
    assert b"sk-ant-of-another-vendor" not in log


def test_fact_3_the_greeting_is_no_attempt_at_the_token(tmp_path: Path) -> None:
    env = {"AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "2"}
    with running(tmp_path, env=env) as relay:
        for path in ("/api/hello", "/no-tools/api/hello", "/v1/api/hello") * 3:
            assert relay.send("HEAD", path, token=None).status == 404, path
        assert ask(relay).status == 200


def test_fact_4_paths_carry_a_query(demo: Relay) -> None:
    assert ask(demo, "/v1/messages?beta=true").status == 200
    assert ask(demo, "/v1/messages/count_tokens?beta=true").json()["input_tokens"] > 0
    assert ask(demo, "/no-tools/v1/messages?beta=true").status == 200


def test_facts_5_and_6_a_first_request_as_claude_code_sends_it(demo: Relay) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    billing = {"type": "text", "text": "x-anthropic-billing-header: cch=1;"}
    tools: list[dict[str, Any]] = [
        {**WEATHER, "name": f"mcp__a_server_of_the_user__tool_number_{at}_" + "x" * 40}
        for at in range(22)
    ]
    short = Names().short(tools[3]["name"])
    found = streamed(
        demo,
        headers={"anthropic-beta": "claude-code-20250219,unknown-2031-01-01"},
        model="claude-opus-5-5",
        max_tokens=128_000,
        system=[billing, {"type": "text", "text": "You are Claude Code.", **mark}],
        messages=[
            {"role": "system", "content": "The environment.", "output_config": {"effort": "low"}},
            user([{"type": "text", "text": f"call the tool {short}", **mark}]),
        ],
        tools=[*tools[:-1], {**tools[-1], **mark}],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": []},
        metadata={"user_id": json.dumps({"device_id": "d"})},
    )
    blocks = check_order(found)
    assert found[0]["message"]["model"] == "claude-opus-5-5"
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert blocks[0]["signature"] and blocks[1]["name"] == tools[3]["name"]
    assert found[-2]["delta"]["stop_reason"] == "tool_use"


def test_fact_7_a_broken_stream_ends_with_an_error(demo: Relay) -> None:
    for switch in ("cut", "fail"):
        found = streamed(demo, messages=[user(f"demo:{switch} demo:words=9")])
        check_order(found)
        assert found[-1]["error"]["type"] == "api_error"


def test_fact_8_errors_say_what_to_do(demo: Relay) -> None:
    for stream in (True, False):

        def fails(switch: str, stream: bool = stream) -> tuple[int, dict[str, str], str]:
            reply = ask(demo, messages=[user(f"please demo:{switch}")], stream=stream)
            return reply.status, reply.headers, reply.json()["error"]["message"]

        status, _, message = fails("context")
        assert status == 400 and message == "prompt is too long: 1000001 tokens > 1000000 maximum"
        status, headers, _ = fails("quota")
        assert (status, headers["x-should-retry"]) == (429, "false")
        assert int(headers["retry-after"]) > 3000
        status, headers, _ = fails("rate-limit")
        assert (status, headers["retry-after"]) == (429, "7")
        assert headers.get("x-should-retry") != "false"
        assert fails("overload")[0] == 529


def test_fact_9_25_counts_at_once_are_all_answered(tmp_path: Path) -> None:
    with running(tmp_path) as relay, ThreadPoolExecutor(25) as pool:
        path = "/v1/messages/count_tokens"
        made = body(tools=[WEATHER] * 1, max_tokens=None)
        asked = [pool.submit(relay.send, "POST", path, made) for _ in range(25)]
        replies = [one.result() for one in asked]
    assert {reply.status for reply in replies} == {200}
    assert replies[0].headers["x-airelays-token-count"].startswith("estimate")


def test_a_count_waits_for_a_rate_token_and_others_do_not(tmp_path: Path) -> None:
    env = {"AIRELAYS_RATE_LIMIT_PER_MINUTE": "600", "AIRELAYS_RATE_LIMIT_BURST": "1"}
    path = "/v1/messages/count_tokens"
    with running(tmp_path, env=env) as relay, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(relay.send, "POST", path, body()) for _ in range(6)]
        assert {one.result().status for one in asked} == {200}
    with running(tmp_path, env={**env, "AIRELAYS_RATE_LIMIT_PER_MINUTE": "1"}) as relay:
        assert relay.send("POST", path, body()).status == 200
        late = relay.send("POST", path, body())
        assert late.status == 429 and late.error["type"] == "rate_limit_error"
        assert int(late.headers["retry-after"]) > 30


def test_fact_10_models_have_names_that_claude_code_shows(demo: Relay) -> None:
    page = demo.get("/v1/models?limit=1000", **{"User-Agent": "claude-code/2.1.332"}).json()
    ids = [entry["id"] for entry in page["data"]]
    assert ids == ["demo", "anthropic/demo", "demo-mini", "anthropic/demo-mini"]
    one = demo.get("/v1/models/anthropic/demo", **CLAUDE).json()
    assert (one["type"], one["id"]) == ("model", "anthropic/demo")
    plain = demo.get("/v1/models").json()
    assert [entry["id"] for entry in plain["data"]] == ["demo", "demo-mini", "gpt-image-2"]
    assert "has_more" not in plain and "models" in plain
    assert ask(demo, model="anthropic/demo-mini").json()["model"] == "anthropic/demo-mini"
    lost = demo.get("/v1/models/nothing", **CLAUDE)
    assert lost.status == 404 and lost.error["type"] == "not_found_error"


@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_loop_with_thinking(demo: Relay, stream: bool) -> None:
    asked: dict[str, Any] = {
        "tools": [WEATHER],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
    }

    def turn(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Reply]:
        reply = ask(demo, stream=stream, messages=messages, **asked)
        if not stream:
            return reply.json()["content"], reply
        return check_order(events(reply.body)), reply

    blocks, _ = turn([user(ASK)])
    assert [block["type"] for block in blocks] == ["thinking", "tool_use", "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "4 degrees"}
        for block in blocks[1:]
    ]
    said, reply = turn([user(ASK), assistant(*blocks), user(results)])
    assert said[-1]["text"] == "The tool said: 4 degrees | 4 degrees"
    assert "x-airelays-quirks" not in reply.headers  # the signature was taken
    foreign = [{**blocks[0], "signature": "EqQB"}, *blocks[1:]]
    said, reply = turn([user(ASK), assistant(*foreign), user(results)])
    assert said[-1]["type"] == "text"
    assert reply.headers["x-airelays-quirks"] == "thinking_parts_dropped"


def test_silence_is_filled_with_ping_events(demo: Relay) -> None:
    with demo.connect() as wire:
        asked = body(stream=True, messages=[user("demo:stall demo:words=4")])
        wire.send(demo.request("POST", "/v1/messages", asked, headers=CLAUDE))
        wire.until(b'event: ping\ndata: {"type": "ping"}\n\n')


def test_bad_input_is_refused_in_this_form(demo: Relay) -> None:
    for asked, path in (
        ({"messages": []}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": [user([{"type": "tool_use"}])]}, "messages[0].content[0].type"),
        ({"tools": [{**WEATHER, "name": f"t{at}"} for at in range(2000)]}, "tools"),
    ):
        reply = ask(demo, **asked)
        assert reply.status == 400 and reply.error["type"] == "invalid_request_error"
        assert reply.error["message"].startswith(path)
    for path, method, status in (
        ("/v1/messages", "GET", 405),
        ("/v1/messages/batches", "POST", 404),
        ("/v1/messages", "POST", 400),
    ):
        reply = demo.send(method, path, b"[" if method == "POST" else None, headers=CLAUDE)
        assert reply.status == status and reply.json()["type"] == "error", (path, reply.body)
    long = demo.send(
        "POST", "/v1/messages", b"{}", headers={"Content-Length": str(10**9), **CLAUDE}
    )
    assert long.status == 413 and long.error["type"] == "request_too_large"


def test_patterns_of_aliases(demo: Relay) -> None:
    def served(model: str) -> str:
        path = "/v1/chat/completions"
        asked = {"model": model, "messages": [user("x")]}
        return str(demo.send("POST", path, asked).json()["model"])

    assert served("claude-opus-5-5") == "demo"
    assert served("Claude-Haiku-5-5") == "demo-mini"  # the more exact pattern


def test_a_chat_server_is_asked_in_chat(tmp_path: Path) -> None:
    with openai_server("/models", "/chat/completions") as server:
        config = f'[upstream]\nkind = "compatible"\nbase_url = "{server.url}"\n'
        (tmp_path / "config.toml").write_text(config + '[aliases]\n"claude-*" = "tiny"\n')
        flags = ("--config", str(tmp_path / "config.toml"), "--offline")
        with running(tmp_path, *flags, demo=False) as relay:
            for stream in (True, False):
                reply = ask(relay, stream=stream, system="Be brief.", stop_sequences=["zzz"])
                assert reply.status == 200, reply.body
            paths = [one.path for one in server.seen if one.path != "/models"]
            assert paths == [
                "/messages", "/responses", "/chat/completions", "/chat/completions", "/tokenize"
            ][: len(paths)]  # fmt: skip
            sent = server.last("/chat/completions").json()
            assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
            assert sent["model"] == "tiny"


def test_a_server_that_speaks_it_gets_the_request_as_it_is(tmp_path: Path) -> None:
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }  # fmt: skip
    with openai_server("/models", "/messages") as server:
        server.answers["/messages"] = (200, "application/json", json.dumps(message).encode())
        config = f'[upstream]\nkind = "compatible"\nbase_url = "{server.url}"\n'
        (tmp_path / "config.toml").write_text(config + '[aliases]\n"claude-*" = "tiny"\n')
        flags = ("--config", str(tmp_path / "config.toml"), "--offline")
        with running(tmp_path, *flags, demo=False) as relay:
            beta = {"anthropic-beta": "context-1m-2025-08-07", "x-claude-code-session-id": "s"}
            whole = ask(relay, headers=beta, metadata={"user_id": "secret"}, top_k=3)
            assert whole.json() == message
            assert check_order(streamed(relay))[0]["text"] == "Hi"
            seen = server.seen[-2]
            assert seen.json()["model"] == "tiny" and seen.json()["top_k"] == 3
            assert seen.headers["anthropic-version"] == "2023-06-01"
            assert seen.headers["anthropic-beta"] == "context-1m-2025-08-07"
            assert b"secret" not in seen.body and "x-claude-code-session-id" not in seen.headers
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
            server.answers["/messages"] = (529, "application/json", json.dumps(error).encode())
            refused = ask(relay)
            assert (refused.status, refused.error["type"]) == (529, "overloaded_error")


def test_a_tokenizer_of_the_server_corrects_later_counts(tmp_path: Path) -> None:
    with openai_server("/models", "/chat/completions") as server:
        tokens = json.dumps({"tokens": [1] * 1500}).encode()
        server.answers["/tokenize"] = (200, "application/json", tokens)
        config = f'[upstream]\nkind = "compatible"\nbase_url = "{server.url}"\n'
        (tmp_path / "config.toml").write_text(config)
        flags = ("--config", str(tmp_path / "config.toml"), "--offline")
        with running(tmp_path, *flags, demo=False, env=WIDE) as relay:
            path, asked = "/v1/messages/count_tokens", {"model": "tiny", "system": "s" * 4000}
            first = ask(relay, path, **asked).json()["input_tokens"]
            for _ in range(200):
                later = ask(relay, path, **asked).json()["input_tokens"]
                if later != first:
                    break
            assert (first, later) == (1004, 1503)
            assert sum(one.path == "/tokenize" for one in server.seen) == 1


def test_what_names_the_user_is_not_logged(tmp_path: Path) -> None:
    config = '[logging]\nbodies = "redacted"\n'
    (tmp_path / "config.toml").write_text(config)
    thought = {"type": "thinking", "thinking": "x", "signature": "EqQB-signed"}
    with running(tmp_path, "--config", str(tmp_path / "config.toml")) as relay:
        reply = ask(
            relay,
            messages=[user("One"), assistant(thought), user("Two")],
            metadata={"user_id": "device-and-account"},
            safeguards=["/home/someone"],
        )
        assert reply.status == 200
    log = b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl"))
    assert b"Two" in log
    for private in (b"device-and-account", b"/home/someone", b"EqQB-signed"):
        assert private not in log
