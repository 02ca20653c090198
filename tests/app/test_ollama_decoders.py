"""Ollama's API as strict clients decode it: Zed, Continue, Home Assistant and Open WebUI, each by what it reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.app.test_ollama import ON, PNG, TOOL, lines
from tests.live import Relay, running

# A value is decoded by a type, by the schema of an object, by [schema] for a list, or by Maybe for what may be absent.
Schema = Any


class Maybe:
    """A field that may be absent; null is not accepted then either."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema


class Natural:
    """A whole number that is not negative (Rust's u64)."""


def decode(value: Any, schema: Schema, where: str = "$") -> None:
    """Raise AssertionError where `value` is not what a strict decoder of `schema` takes."""
    if schema is Natural:
        assert type(value) is int and value >= 0, f"{where} is {value!r}"
    elif isinstance(schema, type):
        assert type(value) is schema, f"{where} is {value!r}"
    elif isinstance(schema, list):
        assert isinstance(value, list), f"{where} is {value!r}"
        for at, one in enumerate(value):
            decode(one, schema[0], f"{where}[{at}]")
    else:
        assert isinstance(value, dict), f"{where} is {value!r}"
        for name, inner in schema.items():
            if isinstance(inner, Maybe):
                if name in value:
                    decode(value[name], inner.schema, f"{where}.{name}")
                continue
            assert name in value, f"{where}.{name} is missing"
            decode(value[name], inner, f"{where}.{name}")


DETAILS = {"format": str, "family": str, "parameter_size": str, "quantization_level": str}
ZED_TAGS = {
    "models": [
        {"name": str, "modified_at": str, "size": Natural, "digest": str, "details": DETAILS}
    ]
}
ZED_SHOW = {"capabilities": [str], "model_info": {"general.architecture": str}}
ZED_CALL = {"function": {"name": str, "arguments": dict}}
ZED_LINE = {
    "model": str,
    "created_at": str,
    "message": {
        "role": str,
        "content": str,
        "thinking": Maybe(str),
        "tool_calls": Maybe([ZED_CALL]),
    },
    "done": bool,
    "done_reason": Maybe(str),
    "prompt_eval_count": Maybe(Natural),
    "eval_count": Maybe(Natural),
}
CONTINUE_SHOW = {"parameters": str, "template": str, "model_info": dict}
CONTINUE_LINE = {
    "model": str,
    "created_at": str,
    "message": {
        "role": str,
        "content": str,
        "tool_calls": Maybe([{"function": {"name": str, "arguments": dict}}]),
    },
    "done": bool,
}
CONTINUE_LAST = {
    **CONTINUE_LINE,
    **dict.fromkeys(
        ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration",
         "eval_count", "eval_duration"), Natural,
    ),
}  # fmt: skip
WEBUI_TAGS = {"models": [{"name": str, "model": str, "digest": str, "details": dict}]}
WEBUI_PS = {"models": [{"name": str, "model": str, "expires_at": str, "size_vram": Natural}]}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("decoders"), env=ON) as relay:
        yield relay


def chat(relay: Relay, agent: str, content: str, **more: Any) -> Any:
    body = {"model": "demo:latest", "messages": [{"role": "user", "content": content}], **more}
    return relay.send("POST", "/api/chat", body, headers={"User-Agent": agent})


def test_a_decoder_is_strict() -> None:
    decode({"a": 1, "b": ["x"], "unknown": None}, {"a": Natural, "b": [str], "c": Maybe(str)})
    wrong: list[Any] = [{"b": []}, {"a": -1, "b": []}, {"a": None, "b": []}, {"a": 1, "b": [2]}]
    for value in wrong:
        with pytest.raises(AssertionError):
            decode(value, {"a": Natural, "b": [str]})
    with pytest.raises(AssertionError):
        decode({"c": None}, {"c": Maybe(str)})


def test_zed(demo: Relay) -> None:
    agent = "Zed/0.230.1 (linux; x86_64)"
    listed = demo.send("GET", "/api/tags", headers={"User-Agent": agent}).json()
    decode(listed, ZED_TAGS)
    for model in listed["models"]:
        decode(demo.send("POST", "/api/show", {"model": model["name"]}).json(), ZED_SHOW)
    for line in lines(chat(demo, agent, "hello there", keep_alive=-1, options={"num_ctx": 4096})):
        decode(line, ZED_LINE)
    asked = chat(demo, agent, "call the tool get_weather", tools=[TOOL], stream=False).json()
    decode(asked, ZED_LINE)
    # An enum with one variant there: an object with exactly this key.
    assert [list(call) for call in asked["message"]["tool_calls"]] == [["function"]]


def test_continue(demo: Relay) -> None:
    shown = demo.send("POST", "/api/show", {"name": "demo"}).json()
    decode(shown, CONTINUE_SHOW)
    assert [line.split()[0] for line in shown["parameters"].splitlines()] == ["num_ctx"]
    assert ".Suffix" not in shown["template"]  # it would ask for text in the middle
    said = lines(chat(demo, "Continue/1.2", "hello", options={"num_predict": 100, "stop": ["#"]}))
    for line in said[:-1]:
        decode(line, CONTINUE_LINE)
    decode(said[-1], CONTINUE_LAST)
    broken = lines(chat(demo, "Continue/1.2", "one two three demo:cut"))
    assert list(broken[-1]) == ["error"] and not any(line.get("done") for line in broken)


def test_home_assistant_answers_tools_without_ids_and_streams(demo: Relay) -> None:
    """What its entity sends: the history with every turn, calls and outputs without ids, `keep_alive` as a text."""
    agent = "HomeAssistant/2026.11 ollama-python/0.6.3"
    models = demo.send("GET", "/api/tags", headers={"User-Agent": agent}).json()["models"]
    assert "demo:latest" in [one["model"] for one in models]
    assert demo.send("POST", "/api/pull", {"model": "demo:latest", "stream": False}).status == 200
    system = {"role": "system", "content": "You are a voice assistant."}
    ask = {"role": "user", "content": "call the tools get_weather, get_time", "images": None}
    tools = [TOOL, {"type": "function", "function": {"name": "get_time", "parameters": {}}}]
    common = {
        "model": "demo:latest",
        "keep_alive": "-1s",
        "options": {"num_ctx": 8192},
        "think": False,
    }
    first = lines(
        demo.send("POST", "/api/chat", {**common, "messages": [system, ask], "tools": tools})
    )
    calls = [call for line in first[:-1] for call in line["message"].get("tool_calls", [])]
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_time"]
    history = [
        system,
        ask,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": call["function"]} for call in calls],
        },
        {"role": "tool", "content": json.dumps({"temperature": 4})},
        {"role": "tool", "content": json.dumps({"time": "12:00"})},
    ]
    body = {**common, "messages": history, "tools": tools}
    last = lines(demo.send("POST", "/api/chat", body, headers={"User-Agent": agent}))
    text = "".join(line["message"]["content"] for line in last)
    assert "temperature" in text and "12:00" in text and last[-1]["done"]


def test_open_web_ui_s_router(demo: Relay) -> None:
    """Its calls in their order: verify, list with `ps`, chat with an image, unload; errors have a text."""
    who = {"User-Agent": "Python/3.12 aiohttp/3.12", "X-OpenWebUI-User-Name": "A%20B"}

    def get(path: str) -> Any:
        return demo.send("GET", path, headers=who).json()

    assert get("/api/version")["version"].count(".") == 2
    decode(get("/api/tags"), WEBUI_TAGS)
    body = {
        "model": "demo:latest",
        "messages": [{"role": "user", "content": "what is it", "images": [PNG]}],
        "options": {"temperature": 0.1, "num_gpu": 1, "use_mmap": True},
        "stream": True,
    }
    assert lines(demo.send("POST", "/api/chat", body, headers=who))[-1]["eval_count"] > 0
    decode(get("/api/ps"), WEBUI_PS)
    unload = {"model": "demo:latest", "keep_alive": 0, "prompt": ""}
    assert demo.send("POST", "/api/generate", unload, headers=who).status == 200
    assert get("/api/ps")["models"] == []
    refused = demo.send("POST", "/api/show", {"name": "nothing"}, headers=who)
    assert refused.status == 404 and isinstance(refused.json()["error"], str)
