from __future__ import annotations

from typing import Any

import pytest

from airelays.dialects.tools import (
    chat_choice,
    chat_tools,
    legacy_choice,
    legacy_tools,
    responses_choice,
    responses_tools,
)
from airelays.dialects.translated import Notes
from airelays.errors import ClientFault

NO_PARAMETERS = {"type": "object", "properties": {}}
GRAMMAR = {"syntax": "lark", "definition": "start: x"}


@pytest.mark.parametrize(
    ("tool", "made"),
    [
        (
            {"type": "function", "function": {"name": "f"}},
            {"type": "function", "name": "f", "parameters": NO_PARAMETERS, "strict": False},
        ),
        (
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "object", "$schema": "x"},
                    "strict": True,
                },
            },
            {
                "type": "function",
                "name": "f",
                "description": "d",
                "parameters": {"type": "object", "properties": {}, "$schema": "x"},
                "strict": True,
            },
        ),
        (
            {
                "type": "function",
                "function": {
                    "name": "p-f",
                    "strict": None,
                    "description": None,
                    "parameters": None,
                },
            },
            {"type": "function", "name": "p-f", "parameters": NO_PARAMETERS, "strict": False},
        ),
        (
            {"type": "function", "name": "f", "parameters": {}},
            {"type": "function", "name": "f", "parameters": NO_PARAMETERS, "strict": False},
        ),
        (
            {
                "type": "custom",
                "custom": {"name": "c", "format": {"type": "grammar", "grammar": GRAMMAR}},
            },
            {"type": "custom", "name": "c", "format": {"type": "grammar", **GRAMMAR}},
        ),
        (
            {
                "type": "custom",
                "name": "c",
                "description": "d",
                "format": {"type": "grammar", **GRAMMAR},
            },
            {
                "type": "custom",
                "name": "c",
                "description": "d",
                "format": {"type": "grammar", **GRAMMAR},
            },
        ),
        ({"type": "custom", "custom": {"name": "c"}}, {"type": "custom", "name": "c"}),
    ],
)
def test_chat_tools_are_flattened(tool: dict[str, Any], made: dict[str, Any]) -> None:
    assert chat_tools([tool], Notes()) == [made]


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ("x", "tools"),
        ([5], "tools[0]"),
        ([{"type": "web_search"}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].name"),
        ([{"type": "function", "function": 5}], "tools[0].function"),
        ([{"type": "function", "function": {"name": ""}}], "tools[0].function.name"),
        (
            [{"type": "function", "function": {"name": "f", "parameters": []}}],
            "tools[0].function.parameters",
        ),
        (
            [{"type": "function", "function": {"name": "f", "description": 5}}],
            "tools[0].function.description",
        ),
        (
            [{"type": "function", "function": {"name": "f", "strict": "x"}}],
            "tools[0].function.strict",
        ),
        ([{"type": "custom", "custom": {"name": "c", "format": "x"}}], "tools[0].custom.format"),
    ],
)
def test_malformed_chat_tools_are_named(tools: Any, param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        chat_tools(tools, Notes())
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(("count", "fits"), [(511, True), (512, True), (513, False)])
def test_the_number_of_tools_is_bounded(count: int, fits: bool) -> None:
    tools = [{"type": "function", "function": {"name": f"f{n}"}} for n in range(count)]
    if fits:
        assert len(chat_tools(tools, Notes())) == count
    else:
        with pytest.raises(ClientFault):
            chat_tools(tools, Notes())


def test_legacy_functions_are_tools() -> None:
    assert legacy_tools([{"name": "f"}]) == [
        {"type": "function", "name": "f", "parameters": NO_PARAMETERS, "strict": False}
    ]


def test_responses_tools_pass_with_nulls_taken_out() -> None:
    hosted = {"type": "web_search", "filters": None, "search_context_size": "low"}
    function = {"type": "function", "name": "f", "strict": None, "description": None}
    nested = {"type": "function", "function": {"name": "g", "parameters": {}}}
    notes = Notes()
    assert responses_tools([hosted, function, nested], notes) == [
        {"type": "web_search", "search_context_size": "low"},
        {"type": "function", "name": "f", "parameters": NO_PARAMETERS},
        {"type": "function", "name": "g", "parameters": NO_PARAMETERS},
    ]
    assert list(notes.quirks) == ["nested_tools"]


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{}], "tools[0].type"),
        ([{"type": "function", "name": 5}], "tools[0].name"),
        ([{"type": "function", "name": "f", "parameters": 5}], "tools[0].parameters"),
        ([{"type": "function", "name": "f", "strict": 5}], "tools[0].strict"),
    ],
)
def test_malformed_responses_tools_are_named(tools: Any, param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        responses_tools(tools, Notes())
    assert caught.value.param == param


@pytest.mark.parametrize("choose", [chat_choice, responses_choice])
@pytest.mark.parametrize(
    ("choice", "made"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
        ({"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
        ({"type": "custom", "custom": {"name": "c"}}, {"type": "custom", "name": "c"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}],
            },
        ),
        (
            {"type": "allowed_tools", "tools": [{"type": "mcp", "server_label": "s", "x": None}]},
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "mcp", "server_label": "s"}],
            },
        ),
    ],
)
def test_choices(choose: Any, choice: Any, made: Any) -> None:
    assert choose(choice) == made


def test_hosted_choices_pass_on_responses_only() -> None:
    assert responses_choice({"type": "web_search_preview"}) == {"type": "web_search_preview"}
    with pytest.raises(ClientFault):
        chat_choice({"type": "web_search_preview"})


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("some", "tool_choice"),
        (5, "tool_choice"),
        ([], "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": ["function"]}, "tool_choice.type"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "function", "function": {}}, "tool_choice.function.name"),
        ({"type": "allowed_tools", "mode": "never", "tools": [{}]}, "tool_choice.mode"),
        ({"type": "allowed_tools", "mode": ["auto"], "tools": [{}]}, "tool_choice.mode"),
        ({"type": "allowed_tools", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": [5]}, "tool_choice.tools[0]"),
        ({"type": "allowed_tools", "tools": [{"type": 5}]}, "tool_choice.tools[0].type"),
    ],
)
def test_malformed_choices_are_named(choice: Any, param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        chat_choice(choice)
    assert caught.value.param == param


def test_legacy_choices() -> None:
    assert legacy_choice("auto") == "auto"
    assert legacy_choice({"name": "f"}) == {"type": "function", "name": "f"}
    bad: object
    for bad in ("required", 5, [], {}, {"name": 5}):
        with pytest.raises(ClientFault):
            legacy_choice(bad)
