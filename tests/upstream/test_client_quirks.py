"""What application programs put on the wire, as raw requests: one test a row of what was read in their sources."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.live import Relay, Reply, running
from tests.net.test_live_wire import WIDE

CHAT = "/v1/chat/completions"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
FLAT_TOOL = {"type": "function", "name": "get_weather", "parameters": PARAMETERS}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as one:
        one.play = "plan"
        yield one


@pytest.fixture(scope="module")
def relay(backend: FakeBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay against a backend that is as strict as the real one."""
    home: Path = tmp_path_factory.mktemp("home")
    far = backend.sign_in(home / ".airelays")
    with running(home, demo=False, env={**WIDE, **far}) as one:
        yield one


def chat(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5", "messages": [{"role": "user", "content": text}], **more}


def said(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    text: str = reply.json()["choices"][0]["message"]["content"]
    return text


def streamed(reply: Reply) -> str:
    """The text of a chat stream, which must keep every rule that SDKs check."""
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"].startswith("text/event-stream")
    chunks = reply.events()
    assert chunks[-1] == "[DONE]"
    with_choice = [c for c in chunks[:-1] if c["choices"]]
    assert with_choice[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [bool(c["choices"][0]["finish_reason"]) for c in with_choice].count(True) == 1
    assert len({c["id"] for c in chunks[:-1]}) == 1
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in with_choice)


# ---- bodies of applications, on the chat route

BODIES: dict[str, dict[str, Any]] = {
    "Cursor: a Responses body with flat and custom tools": {
        "model": "gpt-5.5",
        "input": [
            {"role": "system", "content": "You edit code."},
            {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
            {"role": "assistant", "content": []},
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "get_weather",
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "4"},
            {"role": "user", "content": "hello"},
        ],
        "tools": [
            FLAT_TOOL,
            {
                "type": "custom",
                "name": "ApplyPatch",
                "description": "Patch.",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
            },
        ],
        "user": "u",
        "stream_options": {"include_usage": True},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "medium", "summary": "auto"},
        "text": {"verbosity": "low"},
        "prompt_cache_retention": "24h",
        "metadata": {"cursorConversationId": "x"},
    },
    "Cursor: messages beside flat custom tools": chat(
        "hello",
        tools=[FLAT_TOOL, {"type": "custom", "name": "ApplyPatch", "format": {"type": "text"}}],
        tool_choice="auto",
        user="u",
    ),
    "Cursor: an assistant turn of tools with content []": {
        "model": "gpt-5.5",
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [], "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "4"}]},
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        ],
        "tools": [TOOL],
    },
    "Roo Code: cache_control on parts, always tools and a temperature": {
        "model": "gpt-5.5",
        "messages": [
            {
                "role": "system",
                "content": [
                    {"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}
                ],
            },
        ],
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "temperature": 0,
        "stream_options": {"include_usage": True},
        "max_tokens": -1 + 8193,
    },
    "Cline: max_completion_tokens and a developer message": {
        "model": "gpt-5.5",
        "messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        ],
        "max_completion_tokens": 32000,
        "reasoning_effort": "high",
        "temperature": 0,
        "stream_options": {"include_usage": True},
    },
    "Zed: an effort that nobody knows": chat(
        "hello", reasoning_effort="lightning", max_completion_tokens=4096, parallel_tool_calls=False
    ),
    "Zed: minimal effort for titles": chat("hello", reasoning_effort="minimal", stop=[]),
    "aider: a reasoning object on chat": chat(
        "hello", reasoning={"effort": "high"}, extra_body={"x": 1}, drop_params=True
    ),
    "aider: two messages of one role, an assistant example first": {
        "model": "gpt-5.5",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "assistant", "content": "Ok."},
            {"role": "user", "content": "a"},
            {"role": "user", "content": "hello"},
        ],
    },
    "OpenRouter style: reasoning, transforms, provider, usage": chat(
        "hello",
        reasoning={"effort": "low", "max_tokens": 2000, "exclude": False, "enabled": True},
        transforms=["middle-out"],
        provider={"order": ["OpenAI"]},
        usage={"include": True},
        models=["gpt-5.5"],
        route="fallback",
    ),
    "vLLM and llama.cpp style sampling": chat(
        "hello",
        top_k=40,
        min_p=0.05,
        repetition_penalty=1.1,
        typical_p=1,
        mirostat=0,
        cache_prompt=True,
        chat_template_kwargs={"enable_thinking": False},
        guided_json=None,
        best_of=None,
        n_predict=-1,
        samplers=["top_k"],
    ),
    "Open WebUI: its own fields beside the body": chat(
        "hello",
        stream=False,
        chat_id="c",
        session_id="s",
        features={"web_search": False},
        metadata={"task": "title_generation"},
        variables={},
        background_tasks={},
        model_item={"id": "x"},
        options={},
        keep_alive=None,
        tool_ids=None,
        files=[],
        max_tokens=1000,
    ),
    "LibreChat: promptPrefix, endpoint, frequency penalties": chat(
        "hello", frequency_penalty=0, presence_penalty=0, top_p=1, user="650", stream=False, n=1
    ),
    "LangChain: nulls for everything that was not set": chat(
        "hello",
        temperature=None,
        max_tokens=None,
        stop=None,
        tools=None,
        tool_choice=None,
        functions=None,
        logit_bias=None,
        logprobs=None,
        top_logprobs=None,
        response_format=None,
        seed=None,
        user=None,
        stream_options=None,
        modalities=None,
        audio=None,
        n=None,
    ),
    "Home Assistant: functions of 2023": chat(
        "hello", functions=[{"name": "get_weather", "parameters": PARAMETERS}], function_call="auto"
    ),
    "AutoGen: a name on the message": {
        "model": "gpt-5.5",
        "messages": [{"role": "user", "name": "user_proxy", "content": "hello"}],
    },
    "semantic-kernel: tool names with a dash, content null": {
        "model": "gpt-5.5",
        "messages": [
            {"role": "user", "content": "hello"},
            {
                "role": "assistant",
                "content": None,
                "name": "a",
                "refusal": None,
                "audio": None,
                "function_call": None,
                "annotations": [],
                "tool_calls": [{**CALL, "index": 0}],
            },
            {"role": "tool", "tool_call_id": "call_1", "name": "get_weather", "content": "4"},
            {"role": "user", "content": "hello"},
        ],
    },
    "MCP hosts: a tool without parameters, strict null, $schema": chat(
        "hello",
        tools=[
            {"type": "function", "function": {"name": "now", "strict": None}},
            {
                "type": "function",
                "function": {
                    "name": "x",
                    "description": None,
                    "parameters": {
                        "$schema": "http://json-schema.org/draft-07/schema#",
                        "type": "object",
                        "properties": {},
                        "additionalProperties": False,
                    },
                },
            },
        ],
        tool_choice={"type": "auto"},
    ),
    "replayed reasoning_content, reasoning and thinking": {
        "model": "gpt-5.5",
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "t", "signature": "s"}],
                "reasoning_content": "t",
                "reasoning": "t",
                "reasoning_details": [{"type": "reasoning.text", "text": "t"}],
            },
            {"role": "user", "content": "hello"},
        ],
    },
    "an empty assistant message in the middle": {
        "model": "gpt-5.5",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "hello"},
        ],
    },
    "thinking switched off in the way of other vendors": chat(
        "hello", thinking={"type": "disabled"}, enable_thinking=False, reasoning_effort="none"
    ),
    "a search option that only some models have": chat("hello", web_search_options={}),
    "service tiers and caching": chat(
        "hello",
        service_tier="auto",
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        safety_identifier="s",
    ),
    "numbers as floats": chat("hello", max_tokens=1000.0, n=1, temperature=1, top_p=1.0),
    "Ollama style: arguments as an object": {
        "model": "gpt-5.5",
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "c", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "4"},
            {"role": "user", "content": "hello"},
        ],
    },
    "LM Studio and llama.cpp: a limit of -1": chat("hello", max_tokens=-1),
    "LibreChat: an effort that was not chosen": chat("hello", reasoning_effort=""),
    "response_format text": chat("hello", response_format={"type": "text"}),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_an_application_is_served_by_chat(relay: Relay, name: str) -> None:
    reply = relay.send("POST", CHAT, {**BODIES[name], "stream": False})
    assert said(reply) == "You said: hello"


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_an_application_is_streamed_by_chat(relay: Relay, name: str) -> None:
    reply = relay.send("POST", CHAT, {**BODIES[name], "stream": True})
    assert streamed(reply) == "You said: hello"


RESPONSES: dict[str, dict[str, Any]] = {
    "LlamaIndex: nulls and a truncation": {
        "input": [{"role": "user", "content": "hello"}],
        "include": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": None,
        "previous_response_id": None,
        "user": None,
        "truncation": "disabled",
        "tools": [],
    },
    "LangChain: a system message in the input, text always there": {
        "input": [
            {"type": "message", "role": "system", "content": "Be short."},
            {"type": "message", "role": "user", "content": "hello"},
        ],
        "text": {"format": {"type": "text"}},
        "temperature": 1,
        "top_p": 1,
    },
    "pydantic-ai: reasoning context": {
        "input": [{"role": "user", "content": "hello"}],
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"context": "all_turns"},
    },
    "agents: reasoning without its content goes back": {
        "input": [
            {"role": "user", "content": "hi"},
            {"id": "rs_1", "type": "reasoning", "summary": [], "content": None, "status": None},
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "x", "annotations": [], "logprobs": []}
                ],
            },
            {"role": "user", "content": "hello"},
        ],
        "include": [],
        "tools": [],
    },
    "ids that are not the backend's own": {
        "input": [
            {"id": "item-77", "role": "user", "content": "hi"},
            {"id": "x", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"id": "y", "type": "function_call_output", "call_id": "c", "output": "4"},
            {"id": "z", "role": "user", "content": [{"type": "text", "text": "hello"}]},
        ],
    },
    "every parameter that the backend does not know": {
        "input": "hello",
        "truncation": "auto",
        "metadata": {"a": "b"},
        "user": "u",
        "stream_options": {"include_obfuscation": False},
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "context_management": [],
        "max_tool_calls": 5,
        "background": False,
        "top_logprobs": 0,
        "unheard_of": {"x": 1},
    },
    "tools in the spelling of chat": {
        "input": "hello",
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
    },
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", RESPONSES)
def test_a_responses_body_of_a_library_is_served(relay: Relay, name: str, stream: bool) -> None:
    reply = relay.send(
        "POST", "/v1/responses", {"model": "gpt-5.5", **RESPONSES[name], "stream": stream}
    )
    assert reply.status == 200, reply.body
    answer = reply.events()[-1]["response"] if stream else reply.json()
    assert answer["status"] == "completed"
    assert answer["output"][-1]["content"][0]["text"] == "You said: hello"


def test_cursor_gets_a_custom_call_back_on_chat(relay: Relay) -> None:
    body = {
        "model": "gpt-5.5",
        "input": [{"role": "user", "content": "call the tool ApplyPatch"}],
        "tools": [{"type": "custom", "name": "ApplyPatch", "format": {"type": "text"}}],
        "stream": True,
    }
    reply = relay.send("POST", CHAT, body)
    assert "responses_body_on_chat" in reply.headers["x-airelays-quirks"]
    deltas = [c["choices"][0]["delta"] for c in reply.events()[:-1] if c["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert {call["index"] for call in calls} == {0}
    assert calls[0]["id"] and calls[0]["type"] == "custom"
    assert calls[0]["custom"]["name"] == "ApplyPatch"
    assert "".join(c["custom"].get("input", "") for c in calls) == "demo input for ApplyPatch"


def test_images_come_in_every_spelling(relay: Relay) -> None:
    parts: list[Any] = [
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "auto"}},
        {"type": "image_url", "image_url": PIXEL},
        {"type": "input_image", "image_url": PIXEL, "detail": None},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": None}},
        {"type": "text", "text": "hello"},
    ]
    assert said(relay.send("POST", CHAT, chat(parts))) == "I see 4 images. You said: hello"


def test_usage_comes_last_and_only_when_asked_for(relay: Relay) -> None:
    asked = relay.send("POST", CHAT, chat("x", stream=True, stream_options={"include_usage": True}))
    chunks = asked.events()[:-1]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] > 0
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    silent = relay.send("POST", CHAT, chat("x", stream=True)).events()[:-1]
    assert all(chunk["choices"] and "usage" not in chunk for chunk in silent)


def test_a_full_context_is_told_in_words_that_clients_look_for(relay: Relay) -> None:
    # LiteLLM (aider, mini-swe-agent) knows an overflow by a phrase only, not by the code.
    phrase = "this model's maximum context length is"
    for stream in (False, True):
        error = relay.send("POST", CHAT, chat("demo:context", stream=stream)).error
        assert error["code"] == "context_length_exceeded"
        assert phrase in error["message"].lower()
        assert error["message"].startswith("Your input exceeds the context window")


def test_a_tool_in_anthropics_form_keeps_its_parameters(relay: Relay, backend: FakeBackend) -> None:
    body = chat("hello", tools=[{"name": "get_weather", "input_schema": PARAMETERS}])
    reply = relay.send("POST", CHAT, body)
    assert "input_schema_read" in reply.headers["x-airelays-quirks"]
    (tool,) = backend.calls("/responses")[-1].json["tools"]
    assert tool["parameters"] == PARAMETERS


def test_an_offer_of_http2_is_left_aside(relay: Relay) -> None:
    # The HTTP client of the JDK offers h2c with its first request.
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABk",
    }
    assert said(relay.send("POST", CHAT, chat("hello"), headers=offer)) == "You said: hello"


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "auto"}, False),
        ({"type": "none"}, False),
        ("any", True),
        ({"type": "any"}, True),
        ({"type": "required"}, True),
        ({"type": "tool", "name": "get_weather"}, True),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
def test_a_tool_choice_of_another_vendor_is_understood(
    relay: Relay, path: str, choice: Any, called: bool
) -> None:
    body = chat("hello") if path == CHAT else {"model": "gpt-5.5", "input": "hello"}
    reply = relay.send("POST", path, {**body, "tools": [TOOL], "tool_choice": choice})
    assert reply.status == 200, reply.body
    assert "tool_choice_mapped" in reply.headers["x-airelays-quirks"]
    answer = reply.json()
    if path == CHAT:
        assert bool(answer["choices"][0]["message"].get("tool_calls")) is called
    else:
        assert (answer["output"][-1]["type"] == "function_call") is called


# ---- heads


@pytest.mark.parametrize(
    "fields",
    [
        {"Authorization": "Bearer TOKEN", "x-api-key": "TOKEN"},
        {"Authorization": "bearer TOKEN"},
        {"Authorization": "BEARER  TOKEN"},
        {"x-api-key": "TOKEN"},
        {"X-Api-Key": "TOKEN", "anthropic-version": "2023-06-01"},
        {"api-key": "TOKEN"},
    ],
)
def test_a_key_is_found_where_clients_put_it(relay: Relay, fields: dict[str, str]) -> None:
    headers = {name: value.replace("TOKEN", relay.token) for name, value in fields.items()}
    assert said(relay.send("POST", CHAT, chat("hello"), token=None, headers=headers))
    wrong = {name: value.replace("TOKEN", "not-it") for name, value in fields.items()}
    refused = relay.send("POST", CHAT, chat("hello"), token=None, headers=wrong)
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=UTF-8"]
)
def test_json_is_read_whatever_curl_calls_it(relay: Relay, kind: str) -> None:
    reply = relay.send("POST", CHAT, chat("hello"), headers={"Content-Type": kind})
    assert said(reply) == "You said: hello"


def raw_request(relay: Relay, version: str, extra: str, body: bytes) -> bytes:
    head = (
        f"POST {CHAT} HTTP/{version}\r\nHost: localhost:{relay.port}\r\n"
        f"Authorization: Bearer {relay.token}\r\n{extra}\r\n"
    )
    return head.encode() + body


def test_curl_without_content_type_and_with_http_1_0(relay: Relay) -> None:
    body = json.dumps(chat("hello")).encode()
    with relay.connect() as wire:
        wire.send(raw_request(relay, "1.0", f"Content-Length: {len(body)}\r\n", body))
        reply = wire.reply()
        assert said(reply) == "You said: hello"
        assert "transfer-encoding" not in reply.headers
        assert wire.is_closed()


def test_http_1_0_gets_a_stream_up_to_the_end_of_the_connection(relay: Relay) -> None:
    body = json.dumps(chat("hello", stream=True)).encode()
    with relay.connect() as wire:
        wire.send(raw_request(relay, "1.0", f"Content-Length: {len(body)}\r\n", body))
        assert streamed(wire.reply()) == "You said: hello"


def test_a_chunked_body_after_100_continue(relay: Relay) -> None:
    body = json.dumps(chat("hello")).encode()
    extra = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
    with relay.connect() as wire:
        wire.send(raw_request(relay, "1.1", extra, b""))
        assert wire.head().status == 100
        for at in range(0, len(body), 7):
            piece = body[at : at + 7]
            wire.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        wire.send(b"0\r\n\r\n")
        assert said(wire.reply()) == "You said: hello"


def test_a_gzipped_body_with_the_right_length(relay: Relay) -> None:
    body = gzip.compress(json.dumps(chat("hello")).encode())
    reply = relay.send("POST", CHAT, body, headers={"Content-Encoding": "gzip"})
    assert said(reply) == "You said: hello"


def test_a_byte_order_mark_before_the_body_is_no_hurdle(relay: Relay) -> None:
    # What PowerShell writes into a file that curl then sends.
    body = b"\xef\xbb\xbf" + json.dumps(chat("hello")).encode()
    assert said(relay.send("POST", CHAT, body)) == "You said: hello"


# ---- paths and probes of applications


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models?client_version=0.169.0",
        "/models",
        "/v1/models/",
        "/v1/v1/models",
        "//v1/models",
        "/v1//models",
        "/no-tools/v1/models",
    ],
)
def test_models_are_a_list_for_everybody(relay: Relay, path: str) -> None:
    found = relay.get(path).json()
    assert found["object"] == "list"
    assert "gpt-5.5" in [model["id"] for model in found["data"]]
    assert all("name" not in model or isinstance(model["name"], str) for model in found["data"])
    # JetBrains and the Codex CLI read `models`.
    assert isinstance(found["models"], list)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/rerank", 501),
        ("POST", "/v1/embeddings", 501),
        ("POST", "/v1/fim/completions", 501),
        ("POST", "/v1/audio/speech", 501),
        ("POST", "/v1/messages?beta=true", 400),
        ("GET", "/api/v0/models", 404),
        ("GET", "/api/tags", 404),
        ("GET", "/v1/engines", 404),
        ("GET", CHAT, 405),
    ],
)
def test_what_there_is_not_is_told_in_json(
    relay: Relay, method: str, path: str, status: int
) -> None:
    body = {"model": "gpt-5.5", "input": "x"} if method == "POST" else None
    reply = relay.send(method, path, body)
    assert reply.status == status, reply.body
    assert set(reply.error) >= {"message", "type", "param", "code"}
    assert reply.headers["content-type"].startswith("application/json")


def test_open_webui_asks_five_things_at_once(tmp_path: Path) -> None:
    # The answer, its title, tags, follow-ups and a search query: the default limits allow them.
    found: list[int] = []
    with running(tmp_path) as one:

        def ask(n: int) -> None:
            found.append(one.send("POST", CHAT, chat(f"demo:words=40 demo:pace=5 {n}")).status)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert found == [200] * 6


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost."])
def test_the_names_of_this_machine_are_hosts(relay: Relay, host: str) -> None:
    headers = {"Host": f"{host}:{relay.port}"}
    assert relay.send("GET", "/v1/models", headers=headers).status == 200


def test_a_container_reaches_the_relay_by_a_name_that_is_allowed(
    relay: Relay, tmp_path: Path
) -> None:
    name = "host.docker.internal"
    refused = relay.send("GET", "/v1/models", headers={"Host": f"{name}:{relay.port}"})
    assert refused.status == 421 and "allowed_hosts" in refused.error["message"]
    with running(tmp_path, env={**WIDE, "AIRELAYS_ALLOWED_HOSTS": name}) as one:
        allowed = one.send("GET", "/v1/models", headers={"Host": f"{name}:{one.port}"})
    assert allowed.status == 200


@pytest.mark.parametrize(
    "page",
    [
        "null",
        "app://obsidian.md",
        "tauri://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "vscode-webview://0a1b2c",
        "capacitor://localhost",
        "http://localhost:3000",
    ],
)
def test_pages_that_are_listed_are_let_in(tmp_path: Path, page: str) -> None:
    listed = {"AIRELAYS_ALLOWED_ORIGINS": page, **WIDE}
    ask = {
        "Origin": page,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
        "Access-Control-Request-Private-Network": "true",
    }
    with running(tmp_path, env=listed) as one:
        preflight = one.send("OPTIONS", CHAT, token=None, headers=ask)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == page
        assert "PUT" in preflight.headers["access-control-allow-methods"]  # /v1/relay/logging
        assert "x-stainless-os" in preflight.headers["access-control-allow-headers"]
        assert preflight.headers["access-control-allow-private-network"] == "true"
        marks = {"Origin": page, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        reply = one.send("POST", CHAT, chat("hello"), headers=marks)
        assert reply.status == 200
        assert reply.headers["access-control-allow-origin"] == page
