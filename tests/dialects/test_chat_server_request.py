"""dialects.chat_server.request: Responses requests for servers that know chat only."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airelays.dialects.chat_server.request import chat_request
from airelays.errors import ClientFault
from tests.fakes.maps import from_chat, from_responses

CALLS: list[dict[str, Any]] = [
    {"role": "user", "content": "weather?"},
    {
        "role": "assistant",
        "content": "Looking.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "cold"},
    {"role": "tool", "tool_call_id": "c2", "content": "warm"},
]


def test_a_chat_request_comes_back_as_it_was() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    messages = [{"role": "system", "content": "Be brief."}, *CALLS]
    body = {"model": "m", "messages": messages, "tools": tools, "max_tokens": 50}
    made = chat_request(from_chat(body, tools_allowed=True).body)
    assert made.body["messages"] == messages
    assert made.body["tools"][0]["function"]["name"] == "f"
    assert made.body["max_tokens"] == 50
    assert made.body["stream"] is True


def test_parts_schemas_and_choices_are_mapped() -> None:
    body = {
        "model": "m",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": "https://e/x.png", "detail": "low"},
                ],
            }
        ],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "f"},
        "reasoning": {"effort": "high"},
    }
    made = chat_request(body).body
    assert made["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://e/x.png", "detail": "low"}},
            ],
        }
    ]
    assert made["response_format"]["json_schema"]["name"] == "n"
    assert made["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert made["reasoning_effort"] == "high"


def test_a_custom_tool_becomes_a_function_and_its_history_too() -> None:
    made = chat_request(
        {
            "model": "m",
            "input": [
                {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "*** x"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
            ],
            "tools": [{"type": "custom", "name": "patch"}, {"type": "web_search"}],
        }
    )
    assert {name for name, tool in made.tools.items() if tool.custom} == {"patch"}
    assert "tools.web_search" in made.ignored
    call = made.body["messages"][0]["tool_calls"][0]["function"]
    assert json.loads(call["arguments"]) == {"input": "*** x"}
    assert made.body["messages"][1] == {"role": "tool", "tool_call_id": "c", "content": "done"}


def test_what_chat_has_no_word_for_is_left_out_and_named() -> None:
    made = chat_request(
        {
            "model": "m",
            "input": [
                {"type": "reasoning", "encrypted_content": "x", "summary": []},
                {"type": "web_search_call", "status": "completed"},
                {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
            ],
            "truncation": "auto",
        }
    )
    assert made.body["messages"] == []
    assert set(made.ignored) == {"input.web_search_call", "input.input_file", "truncation"}


def test_verbosity_and_logprobs_are_asked_for() -> None:
    asked = {
        "model": "m",
        "input": "x",
        "text": {"verbosity": "low"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
    }
    made = chat_request(asked)
    wanted = {"verbosity": "low", "logprobs": True, "top_logprobs": 2}
    assert {name: made.body.get(name) for name in wanted} == wanted
    assert made.ignored == ()


def test_sampling_settings_are_kept() -> None:
    made = chat_request({"model": "m", "input": "x", "temperature": 0.2, "top_p": 0.5, "seed": 1})
    assert (made.body["temperature"], made.body["top_p"], made.body["seed"]) == (0.2, 0.5, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_whatever_passes_the_check_can_be_mapped(items: Any, tools: Any) -> None:
    body = {"model": "m", "input": items, "tools": tools}
    try:
        checked = from_responses(body, tools_allowed=True, codex=False).body
    except ClientFault:
        return
    assert isinstance(chat_request(checked).body["messages"], list)
