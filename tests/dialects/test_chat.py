from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.dialects.chat.request import to_chat
from airelays.dialects.translated import ReplyOptions, Translated
from airelays.errors import ClientFault
from airelays.protocol.jsonio import dumps
from tests.fakes.maps import from_chat

USER = {"role": "user", "content": "hi"}
USER_ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


def translate(*messages: Any, **more: Any) -> Translated:
    return from_chat(
        {"model": "m", "messages": list(messages) or [USER], **more}, tools_allowed=True
    )


def refused(*messages: Any, **more: Any) -> ClientFault:
    with pytest.raises(ClientFault) as caught:
        translate(*messages, **more)
    assert caught.value.status == 400
    return caught.value


def called(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def test_the_smallest_request() -> None:
    made = translate(USER)
    assert made.body == {
        "model": "m",
        "instructions": ".",
        "input": [USER_ITEM],
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }
    assert made.options == ReplyOptions(model="m")
    assert (made.ignored, made.quirks, made.store) == ((), (), False)
    assert (made.conversation, made.previous_response_id) == (None, None)


def test_nulls_are_absent_fields() -> None:
    names = ("tools", "tool_choice", "n", "stop", "stream", "store", "response_format", "user")
    made = translate(USER, **dict.fromkeys(names), temperature=None, unknown=None)
    assert made == translate(USER)


def test_leading_system_messages_are_instructions_and_later_ones_stay() -> None:
    made = translate(
        {"role": "system", "content": "One."},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Two."}, {"type": "text", "text": "Three."}],
        },
        USER,
        {"role": "system", "content": "Four."},
        instructions="Zero.",
    )
    assert made.body["instructions"] == "Zero.\n\nOne.\n\nTwo.\nThree."
    assert made.body["input"] == [
        USER_ITEM,
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "Four."}],
        },
    ]


def test_json_mode_keeps_system_messages_in_the_input() -> None:
    made = translate(
        {"role": "system", "content": "Answer in JSON."},
        USER,
        response_format={"type": "json_object"},
    )
    assert made.body["instructions"] == "."
    assert made.body["input"][0]["role"] == "developer"
    assert made.body["text"] == {"format": {"type": "json_object"}}


def test_system_messages_alone_become_the_input() -> None:
    made = translate({"role": "system", "content": "Hi."})
    assert made.body["input"][0]["content"] == [{"type": "input_text", "text": "Hi."}]
    assert made.body["instructions"] == "."


def test_a_tool_round_trip() -> None:
    made = translate(
        USER,
        {**called(), "refusal": None, "audio": None, "annotations": []},
        {"role": "tool", "tool_call_id": "c1", "content": "42", "name": "f"},
    )
    assert made.body["input"][1:] == [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]
    assert made.quirks == ()


@pytest.mark.parametrize("content", [None, "", []])
def test_an_assistant_turn_with_calls_needs_no_content(content: Any) -> None:
    made = translate(
        USER,
        {**called(), "content": content},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    )
    assert [item["type"] for item in made.body["input"]] == [
        "message",
        "function_call",
        "function_call_output",
    ]


def test_an_assistant_turn_may_leave_content_out() -> None:
    turn = called()
    del turn["content"]
    assert translate(USER, turn).body["input"][1]["type"] == "function_call"


def test_custom_calls_and_flat_calls_are_read() -> None:
    made = translate(
        USER,
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "x"}},
                {"id": "b", "type": "function", "name": "f", "arguments": ""},
                {"function": {"name": "g"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "done"},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    )
    assert made.body["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": "x"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "call_1", "name": "g", "arguments": "{}"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "done"},
        {"type": "function_call_output", "call_id": "call_1", "output": "done"},
    ]


def test_tool_output_with_an_image_keeps_its_parts() -> None:
    made = translate(
        USER,
        called(),
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": "https://h/i"},
            ],
        },
    )
    assert made.body["input"][2]["output"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "https://h/i", "detail": "auto"},
    ]


def test_legacy_functions_round_trip() -> None:
    made = translate(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    assert made.body["input"][1:] == [
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    ]
    assert made.body["tools"] == [
        {
            "type": "function",
            "name": "f",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        }
    ]
    assert made.body["tool_choice"] == {"type": "function", "name": "f"}
    assert made.body["parallel_tool_calls"] is False
    assert made.options.legacy_functions
    assert made.quirks == ("legacy_functions",)


def test_a_tool_output_may_answer_a_call_of_an_earlier_conversation() -> None:
    made = translate({"role": "tool", "tool_call_id": "c9", "content": "x"}, conversation="conv_1")
    assert made.conversation == "conv_1"
    assert made.body["input"][0]["call_id"] == "c9"


def test_assistant_texts_and_refusals_are_output_parts() -> None:
    made = translate(
        USER,
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
        },
        {"role": "assistant", "content": None, "refusal": "c", "reasoning_content": "thought"},
        {"role": "user", "content": "", "name": "Bob"},
    )
    assert [item["content"] for item in made.body["input"][1:]] == [
        [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
        [{"type": "refusal", "refusal": "c"}],
        [{"type": "input_text", "text": ""}],
    ]
    assert made.quirks == ("message_name_dropped", "empty_content")


def test_parameters_that_change_nothing_are_dropped_and_named() -> None:
    made = translate(
        USER,
        zebra=1,
        user="u",
        temperature=0,
        top_p=1,
        seed=5,
        presence_penalty=0,
        metadata={"a": "b"},
        logit_bias={},
        logprobs=False,
        top_logprobs=0,
        n=1,
        modalities=["text"],
        store=False,
        stream_options={"include_usage": True},
        apple="x",
    )
    assert made.ignored == (
        "temperature",
        "top_p",
        "presence_penalty",
        "user",
        "seed",
        "stream_options",
        "apple",
        "metadata",
        "zebra",
    )
    assert made.body == translate(USER).body
    assert made.options.include_usage is False


def test_parameters_that_are_taken() -> None:
    made = translate(
        USER,
        stream=True,
        stream_options={"include_usage": True},
        stop=["a", "b", "a"],
        max_tokens=100,
        reasoning_effort="high",
        verbosity="low",
        service_tier="priority",
        prompt_cache_key="k",
        parallel_tool_calls=False,
        include=["x"],
        store=True,
        client_metadata={"a": "b"},
        previous_response_id="resp_1",
    )
    assert made.options == ReplyOptions(model="m", stream=True, include_usage=True, stop=("a", "b"))
    assert made.ignored == ()
    assert (made.store, made.previous_response_id) == (True, "resp_1")
    assert made.body["store"] is False
    want = {
        "max_output_tokens": 100,
        "reasoning": {"summary": "auto", "effort": "high"},
        "text": {"verbosity": "low"},
        "service_tier": "priority",
        "prompt_cache_key": "k",
        "parallel_tool_calls": False,
        "include": ["x", "reasoning.encrypted_content"],
        "client_metadata": {"a": "b"},
    }
    assert {key: made.body[key] for key in want} == want


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"n": "1"}, "n"),
        ({"n": True}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"prediction": {"type": "content"}}, "prediction"),
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"input": "x"}, "input"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": "x" * 2049}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"store": "yes"}, "store"),
        ({"instructions": 5}, "instructions"),
        ({"conversation": 5}, "conversation"),
        ({"conversation": {}}, "conversation.id"),
        ({"conversation": "c", "previous_response_id": "r"}, "previous_response_id"),
        ({"service_tier": 5}, "service_tier"),
        ({"client_metadata": []}, "client_metadata"),
        ({"parallel_tool_calls": "x"}, "parallel_tool_calls"),
        ({"include": "x"}, "include"),
        ({"include": [5]}, "include[0]"),
        ({"verbosity": {}}, "verbosity"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        (
            {
                "functions": [{"name": "f"}],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
            "functions",
        ),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
    ],
)
def test_a_parameter_that_cannot_be_served_is_named(more: dict[str, Any], param: str) -> None:
    fault = refused(**more)
    assert fault.param == param
    assert fault.message.startswith(param)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([5], "messages[0]"),
        ([{}], "messages[0].role"),
        ([{"role": 5}], "messages[0].role"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "system", "content": None}], "messages[0].content"),
        ([{"role": "system", "content": ""}], "messages"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": "https://h/i"}]}],
            "messages[0].content[0]",
        ),
        ([USER, {"role": "user", "content": [5]}], "messages[1].content[0]"),
        ([USER, {"role": "user", "content": [{}]}], "messages[1].content[0].type"),
        (
            [USER, {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
            "messages[1].content[0].type",
        ),
        ([USER, {"role": "user", "content": [{"type": "text"}]}], "messages[1].content[0].text"),
        (
            [USER, {"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}],
            "messages[1].content[0].type",
        ),
        (
            [
                USER,
                {"role": "assistant", "content": [{"type": "image_url", "image_url": "https://h"}]},
            ],
            "messages[1].content[0].type",
        ),
        (
            [
                USER,
                USER,
                {"role": "user", "content": [{"type": "image_url", "image_url": "file:///x"}]},
            ],
            "messages[2].content[0].image_url",
        ),
        ([USER, {"role": "assistant", "refusal": 5}], "messages[1].refusal"),
        ([USER, {"role": "assistant", "audio": {"id": "x"}}], "messages[1].audio"),
        ([USER, {"role": "assistant", "tool_calls": "x"}], "messages[1].tool_calls"),
        (
            [USER, {"role": "assistant", "tool_calls": [{"id": "a", "type": "odd"}]}],
            "messages[1].tool_calls[0].type",
        ),
        (
            [USER, {"role": "assistant", "tool_calls": [{"id": "", "function": {"name": "f"}}]}],
            "messages[1].tool_calls[0].id",
        ),
        (
            [USER, {"role": "assistant", "tool_calls": [{"id": "a", "function": {}}]}],
            "messages[1].tool_calls[0].function.name",
        ),
        (
            [
                USER,
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": 5}}],
                },
            ],
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            [USER, {"role": "assistant", "function_call": {"arguments": "{}"}}],
            "messages[1].function_call.name",
        ),
        ([USER, {"role": "tool", "content": "x"}], "messages[1].tool_call_id"),
        (
            [USER, {"role": "tool", "tool_call_id": "c9", "content": "x"}],
            "messages[1].tool_call_id",
        ),
        ([USER, {"role": "function", "name": "f", "content": "x"}], "messages[1].name"),
    ],
)
def test_a_bad_message_is_named_by_its_path(messages: list[Any], param: str) -> None:
    fault = refused(*messages)
    assert fault.param == param
    assert fault.message.startswith(param)


def test_whole_error_texts() -> None:
    assert refused(n=3).message == (
        "n is 3; the upstream gives one answer per request, so only 1 is accepted"
    )
    assert refused(logit_bias={"1": 2}).message == (
        "logit_bias is an object, which the upstream cannot honor; remove it"
    )
    assert refused({"role": "tool", "tool_call_id": "c9", "content": "x"}).message == (
        'messages[0].tool_call_id is "c9", which no earlier assistant message called; '
        "send the assistant message with its tool_calls before the tool message"
    )
    assert refused(USER, {"role": "robot"}).message == (
        'messages[1].role is "robot"; expected system, developer, user, assistant, tool or function'
    )


@pytest.mark.parametrize("count", [4095, 4096, 4097])
def test_the_number_of_messages_is_bounded(count: int) -> None:
    if count <= 4096:
        assert len(translate(*[USER] * count).body["input"]) == count
    else:
        assert refused(*[USER] * count).message == (
            "messages has 4,097 entries; at most 4,096 are accepted"
        )


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ({}, True),
        ({"tools": [], "functions": [], "tool_choice": "none", "function_call": "none"}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, False),
        ({"functions": [{"name": "f"}]}, False),
        ({"tool_choice": "auto"}, False),
        ({"function_call": {"name": "f"}}, False),
    ],
)
def test_no_tools_routes_refuse_tools(more: dict[str, Any], fits: bool) -> None:
    body = {"model": "m", "messages": [USER], **more}
    if fits:
        from_chat(body, tools_allowed=False)
        return
    with pytest.raises(ClientFault) as caught:
        from_chat(body, tools_allowed=False)
    assert (caught.value.status, caught.value.param) == (400, next(iter(more)))


def test_a_responses_body_on_the_chat_route_is_served() -> None:
    made = from_chat(
        {
            "model": "m",
            "input": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
            "tools": [
                {"type": "function", "name": "f", "parameters": {"type": "object"}},
                {"type": "custom", "name": "ApplyPatch", "format": {"type": "text"}},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": "u",
            "max_tokens": 99,
            "stop": "x",
        },
        tools_allowed=True,
    )
    assert made.quirks == ("responses_body_on_chat", "system_to_developer")
    assert made.ignored == ("user",)
    assert made.options == ReplyOptions(model="m", stream=True, include_usage=True, stop=("x",))
    assert made.body["max_output_tokens"] == 99
    assert [tool["type"] for tool in made.body["tools"]] == ["function", "custom"]
    assert made.body["reasoning"] == {"summary": "auto"}


def test_the_request_body_of_the_client_is_left_alone() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, USER, called()],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "strict": True,
                "schema": {"type": "object", "properties": {"a": {"type": "object"}}},
            },
        },
    }
    before = json.dumps(body)
    from_chat(body, tools_allowed=True)
    assert json.dumps(body) == before


# The answer.


def answer(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "created_at": 1790000000.7,
        "model": "gpt-x",
        "status": "completed",
        "output": list(output),
        **more,
    }


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}]}


def test_a_text_answer() -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 4,
        "total_tokens": 14,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    assert to_chat(answer(said("a"), said("b"), usage=usage), ReplyOptions(model="m")) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "gpt-x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 4,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


def test_tool_calls_have_null_content_and_win_over_stop() -> None:
    made = to_chat(
        answer(
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "p", "input": "x"},
            {"type": "web_search_call"},
        ),
        ReplyOptions(model="m"),
    )
    choice = made["choices"][0]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c2", "type": "custom", "custom": {"name": "p", "input": "x"}},
        ],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert "usage" not in made


def test_legacy_calls_answer_as_function_call() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    choice = to_chat(answer(call), ReplyOptions(model="m", legacy_functions=True))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert choice["finish_reason"] == "function_call"


def test_a_call_after_a_stop_sequence_is_not_part_of_the_answer() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    choice = to_chat(answer(said("aXb"), call), ReplyOptions(model="m", stop=("X",)))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "a", "refusal": None}
    assert choice["finish_reason"] == "stop"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "content",
                    "text",
                    "id",
                    "name",
                    "function",
                    "custom",
                    "tool_calls",
                    "image_url",
                    "file",
                    "url",
                    "arguments",
                    "input",
                    "format",
                    "schema",
                    "json_schema",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
WORDS = st.sampled_from(
    [
        "user",
        "assistant",
        "system",
        "tool",
        "function",
        "custom",
        "text",
        "image_url",
        "file",
        "json_schema",
        "message",
        "function_call",
        "data:image/png;base64,AAAA",
        "https://h/i",
    ]
)
NEAR_JSON = JSON | WORDS
FIELDS = [
    "model",
    "messages",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "stop",
    "n",
    "stream",
    "stream_options",
    "reasoning",
    "reasoning_effort",
    "max_tokens",
    "logit_bias",
    "conversation",
    "store",
    "include",
    "input",
    "modalities",
    "verbosity",
    "instructions",
    "extra",
]
MESSAGES = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["role", "content", "tool_calls", "tool_call_id", "name", "function_call", "refusal"]
        ),
        NEAR_JSON,
        max_size=4,
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), NEAR_JSON, max_size=6), MESSAGES, st.booleans())
def test_any_json_is_translated_or_a_client_fault(
    body: dict[str, Any], messages: list[dict[str, Any]], tools_allowed: bool
) -> None:
    body = {"model": "m", "messages": messages, **body}
    try:
        dumps(from_chat(body, tools_allowed=tools_allowed).body)
    except ClientFault as fault:
        assert fault.status == 400
        assert fault.param


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["output", "status", "usage", "id", "created_at", "incomplete_details"]),
        NEAR_JSON,
    )
)
def test_any_answer_of_an_upstream_becomes_a_chat_completion(response: dict[str, Any]) -> None:
    made = to_chat(response, ReplyOptions(model="m", stop=("x",)))
    assert made["choices"][0]["finish_reason"]
