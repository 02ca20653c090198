"""dialects.chat_server.events: chat streams as Responses events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.dialects.chat.request import to_chat
from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.chat_server.events import ChatEvents
from airelays.dialects.stream.collect import Collector
from airelays.dialects.translated import ReplyOptions

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.sse"))
OPTIONS = ReplyOptions(model="m", stream=True, include_usage=True)


def events_of(raw: bytes) -> list[dict[str, Any]]:
    blocks = [b for b in raw.split(b"\n\n") if b]
    return [json.loads(block.split(b"\ndata: ")[1]) for block in blocks]


def through(raw: bytes, step: int = 0, **more: Any) -> bytes:
    events = ChatEvents(model="m", ids="x", now_s=1.0, **more)
    parts = [raw[i : i + step] for i in range(0, len(raw), step)] if step else [raw]
    return b"".join(events.feed(part) for part in parts) + events.end()


def collected(raw: bytes) -> Collector:
    collector = Collector(now_s=1.0, reply_id="r", model="m")
    collector.feed(raw)
    collector.end()
    return collector


def spoken(collector: Collector) -> Any:
    if collector.failure is not None:
        return "failed"
    message = to_chat(collector.result(), OPTIONS)
    choice = message["choices"][0]
    calls = [
        c.get("function") or c.get("custom") for c in choice["message"].get("tool_calls") or []
    ]
    return choice["message"]["content"], calls, choice["finish_reason"], message.get("usage")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_an_answer_survives_the_way_through_a_chat_server(path: Path) -> None:
    raw = path.read_bytes()
    chat = ChatStream(OPTIONS, now_s=1.0, reply_id="c")
    out = chat.feed(raw) + chat.end()
    if chat.failure is not None and not chat.committed:
        return
    direct, back = collected(raw), collected(through(out))
    custom = b"custom_tool_call" in raw
    if not custom:
        assert spoken(back) == spoken(direct)


def test_it_does_not_matter_how_the_stream_is_cut() -> None:
    chat = ChatStream(OPTIONS, now_s=1.0, reply_id="c")
    raw = (SAMPLES[3].parent / "04_commentary_parallel_calls.sse").read_bytes()
    out = chat.feed(raw) + chat.end()
    whole = through(out)
    for step in (1, 7, 50):
        assert through(out, step) == whole


def test_events_are_numbered_and_in_order() -> None:
    first = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}
    second = {"index": 0, "function": {"arguments": "}"}}
    choices: list[dict[str, Any]] = [
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"content": "Hi"}},
        {"delta": {"tool_calls": [first]}},
        {"delta": {"tool_calls": [second]}, "finish_reason": "tool_calls"},
    ]
    raw = b"".join(b"data: %s\n\n" % json.dumps({"choices": [c]}).encode() for c in choices)
    events = events_of(through(raw))
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert [e["type"] for e in events if e["type"].startswith("response.output_item")] == [
        "response.output_item.added",
        "response.output_item.done",
    ] * 2 + ["response.output_item.added", "response.output_item.done"]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]
    assert (output[2]["call_id"], output[2]["name"], output[2]["arguments"]) == ("c", "f", "{}")


def test_a_custom_tool_comes_back_as_one() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "patch", "arguments": '{"input": "*** x"}'}}
    chunk = {"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    raw = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
    item = events_of(through(raw, custom=frozenset({"patch"})))[-1]["response"]["output"][0]
    assert (item["type"], item["input"]) == ("custom_tool_call", "*** x")


@pytest.mark.parametrize("cut", range(4))
def test_a_stream_that_stops_has_no_end(cut: int) -> None:
    frames = [
        b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":" you"}}]}\n\n',
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
        b"data: [DONE]\n\n",
    ]
    assert b"response.completed" not in through(b"".join(frames[:cut]))
    assert through(b"".join(frames)).count(b"event: response.completed") == 1


def test_an_error_in_a_chunk_is_a_failure() -> None:
    raw = (
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
        b'data: {"error":{"message":"broken","code":"server_error"}}\n\n'
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    found = collected(through(raw))
    assert found.failure is not None and found.failure.message == "broken"
    assert b"response.completed" not in through(raw)


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_answer_is_incomplete(finish: str, reason: str) -> None:
    chunk = {"choices": [{"delta": {"content": "x"}, "finish_reason": finish}]}
    last = events_of(through(b"data: " + json.dumps(chunk).encode() + b"\n\n"))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": reason}


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_garbage_never_completes(parts: list[bytes]) -> None:
    raw = b"".join(b"data: " + part + b"\n\n" for part in parts)
    assert b"response.completed" not in through(raw) or b"finish_reason" in raw
