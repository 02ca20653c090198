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
from airelays.dialects.chat_server.messages import unseal
from airelays.dialects.chat_server.tools import Named
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
    tools = {"patch": Named("patch", custom=True)}
    item = events_of(through(raw, tools=tools))[-1]["response"]["output"][0]
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


def sse(*chunks: Any, done: bool = True) -> bytes:
    raw = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return raw + (b"data: [DONE]\n\n" if done else b"")


def delta(finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": more, "finish_reason": finish}]}


def final(raw: bytes, **more: Any) -> dict[str, Any]:
    event = events_of(through(raw, **more))[-1]
    assert event["type"] == "response.completed"
    response: dict[str, Any] = event["response"]
    return response


def texts_of(response: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for item in response["output"]:
        for part in item.get("content") or item.get("summary") or []:
            found.append((item["type"], part.get("text", part.get("refusal"))))
    return found


@pytest.mark.parametrize("word", [None, ""])
def test_done_is_the_server_s_own_end(word: str | None) -> None:
    half = sse(delta(word, content="Hi"), done=False)
    assert b"response.completed" not in through(half)
    assert texts_of(final(half + b"data: [DONE]\n\n")) == [("message", "Hi")]


@pytest.mark.parametrize(
    "word", ["network_error", "error", "abort", "insufficient_system_resource", "whatever"]
)
def test_a_finish_reason_that_means_a_failure_fails(word: str) -> None:
    found = collected(through(sse(delta(content="Hal"), delta(word))))
    assert found.failure is not None and f'"{word}"' in found.failure.message
    assert found.failure.code == "upstream_interrupted"


@pytest.mark.parametrize("word", ["content_filter", "sensitive", "safety"])
def test_a_filter_s_own_words_are_a_content_filter(word: str) -> None:
    event = events_of(through(sse(delta(content="Hal"), delta(word))))[-1]
    assert event["response"]["incomplete_details"] == {"reason": "content_filter"}


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"object":"error","message":"engine died","code":500}\n\n',
        b'data: {"error":"engine died"}\n\n',
        b'{"error":{"message":"engine died"}}\n\n',
        b'data: {"detail":[{"loc":["body"],"msg":"engine died"}]}\n\n',
        b"event: error\ndata: engine died\n\n",
        b'event: error\ndata: {"message":"engine died"}\n\n',
        b'data: {"choices":[{"finish_reason":"error","error":{"message":"engine died"}}]}\n\n',
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_errors_of_every_form_keep_their_message(error: bytes, step: int) -> None:
    raw = sse(delta(content="Hal"), done=False) + error + sse(delta("stop"))
    found = collected(through(raw, step))
    assert found.failure is not None and "engine died" in found.failure.message


def test_a_name_that_comes_later_is_the_name() -> None:
    def call(**function: str) -> dict[str, Any]:
        more = {"id": "c1"} if "name" in function and not function["name"] else {}
        return delta(tool_calls=[{"index": 0, **more, "function": function}])

    raw = sse(call(name="", arguments="{"), call(name="add"), call(arguments="}"), delta("stop"))
    for custom in (False, True):
        (item,) = final(raw, tools={"add": Named("add", custom=custom)})["output"]
        text = item.get("arguments", item.get("input"))
        assert (item["call_id"], item["name"], text) == ("c1", "add", "{}")
    added = [e for e in events_of(through(raw)) if e["type"] == "response.output_item.added"]
    assert [e["item"]["name"] for e in added] == ["add"]


def test_calls_that_share_an_index_are_two_items() -> None:
    calls = [
        {"index": 0, "id": i, "function": {"name": "add", "arguments": f'{{"a":{i[1]}}}'}}
        for i in ("c1", "c2")
    ]
    raw = sse(*(delta(tool_calls=[call]) for call in calls), delta("tool_calls"))
    output = final(raw)["output"]
    assert [(i["call_id"], i["arguments"]) for i in output] == [
        ("c1", '{"a":1}'),
        ("c2", '{"a":2}'),
    ]
    indexes = [
        e["output_index"] for e in events_of(through(raw)) if e["type"].endswith("arguments.delta")
    ]
    assert indexes == [0, 1]


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


def test_content_as_a_list_of_parts_is_text_and_reasoning() -> None:
    raw = sse(
        delta(content=[THOUGHT]),
        delta(
            content=[{"type": "text", "text": "Hi"}, {"type": "reference", "reference_ids": [1]}]
        ),
        delta(content=" there"),
        delta("stop", content={"type": "text", "text": "."}),
    )
    assert texts_of(final(raw)) == [("reasoning", "hm"), ("message", "Hi there.")]


@pytest.mark.parametrize(
    "thought",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_text": "hm"},
        {"thinking": "hm"},
        {"reasoning": {"content": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
        {"content": [{"type": "reasoning", "text": "hm"}]},
    ],
)
def test_reasoning_is_read_under_each_of_its_names(thought: dict[str, Any]) -> None:
    raw = sse(delta(**thought), delta("stop", content="Hi"))
    assert texts_of(final(raw)) == [("reasoning", "hm"), ("message", "Hi")]


def test_citations_become_annotations() -> None:
    cited = {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2}
    flat = {"type": "url_citation", **cited}
    one = {"type": "url_citation", "url_citation": cited}
    raw = sse(delta(content="Hi"), delta(annotations=[one]), delta("stop", annotations=[one, flat]))
    events = events_of(through(raw))
    added = [e for e in events if e["type"] == "response.output_text.annotation.added"]
    assert [(e["annotation_index"], e["annotation"]) for e in added] == [(0, flat)]
    assert final(raw)["output"][0]["content"][0]["annotations"] == [flat]


@pytest.mark.parametrize(
    "sources",
    [
        {"citations": ["https://a.example", "https://b.example"]},
        {"search_results": [{"url": "https://a.example"}, {"url": "https://b.example"}]},
    ],
)
def test_sources_beside_the_answer_become_annotations(sources: dict[str, Any]) -> None:
    raw = sse({**delta(content="A[1] and B[2], [1]"), **sources}, delta("stop"))
    found = final(raw)["output"][0]["content"][0]["annotations"]
    assert [(a["url"], a["start_index"], a["end_index"]) for a in found] == [
        ("https://a.example", 1, 4),
        ("https://a.example", 15, 18),
        ("https://b.example", 10, 13),
    ]


@pytest.mark.parametrize(
    "usage",
    [
        {"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}},
        {"usage": {"input_tokens": 5, "output_tokens": 2}},
        {"usage": {"prompt_tokens": 5.0, "completion_tokens": 2.0}},
        {"usage": {"prompt_tokens": 5, "total_tokens": 7}},
        {"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}},
        {"prompt_eval_count": 5, "eval_count": 2, "done": True},
        {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}},
    ],
)
def test_usage_is_read_in_every_spelling(usage: dict[str, Any]) -> None:
    raw = sse(delta("stop", content="Hi"), {"choices": [], **usage})
    found = final(raw)["usage"]
    assert (found["input_tokens"], found["output_tokens"], found["total_tokens"]) == (5, 2, 7)


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_tokens_details": {"cached_tokens": 3}},
        {"prompt_cache_hit_tokens": 3},
        {"cached_tokens": 3},
        {"cache_read_input_tokens": 3},
    ],
)
def test_cached_tokens_are_read_in_every_spelling(more: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, **more}
    raw = sse({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop", "usage": usage}]})
    assert final(raw)["usage"]["input_tokens_details"]["cached_tokens"] == 3


def test_log_probabilities_come_with_their_text() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    chunk = delta("stop", content="Hi")
    chunk["choices"][0]["logprobs"] = {"content": [token]}
    raw = sse(chunk)
    assert final(raw)["output"][0]["content"][0]["logprobs"] == [token]
    (event,) = [e for e in events_of(through(raw)) if e["type"] == "response.output_text.delta"]
    assert event["logprobs"] == [token]
    chat = ChatStream(OPTIONS, now_s=1.0, reply_id="c")
    out = chat.feed(through(raw)) + chat.end()
    assert b'"logprobs":{"content":[{"token":"Hi"' in out
    whole = to_chat(collected(through(raw)).result(), OPTIONS)
    assert whole["choices"][0]["logprobs"] == {"content": [token], "refusal": None}


def test_a_call_of_a_namespace_comes_back_with_both_names() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "mcp__calc__add", "arguments": "{}"}}
    tools = {"mcp__calc__add": Named("add", "mcp__calc__")}
    raw = sse(delta(tool_calls=[call]), delta("tool_calls"))
    (item,) = final(raw, tools=tools)["output"]
    assert (item["type"], item["name"], item["namespace"]) == (
        "function_call",
        "add",
        "mcp__calc__",
    )


def test_reasoning_content_can_be_carried_by_the_client_and_by_the_relay() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    raw = sse(
        delta(reasoning_content="I see \u00e9."), delta(tool_calls=[call]), delta("tool_calls")
    )
    events = ChatEvents(model="m", ids="x", now_s=1.0)
    thought, _ = events_of(events.feed(raw))[-1]["response"]["output"]
    assert unseal(thought["encrypted_content"]) == "I see \u00e9."
    assert events.thoughts == {"c": "I see \u00e9."}
    other = sse(delta(reasoning="hm"), delta(tool_calls=[call]), delta("tool_calls"))
    assert "encrypted_content" not in final(other)["output"][0]
