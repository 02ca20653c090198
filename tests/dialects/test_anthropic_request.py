from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.anthropic.request import without_private
from airelays.dialects.anthropic.signature import MAX_SIGNATURE_CHARS, is_too_long
from airelays.dialects.takes import Takes
from airelays.errors import ClientFault
from tests.dialects.anthropic_maps import NEW, OTHER, SEALER, assistant, body, translate, user

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "get_weather", "description": "Weather.", "input_schema": SCHEMA}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "4 degrees"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA=="}


def text(value: str, kind: str = "input_text") -> dict[str, Any]:
    return {"type": kind, "text": value}


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


def test_a_plain_request_is_translated() -> None:
    made = translate(system="Be brief.", session="5a0c-uuid")
    assert made.body == {
        "model": "claude-x",
        "instructions": "Be brief.",
        "input": [message("user", text("Hello"))],
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
        "max_output_tokens": 100,
        "prompt_cache_key": "5a0c-uuid",
    }
    assert made.ignored == () and made.quirks == () and not made.options.stream


def test_the_billing_block_is_dropped_and_other_blocks_are_joined() -> None:
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=ab12;"}
    marked = {"type": "text", "text": "One.", "cache_control": {"type": "ephemeral"}}
    made = translate(system=[billing, marked, {"type": "text", "text": "Two."}])
    assert made.body["instructions"] == "One.\n\nTwo."


def test_system_messages_stay_in_their_place() -> None:
    """Fact 5: content a string or blocks, with settings of its own."""
    system = {"role": "system", "content": [{"type": "text", "text": "Tools: Bash"}]}
    made = translate(
        messages=[
            user("One"),
            {**system, "output_config": {"effort": "low"}},
            user([{"type": "text", "text": ""}, {"type": "text", "text": "Two"}]),
        ],
        output_config={"effort": "high"},
    )
    assert made.body["input"] == [
        message("user", text("One")),
        message("developer", text("Tools: Bash")),
        message("user", text("Two")),
    ]
    assert made.body["reasoning"] == {"effort": "low"}


def test_a_tool_loop_keeps_its_order() -> None:
    second = {**CALL, "id": "toolu_2"}
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/gif", "data": PNG},
    }
    made = translate(
        messages=[
            user("Weather?"),
            assistant({"type": "text", "text": "Let me see."}, CALL, second),
            user(
                [
                    RESULT,
                    {**RESULT, "tool_use_id": "toolu_2", "content": [picture], "is_error": True},
                    {"type": "text", "text": "Go on."},
                ]
            ),
        ],
        tools=[TOOL],
    )
    arguments = '{"city":"Oslo"}'
    call = {"type": "function_call", "name": "get_weather", "arguments": arguments}
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
    output = {"type": "function_call_output"}
    assert made.body["input"] == [
        message("user", text("Weather?")),
        message("assistant", text("Let me see.", "output_text")),
        {**call, "call_id": "toolu_1"},
        {**call, "call_id": "toolu_2"},
        {**output, "call_id": "toolu_1", "output": "4 degrees"},
        {**output, "call_id": "toolu_2", "output": [text("[the tool failed]"), image]},
        message("user", text("Go on.")),
    ]


def test_documents_of_every_source() -> None:
    def document(**source: Any) -> dict[str, Any]:
        return {"type": "document", "title": "Plan", "source": source}

    made = translate(
        messages=[
            user(
                [
                    document(type="base64", media_type="application/pdf", data=PDF),
                    document(type="text", media_type="text/plain", data="Words"),
                    document(type="url", url="https://host/x.pdf"),
                    document(type="content", content=[{"type": "text", "text": "Inner"}]),
                    document(type="file", file_id="file-1"),
                    {"type": "image", "source": {"type": "url", "url": "https://host/x.png"}},
                    {"type": "image", "source": {"type": "file", "file_id": "file-2"}},
                    {
                        "type": "search_result",
                        "source": "https://host",
                        "title": "Found",
                        "content": [{"type": "text", "text": "This"}],
                    },
                ]
            )
        ]
    )
    data = f"data:application/pdf;base64,{PDF}"
    image = {"type": "input_image", "detail": "auto"}
    assert made.body["input"][0]["content"] == [
        {"type": "input_file", "file_data": data, "filename": "Plan.pdf"},
        text("Plan\nWords"),
        text("Plan"),
        {"type": "input_file", "file_url": "https://host/x.pdf"},
        text("Plan"),
        text("Inner"),
        text("Plan"),
        {"type": "input_file", "file_id": "file-1"},
        {**image, "image_url": "https://host/x.png"},
        {**image, "file_id": "file-2"},
        text("Found\nhttps://host\nThis"),
    ]
    assert [ref.file_id for ref in made.file_refs] == ["file-1", "file-2"]


def test_thinking_comes_back_as_the_item_that_it_was() -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": SEALER.seal(REASONING)}
    hidden = {"type": "redacted_thinking", "data": SEALER.seal({**REASONING, "id": "x"})}
    made = translate(messages=[user("x"), assistant(block, hidden), user("y")])
    summary = [{"type": "summary_text", "text": "Hm."}]
    content = {"encrypted_content": "gAAAA=="}
    assert made.body["input"][1:3] == [
        {"type": "reasoning", "id": "rs_1", "summary": summary, **content},
        {"type": "reasoning", "summary": [], **content},
    ]
    assert made.quirks == ()


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "EqQBCgIYAhIM-of-the-original",
        OTHER.seal(REASONING),
        SEALER.seal(REASONING)[:-1] + "A",
        SEALER.seal(REASONING).replace("rs_1", "rs_2"),
    ],
)
def test_a_foreign_or_damaged_signature_is_dropped_and_named(signature: str) -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": signature}
    answer = {"type": "text", "text": "So."}
    made = translate(messages=[user("x"), assistant(block, answer), user("y")])
    assert [item["type"] for item in made.body["input"]] == ["message"] * 3
    assert made.quirks == ("thinking_parts_dropped",)


def test_reasoning_that_is_too_long_for_a_signature_is_left_out() -> None:
    fits = {**REASONING, "encrypted_content": "A" * (MAX_SIGNATURE_CHARS - 100)}
    assert SEALER.open(SEALER.seal(fits), "") == {**fits, "summary": []}
    longer = {**REASONING, "encrypted_content": "A" * MAX_SIGNATURE_CHARS}
    assert SEALER.seal(longer) == "" and is_too_long(longer) and not is_too_long(REASONING)
    block = {"type": "thinking", "thinking": "", "signature": "airelays.1." + "A" * 300_000}
    made = translate(messages=[user("x"), assistant(block), user("y")])
    assert made.quirks == ("signature_too_long",)


def test_long_names_of_tools_are_short_upstream_and_the_same_each_time() -> None:
    name = "mcp__a_server_with_a_long_name__" + "and_a_tool_" * 8
    call = {**CALL, "name": name}
    made = translate(
        tools=[{**TOOL, "name": name}],
        tool_choice={"type": "tool", "name": name},
        messages=[user("x"), assistant(call), user([RESULT])],
    )
    short = made.body["tools"][0]["name"]
    assert len(short) == 64 and short.startswith(name[:50])
    assert made.body["input"][1]["name"] == short == made.body["tool_choice"]["name"]
    assert translate(tools=[{**TOOL, "name": name}]).body["tools"][0]["name"] == short


def test_choices_and_parallel_calls() -> None:
    for given, wanted in (
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "get_weather"}, {"type": "function", "name": "get_weather"}),
    ):
        assert translate(tools=[TOOL], tool_choice=given).body["tool_choice"] == wanted
    single = {"type": "auto", "disable_parallel_tool_use": True}
    assert translate(tools=[TOOL], tool_choice=single).body["parallel_tool_calls"] is False


def test_a_deferred_tool_comes_with_the_message_that_refers_to_it() -> None:
    deferred = {**TOOL, "defer_loading": True}
    assert translate(tools=[deferred]).body["tools"] == []
    found = {"type": "tool_reference", "tool_name": "get_weather"}
    search = {"type": "tool_use", "id": "toolu_0", "name": "ToolSearch", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_0", "content": [found]}
    made = translate(
        tools=[deferred, {**TOOL, "name": "ToolSearch"}],
        messages=[user("x"), assistant(search), user([result])],
    )
    assert [tool["name"] for tool in made.body["tools"]] == ["get_weather", "ToolSearch"]
    assert "get_weather" in made.body["input"][2]["output"]


def test_web_search_only_where_the_upstream_has_it() -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.org"]}
    made = translate(tools=[tool], tool_choice={"type": "tool", "name": "web_search"})
    assert made.body["tools"] == [{"type": "web_search", "filters": {"allowed_domains": ["a.org"]}}]
    assert made.body["tool_choice"] == {"type": "web_search"}
    with pytest.raises(ClientFault, match="web_search_20250305"):
        translate(tools=[tool], takes=Takes())


@pytest.mark.parametrize(
    ("thinking", "effort", "wanted"),
    [
        (None, None, {}),
        ({"type": "disabled"}, None, {}),
        ({"type": "adaptive"}, "max", {"summary": "auto", "effort": "xhigh"}),
        ({"type": "adaptive", "display": "omitted"}, "low", {"effort": "low"}),
        ({"type": "enabled", "budget_tokens": 4000}, None, {"summary": "auto", "effort": "low"}),
        (
            {"type": "enabled", "budget_tokens": 10000},
            None,
            {"summary": "auto", "effort": "medium"},
        ),
        ({"type": "enabled", "budget_tokens": 31999}, None, {"summary": "auto", "effort": "high"}),
        ({"type": "enabled", "budget_tokens": 99999}, "low", {"summary": "auto", "effort": "low"}),
    ],
)
def test_effort_and_budget(thinking: Any, effort: Any, wanted: dict[str, str]) -> None:
    config: dict[str, Any] = {} if effort is None else {"output_config": {"effort": effort}}
    assert translate(thinking=thinking, **config).body["reasoning"] == wanted


def test_a_schema_is_strict_where_strict_mode_takes_it_as_it_is() -> None:
    closed = {**SCHEMA, "required": ["city"], "additionalProperties": False}
    for schema, strict in ((closed, True), (SCHEMA, False)):
        form = {"type": "json_schema", "schema": schema}
        spelled: list[dict[str, Any]] = [
            {"output_config": {"format": form}},
            {"output_format": form},
        ]
        for more in spelled:
            made = translate(**more)
            wanted = {"type": "json_schema", "name": "response", "strict": strict, "schema": schema}
            assert made.body["text"] == {"format": wanted}


def test_sampling_goes_where_it_is_taken_and_never_with_the_new_version() -> None:
    """Fact 1: two versions of the API, and whatever comes later."""
    for version in ("", "2023-06-01", "not-a-date"):
        made = translate(version, temperature=0.5, top_k=4)
        assert made.ignored == ("temperature", "top_k")
        made = translate(version, temperature=0.5, takes=Takes())
        assert made.body["temperature"] == 0.5
    for version in (NEW, "2030-01-01"):
        with pytest.raises(ClientFault, match="anthropic-version"):
            translate(version, temperature=0.5)
        assert translate(version).body["input"]


def test_the_new_version_refuses_what_the_old_one_takes() -> None:
    document = {"type": "document", "source": {"type": "text", "data": "x"}}
    cited = {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}
    old = translate(messages=[user([cited]), assistant(document, {"type": "text", "text": "a"})])
    assert old.quirks == ("server_blocks_dropped",)
    for messages, path in (
        ([user([cited])], r"messages\[0\].content\[0\].citations"),
        ([user("x"), assistant(document)], r"messages\[1\].content\[0\].type"),
    ):
        with pytest.raises(ClientFault, match=path):
            translate(NEW, messages=messages)


def test_matters_of_the_originals_service_are_named_or_dropped() -> None:
    made = translate(
        service_tier="auto",
        container="c",
        a_new_field=1,
        context_management={"edits": []},
        metadata={"user_id": "secret"},
        safeguards=["/home/me"],
        cache_control={"type": "ephemeral"},
    )
    assert made.ignored == ("a_new_field", "container", "service_tier")
    assert "secret" not in json.dumps(made.body) and "/home/me" not in json.dumps(made.body)


def test_blocks_of_the_originals_server_are_dropped() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "Found."},
    ]
    made = translate(messages=[user("x"), assistant(*blocks), user("y")])
    assert made.quirks == ("server_blocks_dropped",) and len(made.body["input"]) == 3


def test_stop_sequences_are_the_relays_own_matter() -> None:
    made = translate(stop_sequences=["END", "END", "STOP"], stream=True)
    assert made.options.stop == ("END", "STOP") and "stop" not in made.body


def test_a_large_limit_is_left_to_the_upstream() -> None:
    assert "max_output_tokens" not in translate(max_tokens=128_000).body
    assert "max_output_tokens" not in translate(max_tokens=32_000).body
    assert translate(max_tokens=8192).body["max_output_tokens"] == 8192
    assert translate(max_tokens=1).body["max_output_tokens"] == 16


def test_a_count_may_hold_parts_of_conversations() -> None:
    asked: dict[str, Any] = {"messages": [user([RESULT])], "max_tokens": None}
    assert translate(counting=True, **asked).body["input"]
    with pytest.raises(ClientFault, match="max_tokens is missing"):
        translate(**{**asked, "messages": [user("x")]})


def test_what_a_native_server_gets_holds_nothing_private() -> None:
    billing = {"type": "text", "text": "x-anthropic-billing-header: a"}
    kept = {"type": "text", "text": "Be brief."}
    ours = {"type": "thinking", "thinking": "", "signature": SEALER.seal(REASONING)}
    theirs = {"type": "thinking", "thinking": "", "signature": "EqQB"}
    asked = body(
        system=[billing, kept],
        messages=[user("x"), assistant(ours, theirs), user("y")],
        metadata={"user_id": "u"},
        safeguards=["/home/me"],
    )
    made = without_private(asked)
    assert made["system"] == [kept] and made["messages"][1]["content"] == [theirs]
    assert not {"metadata", "safeguards"} & set(made) and made["messages"][0] == user("x")
    assert without_private(body(system="x")) == body(system="x")


def wrong() -> list[tuple[str, dict[str, Any], str]]:
    """Return (name, request, path in the message): every field with a wrong type, blocks out of place."""
    deep = "messages[0].content[0]"
    role: Any
    content: Any
    changed: dict[str, Any]
    schema: Any
    result: dict[str, Any] = RESULT
    call: dict[str, Any] = CALL
    source_of: dict[str, Any]
    cases: list[tuple[str, dict[str, Any], str]] = []
    fields: dict[str, tuple[Any, ...]] = {
        "model": (None, 1, "", []),
        "max_tokens": (None, "100", 0, -1, 1.5, True),
        "messages": (None, "x", {}, [], 1, [1], [[]]),
        "system": (1, {}, [1], [{"type": "image"}], [{"type": "text", "text": 1}]),
        "tools": ({}, "x", 1, [1], [{}], [{"name": 1}], [{"name": "x"}], [TOOL, TOOL]),
        "tool_choice": ("auto", [], {}, {"type": 1}, {"type": "x"}, {"type": "tool"}),
        "thinking": ("x", [], {}, {"type": "x"}, {"type": "enabled"}),
        "output_config": ("x", [], {"effort": 1}, {"effort": "x"}, {"format": 1}),
        "output_format": ("x", {"type": "json"}, {"type": "json_schema"}),
        "stop_sequences": ("x", {}, [1], [""], ["x"] * 17),
        "stream": ("x", 1, []),
        "temperature": ("x", [], True),
        "top_p": ("x",),
        "top_k": ({},),
        "mcp_servers": ([{"url": "https://x"}],),
    }
    for name, values in fields.items():
        cases += [(f"{name}={value!r:.30}", {name: value}, name) for value in values]
    tools = [{**TOOL, "name": f"t{at}"} for at in range(2000)]
    cases.append(("2,000 tools", {"tools": tools}, "tools"))
    for schema in ("x", 1, None, []):
        cases.append(
            (f"schema {schema!r}", {"tools": [{**TOOL, "input_schema": schema}]}, "tools[0]")
        )
    for kind in ("bash_20250124", "mcp_toolset", 1, "code_execution_20250825"):
        cases.append((f"tool {kind}", {"tools": [{**TOOL, "type": kind}]}, "tools[0].type"))
    for role in (None, 1, "tool", "developer", []):
        message = {"role": role, "content": "x"}
        cases.append((f"role {role!r}", {"messages": [message]}, "messages[0].role"))
    for content in (None, 1, {}, [1], [{}], [{"type": 1}], [{"type": "text", "text": 1}]):
        cases.append((f"content {content!r}", {"messages": [user(content)]}, "messages[0].content"))
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    for changed in (
        {"type": "x"}, {"media_type": 1}, {"data": 1}, {"data": "%"}, {"data": PDF}, {"type": None}
    ):  # fmt: skip
        block = {"type": "image", "source": {**source, **changed}}
        cases.append((f"image {changed}", {"messages": [user([block])]}, f"{deep}.source"))
    for source_of in (
        {"type": "x"},
        {"type": "text", "data": 1},
        {"type": "url", "url": "file:///"},
    ):
        block = {"type": "document", "source": source_of}
        cases.append((f"document {source_of}", {"messages": [user([block])]}, f"{deep}.source"))
    for kind in ("tool_use", "thinking", "redacted_thinking", "x"):
        cases.append((f"user {kind}", {"messages": [user([{"type": kind}])]}, f"{deep}.type"))
    for kind in ("image", "tool_result", "search_result", "x"):
        messages = [assistant({"type": kind})]
        cases.append((f"assistant {kind}", {"messages": messages}, f"{deep}.type"))
    for changed in ({"id": 1}, {"name": ""}, {"input": "x"}, {"input": None}):
        messages = [assistant({**call, **changed})]
        cases.append((f"call {changed}", {"messages": messages}, deep))
    for changed in ({"tool_use_id": 1}, {"content": 1}, {"is_error": "x"}, {"content": [CALL]}):
        messages = [assistant(CALL), user([{**result, **changed}])]
        cases.append((f"result {changed}", {"messages": messages}, "messages[1].content[0]"))
    cases.append(("no call", {"messages": [user([RESULT])]}, f"{deep}.tool_use_id"))
    damaged: list[dict[str, Any]] = [{"thinking": 1}, {"signature": 1}]
    for changed in damaged:
        thought: dict[str, Any] = {"type": "thinking", "thinking": "x", "signature": "y"}
        block = {**thought, **changed}
        cases.append((f"thinking {changed}", {"messages": [assistant(block)]}, deep))
    cases.append(("no words", {"messages": [user("")]}, "messages"))
    return cases


@pytest.mark.parametrize(("asked", "path"), [c[1:] for c in wrong()], ids=[c[0] for c in wrong()])
def test_bad_input_is_a_400_that_names_the_path(asked: dict[str, Any], path: str) -> None:
    with pytest.raises(ClientFault) as caught:
        translate(**asked)
    assert caught.value.status == 400
    assert caught.value.message.startswith(path), caught.value.message
    assert caught.value.param is not None and caught.value.param.startswith(path)


@pytest.mark.parametrize("more", [{"tools": [TOOL]}, {"tool_choice": {"type": "auto"}}])
def test_tools_are_refused_on_a_no_tools_route(more: dict[str, Any]) -> None:
    with pytest.raises(ClientFault, match="no-tools"):
        translate(tools_allowed=False, **more)
    assert translate(tools_allowed=False, tools=[], tool_choice={"type": "none"}).body
