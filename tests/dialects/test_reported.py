"""Inputs of the kinds that users of relays and clients have reported, as the ChatGPT upstream gets them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from airelays.dialects.completions import joined, to_completion
from airelays.dialects.translated import ReplyOptions
from airelays.errors import ClientFault
from airelays.upstream.chatgpt.body import prepare
from tests.fakes.maps import from_chat, from_completion, from_responses

USER = {"role": "user", "content": "x"}
LONG = "call_" + "a1" * 46


def chat(*messages: dict[str, Any], **more: Any) -> Any:
    body = {"model": "m", "messages": list(messages) or [USER], **more}
    return from_chat(body, tools_allowed=True)


def responses(**more: Any) -> Any:
    return from_responses({"model": "m", "input": "x", **more}, tools_allowed=True, codex=False)


def sent(made: Any) -> dict[str, Any]:
    return prepare(made.body, codex=False)


def test_a_long_call_id_is_shortened_the_same_on_call_and_output() -> None:
    function = {"name": "f", "arguments": "{}"}
    call = {
        "role": "assistant",
        "tool_calls": [{"id": LONG, "type": "function", "function": function}],
    }
    of_chat = sent(chat(USER, call, {"role": "tool", "tool_call_id": LONG, "content": "1"}))[
        "input"
    ]
    items = [
        {"type": "function_call", "call_id": LONG, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": LONG, "output": "1"},
    ]
    of_responses = sent(responses(input=items))["input"]
    ids = {item["call_id"] for item in (*of_chat, *of_responses) if "call_id" in item}
    assert len(ids) == 1 and len(ids.pop()) <= 64
    short = responses(input=[{**item, "call_id": "c" * 64} for item in items])
    assert {item["call_id"] for item in sent(short)["input"]} == {"c" * 64}


@pytest.mark.parametrize(
    ("item_id", "kept"),
    [
        ("msg_" + "a" * 60, True),
        ("msg_" + "a" * 61, False),
        ("msg_a b", False),
        ("msg_é", False),
        ("msg_", False),
    ],
)
def test_an_item_id_that_no_upstream_takes_is_left_out(item_id: str, kept: bool) -> None:
    message = {"type": "message", "id": item_id, "role": "user", "content": "x"}
    (item,) = responses(input=[message]).body["input"]
    assert item.get("id") == (item_id if kept else None)


def test_a_long_cache_key_becomes_a_digest() -> None:
    keys = [sent(responses(prompt_cache_key="k" * n))["prompt_cache_key"] for n in (64, 65, 66, 65)]
    assert keys[0] == "k" * 64 and len(keys[1]) <= 64
    assert keys[1] == keys[3] != keys[2]


@pytest.mark.parametrize(
    ("tier", "goes"), [("auto", None), ("default", None), ("fast", "priority"), ("flex", "flex")]
)
def test_service_tiers_in_the_words_of_the_backend(tier: str, goes: str | None) -> None:
    for made in (chat(service_tier=tier), responses(service_tier=tier)):
        assert sent(made).get("service_tier") == goes and made.ignored == ()


@pytest.mark.parametrize(
    ("options", "tool"),
    [
        ({}, {"type": "web_search"}),
        ({"search_context_size": "low"}, {"type": "web_search", "search_context_size": "low"}),
        (
            {"user_location": {"type": "approximate", "approximate": {"city": "Bonn"}}},
            {"type": "web_search", "user_location": {"type": "approximate", "city": "Bonn"}},
        ),
    ],
)
def test_web_search_options_become_the_hosted_search(options: Any, tool: dict[str, Any]) -> None:
    made = chat(web_search_options=options)
    assert made.body["tools"] == [tool] and made.ignored == ()


def test_an_empty_object_asks_for_what_it_is_the_object_of() -> None:
    with pytest.raises(ClientFault) as caught:
        chat(audio={})
    assert caught.value.param == "audio"
    assert chat(logit_bias={}).ignored == ()


EMPTY = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({}, EMPTY),
        (None, EMPTY),
        ({"type": "object"}, EMPTY),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        (
            {"type": "object", "properties": {}, "x": 1},
            {"type": "object", "properties": {}, "x": 1},
        ),
        ({"$ref": "#/x"}, {"$ref": "#/x"}),
    ],
)
def test_a_tool_schema_is_completed(schema: Any, made: dict[str, Any]) -> None:
    function = {"name": "f", "parameters": schema}
    of_chat = chat(tools=[{"type": "function", "function": function}]).body["tools"][0]
    of_responses = responses(tools=[{"type": "function", **function}]).body["tools"][0]
    assert of_chat["parameters"] == of_responses["parameters"] == made


def test_json_object_with_a_schema_is_that_schema() -> None:
    form = {"type": "json_object", "schema": {"type": "object"}}
    made = {
        "type": "json_schema",
        "name": "response",
        "strict": False,
        "schema": {"type": "object"},
    }
    assert chat(response_format=form).body["text"]["format"] == made
    assert responses(text={"format": form}).body["text"]["format"] == made


PDF = base64.b64encode(b"%PDF-1.7 and more than that").decode()
AS_PDF = f"data:application/pdf;base64,{PDF}"
OCTETS = "data:application/octet-stream;base64,"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()


@pytest.mark.parametrize(
    ("file", "data", "name"),
    [
        ({"file_data": OCTETS + PDF}, AS_PDF, "file.pdf"),
        ({"file_data": f"data:text/plain;base64,{PDF}", "filename": "a.txt"}, AS_PDF, "a.txt"),
        ({"file_data": PDF}, AS_PDF, "file.pdf"),
        ({"file_data": f"data:image/jpeg;base64,{PNG}"}, f"data:image/png;base64,{PNG}", "file.png"),
        ({"file_data": OCTETS + "YWJj", "filename": "n.csv"}, "data:text/csv;base64,YWJj", "n.csv"),
        ({"file_data": "data:x/y;base64,YWJj"}, "data:x/y;base64,YWJj", "file.bin"),
        ({"file_data": "data:text/plain;base64," + "YWJj\r\nYWJj"}, "data:text/plain;base64,YWJjYWJj", "file.txt"),
    ],
)  # fmt: skip
def test_a_file_goes_on_with_its_true_type_and_a_name(
    file: dict[str, Any], data: str, name: str
) -> None:
    made = chat({"role": "user", "content": [{"type": "file", "file": file}]})
    assert made.body["input"][0]["content"] == [
        {"type": "input_file", "file_data": data, "filename": name}
    ]


def test_an_image_with_line_breaks_is_read() -> None:
    broken = "\n".join(PNG[i : i + 8] for i in range(0, len(PNG), 8))
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{broken}"}}
    made = chat({"role": "user", "content": [part]})
    assert made.body["input"][0]["content"][0]["image_url"] == f"data:image/png;base64,{PNG}"


def test_logprobs_on_chat_are_named_and_not_refused() -> None:
    assert chat(logprobs=True, top_logprobs=3).ignored == ("logprobs", "top_logprobs")
    assert chat(logprobs=False, top_logprobs=0).ignored == ()


def test_metadata_is_kept_with_a_stored_answer() -> None:
    made = responses(metadata={"a": "b"}, store=True)
    assert made.metadata == {"a": "b"} and made.ignored == ()
    made = responses(metadata={"a": "b"})
    assert made.metadata is None and made.ignored == ("metadata",)
    with pytest.raises(ClientFault) as caught:
        responses(metadata={"a": 5}, store=True)
    assert caught.value.param == "metadata.a"


def test_an_audio_part_names_the_parts_of_its_own_api() -> None:
    part = {"type": "input_audio", "input_audio": {}}
    with pytest.raises(ClientFault) as caught:
        responses(input=[{"role": "user", "content": [part]}])
    assert caught.value.message.endswith("accepted are input_text, input_image and input_file")


@pytest.mark.parametrize("prompt", [[], ["x"] * 17, ["a", 5], [[1, 2]]])
def test_prompts_are_bounded_texts(prompt: Any) -> None:
    with pytest.raises(ClientFault) as caught:
        from_completion({"model": "m", "prompt": prompt})
    assert (caught.value.param or "").startswith("prompt")


def test_the_answers_of_several_prompts_are_one_completion() -> None:
    answers = []
    for text in ("a", "b"):
        item = {"type": "message", "content": [{"type": "output_text", "text": text}]}
        usage = {"input_tokens": 1, "output_tokens": 2}
        response = {"id": "resp_1", "status": "completed", "output": [item], "usage": usage}
        answers.append(to_completion(response, ReplyOptions(model="m")))
    whole = joined(answers)
    assert [(c["index"], c["text"]) for c in whole["choices"]] == [(0, "a"), (1, "b")]
    assert whole["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
