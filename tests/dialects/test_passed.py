"""dialects.stream.passed: chat streams that are passed on frame by frame."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.dialects.stream.passed import PassedChunks


def frame(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


FRAMES = [
    b": hello\n\n",
    frame(choices=[{"index": 0, "delta": {"content": "[DONE]"}, "finish_reason": None}]),
    frame(choices=[{"index": 0, "delta": {"content": '"finish_reason": "error"'}}]),
    frame(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    frame(choices=[], usage={"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}),
    b"data: [DONE]\n\n",
]
STREAM = b"".join(FRAMES)


def through(raw: bytes, step: int) -> tuple[bytes, PassedChunks]:
    reply = PassedChunks(model="m")
    out = b"".join(reply.feed(raw[i : i + step]) for i in range(0, len(raw), step))
    out += reply.end()
    if reply.failure is not None and reply.committed:
        out += reply.fail(reply.failure)
    return out, reply


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_whole_stream_is_passed_byte_for_byte(ending: bytes) -> None:
    raw = STREAM.replace(b"\n", ending)
    for step in range(1, 60):
        out, reply = through(raw, step)
        # A comment ahead of everything is not the begin of an answer yet.
        assert out == raw.removeprefix(b": hello" + 2 * ending)
        assert (reply.terminal, reply.failure) == ("completed", None)
    assert reply.usage is not None and reply.usage.total_tokens == 5


def test_a_cut_at_every_byte_is_an_error_until_the_answer_was_finished() -> None:
    finished = STREAM.index(b'"stop"') + 10
    for cut in range(len(STREAM)):
        out, reply = through(STREAM[:cut], 7)
        ended = out.count(b"data: [DONE]\n\n")
        if cut >= finished + 4:
            assert (ended, reply.terminal) == (1, "completed")
        elif cut < finished - 10:
            assert (ended, reply.terminal) == (0, "failed")
            if reply.committed:
                assert out.endswith(b"\n\n")
                last = json.loads(out.split(b"\n\n")[-2].split(b"data: ", 1)[1])
                assert last["error"]["code"] == "incomplete_stream"
            else:
                assert out == b""


def test_an_error_chunk_is_the_end() -> None:
    error = frame(error={"message": "broken", "code": "server_error"})
    out, reply = through(FRAMES[1] + error + STREAM, 11)
    said = {"message": "broken", "type": "server_error", "param": None, "code": "server_error"}
    assert out.startswith(FRAMES[1])
    assert json.loads(out[len(FRAMES[1]) + 6 :]) == {"error": said}
    assert reply.failure is not None and reply.failure.message == "broken"


@pytest.mark.parametrize("step", [11, 10_000])
@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
def test_an_error_beside_empty_choices_keeps_its_words(spaces: tuple[str, str], step: int) -> None:
    said = {"status_code": 1008, "status_msg": "insufficient balance"}
    text = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
    chunks = (text, text, {"choices": None, "base_resp": said})
    raw = b"".join(
        b"data: " + json.dumps(one, separators=spaces).encode() + b"\n\n" for one in chunks
    )
    for stream in (raw, raw + b"data: [DONE]\n\n"):
        out, reply = through(stream, step)
        assert reply.failure is not None and "insufficient balance" in reply.failure.message
        assert b"[DONE]" not in out and out.count(b'"delta"') == 2


def test_an_error_as_the_first_chunk_can_still_be_a_status() -> None:
    out, reply = through(frame(error={"message": "m", "code": "rate_limit_exceeded"}), 5)
    assert (out, reply.committed) == (b"", False)
    assert reply.failure is not None and reply.failure.status == 429


def test_what_follows_done_is_dropped() -> None:
    assert through(STREAM + FRAMES[1], 1000)[0] == STREAM.removeprefix(FRAMES[0])


def test_a_server_that_forgets_done_is_helped() -> None:
    assert through(b"".join(FRAMES[:4]), 9)[0].endswith(b"data: [DONE]\n\n")


def test_an_endless_frame_is_refused() -> None:
    reply = PassedChunks(model="m", max_event_bytes=100)
    reply.feed(FRAMES[1])
    assert reply.feed(b"data: " + b"x" * 200) == b""
    assert reply.failure is not None and b'"error"' in reply.fail(reply.failure)
    assert reply.fail(reply.failure) == b""


@given(st.binary(max_size=300), st.integers(1, 50))
def test_garbage_never_ends_well(raw: bytes, step: int) -> None:
    out, reply = through(raw, step)
    if b"finish_reason" not in raw and b"[DONE]" not in raw:
        assert b"[DONE]" not in out and reply.terminal == "failed"


CONTENT = frame(choices=[{"index": 0, "delta": {"content": "Hal"}, "finish_reason": None}])


@pytest.mark.parametrize(
    "word", ["network_error", "error", "abort", "insufficient_system_resource"]
)
@pytest.mark.parametrize("step", [1, 1000])
def test_a_finish_reason_that_means_a_failure_is_one(word: str, step: int) -> None:
    last = frame(choices=[{"index": 0, "delta": {}, "finish_reason": word}])
    out, reply = through(CONTENT + last + b"data: [DONE]\n\n", step)
    assert reply.failure is not None and f'"{word}"' in reply.failure.message
    assert out.startswith(CONTENT) and b"[DONE]" not in out and word.encode() in out


def test_a_failure_in_the_first_chunk_can_still_be_a_status() -> None:
    last = frame(choices=[{"index": 0, "delta": {"content": "x"}, "finish_reason": "abort"}])
    out, reply = through(last, 1000)
    assert (out, reply.committed, reply.terminal) == (b"", False, "failed")


@pytest.mark.parametrize("word", ["", "null", None])
def test_a_finish_reason_that_says_nothing_ends_nothing(word: str | None) -> None:
    half = frame(choices=[{"index": 0, "delta": {"content": "Hal"}, "finish_reason": word}])
    out, reply = through(half, 1000)
    assert out.startswith(half)
    assert reply.failure is not None and reply.failure.code == "incomplete_stream"
    out, reply = through(half + b"data: [DONE]\n\n", 1000)
    assert reply.terminal == "completed" and out.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("word", "known"),
    [("sensitive", "content_filter"), ("safety", "content_filter"), ("eos_token", "stop")],
)
def test_a_server_s_own_word_becomes_openai_s(word: str, known: str) -> None:
    last = frame(choices=[{"index": 0, "delta": {}, "finish_reason": word, "x": 1}])
    out, reply = through(CONTENT + last, 1000)
    chunk = json.loads(out.split(b"\n\n")[1].removeprefix(b"data: "))
    assert chunk["choices"] == [{"index": 0, "delta": {}, "finish_reason": known, "x": 1}]
    assert reply.terminal == "completed"


def test_each_choice_has_to_finish() -> None:
    ends = [frame(choices=[{"index": at, "delta": {}, "finish_reason": "stop"}]) for at in (0, 1)]
    for frames, terminal in ((ends[:1], "failed"), (ends, "completed")):
        reply = PassedChunks(model="m", choices=2)
        reply.feed(CONTENT + b"".join(frames))
        reply.end()
        assert reply.terminal == terminal


@pytest.mark.parametrize(
    "error",
    [
        {"object": "error", "message": "engine died", "type": "InternalServerError", "code": 500},
        {"error": "engine died"},
        {"detail": [{"loc": ["body"], "msg": "engine died"}]},
        {"message": "engine died", "code": 500},
        {"error": {"message": {"detail": "engine died"}}},
        {"base_resp": {"status_code": 1, "status_msg": "engine died"}},
    ],
)
@pytest.mark.parametrize("form", [b"data: %s\n\n", b"%s\n\n", b"event: error\ndata: %s\n\n"])
def test_errors_of_every_form_end_the_stream_with_their_message(
    error: dict[str, Any], form: bytes
) -> None:
    out, reply = through(CONTENT + form % json.dumps(error).encode() + STREAM, 1000)
    assert reply.failure is not None and "engine died" in reply.failure.message
    assert b"[DONE]" not in out and b"engine died" in out


@pytest.mark.parametrize(
    "place",
    [
        {"usage": {"input_tokens": 2, "output_tokens": 3}},
        {"x_groq": {"id": "r", "usage": {"prompt_tokens": 2, "completion_tokens": 3}}},
    ],
)
def test_usage_is_read_in_every_spelling(place: dict[str, Any]) -> None:
    last = frame(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], **place)
    _, reply = through(CONTENT + last, 1000)
    assert reply.usage is not None and reply.usage.total_tokens == 5
