"""Citations of a Responses answer on the chat route, streamed and whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.chat.request import to_chat
from airelays.dialects.chat.stream import ChatStream
from airelays.dialects.stream.whole import stream_of_answer
from airelays.dialects.translated import ReplyOptions


def citation(start: int, end: int) -> dict[str, Any]:
    place = {"start_index": start, "end_index": end}
    return {"type": "url_citation", **place, "url": "https://a.example", "title": "A"}


def message(text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": list(annotations)}
    return {"type": "message", "role": "assistant", "content": [part]}


def shown(start: int, end: int) -> dict[str, Any]:
    cited = {key: value for key, value in citation(start, end).items() if key != "type"}
    return {"type": "url_citation", "url_citation": cited}


def answer(*items: dict[str, Any]) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "output": list(items)}


FILE = {"type": "file_citation", "file_id": "f", "index": 1}
TWO = answer(message("One.", citation(0, 3), FILE), message("Two.", citation(0, 4)))


def streamed(raw: bytes, **more: Any) -> list[Any]:
    stream = ChatStream(ReplyOptions(model="m", **more), now_s=1.0, reply_id="c")
    out = stream.feed(raw) + stream.end()
    chunks = [json.loads(b[6:]) for b in out.split(b"\n\n") if b and b != b"data: [DONE]"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    return [one for delta in deltas for one in delta.get("annotations", [])]


def test_citations_are_in_a_whole_answer_at_their_places() -> None:
    made = to_chat(TWO, ReplyOptions(model="m"))["choices"][0]["message"]
    assert made["content"] == "One.Two."
    assert made["annotations"] == [shown(0, 3), shown(4, 8)]
    none = to_chat(answer(message("x")), ReplyOptions(model="m"))
    assert "annotations" not in none["choices"][0]["message"]


def test_citations_follow_the_text_of_a_stream() -> None:
    assert streamed(stream_of_answer(TWO, include_usage=False)) == [shown(0, 3), shown(4, 8)]


def test_citations_that_were_only_announced_come_too() -> None:
    raw = stream_of_answer(answer(message("One.")), include_usage=False)
    event = {"type": "response.output_text.annotation.added", "output_index": 0}
    data = json.dumps({**event, "annotation": citation(1, 2)}).encode()
    at = raw.index(b"event: response.output_text.done")
    added = b"event: response.output_text.annotation.added\ndata: " + data + b"\n\n"
    assert streamed(raw[:at] + added + raw[at:]) == [shown(1, 2)]


@pytest.mark.parametrize("wrong", [None, "x", {"a": 1}, [None, "x", {"type": 7}]])
def test_nonsense_is_passed_over(wrong: Any) -> None:
    item = message("Hi")
    item["content"][0]["annotations"] = wrong
    assert "annotations" not in to_chat(answer(item), ReplyOptions("m"))["choices"][0]["message"]
    assert streamed(stream_of_answer(answer(item), include_usage=False)) == []


def test_a_citation_of_what_a_stop_sequence_cut_off_is_left_out() -> None:
    options = ReplyOptions(model="m", stop=("STOP",))
    found = answer(message("Hi STOP more", citation(0, 2), citation(8, 12)))
    assert to_chat(found, options)["choices"][0]["message"]["annotations"] == [shown(0, 2)]
