from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.dialects.chat.request import to_chat
from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.completions import to_completion
from airelays.dialects.reply import ReplyMap
from airelays.dialects.responses.stream import ResponsesStream
from airelays.dialects.stream.chunks import CompletionStream
from airelays.dialects.stream.collect import MAX_KEPT, Collector
from airelays.dialects.translated import ReplyOptions
from airelays.errors import ClientFault, UpstreamFault
from tests.dialects.anthropic_maps import check_order
from tests.dialects.anthropic_maps import events as messages_of
from tests.dialects.anthropic_maps import stream as messages

SAMPLES = {
    path.stem: path.read_bytes()
    for path in sorted((Path(__file__).resolve().parents[1] / "samples").glob("*.sse"))
}
GOOD = [name for name in SAMPLES if not name.startswith(("12", "13", "14", "15", "16"))]
PLAIN = ReplyOptions(model="asked", stream=True)
COUNTED = ReplyOptions(model="asked", stream=True, include_usage=True)
STOPPED = ReplyOptions(model="asked", stream=True, stop=("forty", "comm", "\n\n"))
LEGACY = ReplyOptions(model="asked", stream=True, legacy_functions=True)

Maker = Callable[[bool], ReplyMap]


def chat(options: ReplyOptions = PLAIN, *, fast: bool = True) -> ChatStream:
    return ChatStream(options, now_s=7.9, reply_id="ours", fast=fast)


def completion(options: ReplyOptions = PLAIN, *, fast: bool = True) -> CompletionStream:
    return CompletionStream(options, now_s=7.9, reply_id="ours", fast=fast)


def responses(codex: bool = False, *, fast: bool = True) -> ResponsesStream:
    return ResponsesStream(PLAIN, codex=codex, now_s=7.9, reply_id="ours", fast=fast)


def collector(*, fast: bool = True) -> Collector:
    return Collector(now_s=7.9, reply_id="ours", model="asked", fast=fast)


MAKERS: dict[str, Maker] = {
    "chat": lambda fast: chat(fast=fast),
    "chat-usage": lambda fast: chat(COUNTED, fast=fast),
    "chat-stop": lambda fast: chat(STOPPED, fast=fast),
    "chat-legacy": lambda fast: chat(LEGACY, fast=fast),
    "completion": lambda fast: completion(COUNTED, fast=fast),
    "responses": lambda fast: responses(fast=fast),
    "codex": lambda fast: responses(True, fast=fast),
    "messages": lambda fast: messages(fast=fast),
    "messages-stop": lambda fast: messages(STOPPED, fast=fast),
}


def sse(*events: dict[str, Any]) -> bytes:
    """Write events as the upstream does."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
        for event in events
    )


def created(**more: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "created_at": 1790000000, "model": "gpt-x", "output": []}
    return {"type": "response.created", "response": {**response, **more}}


def delta(text: str, at: int = 0, kind: str = "output_text", **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": text, "output_index": at, **more}


def added(item: dict[str, Any], at: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": item, "output_index": at}


def finished(item: dict[str, Any], at: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item, "output_index": at}


def message(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    }


def call(name: str = "f", text: str = "", call_id: str = "c1") -> dict[str, Any]:
    return {"type": "function_call", "name": name, "arguments": text, "call_id": call_id}


def completed(kind: str = "completed", **more: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "model": "gpt-x", "status": kind, "output": []}
    return {"type": f"response.{kind}", "response": {**response, **more}}


def failed(code: str, message: str = "It broke.", **more: Any) -> dict[str, Any]:
    error = {"code": code, "message": message, **more}
    return {"type": "response.failed", "response": {"status": "failed", "error": error}}


def run(reply: ReplyMap, *pieces: bytes) -> bytes:
    """Return what a client gets for `pieces` and the end of the body, with the one event of a failure."""
    out = b"".join(reply.feed(piece) for piece in pieces) + reply.end()
    return out + reply.fail(reply.failure) if reply.failure and reply.committed else out


def read(stream: bytes) -> list[Any]:
    """Return the data of each frame: JSON values, and "[DONE]"."""
    assert stream == b"" or stream.endswith(b"\n\n")
    found = []
    for frame in stream.decode("ascii").split("\n\n")[:-1]:
        data = frame.split("data: ", 1)[1]
        found.append(data if data == "[DONE]" else json.loads(data))
    return found


def joined(chunks: list[Any], key: str) -> str:
    deltas = [c["choices"][0]["delta"] for c in chunks if c != "[DONE]" and c.get("choices")]
    return "".join(d[key] for d in deltas if d.get(key))


def reasons(chunks: list[Any]) -> list[str]:
    choices = [c["choices"][0] for c in chunks if c != "[DONE]" and c.get("choices")]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def calls_of(chunks: list[Any]) -> list[dict[str, Any]]:
    """Return the tool calls that a client puts together from the deltas."""
    made: list[dict[str, Any]] = []
    for chunk in chunks:
        if chunk == "[DONE]" or not chunk.get("choices"):
            continue
        for piece in chunk["choices"][0]["delta"].get("tool_calls", []):
            if piece["index"] == len(made):
                made.append({k: piece[k] for k in ("id", "type")} | {"name": "", "text": ""})
            kind = made[piece["index"]]["type"]
            made[piece["index"]]["name"] += piece[kind].get("name", "")
            made[piece["index"]]["text"] += piece[kind].get("arguments", piece[kind].get("input"))
    return made


# Differential: fast and plain, whole and split anywhere.


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("maker", MAKERS)
def test_fast_and_plain_way_give_the_same_bytes(name: str, maker: str) -> None:
    sample, make = SAMPLES[name], MAKERS[maker]
    plain = run(make(False), sample)
    assert run(make(True), sample) == plain
    every = (sample[i : i + 1] for i in range(len(sample)))
    assert run(make(True), *every) == plain


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", ["04_commentary_parallel_calls", "18_live_quirks"])
def test_a_split_at_any_position_changes_nothing(name: str, maker: str) -> None:
    sample, make = SAMPLES[name], MAKERS[maker]
    plain = run(make(False), sample)
    for cut in range(0, len(sample), 13):
        assert run(make(True), sample[:cut], sample[cut:]) == plain


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "rewrite",
    [
        lambda s: s.replace(b"\n", b"\r\n"),
        lambda s: s.replace(b"\n", b"\r"),
        lambda s: b"\xef\xbb\xbf" + s,
        lambda s: b": hello\n\n" + s.replace(b"\n\n", b"\n: ping\n\n\n"),
        lambda s: s.replace(b"data: ", b"data:").replace(b"event: ", b"id: 5\nevent:"),
        lambda s: s.replace(b'{"type"', b'{ "type"'),
        lambda s: s[:-2],
        lambda s: s + b"data: [DONE]\n\n",
        lambda s: b"data: {not json\n\n" + s.replace(b"\n\nevent", b"\n\ndata: []\n\nevent"),
    ],
)
def test_other_spellings_of_a_stream_mean_the_same(
    maker: str, rewrite: Callable[[bytes], bytes]
) -> None:
    make, sample = MAKERS[maker], SAMPLES["02_reasoning_text"]
    fast, plain, usual = make(True), make(False), make(True)
    assert run(fast, rewrite(sample)) == run(plain, rewrite(sample))
    run(usual, sample)
    assert (fast.terminal, fast.usage) == ("completed", usual.usage)
    if maker not in ("responses", "codex"):
        assert run(make(True), rewrite(sample)) == run(make(True), sample)


_TEXTS = st.text(alphabet='ab"\\/\n\t\x7fé\u2028\U0001f600{}:,', max_size=6)
_EVENTS = st.one_of(
    st.builds(delta, _TEXTS, st.integers(0, 2)),
    st.builds(
        lambda t, i: delta(t, i, logprobs=[], item_id="m", obfuscation="x"),
        _TEXTS,
        st.integers(0, 2),
    ),
    st.builds(
        lambda t, i, s: delta(t, i, "reasoning_summary_text", summary_index=s),
        _TEXTS,
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    st.builds(
        lambda t, i: delta(t, i, "reasoning_text", content_index=0), _TEXTS, st.integers(0, 1)
    ),
    st.builds(lambda t, i: delta(t, i, "function_call_arguments"), _TEXTS, st.integers(0, 3)),
    st.builds(lambda t: delta(t, 0, "refusal"), _TEXTS),
    st.builds(lambda i: added(call(), i), st.integers(0, 3)),
    st.builds(lambda t, i: finished(call(text=t), i), _TEXTS, st.integers(0, 3)),
    st.builds(lambda t, i: finished(message(t), i), _TEXTS, st.integers(0, 2)),
    st.just({"type": "codex.rate_limits"}),
    st.just({"type": "keepalive"}),
    st.just({"type": "response.unheard_of", "output_index": 0}),
    st.just({"type": "response.output_text.delta", "delta": 5}),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_EVENTS, max_size=12),
    st.sampled_from([[completed()], [completed("incomplete")], [failed("server_error")], []]),
    st.lists(st.integers(1, 60), max_size=30),
    st.sampled_from(sorted(MAKERS)),
)
def test_generated_streams_are_the_same_both_ways(
    events: list[dict[str, Any]], last: list[dict[str, Any]], cuts: list[int], maker: str
) -> None:
    stream = sse(created(), *events, *last)
    pieces, at = [], 0
    for size in cuts:
        pieces.append(stream[at : at + size])
        at += size
    pieces.append(stream[at:])
    fast, plain = MAKERS[maker](True), MAKERS[maker](False)
    out = run(fast, *pieces)
    assert out == run(plain, stream)
    assert (fast.terminal, fast.committed) == (plain.terminal, plain.committed)
    if maker.startswith("messages") and out and fast.terminal != "failed":
        check_order(messages_of(out))
    if maker not in ("responses", "codex"):
        mark = b'"message_stop"' if maker.startswith("messages") else b"[DONE]"
        assert (mark in out) == (fast.terminal in ("completed", "incomplete"))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "literal",
    [
        b'"caf\xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x98\x80"',
        b'"\\u00e9\\u2028\\ud83d\\ude00"',
        b'"\\u00E9\\u0041\\u000a"',
        b'"\\ud83d"',
        b'"a\\/b"',
        b'"\x7f"',
        b'"bad \xff utf-8"',
        b'"bad \xed\xa0\x80 surrogate"',
        b'"bad \\x escape"',
        b'"bad \\u12 escape"',
        b'"\x01"',
        b'"unended',
        b'""',
    ],
)
def test_any_string_literal_means_the_same_both_ways(maker: str, literal: bytes) -> None:
    event = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    event += b'"output_index":0,"delta":' + literal + b"}\n\n"
    stream = sse(created(), delta("Hi")) + event + event + sse(completed())
    fast, plain = MAKERS[maker](True), MAKERS[maker](False)
    assert run(fast, stream) == run(plain, stream)
    assert fast.terminal == "completed"
    found, other = collector(), collector(fast=False)
    run(found, stream)
    run(other, stream)
    assert found.result() == other.result()


@pytest.mark.parametrize("piece", [97, 1 << 20])
@pytest.mark.parametrize("deltas", [MAX_KEPT - 1, MAX_KEPT, 3 * MAX_KEPT + 1])
@pytest.mark.parametrize("closed", ["no item", "first item", "both items", "first item again"])
def test_a_long_answer_is_collected_the_same_both_ways(
    deltas: int, closed: str, piece: int
) -> None:
    events = [created()]
    for at in (0, 1):
        events += [delta(f"{number} ", at) for number in range(deltas)]
        if closed == "both items" or (closed != "no item" and at == 0):
            events.append(finished(message(f"item {at}"), at))
    if closed == "first item again":
        events.append(finished(message("another")))
    stream = sse(*events, completed())
    found, other = collector(), collector(fast=False)
    pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]
    run(found, *pieces)
    run(other, *pieces)
    assert found.result() == other.result()
    assert str(deltas - 1) in json.dumps(found.result()) or closed != "no item"


# Truth at the end.


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("maker", ["chat", "chat-usage", "completion"])
def test_a_stream_cut_anywhere_never_ends_as_a_success(name: str, maker: str) -> None:
    sample = SAMPLES[name]
    # The last two bytes are the blank line; without it the last event is still whole.
    for cut in range(0, len(sample) - 2, 41):
        reply = MAKERS[maker](True)
        out = run(reply, sample[:cut])
        assert b"[DONE]" not in out
        assert reply.terminal == "failed"
        assert reply.failure is not None and reply.failure.code == "incomplete_stream"
        assert (b'"error"' in out) == reply.committed


@pytest.mark.parametrize("codex", [False, True])
def test_a_responses_stream_cut_anywhere_has_one_typed_end(codex: bool) -> None:
    sample = SAMPLES["01_text"]
    for cut in range(0, len(sample) - 2, 41):
        reply = responses(codex)
        out = read(run(reply, sample[:cut]))
        ends = [
            e["type"]
            for e in out
            if e["type"] in ("error", "response.failed", "response.completed")
        ]
        last = "response.failed" if codex else "error"
        assert ends == ([last] if reply.committed else [])


@pytest.mark.parametrize("maker", MAKERS)
def test_nothing_follows_the_terminal_event(maker: str) -> None:
    reply = MAKERS[maker](True)
    whole = run(reply, SAMPLES["01_text"])
    again = MAKERS[maker](True)
    assert run(again, SAMPLES["01_text"] + SAMPLES["12_failed_midstream_server_error"]) == whole
    assert again.feed(SAMPLES["01_text"]) == b""
    assert again.end() == b""
    assert again.fail(UpstreamFault("late")) == b""


@pytest.mark.parametrize("maker", MAKERS)
def test_announcements_alone_commit_to_nothing(maker: str) -> None:
    reply = MAKERS[maker](True)
    quiet = sse(
        created(),
        {"type": "response.in_progress", "response": {}},
        {"type": "response.queued"},
        {"type": "codex.rate_limits"},
        {"type": "keepalive"},
        {"type": "response.metadata"},
    )
    assert reply.feed(quiet) == b""
    assert not reply.committed
    assert reply.response_id == "resp_1"
    assert reply.feed(sse(added(message("")))) != b"" or maker == "completion"
    assert reply.committed


@pytest.mark.parametrize("maker", [m for m in MAKERS if m != "codex"])
def test_an_early_failure_is_left_to_the_status(maker: str) -> None:
    reply = MAKERS[maker](True)
    assert run(reply, SAMPLES["13_failed_rate_limit_exceeded"]) == b""
    assert (reply.committed, reply.terminal) == (False, "failed")
    fault = reply.failure
    assert fault is not None
    assert (fault.status, fault.code, fault.retry_after_s) == (429, "rate_limit_exceeded", 1.2)
    # The head may have gone out early, with a keep-alive: then the event can still be had, once.
    assert b"rate_limit_exceeded" in reply.fail(fault)
    assert reply.fail(fault) == b""


def test_an_early_failure_reaches_codex_unchanged() -> None:
    reply = responses(True)
    assert run(reply, SAMPLES["14_failed_context_length"]) == SAMPLES["14_failed_context_length"]
    assert reply.committed
    assert reply.failure is not None and reply.failure.status == 400


@pytest.mark.parametrize(
    ("event", "status", "code", "retry_after_s"),
    [
        (failed("usage_limit_reached", resets_in_seconds=90), 429, "usage_limit_reached", 90.0),
        (failed("insufficient_quota"), 429, "insufficient_quota", None),
        (
            failed("rate_limit_exceeded", "Please try again in 350ms."),
            429,
            "rate_limit_exceeded",
            0.35,
        ),
        (
            failed("rate_limit_exceeded", "try again in 2 minutes"),
            429,
            "rate_limit_exceeded",
            120.0,
        ),
        (failed("context_length_exceeded"), 400, "context_length_exceeded", None),
        (failed("invalid_prompt"), 400, "invalid_prompt", None),
        (failed("odd", param="input[0]"), 400, "odd", None),
        (failed("odd", type="invalid_request_error"), 400, "odd", None),
        (failed("server_is_overloaded"), 503, "server_is_overloaded", None),
        (failed("server_error"), 502, "server_error", None),
        (
            {"type": "error", "code": "server_error", "message": "m", "param": None},
            502,
            "server_error",
            None,
        ),
        (
            {"type": "error", "error": {"type": "usage_limit_reached", "message": "m"}},
            429,
            None,
            None,
        ),
        ({"type": "response.failed"}, 502, None, None),
        (
            {"type": "response.failed", "response": {"error": {"code": 5, "message": ["x"]}}},
            502,
            None,
            None,
        ),
    ],
)
def test_failures_have_a_status(
    event: dict[str, Any], status: int, code: str | None, retry_after_s: float | None
) -> None:
    reply = chat()
    reply.feed(sse(created(), event))
    fault = reply.failure
    assert fault is not None
    assert (fault.status, fault.code, fault.retry_after_s) == (status, code, retry_after_s)


def test_a_late_failure_is_one_error_event_without_done() -> None:
    out = read(run(chat(), SAMPLES["12_failed_midstream_server_error"]))
    assert out[-1] == {
        "error": {
            "message": "Synthetic failure while processing the request. "
            "Include the request ID req_synthetic when asking for help.",
            "type": "server_error",
            "param": None,
            "code": "server_error",
        }
    }
    assert (
        "".join(c["choices"][0]["delta"].get("content", "") for c in out[:-1])
        == "This stream breaks"
    )
    assert reasons(out[:-1]) == []


def test_a_fault_of_the_relay_is_typed_in_each_dialect() -> None:
    fault = UpstreamFault(
        "upstream sent nothing for 300 seconds", status=504, code="upstream_timeout"
    )
    begun = sse(created(), delta("Hi", sequence_number=41))
    replies = {name: MAKERS[name](True) for name in ("chat", "completion", "responses", "codex")}
    for reply in replies.values():
        assert reply.feed(begun)
    error = {
        "message": "upstream sent nothing for 300 seconds",
        "type": "server_error",
        "param": None,
        "code": "upstream_timeout",
    }
    assert read(replies["chat"].fail(fault)) == [{"error": error}]
    assert read(replies["completion"].fail(fault)) == [{"error": error}]
    assert replies["responses"].fail(fault) == (
        b'event: error\ndata: {"type":"error","code":"upstream_timeout",'
        b'"message":"upstream sent nothing for 300 seconds","param":null,"sequence_number":42,'
        b'"error":{"message":"upstream sent nothing for 300 seconds","type":"server_error",'
        b'"param":null,"code":"upstream_timeout"}}\n\n'
    )
    out = replies["codex"].fail(fault)
    assert out.startswith(b"event: response.failed\n")
    event = read(out)[0]
    assert event["sequence_number"] == 42
    assert event["response"]["error"] == {"code": "server_error", "message": error["message"]}
    assert (event["response"]["id"], event["response"]["status"]) == ("resp_1", "failed")
    for reply in replies.values():
        assert reply.terminal == "failed"
        assert reply.end() == reply.feed(begun) == reply.fail(fault) == b""


def test_a_client_fault_can_end_a_stream_too() -> None:
    reply = chat()
    reply.feed(sse(created(), delta("Hi")))
    assert read(reply.fail(ClientFault("no", code="x")))[0]["error"]["code"] == "x"


def test_an_event_beyond_the_bound_is_a_typed_failure() -> None:
    for fast in (True, False):
        reply = ChatStream(PLAIN, now_s=0, reply_id="r", max_event_bytes=1000, fast=fast)
        reply.feed(sse(created(), delta("Hi")))
        assert reply.feed(b"data: " + b"x" * 2000) == b""
        assert reply.failure is not None and reply.failure.code == "upstream_event_too_large"
        assert reply.terminal == "failed"
        assert read(reply.fail(reply.failure))[0]["error"]["code"] == "upstream_event_too_large"


# Chat.


def test_a_chat_stream_is_role_text_finish_done() -> None:
    out = run(chat(COUNTED), SAMPLES["01_text"])
    chunks = read(out)
    start = {
        "id": "chatcmpl-01",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "gpt-5.5",
    }
    first = {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "logprobs": None,
        "finish_reason": None,
    }
    assert chunks[0] == {**start, "choices": [first], "usage": None}
    assert joined(chunks, "content") == "The answer is forty-two."
    assert reasons(chunks) == ["stop"]
    assert chunks[-3]["choices"][0]["delta"] == {}
    assert chunks[-2]["choices"] == []
    assert chunks[-2]["usage"]["total_tokens"] == 144
    assert all(c["usage"] is None for c in chunks[:-2])
    assert chunks[-1] == "[DONE]"


def test_usage_is_put_out_only_when_asked_for() -> None:
    assert all("usage" not in c for c in read(run(chat(), SAMPLES["01_text"]))[:-1])


def test_reasoning_parts_are_set_apart_by_a_blank_line() -> None:
    chunks = read(run(chat(), SAMPLES["02_reasoning_text"]))
    assert joined(chunks, "reasoning_content") == (
        "**Checking the sum**\n\nTwo plus two is four.\n\n**Answering**\n\nA short reply is enough."
    )
    assert joined(chunks, "content") == "2 + 2 = 4"


def test_commentary_text_and_parallel_calls_stream_as_they_come() -> None:
    chunks = read(run(chat(), SAMPLES["04_commentary_parallel_calls"]))
    assert joined(chunks, "content") == "I will run two commands."
    assert calls_of(chunks) == [
        {
            "id": "call_04a",
            "type": "function",
            "name": "exec_command",
            "text": '{"cmd":"echo one"}',
        },
        {
            "id": "call_04b",
            "type": "function",
            "name": "exec_command",
            "text": '{"cmd":"echo two"}',
        },
    ]
    pieces = [
        c["choices"][0]["delta"]["tool_calls"][0]
        for c in chunks[:-1]
        if "tool_calls" in c["choices"][0]["delta"]
    ]
    assert [(p["index"], "id" in p) for p in pieces] == [
        (0, True),
        (0, False),
        (0, False),
        (1, True),
        (1, False),
        (1, False),
    ]
    assert reasons(chunks) == ["tool_calls"]


def test_custom_tool_calls_stream_their_input() -> None:
    chunks = read(run(chat(), SAMPLES["05_custom_tool_call"]))
    assert calls_of(chunks) == [
        {
            "id": "call_05",
            "type": "custom",
            "name": "apply_patch",
            "text": "*** Begin Patch\n*** Add File: sample.txt\n+hello\n*** End Patch",
        }
    ]
    assert reasons(chunks) == ["tool_calls"]


def test_legacy_functions_answer_as_function_call() -> None:
    chunks = read(run(chat(LEGACY), SAMPLES["04_commentary_parallel_calls"]))
    pieces = [
        c["choices"][0]["delta"]["function_call"]
        for c in chunks[:-1]
        if "function_call" in c["choices"][0]["delta"]
    ]
    assert pieces[0] == {"name": "exec_command", "arguments": ""}
    assert "".join(p["arguments"] for p in pieces) == '{"cmd":"echo one"}'
    assert reasons(chunks) == ["function_call"]


def test_a_refusal_is_kept() -> None:
    chunks = read(run(chat(), SAMPLES["09_refusal"]))
    assert joined(chunks, "refusal") == "I cannot help with that request."
    assert joined(chunks, "content") == ""
    assert reasons(chunks) == ["stop"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("10_incomplete_max_output_tokens", "length"),
        ("11_incomplete_content_filter", "content_filter"),
    ],
)
def test_an_incomplete_answer_says_why(name: str, reason: str) -> None:
    for make, one in ((chat, to_chat), (completion, to_completion)):
        assert reasons(read(run(make(), SAMPLES[name]))) == [reason]
        whole = collector()
        run(whole, SAMPLES[name])
        assert whole.terminal == "incomplete"
        assert one(whole.result(), PLAIN)["choices"][0]["finish_reason"] == reason


def test_items_that_came_without_deltas_are_put_out_once() -> None:
    thought = {
        "type": "reasoning",
        "summary": [
            {"type": "summary_text", "text": "Hm."},
            {"type": "summary_text", "text": "Ah."},
        ],
    }
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    out = run(
        chat(),
        sse(
            created(),
            finished(thought, 0),
            finished(message("One."), 1),
            finished(message("Two."), 2),
            finished(refusal, 3),
            finished(call(text="{}"), 4),
            completed(output=[thought, message("One."), message("Two."), refusal, call(text="{}")]),
        ),
    )
    chunks = read(out)
    assert joined(chunks, "reasoning_content") == "Hm.\n\nAh."
    assert joined(chunks, "content") == "One.Two."
    assert joined(chunks, "refusal") == "No."
    assert calls_of(chunks) == [{"id": "c1", "type": "function", "name": "f", "text": "{}"}]


def test_output_that_only_the_last_event_holds_is_put_out() -> None:
    last = completed(output=[message("All."), call(text='{"a":1}')])
    chunks = read(run(chat(), sse(created(), last)))
    assert joined(chunks, "content") == "All."
    assert calls_of(chunks)[0]["text"] == '{"a":1}'
    assert reasons(chunks) == ["tool_calls"]


def test_deltas_without_an_index_are_not_repeated() -> None:
    loose = {"type": "response.output_text.delta", "delta": "Hi"}
    out = run(
        chat(), sse(created(), loose, finished(message("Hi")), completed(output=[message("Hi")]))
    )
    assert joined(read(out), "content") == "Hi"


def test_a_stream_without_created_uses_our_own_id_time_and_model() -> None:
    chunk = read(run(chat(), sse(delta("Hi"), {"type": "response.completed"})))[0]
    assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-ours", 7, "asked")


def test_text_outside_ascii_is_escaped() -> None:
    out = run(chat(), sse(created(), delta("a\u2028\U0001f600\x7f/"), completed()))
    assert b'{"content":"a\\u2028\\ud83d\\ude00\\u007f/"}' in out


# Stop sequences.


@pytest.mark.parametrize(
    ("pieces", "stops", "text"),
    [
        (["Hello world"], ("wor",), "Hello "),
        (["Hello w", "or", "ld"], ("wor",), "Hello "),
        (["Hello w", "o", "w"], ("wor",), "Hello wow"),
        (["aab"], ("ab",), "a"),
        (["a", "a", "b"], ("ab",), "a"),
        (["a", "a"], ("ab",), "aa"),
        (["x\n", "\n", "y"], ("\n\n", "z"), "x"),
        (["one two"], ("two", "one"), ""),
        (["abc", "abd"], ("abcabd",), ""),
        (["abcab", "cabd"], ("abcabd",), "abc"),
        (["end"], ("x" * 1000,), "end"),
    ],
)
def test_stop_sequences_cut_the_text_streamed_or_not(
    pieces: list[str], stops: tuple[str, ...], text: str
) -> None:
    options = ReplyOptions(model="m", stream=True, stop=stops)
    whole = "".join(pieces)
    stream = sse(
        created(), *map(delta, pieces), finished(message(whole)), completed(output=[message(whole)])
    )
    reply = chat(options)
    chunks = read(run(reply, stream))
    assert joined(chunks, "content") == text
    assert reasons(chunks) == ["stop"]
    assert chunks[-1] == "[DONE]"
    assert reply.stopped == (text != whole)
    assert (
        "".join(c["choices"][0]["text"] for c in read(run(completion(options), stream))[:-1])
        == text
    )
    found = collector()
    run(found, stream)
    assert to_chat(found.result(), options)["choices"][0]["message"]["content"] == text
    assert to_completion(found.result(), options)["choices"][0]["text"] == text


def test_what_may_begin_a_stop_sequence_is_held_back_and_then_given() -> None:
    reply = chat(ReplyOptions(model="m", stream=True, stop=("END",)))
    assert joined(read(reply.feed(sse(created(), delta("Go E")))), "content") == "Go "
    assert reply.feed(sse(delta("N"))) == b""
    assert joined(read(reply.feed(sse(delta("T")))), "content") == "ENT"
    assert reply.feed(sse(delta("EN"))) == b""
    assert joined(read(reply.feed(sse(added(call(), 1)))), "content") == "EN"


def test_after_a_stop_sequence_nothing_more_is_read() -> None:
    reply = chat(ReplyOptions(model="m", stream=True, stop=("B",)))
    reply.feed(sse(created(), delta("A")))
    reply.feed(sse(delta("B"), finished(call(text="{}"), 1)))
    assert reply.stopped
    assert reply.feed(sse(delta("C"))) == b""
    assert reasons(read(reply.end())) == ["stop"]
    assert reply.terminal == "completed"
    assert reply.end() == b""


def test_text_held_back_is_not_lost_when_the_stream_is_cut() -> None:
    reply = chat(ReplyOptions(model="m", stream=True, stop=("END",)))
    reply.feed(sse(created(), delta("Go EN")))
    assert reply.end() == b"" and reply.failure is not None
    out = read(reply.fail(reply.failure))
    assert joined(out[:-1], "content") == "EN"
    assert out[-1]["error"]["code"] == "incomplete_stream"


# Responses.


@pytest.mark.parametrize("name", [n for n in GOOD if n not in ("18_live_quirks",)])
def test_a_whole_stream_passes_byte_by_byte_identical(name: str) -> None:
    reply = responses()
    assert run(reply, SAMPLES[name]) == SAMPLES[name]
    assert reply.terminal in ("completed", "incomplete")


@pytest.mark.parametrize("name", [n for n in SAMPLES if n[:2] not in ("09", "16", "18")])
def test_a_whole_stream_passes_to_codex_unchanged(name: str) -> None:
    assert run(responses(True), SAMPLES[name]) == SAMPLES[name]


@pytest.mark.parametrize("codex", [False, True])
def test_an_empty_output_is_filled_from_the_finished_items(codex: bool) -> None:
    sample = SAMPLES["18_live_quirks"]
    before, mark, _ = sample.rpartition(b"event: response.completed")
    out = run(responses(codex), sample)
    assert out.startswith(before + mark)
    output = read(out)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]
    assert output[1]["content"][0]["text"] == "Live-like: terminal output array is empty."


def test_codex_gets_refusals_as_text() -> None:
    out = run(responses(True), SAMPLES["09_refusal"])
    assert b"refusal" not in out
    events = read(out)
    assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == (
        "I cannot help with that request."
    )
    done = next(e for e in events if e["type"] == "response.output_item.done")
    assert done["item"]["content"] == events[-1]["response"]["output"][0]["content"]
    assert done["item"]["content"][0]["text"] == "I cannot help with that request."
    assert [e["type"] for e in events if e["type"].endswith("text.done")]
    assert [e["sequence_number"] for e in events] == list(range(len(events)))


def test_keep_alives_suit_the_client() -> None:
    assert chat().ping() == completion().ping() == responses().ping() == b": ping\n\n"
    assert responses(True).ping() == b'event: keepalive\ndata: {"type":"keepalive"}\n\n'


def test_an_error_event_of_the_upstream_suits_the_client() -> None:
    stream = sse(
        created(),
        delta("Hi"),
        {"type": "error", "code": "server_error", "message": "m", "param": None},
    )
    event = read(run(responses(), stream))[-1]
    assert event["type"] == "error"
    assert event["error"] == {
        "message": "m",
        "type": "server_error",
        "param": None,
        "code": "server_error",
    }
    event = read(run(responses(True), stream))[-1]
    assert event["type"] == "response.failed"
    assert event["response"]["error"] == {"code": "server_error", "message": "m"}


# Collector.


@pytest.mark.parametrize("name", GOOD)
def test_a_collected_answer_equals_the_streamed_one(name: str) -> None:
    found, plain = collector(), collector(fast=False)
    assert run(found, SAMPLES[name]) == b""
    run(plain, SAMPLES[name])
    result = found.result()
    assert result == plain.result()
    assert (found.usage, found.first_text) == (plain.usage, plain.first_text)
    chunks = read(run(chat(), SAMPLES[name]))
    choice = to_chat(result, PLAIN)["choices"][0]
    assert (choice["message"]["content"] or "") == joined(chunks, "content")
    assert (choice["message"]["refusal"] or "") == joined(chunks, "refusal")
    assert choice["message"].get("reasoning_content", "") == joined(chunks, "reasoning_content")
    assert [choice["finish_reason"]] == reasons(chunks)
    assert len(choice["message"].get("tool_calls", [])) == len(calls_of(chunks))


def test_a_failed_stream_has_no_answer_but_a_failure() -> None:
    for name in ("12_failed_midstream_server_error", "16_truncated"):
        found = collector()
        assert run(found, SAMPLES[name]) == b""
        assert found.terminal == "failed"
        assert found.failure is not None and found.failure.status == 502


def test_text_that_came_by_deltas_only_is_collected() -> None:
    for fast in (True, False):
        found = collector(fast=fast)
        run(found, sse(created(), delta('He"y'), delta("\u00e9"), delta("Yo", 1), completed()))
        texts = [item["content"][0]["text"] for item in found.result()["output"]]
        assert texts == ['He"y\u00e9', "Yo"]


def test_a_bare_completed_event_is_an_empty_answer() -> None:
    found = collector()
    run(found, sse({"type": "response.completed"}))
    assert found.result() == {
        "id": "ours",
        "object": "response",
        "created_at": 7,
        "model": "asked",
        "status": "completed",
        "output": [],
    }


@pytest.mark.parametrize("output", [None, [], [{"id": "x", "type": "message"}], {"odd": 1}, "odd"])
@pytest.mark.parametrize("broken", [False, True])
def test_items_read_late_give_the_same_answer(output: object, broken: bool) -> None:
    def done(index: object, text: str) -> dict[str, object]:
        item = {
            "id": f"i{index}",
            "type": "message",
            "content": [{"type": "output_text", "text": text}],
        }
        return {"type": "response.output_item.done", "output_index": index, "item": item}

    last = {"type": "response.completed", "response": {"status": "completed", "output": output}}
    stream = sse(
        created(), delta("gone"), done(0, "a"), done(1, "b"), done(0, "c"), done(None, "d"), last
    )
    if broken:
        stream = stream.replace(b'"text":"b"', b'"text":b').replace(b'"text": "b"', b'"text": b')
    plain, found = collector(fast=False), collector()
    run(plain, stream)
    run(found, stream)
    assert found.result() == plain.result()
    for cut in range(0, len(stream), 7):
        again = collector()
        again.feed(stream[:cut])
        again.feed(stream[cut:])
        again.end()
        assert again.result() == plain.result()


def test_of_a_repeated_item_the_last_counts_in_any_spelling() -> None:
    def done(text: str) -> dict[str, Any]:
        item = {"id": text, "type": "message", "content": []}
        return {"type": "response.output_item.done", "output_index": 0, "item": item}

    usual, last = sse(created(), done("usual")), sse(completed())
    unusual = f"data: {json.dumps(done('unusual'))}\n\n".encode()
    for fast in (True, False):
        found = collector(fast=fast)
        run(found, usual + unusual + last)
        assert [item["id"] for item in found.result()["output"]] == ["unusual"]


def test_an_answer_that_the_relay_ended_has_the_items_so_far() -> None:
    item = {"id": "i", "type": "message", "content": []}
    stream = sse(created(), {"type": "response.output_item.done", "output_index": 0, "item": item})
    found = collector()
    found.feed(stream)
    assert found.so_far()["output"] == [item]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.sampled_from("abc")), max_size=9))
def test_what_had_come_is_the_same_read_early_and_late(steps: list[tuple[bool, int, str]]) -> None:
    def done(index: int, text: str) -> dict[str, Any]:
        item = {"id": f"{index}{text}", "type": "message", "content": []}
        return {"type": "response.output_item.done", "output_index": index, "item": item}

    events = [done(at, text) if ends else delta(text, at) for ends, at, text in steps]
    found, plain = collector(), collector(fast=False)
    for way in (found, plain):
        way.feed(sse(created(), *events))
    assert found.so_far() == plain.so_far()


@pytest.mark.parametrize(
    ("response", "terminal"),
    [
        ({"status": "completed"}, "completed"),
        ({"status": "in_progress"}, "completed"),
        ({}, "completed"),
        ({"status": "incomplete"}, "incomplete"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "incomplete",
        ),
        ({"status": "failed", "error": {"message": "died"}}, "failed"),
        ({"status": "completed", "error": {"message": "died"}}, "failed"),
        ({"status": "cancelled"}, "failed"),
    ],
)
def test_of_two_ends_that_contradict_each_other_the_worse_counts(
    response: dict[str, Any], terminal: str
) -> None:
    event = {"type": "response.completed", "response": response}
    raw = b"event: response.completed\ndata: " + json.dumps(event).encode() + b"\n\n"
    options = ReplyOptions(model="m", stream=True)
    for reply in (
        ChatStream(options, now_s=1.0, reply_id="r"),
        ResponsesStream(options, codex=False, now_s=1.0, reply_id="r"),
        Collector(now_s=1.0, reply_id="r"),
    ):
        out = reply.feed(raw)
        assert reply.terminal == terminal
        if terminal != "completed":
            assert b"response.completed" not in out and b'"stop"' not in out
