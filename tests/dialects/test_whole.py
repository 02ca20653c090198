"""dialects.stream.whole: whole answers, also as the streams they should have been."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.chat.request import to_chat
from airelays.dialects.chat_server.events import ChatEvents
from airelays.dialects.stream.collect import Collector
from airelays.dialects.stream.passed import PassedChunks
from airelays.dialects.stream.whole import check_answer, is_answer, stream_of_answer
from airelays.dialects.translated import ReplyOptions
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
MESSAGE = {"role": "assistant", "content": "Hi", "tool_calls": [CALL], "reasoning": "hm"}
CHAT: dict[str, Any] = {
    "id": "x",
    "object": "chat.completion",
    "created": 5,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls", "logprobs": None}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
PART = {"type": "output_text", "text": "Hi", "annotations": []}
OUTPUT = [
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
    },
    {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [PART],
    },
    {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
]
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "created_at": 7,
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": OUTPUT,
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}


def data_of(raw: bytes) -> list[Any]:
    found = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(text) if text != b"[DONE]" else "[DONE]" for text in found]


def collected(raw: bytes) -> Collector:
    collector = Collector(now_s=1.0, reply_id="r", model="m")
    collector.feed(raw)
    collector.end()
    return collector


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_chat_completion_becomes_chunks(include_usage: bool) -> None:
    raw = stream_of_answer(CHAT, include_usage=include_usage)
    chunks = data_of(raw)
    assert chunks[-1] == "[DONE]"
    assert {c["object"] for c in chunks[:-1]} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **CALL}]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:2]] == [None, "tool_calls"]
    assert len(chunks) == 3 + include_usage
    reply = PassedChunks(model="m")
    assert reply.feed(raw) + reply.end() == raw
    assert reply.terminal == "completed"


def test_a_chat_completion_can_be_read_as_events() -> None:
    events = ChatEvents(model="m", ids="x", now_s=1.0)
    raw = events.feed(stream_of_answer(CHAT, include_usage=True)) + events.end()
    answer = to_chat(collected(raw).result(), ReplyOptions(model="m"))
    message = answer["choices"][0]["message"]
    assert (message["content"], message["tool_calls"]) == ("Hi", [CALL])
    assert message["reasoning_content"] == "hm"
    assert answer["usage"]["total_tokens"] == 3


def test_several_choices_and_texts_become_chunks_with_their_indexes() -> None:
    choices = [{"index": at, "text": t, "finish_reason": "stop"} for at, t in enumerate("ab")]
    raw = stream_of_answer({"object": "text_completion", "choices": choices}, include_usage=False)
    shown = [(c["choices"][0]["index"], c["choices"][0]["text"]) for c in data_of(raw)[:-1]]
    assert shown == [(0, "a"), (0, ""), (1, "b"), (1, "")]


def test_a_response_becomes_events_that_give_it_back() -> None:
    raw = stream_of_answer(RESPONSE, include_usage=True)
    events = data_of(raw)
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert events[0]["response"]["status"] == "in_progress"
    deltas = [e["delta"] for e in events if e["type"].endswith(".delta")]
    assert deltas == ["hm", "Hi", "{}"]
    assert collected(raw).result() == RESPONSE


@pytest.mark.parametrize(
    ("more", "terminal"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "x"}}, "incomplete"),
        ({"status": "failed", "error": {"code": "server_error", "message": "m"}}, "failed"),
        ({"status": "cancelled"}, "failed"),
        ({"status": "in_progress"}, "failed"),
        ({"status": "queued"}, "failed"),
    ],
)
def test_a_response_that_is_not_complete_never_ends_as_one(
    more: dict[str, Any], terminal: str
) -> None:
    found = collected(stream_of_answer({**RESPONSE, **more}, include_usage=True))
    assert found.terminal == terminal


@pytest.mark.parametrize("value", [{"error": "m"}, {"object": "error", "message": "m"}])
def test_an_error_stays_one(value: dict[str, Any]) -> None:
    raw = stream_of_answer(value, include_usage=False)
    for reply in (PassedChunks(model="m"), collected(raw)):
        reply.feed(raw)
        reply.end()
        assert reply.failure is not None and reply.failure.message == "m"


def test_what_is_neither_is_refused() -> None:
    assert not is_answer({}) and not is_answer([]) and not is_answer({"choices": []})
    with pytest.raises(UpstreamFault, match="neither an answer nor an error"):
        stream_of_answer({"hello": 1}, include_usage=False)


def test_a_whole_answer_that_was_broken_off_is_a_failure() -> None:
    assert check_answer(CHAT, Redactor()) is CHAT
    broken = {"choices": [{"message": {"content": "Hal"}, "finish_reason": "network_error"}]}
    with pytest.raises(UpstreamFault, match='"network_error"'):
        check_answer(broken, Redactor())
    filtered = {"choices": [{"message": {}, "finish_reason": "sensitive"}]}
    assert check_answer(filtered, Redactor())["choices"][0]["finish_reason"] == "content_filter"
    echoed = {"choices": [{"finish_reason": "error", "error": {"message": "key S3cr3t-0123456"}}]}
    with pytest.raises(UpstreamFault) as raised:
        check_answer(echoed, Redactor([b"S3cr3t-0123456"]))
    assert "S3cr3t" not in raised.value.message and "[REDACTED]" in raised.value.message
