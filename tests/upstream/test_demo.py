"""The demo upstream's pure parts: plans, samples, events; and that its page tells the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airelays.upstream.demo.events import encode_event, events
from airelays.upstream.demo.plan import SWITCHES, make_plan
from airelays.upstream.demo.sample import sample

PAGE = Path(__file__).resolve().parents[2] / "airelays" / "docs" / "demo.md"


def asked(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "input_text", "text": text}
    return {"model": "demo", "input": [{"role": "user", "content": [part]}], **more}


def test_the_page_lists_every_switch() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in SWITCHES if f"`demo:{name}`" not in text] == []


def test_the_pieces_of_an_answer_join_to_the_text() -> None:
    for text in ("a", "a  b\n\nc ", " lead", "tab\tx", "ünï 世界 \u2028 end"):
        assert "".join(make_plan(asked(text)).words) == f"You said: {text}"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "value"),
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "number", "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "exclusiveMaximum": 1}, 0),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "array", "maxItems": 0, "items": {}}, []),
        ({"type": "string", "minLength": 12}, "valuevalueva"),
        ({"type": "string", "maxLength": 2}, "va"),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"allOf": [{"type": "object"}, {"properties": {"a": {"type": "null"}}}]}, {"a": None}),
        ({"properties": {"a": {"type": "integer"}}, "required": ["a", "b"]}, {"a": 1, "b": "b"}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, True),
        ({}, "value"),
        ("not a schema", "value"),
    ],
)
def test_samples_obey_their_schema(schema: Any, value: Any) -> None:
    assert sample(schema) == value


def test_recursive_schemas_end() -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    json.dumps(sample(node))
    listed = {"type": "array", "minItems": 3, "items": {"$ref": "#"}}
    assert len(json.dumps(sample({**node, "properties": {"all": listed}}))) < 10_000_000


def test_an_answer_has_one_end_and_numbers_without_gaps() -> None:
    plan = make_plan(asked("one two demo:reasoning"))
    made = list(events(plan, asked("x"), "resp_1", 5))
    assert [e["sequence_number"] for e in made] == list(range(len(made)))
    ends = [e["type"] for e in made if e["type"].startswith(("response.comp", "response.inc"))]
    assert ends == ["response.completed"] and made[-1]["type"] == ends[0]
    assert b"\n\n" not in encode_event(made[0])[:-2]


def test_tools_are_called_only_where_they_are_offered_and_wanted() -> None:
    tools = [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]
    assert [c.name for c in make_plan(asked("call the tool f", tools=tools)).calls] == ["f"]
    assert [c.kind for c in make_plan(asked("call the tool g", tools=tools)).calls] == ["custom"]
    assert make_plan(asked("call the tool h", tools=tools)).calls == ()
    assert make_plan(asked("call the tool f", tools=tools, tool_choice="none")).calls == ()
    assert [c.name for c in make_plan(asked("x", tools=tools, tool_choice="required")).calls] == [
        "f"
    ]
    assert make_plan(asked("call the tool f")).calls == ()
