from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.anthropic.errors import Words
from airelays.dialects.anthropic.made import message_events, message_of
from airelays.dialects.anthropic.passed import PassedMessages
from airelays.dialects.anthropic.settings import HIDDEN, OMITTED, SHOWN
from airelays.dialects.anthropic.tools import Names
from airelays.dialects.anthropic.whole import to_message
from airelays.dialects.stream.collect import Collector
from airelays.dialects.translated import ReplyOptions
from airelays.errors import UpstreamFault
from tests.dialects.anthropic_maps import OPTIONS, SEALER, check_order, events, plan, stream
from tests.dialects.test_streams import GOOD, SAMPLES

DELTA = "response.output_text.delta"


def sse(*found: dict[str, Any]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
        for event in found
    )


def added(at: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def done(at: int, **item: Any) -> dict[str, Any]:
    return {**added(at, **item), "type": "response.output_item.done"}


def delta(kind: str, at: int, text: str, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": at, **more, "delta": text}


def completed(**more: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"status": "completed", **more}}


def call(at: int, name: str = "a") -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{at}", "name": name, "id": f"fc_{at}"}


def played(raw: bytes, **how: Any) -> list[dict[str, Any]]:
    reply = stream(**how)
    out = reply.feed(raw)
    out += reply.end()
    if reply.failure is not None:
        out += reply.fail(reply.failure)
    return events(out)


@pytest.mark.parametrize("thinking", [SHOWN, OMITTED, HIDDEN])
@pytest.mark.parametrize("name", GOOD)
def test_a_stream_says_what_the_whole_answer_says(name: str, thinking: str) -> None:
    found = played(SAMPLES[name], thinking=thinking)
    blocks = check_order(found)
    collector = Collector(now_s=7.9, reply_id="ours", model="asked")
    collector.feed(SAMPLES[name])
    collector.end()
    whole = to_message(collector.result(), OPTIONS, plan(thinking))
    assert [b for b in blocks if b.get("text") != ""] == whole["content"]
    ending = found[-2]
    assert ending["delta"]["stop_reason"] == whole["stop_reason"]
    assert ending["usage"] == whole["usage"]
    assert all(type(count) is int for count in ending["usage"].values())


def test_interleaved_calls_become_blocks_one_after_the_other() -> None:
    raw = sse(
        added(0, **call(0)),
        added(1, **call(1, "b")),
        delta("function_call_arguments", 0, '{"x"'),
        delta("function_call_arguments", 1, '{"y"'),
        delta("function_call_arguments", 0, ":1}"),
        delta("output_text", 2, "And a word."),
        done(0, **call(0), arguments='{"x":1}'),
        delta("function_call_arguments", 1, ":2}"),
        done(1, **call(1, "b"), arguments='{"y":2}'),
        added(3, **call(3, "c")),
        done(3, **call(3, "c"), arguments='{"z":3}'),
        completed(),
    )
    for fast in (True, False):
        found = played(raw, fast=fast)
        blocks = check_order(found)
        assert [block.get("input", block.get("text")) for block in blocks] == [
            {"x": 1},
            {"y": 2},
            "And a word.",
            {"z": 3},
        ]
        assert found[-2]["delta"]["stop_reason"] == "tool_use"


def test_calls_without_an_end_are_closed_with_the_answer() -> None:
    raw = sse(
        added(0, **call(0)),
        delta("function_call_arguments", 0, "{}"),
        added(1, **call(1)),
        delta("function_call_arguments", 1, '{"y":2}'),
        completed(),
    )
    assert [block["input"] for block in check_order(played(raw))] == [{}, {"y": 2}]


def test_thinking_has_its_parts_and_its_signature_last() -> None:
    item = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA"}
    raw = sse(
        added(0, type="reasoning", id="rs_1", summary=[]),
        delta("reasoning_summary_text", 0, "One", summary_index=0),
        delta("reasoning_summary_text", 0, " more", summary_index=0),
        delta("reasoning_summary_text", 0, "Two", summary_index=1),
        done(0, **item, summary=[{"type": "summary_text", "text": "One more"}]),
        delta("output_text", 1, "So."),
        completed(),
    )
    thought, text = check_order(played(raw))
    assert thought["thinking"] == "One more\n\nTwo" and text["text"] == "So."
    opened = SEALER.open(thought["signature"], "x")
    assert opened is not None and opened["encrypted_content"] == "gAAA" and opened["id"] == "rs_1"
    thought, text = check_order(played(raw, thinking=OMITTED))
    assert thought["thinking"] == "" and thought["signature"]
    assert [block["type"] for block in check_order(played(raw, thinking=HIDDEN))] == ["text"]


def test_a_stop_sequence_says_which() -> None:
    raw = sse(delta("output_text", 0, "one EN"), delta("output_text", 0, "D two"), completed())
    options = ReplyOptions(model="m", stream=True, stop=("STOP", "END"))
    reply = stream(options)
    found = events(reply.feed(raw) + reply.end())
    assert check_order(found)[0]["text"] == "one "
    assert found[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    part = {"type": "output_text", "text": "one END two"}
    message = {"type": "message", "content": [part]}
    whole = to_message({"output": [message]}, options, plan())
    assert whole["content"] == [{"type": "text", "text": "one "}]
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", "END")


def test_the_end_of_an_answer_that_was_cut() -> None:
    for reason, wanted in (("max_output_tokens", "max_tokens"), ("content_filter", "refusal")):
        details = {"status": "incomplete", "incomplete_details": {"reason": reason}}
        raw = sse(
            added(0, **call(0)),
            delta("function_call_arguments", 0, '{"a"'),
            {"type": "response.incomplete", "response": details},
        )
        found = played(raw)
        assert found[-1]["type"] == "message_stop" and found[-3]["type"] == "content_block_stop"
        assert found[-2]["delta"]["stop_reason"] == wanted


def test_a_stream_that_breaks_off_ends_with_an_error_event() -> None:
    """Fact 7: the Python SDK hands out what came so far as if it were all."""
    raw = sse(delta("output_text", 0, "Half"))
    found = played(raw)
    check_order(found)
    assert found[-1]["error"]["type"] == "api_error"
    assert [event["type"] for event in found].count("message_stop") == 0


def test_cached_tokens_are_not_counted_twice() -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 7,
        "total_tokens": 107,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
    }
    found = played(sse(delta("output_text", 0, "x"), completed(usage=usage)))
    assert found[-2]["usage"] == {
        "input_tokens": 20,
        "cache_creation_input_tokens": 16,
        "cache_read_input_tokens": 64,
        "output_tokens": 7,
    }


def test_ids_and_names_of_calls_are_those_of_the_client() -> None:
    names = Names()
    long = "mcp__server__" + "x" * 80
    short = names.short(long)
    item = {**call(0, short), "call_id": "a.b:c", "arguments": "[1]"}
    block = to_message({"output": [item]}, OPTIONS, plan(names=names))["content"][0]
    assert block["name"] == long and block["id"].startswith("toolu_")
    assert block["input"] == {"arguments": [1]}


def test_a_search_of_the_upstream_is_shown_as_blocks() -> None:
    blocks = check_order(played(SAMPLES["07_web_search"]))
    assert [block["type"] for block in blocks][:2] == ["server_tool_use", "web_search_tool_result"]
    assert blocks[0]["id"] == blocks[1]["tool_use_id"]


# ---- a server that speaks this API itself


MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "text", "text": 'Say "error"'},
        {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {"x": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2},
}


def passing() -> PassedMessages:
    return PassedMessages(model="m", words=Words("req_1"))


def test_a_whole_message_becomes_its_stream_and_passes() -> None:
    raw = message_events(MESSAGE)
    assert check_order(events(raw)) == MESSAGE["content"]
    assert message_of(raw) == MESSAGE
    for size in (1, 7, len(raw)):
        reply = passing()
        out = b"".join(reply.feed(raw[at : at + size]) for at in range(0, len(raw), size))
        assert out + reply.end() == raw and reply.terminal == "completed"
        assert reply.usage is not None
        assert reply.usage.input_tokens == 8 and reply.usage.output_tokens == 2


def test_a_passed_stream_that_is_cut_ends_with_one_error_event() -> None:
    raw = message_events(MESSAGE)
    for cut in range(40, len(raw) - 2, 97):
        reply = passing()
        out = reply.feed(raw[:cut]) + reply.end()
        if reply.failure is None:
            assert b"message_stop" in out
            continue
        out += reply.fail(reply.failure)
        found = events(out)
        assert found[-1]["type"] == "error" and found[-1]["error"]["type"] == "api_error"
        assert reply.fail(reply.failure) == b""


def test_nothing_passes_after_the_end_and_an_error_is_the_end() -> None:
    raw = message_events(MESSAGE)
    reply = passing()
    assert reply.feed(raw + raw) == raw
    start = raw.partition(b"\n\n")[0] + b"\n\n"
    failed = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n'
    reply = passing()
    assert reply.feed(start + failed + raw) == start
    assert isinstance(reply.failure, UpstreamFault)
    assert events(reply.fail(reply.failure))[0]["error"]["type"] == "overloaded_error"


def test_many_deltas_in_one_read_pass_as_they_are() -> None:
    data = (
        b'{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}'
    )
    piece = b"event: content_block_delta\ndata: " + data + b"\n\n"
    reply = passing()
    start = message_events(MESSAGE).partition(b"\n\n")[0] + b"\n\n"
    reply.feed(start)
    assert reply.feed(piece * 5) == piece * 5 and reply.events == 6
    assert reply.feed(piece + b": comment\n\n" + piece).count(piece) == 2
