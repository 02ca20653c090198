"""dialects.stream.promises: a format that was asked for and a limit that was reached, seen in the answer."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from airelays.dialects.stream.promises import FirstText, watch_of
from airelays.errors import UpstreamFault

SCHEMA = {"type": "json_schema", "name": "p", "schema": {"type": "object"}}
USAGE = {"input_tokens": 1, "output_tokens": 8, "total_tokens": 9}


def whole(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text}
    item = {"type": "message", "status": "completed", "content": [part]}
    return {"status": "completed", "output": [item], "usage": dict(USAGE), **more}


@pytest.mark.parametrize(
    ("limit", "more", "cut", "doubts"),
    [
        (8, {}, True, ["limit"]),
        (7, {}, True, ["limit"]),
        (9, {}, False, []),
        (None, {}, False, []),
        (True, {}, False, []),
        (8, {"usage": None}, False, []),
        # A server that has the field may say so itself another time.
        (8, {"incomplete_details": None}, True, []),
    ],
)
def test_an_answer_that_fills_its_limit_is_incomplete(
    limit: Any, more: dict[str, Any], cut: bool, doubts: list[str]
) -> None:
    found: list[str] = []
    watch = watch_of({"max_output_tokens": limit, "text": {"format": SCHEMA}}, found.append)
    response = {**copy.deepcopy(whole("{}")), **more}
    assert watch is not None and watch.ended(response) is cut
    assert response["status"] == ("incomplete" if cut else "completed")
    assert response["output"][-1]["status"] == response["status"]
    assert found == doubts
    if cut:
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize(
    ("form", "answer", "kept"),
    [
        (SCHEMA, whole('{"a": 1}'), True),
        (SCHEMA, whole(' \n{"a": 1}'), True),
        (SCHEMA, whole("Sure: {}"), False),
        (SCHEMA, whole("```json\n{}\n```"), False),
        (SCHEMA, whole('{"a": '), False),
        (SCHEMA, whole('{"a": ', status="incomplete"), True),
        (SCHEMA, whole("How", status="incomplete"), False),
        (SCHEMA, whole("[1]"), False),
        (SCHEMA, whole(""), True),
        ({**SCHEMA, "schema": {"type": "array"}}, whole("[1]"), True),
        ({**SCHEMA, "schema": {"enum": ["a"]}}, whole('"a"'), True),
        ({"type": "json_object"}, whole("no"), False),
    ],
)
def test_a_format_is_kept_or_not(form: Any, answer: dict[str, Any], kept: bool) -> None:
    found: list[str] = []
    watch = watch_of({"text": {"format": form}}, found.append)
    assert watch is not None and watch.keeps_format(answer) is kept
    assert found == ([] if kept else ["format"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "x"},
        {"text": {"format": "x"}},
        {"text": {"format": {"type": "text"}}},
        {"max_output_tokens": None},
        {"max_output_tokens": 0},
    ],
)
def test_most_requests_show_nothing_to_look_for(body: dict[str, Any]) -> None:
    assert watch_of(body, print) is None
    assert watch_of({"text": {"format": SCHEMA}}, print, form=False) is None


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


CREATED = event("response.created", response={})
ADDED = event("response.output_item.added", item={})


def fed(pieces: list[bytes]) -> list[bytes]:
    out: list[bytes] = []
    watch = watch_of({"text": {"format": SCHEMA}}, lambda _: None)
    assert watch is not None
    first = FirstText(watch, out.append)
    for piece in pieces:
        first.feed(piece)
    first.end()
    return out


@pytest.mark.parametrize(
    "more",
    [
        event("response.output_text.delta", delta=' {"a"'),
        event("response.output_text.done", text="{}"),
        event("response.completed", response={}),
        event("response.failed", response={}),
        b'data: {"error": {"message": "x"}}\n\n',
    ],
)
def test_a_beginning_is_held_until_the_format_shows(more: bytes) -> None:
    rest = event("response.output_text.delta", delta="later")
    assert fed([CREATED, ADDED, more, rest]) == [CREATED + ADDED + more, rest]
    data = CREATED + ADDED + more + rest
    assert b"".join(fed([data[at : at + 1] for at in range(len(data))])) == data


def test_blanks_decide_nothing_and_the_end_lets_go() -> None:
    blank = event("response.output_text.delta", delta=" \n")
    assert fed([CREATED, blank]) == [CREATED + blank]
    assert fed([]) == []


def test_other_text_is_a_fault_that_asks_for_another_try() -> None:
    with pytest.raises(UpstreamFault) as caught:
        fed([CREATED, ADDED, event("response.output_text.delta", delta="How")])
    assert caught.value.again and caught.value.code == "upstream_format_ignored"


def test_a_long_beginning_is_not_held_for_ever() -> None:
    thought = event("response.reasoning_text.delta", delta="x" * 1000)
    assert len(fed([thought] * 300)) > 30
