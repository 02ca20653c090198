"""dialects.chat_server.messages: items as messages that every chat server accepts."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from airelays.dialects.chat_server.messages import seal, unseal
from airelays.dialects.chat_server.request import chat_request


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def call(call_id: str, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}", **more}


def output(call_id: str, value: Any = "done") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": value}


def messages(*items: Any, **more: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = chat_request({"model": "m", "input": [*items], **more}).body[
        "messages"
    ]
    return made


def check_order(found: list[dict[str, Any]]) -> None:
    """What OpenAI, DeepSeek and Moonshot ask for: each call answered at once, nothing in between."""
    wanted: list[str] = []
    for at, message in enumerate(found):
        if message["role"] == "tool":
            wanted.remove(message["tool_call_id"])
            continue
        assert not wanted
        assert message["role"] != "system" or at == 0
        wanted = [one["id"] for one in message.get("tool_calls", [])]
    assert not wanted


def test_there_is_one_system_message_at_the_front() -> None:
    def developer(text: str, role: str = "developer") -> dict[str, Any]:
        return {**user(text), "role": role}

    found = messages(
        developer("Read only."), user("hi"), developer("Be brief.", "system"), instructions="Code."
    )
    assert found == [
        {"role": "system", "content": "Code.\n\nRead only.\n\nBe brief."},
        {"role": "user", "content": "hi"},
    ]


@pytest.mark.parametrize(
    "items",
    list(permutations([call("a"), call("b"), user("look"), output("a"), output("b")])),
    ids=lambda items: "-".join(item.get("call_id", "u") + item["type"][-1] for item in items),
)
def test_calls_and_outputs_are_grouped_in_any_order(items: tuple[dict[str, Any], ...]) -> None:
    found = messages(*items)
    check_order(found)
    tools = {m["tool_call_id"]: m["content"] for m in found if m["role"] == "tool"}
    assert tools == {"a": "done", "b": "done"}
    assert [m["content"] for m in found if m["role"] == "user"] == ["look"]


def test_what_comes_between_follows_the_outputs() -> None:
    found = messages(user("q"), call("a"), call("b"), output("a"), user("image"), output("b"))
    assert [m["role"] for m in found] == ["user", "assistant", "tool", "tool", "user"]
    assert [c["id"] for c in found[1]["tool_calls"]] == ["a", "b"]


def test_steps_stay_steps_and_ids_may_be_used_again() -> None:
    found = messages(call("a"), output("a", "1"), call("a"), output("a", "2"))
    check_order(found)
    assert [m["content"] for m in found] == [None, "1", None, "2"]


def test_a_call_without_an_output_and_an_output_without_a_call_are_accepted() -> None:
    found = messages(call("a"), user("go on"), output("x", "lost"))
    check_order(found)
    assert found[1] == {"role": "tool", "tool_call_id": "a", "content": "[no output]"}
    assert found[3] == {"role": "user", "content": "[output of x] lost"}


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
FILE = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}


def test_pictures_and_files_of_outputs_reach_the_model_behind_them() -> None:
    text = {"type": "input_text", "text": "here"}
    found = messages(call("a"), call("b"), output("a", [text, IMAGE]), output("b", [FILE]))
    check_order(found)
    assert [m["role"] for m in found] == ["assistant", "tool", "tool", "user", "user"]
    assert found[1]["content"] == "here\n[see the next message]"
    kinds = [[part["type"] for part in m["content"]] for m in found[3:]]
    assert kinds == [["text", "image_url"], ["text", "file"]]
    assert found[3]["content"][1]["image_url"]["url"] == IMAGE["image_url"]


def reasoning(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "encrypted_content": text}


def test_reasoning_goes_back_with_its_call() -> None:
    found = messages(user("q"), reasoning(seal("I see \u00e9.")), call("a"), call("b"), output("a"))
    assert found[1]["reasoning_content"] == "I see \u00e9."
    for other in ("gAAAA", "airelays.reasoning_content.1:*", "airelays.reasoning_content.1:/w=="):
        assert unseal(other) == ""
        assert "reasoning_content" not in messages(reasoning(other), call("a"))[0]
    late = messages(reasoning(seal("hm")), user("q"), call("a"))
    assert "reasoning_content" not in late[1]


def test_reasoning_that_the_client_does_not_carry_is_recalled() -> None:
    body = {"model": "m", "input": [call("a"), output("a"), call("b"), output("b")]}
    thoughts = {"a": "hm"}
    made = chat_request(body, lambda call_id: thoughts.get(call_id, "")).body["messages"]
    assert [m.get("reasoning_content") for m in made if m["role"] == "assistant"] == ["hm", None]
