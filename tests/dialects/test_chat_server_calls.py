"""dialects.chat_server.calls: which call a piece belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from airelays.dialects.chat_server.calls import MAX_LOOKS, Calls


def piece(
    index: Any = None, call_id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    made: dict[str, Any] = {} if index is None else {"index": index}
    if call_id is not None:
        made["id"] = call_id
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return {**made, "type": "function", "function": function}


def read(*chunks: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    calls = Calls()
    for chunk in chunks:
        for at, one in enumerate(chunk):
            calls.take(at, len(chunk), one)
    return [(c.call_id, c.name, c.text) for c in calls.every]


TWO = [("a", "f", '{"x":1}'), ("b", "f", '{"x":2}')]
CASES: dict[str, list[list[dict[str, Any]]]] = {
    "by index": [
        [piece(0, "a", "f", "")],
        [piece(0, arguments='{"x":')],
        [piece(1, "b", "f", "")],
        [piece(0, arguments="1}"), piece(1, arguments='{"x":2}')],
    ],
    "all have index 0": [[piece(0, "a", "f", '{"x":1}')], [piece(0, "b", "f", '{"x":2}')]],
    "no index": [[piece(None, "a", "f", '{"x":1}')], [piece(None, "b", "f", '{"x":2}')]],
    "no index, in one chunk": [
        [piece(None, "a", "f", '{"x":1}'), piece(None, "b", "f", '{"x":2}')]
    ],
    "index 0, in pieces": [
        [piece(0, "a", "f", "")],
        [piece(0, None, None, '{"x":1}')],
        [piece(0, "b", "f", "")],
        [piece(0, "", "", '{"x":')],
        [piece(0, None, None, "2}")],
    ],
    "the id comes with each piece": [
        [piece(0, "a", "f", '{"x":')],
        [piece(0, "b", "f", '{"x":')],
        [piece(0, "a", None, "1}")],
        [piece(0, "b", None, "2}")],
    ],
    "a text as index": [[piece("0", "a", "f", '{"x":1}')], [piece("1", "b", "f", '{"x":2}')]],
    "arguments as an object": [
        [piece(0, "a", "f", '{"x":1}')],
        [piece(1, "b", "f", '{"x"'), piece(1, None, None, ":2}")],
    ],
    "the name comes later": [
        [piece(0, "a", "", "")],
        [piece(0, None, "f", '{"x":1}')],
        [piece(1, "b", None, '{"x":')],
        [piece(1, None, "f", "2}")],
    ],
    "the name in each piece": [
        [piece(0, "a", "f", '{"x":')],
        [piece(0, "a", "f", "1}")],
        [piece(1, "b", "f", '{"x":')],
        [piece(1, "b", "f", "2}")],
    ],
    "an id of its own for each piece": [
        [piece(0, "a", "f", '{"x":')],
        [piece(0, "z", None, "1}")],
        [piece(1, "b", "f", '{"x":')],
        [piece(1, "y", None, "2}")],
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_two_calls_stay_two(name: str) -> None:
    assert read(*CASES[name]) == TWO


def test_calls_without_an_id_are_told_apart_by_name_and_completeness() -> None:
    whole = [[piece(0, None, "f", {"x": 1})], [piece(0, None, "f", {"x": 2})]]
    assert [text for _, _, text in read(*whole)] == ['{"x": 1}', '{"x": 2}']
    names = [[piece(None, None, "f", "")], [piece(None, None, "g", "{}")]]
    assert [name for _, name, _ in read(*names)] == ["f", "g"]


def test_nonsense_is_taken_without_a_word() -> None:
    assert read([{"index": True, "id": 7, "function": "x"}, {}]) == [("", "", "")] * 2


def test_a_hostile_stream_takes_linear_time() -> None:
    calls = Calls()
    calls.take(0, 1, piece(0, "a", "f", "{"))
    for number in range(2000):
        calls.take(0, 1, piece(0, f"id{number}", None, "}}"))
    assert len(calls.every) == 1
    assert calls.every[0]._looks < MAX_LOOKS + 16
