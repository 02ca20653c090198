"""dialects.stream.gathered: chunks joined to the answer that they are pieces of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.stream.gathered import is_stream, whole_answer


def frames(*choices: dict[str, Any], **more: Any) -> bytes:
    chunks = [{"id": "c", "object": "x", "choices": [choice], **more} for choice in choices]
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)


def delta(index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": more, "finish_reason": finish}


def piece(index: int | None, arguments: str, **more: Any) -> dict[str, Any]:
    made = {"function": {"arguments": arguments, **more.pop("function", {})}, **more}
    return made if index is None else {"index": index, **made}


def test_texts_grow_and_facts_stay() -> None:
    raw = frames(
        delta(role="assistant", content=""),
        delta(reasoning_content="h"),
        delta(reasoning_content="m"),
        delta(content="one "),
        delta(content="two"),
        delta(finish="length"),
        created=7,
        service_tier="x",
    )
    raw += b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\ndata: [DONE]\n\n'
    message = {"role": "assistant", "content": "one two", "reasoning_content": "hm"}
    assert whole_answer(raw, chat=True) == {
        "id": "c",
        "created": 7,
        "service_tier": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
        "usage": {"total_tokens": 3},
    }
    assert whole_answer(raw.replace(b"\n", b"\r\n"), chat=True)["choices"][0]["message"] == message


def test_calls_are_told_apart_and_choices_too() -> None:
    raw = frames(
        delta(tool_calls=[piece(0, "", id="a", type="function", function={"name": "f"})]),
        delta(tool_calls=[piece(0, '{"x"')]),
        delta(tool_calls=[piece(0, ":1}")]),
        delta(tool_calls=[piece(0, "{}", id="b", function={"name": "g"})]),
        delta(1, content="other"),
        delta(1, "stop"),
        delta(finish="tool_calls"),
    )
    first, second = whole_answer(raw, chat=True)["choices"]
    assert [(c["id"], c["function"]) for c in first["message"]["tool_calls"]] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}),
        ("b", {"name": "g", "arguments": "{}"}),
    ]
    assert first["message"]["content"] is None and first["finish_reason"] == "tool_calls"
    assert (second["message"]["content"], second["finish_reason"]) == ("other", "stop")


def test_lists_and_log_probabilities_are_joined() -> None:
    raw = frames(
        {**delta(content="a"), "logprobs": {"content": [1]}},
        {**delta(content=[{"type": "text", "text": "b"}]), "logprobs": {"content": [2]}},
        {**delta(annotations=[3]), "logprobs": None},
        delta(annotations=[4]),
    )
    found = whole_answer(raw, chat=True)["choices"][0]
    assert found["logprobs"] == {"content": [1, 2]}
    assert found["message"]["annotations"] == [3, 4]
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert found["message"]["content"] == texts
    assert found["finish_reason"] == "stop"


def test_a_text_completion_has_text() -> None:
    raw = frames({"index": 0, "text": "a"}, {"index": 0, "text": "b", "finish_reason": "length"})
    choice = {"index": 0, "text": "ab", "finish_reason": "length"}
    assert whole_answer(raw, chat=False)["choices"] == [choice]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"data: {}", True),
        (b"\r\n event: x", True),
        (b": ping\n", True),
        (b"\xef\xbb\xbfdata:{}", True),
        (b'{"data": 1}', False),
        (b"", False),
    ],
)
def test_a_stream_is_known_by_its_beginning(body: bytes, found: bool) -> None:
    assert is_stream(body) is found
