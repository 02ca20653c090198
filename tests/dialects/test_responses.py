from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import airelays.dialects
from airelays.dialects.parameters import QUIRKS
from airelays.dialects.responses.items import fill_references
from airelays.dialects.translated import ReplyOptions, Translated
from airelays.errors import ClientFault
from airelays.protocol.jsonio import dumps
from tests.fakes.maps import from_responses

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
HI = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


def translate(value: Any = "hi", **more: Any) -> Translated:
    return from_responses({"model": "m", "input": value, **more}, tools_allowed=True, codex=False)


def refused(value: Any = "hi", **more: Any) -> ClientFault:
    with pytest.raises(ClientFault) as caught:
        translate(value, **more)
    assert caught.value.status == 400
    return caught.value


def items(*given: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = translate(list(given)).body["input"]
    return found


def test_the_smallest_request() -> None:
    made = translate()
    assert made.body == {
        "model": "m",
        "instructions": ".",
        "input": [HI],
        "tools": [],
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }
    assert made == translate(HI) == translate([HI])
    assert made.options == ReplyOptions(model="m")


def test_nulls_are_absent_fields() -> None:
    names = (
        "include",
        "instructions",
        "max_output_tokens",
        "metadata",
        "previous_response_id",
        "user",
        "tools",
        "tool_choice",
        "reasoning",
        "text",
        "stream",
        "store",
        "truncation",
    )
    assert translate(**dict.fromkeys(names)) == translate()


@pytest.mark.parametrize("name", ["60_request_minimal", "61_request_tool_loop_second_turn"])
def test_recorded_requests_keep_all_they_say(name: str) -> None:
    body = json.loads((SAMPLES / f"{name}.json").read_bytes())
    made = from_responses(body, tools_allowed=True, codex=False).body
    assert made.pop("instructions") == "."
    # A reasoning item's `content: null` says nothing.
    wanted = [{k: v for k, v in item.items() if v is not None} for item in body["input"]]
    assert made == {**body, "input": wanted}


def test_codex_requests_pass_unchanged() -> None:
    body = {
        "model": "gpt-5.5",
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace"}]},
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "S"}],
                "odd": None,
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [],
                "content": None,
                "encrypted_content": "E",
            },
            {"type": "compaction_trigger"},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "minimal", "context": "all_turns"},
        "store": False,
        "stream": True,
        "include": [],
        "prompt_cache_key": "k",
        "client_metadata": {"x": "y"},
        "brand_new": {"a": [1]},
    }
    made = from_responses({**body, "text": None}, tools_allowed=True, codex=True)
    assert made.body == body
    assert made.ignored == ()
    assert made.quirks == ("codex_keepalive_events", "codex_refusals_as_text")
    assert made.options == ReplyOptions(model="gpt-5.5", stream=True)
    forced = from_responses(
        {**body, "store": True, "stream": False}, tools_allowed=True, codex=True
    )
    assert forced.body == body
    assert not forced.options.stream


def test_codex_requests_are_bound_by_no_tools_too() -> None:
    with pytest.raises(ClientFault):
        from_responses(
            {"model": "m", "input": [], "tools": [{"type": "x"}]}, tools_allowed=False, codex=True
        )


def test_items_without_a_type_are_messages_and_system_becomes_developer() -> None:
    made = translate([{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}])
    assert made.body["input"] == [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "S"}]},
        HI,
    ]
    assert made.quirks == ("system_to_developer",)


def test_replayed_output_loses_what_only_an_api_with_memory_knows() -> None:
    assert items(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "phase": "final_answer",
            "content": [
                {
                    "type": "output_text",
                    "text": "a",
                    "annotations": [],
                    "logprobs": [],
                    "parsed": None,
                }
            ],
        },
        {
            "id": "fc_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
            "parsed_arguments": {},
            "namespace": None,
        },
        {
            "id": "fco_1",
            "type": "function_call_output",
            "call_id": "c",
            "output": "x",
            "status": "completed",
        },
    ) == [
        {
            "type": "message",
            "role": "assistant",
            "phase": "final_answer",
            "id": "msg_1",
            "content": [{"type": "output_text", "text": "a"}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call_output", "call_id": "c", "output": "x", "id": "fco_1"},
    ]


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        ("message", "msg_1"),
        ("reasoning", "rs_1"),
        ("function_call", "fc_1"),
        ("custom_tool_call", "ctc_1"),
        ("web_search_call", "ws_1"),
        ("local_shell_call", "lsh_1"),
    ],
)
def test_only_well_prefixed_ids_are_kept(kind: str, good: str) -> None:
    item = {
        "type": kind,
        "role": "assistant",
        "content": "x",
        "encrypted_content": "E",
        "call_id": "c",
        "name": "f",
        "status": "completed",
    }
    for bad in ("x1", good.split("_")[0] + "_", "", 5, None):
        assert "id" not in items({**item, "id": bad})[0]
    assert items({**item, "id": good})[0]["id"] == good


def test_reasoning_without_encrypted_content_is_dropped_with_the_ids_that_need_it() -> None:
    made = translate(
        [
            HI,
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
            {
                "type": "reasoning",
                "id": "rs_2",
                "encrypted_content": "E",
                "content": None,
                "status": None,
            },
        ]
    )
    assert made.body["input"][1:] == [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "summary": [], "encrypted_content": "E", "id": "rs_2"},
    ]
    assert made.quirks == ("reasoning_without_content_dropped",)


def test_outputs_may_be_text_parts_or_anything() -> None:
    def output(value: Any) -> Any:
        return items({"type": "function_call_output", "call_id": "c", "output": value})[0]["output"]

    assert output("x") == "x"
    assert output(None) == ""
    assert output({"a": "\u00e9"}) == '{"a": "\u00e9"}'
    assert output([1, 2]) == "[1, 2]"
    assert output([]) == "[]"
    assert output([{"type": "input_text", "text": "x"}]) == [{"type": "input_text", "text": "x"}]


def test_calls_need_no_arguments_text() -> None:
    made = items({"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}})
    assert made[0]["arguments"] == '{"a": 1}'


def test_unknown_items_and_parts_pass() -> None:
    unknown = {"type": "computer_call", "status": "completed", "action": {"x": None}}
    assert items({**unknown, "nothing": None}) == [unknown]
    part = {"type": "input_hologram", "data": 5}
    made = items({"role": "user", "content": [{**part, "cache_control": {}}]})
    assert made[0]["content"] == [part]


def test_item_references_are_left_for_the_app() -> None:
    made = translate(
        [HI, {"type": "item_reference", "id": "msg_1"}, {"type": "item_reference", "id": "x"}]
    )
    assert made.item_refs == ("msg_1", "x")
    other = {"type": "message", "role": "assistant", "content": []}
    assert fill_references(made.body["input"], {"msg_1": other}) == [HI, other]


def test_files_are_left_for_the_app_to_fill_in() -> None:
    made = translate(
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "file_id": "file-1"},
                    {"type": "input_file", "file_id": "file-2"},
                ],
            }
        ]
    )
    assert [(ref.file_id, ref.kind, ref.path) for ref in made.file_refs] == [
        ("file-1", "image", "input[0].content[0].file_id"),
        ("file-2", "file", "input[0].content[1].file_id"),
    ]
    parts = made.body["input"][0]["content"]
    assert made.file_refs[0].part is parts[0]
    assert made.file_refs[1].part is parts[1]


def test_parameters_are_taken_dropped_and_named() -> None:
    made = translate(
        instructions="Be brief.",
        stream=True,
        max_output_tokens=50,
        temperature=1,
        truncation="disabled",
        metadata={},
        stream_options={"include_obfuscation": False},
        max_tool_calls=3,
        user="u",
        conversation={"id": "conv_1"},
        store=True,
        parallel_tool_calls=True,
        tool_choice="required",
        text={"format": {"type": "text"}, "verbosity": "low", "odd": 1},
        reasoning={"effort": "Minimal", "summary": None, "context": "all_turns", "budget": 5},
        include=["reasoning.encrypted_content", "web_search_call.action.sources"],
        client_metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
    )
    assert made.ignored == (
        "temperature",
        "user",
        "stream_options",
        "truncation",
        "max_tool_calls",
        "reasoning.budget",
        "text.odd",
    )
    assert made.quirks == ("effort_mapped",)
    assert (made.conversation, made.store, made.options.stream) == ("conv_1", True, True)
    assert made.body == {
        "model": "m",
        "instructions": "Be brief.",
        "input": [HI],
        "tools": [],
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "low", "context": "all_turns"},
        "include": ["reasoning.encrypted_content", "web_search_call.action.sources"],
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "client_metadata": {"a": "b"},
        "text": {"verbosity": "low"},
        "max_output_tokens": 50,
        "store": False,
        "stream": True,
    }


def test_a_conversation_needs_no_new_input() -> None:
    for more in ({"conversation": "conv_1"}, {"previous_response_id": "resp_1"}):
        assert (
            from_responses({"model": "m", **more}, tools_allowed=True, codex=False).body["input"]
            == []
        )


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": None}, "model"),
        ({"value": None}, "input"),
        ({"value": 5}, "input"),
        ({"value": []}, "input"),
        ({"value": [5]}, "input[0]"),
        ({"value": ["x"]}, "input[0]"),
        ({"value": [{}]}, "input[0].type"),
        ({"value": [{"type": 5}]}, "input[0].type"),
        ({"value": [{"type": "message"}]}, "input[0].role"),
        ({"value": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"value": [{"role": "user"}]}, "input[0].content"),
        ({"value": [{"role": "user", "content": 5}]}, "input[0].content"),
        (
            {"value": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        (
            {
                "value": [
                    {"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]}
                ]
            },
            "input[0].content[0].image_url",
        ),
        (
            {"value": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "input[0].content[0].type",
        ),
        ({"value": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"value": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"value": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"value": [{"type": "item_reference"}]}, "input[0].id"),
        ({"value": [{"type": "reasoning"}]}, "input"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"response_format": {"type": "text"}}, "response_format"),
        ({"functions": [{}]}, "functions"),
        ({"stop": ["x"]}, "stop"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "x"}}, "prompt"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"include": "x"}, "include"),
        ({"text": "x"}, "text"),
        ({"text": {"format": {"type": "x"}}}, "text.format.type"),
        ({"text": {"verbosity": 5}}, "text.verbosity"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"stream": 1}, "stream"),
        ({"instructions": []}, "instructions"),
        ({"conversation": "a", "previous_response_id": "b"}, "previous_response_id"),
    ],
)
def test_what_cannot_be_served_is_named(more: dict[str, Any], param: str) -> None:
    fault = refused(**more)
    assert fault.param == param
    assert fault.message.startswith(param)


@pytest.mark.parametrize(("count", "fits"), [(8191, True), (8192, True), (8193, False)])
def test_the_number_of_items_is_bounded(count: int, fits: bool) -> None:
    if fits:
        assert len(items(*[HI] * count)) == count
    else:
        assert refused([HI] * count).message == (
            "input has 8,193 entries; at most 8,192 are accepted"
        )


def test_no_tools_routes_refuse_tools() -> None:
    body = {"model": "m", "input": "hi", "tools": [{"type": "web_search"}]}
    with pytest.raises(ClientFault) as caught:
        from_responses(body, tools_allowed=False, codex=False)
    assert (caught.value.status, caught.value.param) == (400, "tools")


def test_every_quirk_has_a_sentence() -> None:
    room = Path(airelays.dialects.__file__).parent
    text = "".join(path.read_text("utf-8") for path in room.rglob("*.py"))
    names = set(re.findall(r'quirk\("(\w+)"\)', text)) | {
        "reasoning_without_content_dropped",
        "json_word_added",
        "context_phrase_added",
    }
    codex = from_responses({"model": "m"}, tools_allowed=True, codex=True).quirks
    assert names | set(codex) == set(QUIRKS)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.text(max_size=8)
    | st.sampled_from(
        ["message", "function_call", "reasoning", "user", "system", "input_text", "input_image"]
    ),
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
                    "call_id",
                    "output",
                    "image_url",
                    "file_id",
                    "summary",
                    "encrypted_content",
                    "arguments",
                    "format",
                    "schema",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
FIELDS = [
    "model",
    "input",
    "tools",
    "tool_choice",
    "text",
    "include",
    "reasoning",
    "stream",
    "conversation",
    "previous_response_id",
    "store",
    "max_output_tokens",
    "instructions",
    "parallel_tool_calls",
    "extra",
]


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6), JSON, st.booleans(), st.booleans()
)
def test_any_json_is_translated_or_a_client_fault(
    body: dict[str, Any], value: Any, tools_allowed: bool, codex: bool
) -> None:
    body = {"model": "m", "input": value, **body}
    try:
        dumps(from_responses(body, tools_allowed=tools_allowed, codex=codex).body)
    except ClientFault as fault:
        assert fault.status == 400
        assert fault.param
