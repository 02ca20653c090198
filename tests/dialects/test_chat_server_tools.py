"""dialects.chat_server.tools: all tools as functions, and the way back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airelays.dialects.chat_server.request import chat_request
from airelays.dialects.chat_server.tools import Named

ADD = {"type": "function", "name": "add", "parameters": {"type": "object"}}
SPACE = {
    "type": "namespace",
    "name": "mcp__calc__",
    "tools": [ADD, {"type": "custom", "name": "c"}],
}


def made(**body: Any) -> tuple[list[str], Any, dict[str, Named], tuple[str, ...]]:
    found = chat_request({"model": "m", "input": "x", **body})
    names = [tool["function"]["name"] for tool in found.body.get("tools", [])]
    return names, found.body.get("tool_choice"), dict(found.tools), found.ignored


def test_the_tools_of_a_namespace_are_functions() -> None:
    names, _, named, _ = made(tools=[SPACE, ADD])
    assert names == ["mcp__calc__add", "mcp__calc__c", "add"]
    assert named["mcp__calc__add"] == Named("add", "mcp__calc__")
    assert named["mcp__calc__c"] == Named("c", "mcp__calc__", True)
    assert named["add"] == Named("add")


def test_additional_tools_are_offered_once() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [ADD, SPACE]}
    names, _, _, ignored = made(input=[item, {"role": "user", "content": "x"}], tools=[ADD])
    assert names == ["add", "mcp__calc__add", "mcp__calc__c"]
    assert ignored == ()


@pytest.mark.parametrize("name", ["a" * 80, "with blank", "d\u00e9j\u00e0", "a.b"])
def test_a_name_that_servers_refuse_is_changed_and_stays_its_own(name: str) -> None:
    one = {"type": "namespace", "name": name, "tools": [ADD, {**ADD, "name": "sub"}]}
    two = {"type": "namespace", "name": f"{name}!", "tools": [ADD]}
    names, _, named, _ = made(tools=[one, two])
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one) for one in names)
    assert {(named[n].namespace, named[n].name) for n in names} == {
        (name, "add"),
        (name, "sub"),
        (f"{name}!", "add"),
    }
    assert names == made(tools=[one, two])[0], "the same in each request"


def test_two_tools_never_share_a_function() -> None:
    plain = {**ADD, "name": "a__add"}
    names, _, named, _ = made(tools=[{"type": "namespace", "name": "a", "tools": [ADD]}, plain])
    assert len(set(names)) == 2
    assert set(named.values()) == {Named("add", "a"), Named("a__add")}


def test_the_history_has_the_same_names() -> None:
    call = {"type": "function_call", "call_id": "c", "arguments": "{}", "name": "add"}
    items = [{**call, "namespace": "mcp__calc__"}, {**call, "namespace": "gone", "name": "x"}]
    found = chat_request({"model": "m", "input": items, "tools": [SPACE]}).body["messages"]
    names = [one["function"]["name"] for one in found[0]["tool_calls"]]
    assert names == ["mcp__calc__add", "gone__x"]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("required", "required"),
        ({"type": "function", "name": "add"}, {"type": "function", "function": {"name": "add"}}),
        (
            {"type": "function", "name": "add", "namespace": "mcp__calc__"},
            {"type": "function", "function": {"name": "mcp__calc__add"}},
        ),
        ({"type": "web_search"}, None),
    ],
)
def test_choices_name_the_function(choice: Any, wanted: Any) -> None:
    assert made(tools=[SPACE, ADD], tool_choice=choice)[1] == wanted


def test_allowed_tools_are_the_only_ones_offered() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{**ADD}]}
    assert made(tools=[SPACE, ADD], tool_choice=choice)[:2] == (["add"], "required")


def test_what_cannot_be_offered_is_named() -> None:
    hosted = [{"type": "web_search"}, {"type": "mcp", "server_label": "x"}, 7]
    names, _, _, ignored = made(tools=[ADD, *hosted], tool_choice={"type": "web_search"})
    assert names == ["add"]
    assert ignored == ("tools.web_search", "tools.mcp", "tools.None", "tool_choice")


def test_a_grammar_is_told_in_the_description() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    tool = {"type": "custom", "name": "p", "description": "Patches.", "format": form}
    body = chat_request({"model": "m", "input": "x", "tools": [tool]}).body
    said = body["tools"][0]["function"]["description"]
    assert said == "Patches.\n\nThe input follows this grammar (lark):\nstart: /x/"
