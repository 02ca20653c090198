from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.dialects.completions import to_completion
from airelays.dialects.translated import ReplyOptions
from airelays.errors import ClientFault
from airelays.protocol.jsonio import dumps
from tests.fakes.maps import from_completion


def test_a_prompt_is_one_user_message() -> None:
    made = from_completion({"model": "m", "prompt": "hi"})
    assert made.body == {
        "model": "m",
        "instructions": ".",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        ],
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }
    assert from_completion({"model": "m", "prompt": ["hi"]}) == made


def test_what_langchain_and_the_ai_sdk_always_send_is_served() -> None:
    made = from_completion(
        {
            "model": "m",
            "prompt": ["hi"],
            "max_tokens": 256,
            "temperature": 0.7,
            "top_p": 1,
            "n": 1,
            "best_of": 1,
            "frequency_penalty": 0,
            "presence_penalty": 0,
            "logprobs": None,
            "seed": None,
            "logit_bias": {},
            "echo": False,
            "suffix": None,
            "stop": ["\nuser:"],
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": "u",
        }
    )
    assert made.ignored == ("temperature", "top_p", "presence_penalty", "frequency_penalty", "user")
    assert made.options == ReplyOptions(
        model="m", stream=True, include_usage=True, stop=("\nuser:",)
    )
    assert made.body["max_output_tokens"] == 256


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": None}, "model"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt[0]"),
        ({"prompt": [[1, 2]]}, "prompt[0]"),
        ({"prompt": 5}, "prompt"),
        ({"best_of": 2}, "best_of"),
        ({"n": 2}, "n"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
        ({"logprobs": 5}, "logprobs"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"tools": [{}]}, "tools"),
        ({"instructions": 5}, "instructions"),
        ({"stop": [""]}, "stop[0]"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_cannot_be_served_is_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        from_completion({"model": "m", "prompt": "hi", **more})
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_answer() -> None:
    response = {
        "id": "resp_1",
        "created_at": 5,
        "model": "gpt-x",
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    assert to_completion(response, ReplyOptions(model="m")) == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 5,
        "model": "gpt-x",
        "choices": [{"text": "a", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def test_a_refusal_is_text_with_content_filter() -> None:
    part = {"type": "refusal", "refusal": "No."}
    response = {"output": [{"type": "message", "content": [part]}]}
    choice = to_completion(response, ReplyOptions(model="m"))["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("No.", "content_filter")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    "model",
    "prompt",
    "stop",
    "n",
    "stream",
    "stream_options",
    "max_tokens",
    "reasoning",
    "conversation",
    "store",
    "logprobs",
    "echo",
    "instructions",
    "service_tier",
]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_any_json_is_translated_or_a_client_fault(body: dict[str, Any]) -> None:
    try:
        dumps(from_completion({"model": "m", **body}).body)
    except ClientFault as fault:
        assert fault.status == 400
        assert fault.param
