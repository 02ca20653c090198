from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.schema import chat_format, responses_format, strict_schema
from airelays.errors import ClientFault

LOOSE = {"type": "object", "properties": {"a": {"type": "string"}}}


def chat_schema(**more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": LOOSE, **more}}


def test_plain_forms() -> None:
    for read in (chat_format, responses_format):
        assert read({"type": "text"}) is None
        assert read({"type": "json_object"}) == {"type": "json_object"}


def test_a_schema_is_changed_only_where_strict_is_true() -> None:
    assert chat_format(chat_schema()) == {
        "type": "json_schema",
        "name": "n",
        "strict": False,
        "schema": LOOSE,
    }
    assert chat_format(chat_schema(strict=None, description="d")) == {
        "type": "json_schema",
        "name": "n",
        "strict": False,
        "description": "d",
        "schema": LOOSE,
    }
    strict = chat_format(chat_schema(strict=True))
    assert strict is not None
    assert strict["schema"] == {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_both_spellings_are_read_on_responses() -> None:
    flat = {"type": "json_schema", "name": "n", "schema": LOOSE}
    assert responses_format(flat) == responses_format(chat_schema()) == chat_format(chat_schema())


STRICT_CASES = [
    ({"type": "string"}, {"type": "string"}),
    (
        {
            "type": "object",
            "properties": {"b": {"type": "integer"}, "a": {"type": "string"}},
            "required": ["a", "z"],
        },
        {
            "type": "object",
            "properties": {"b": {"type": ["integer", "null"]}, "a": {"type": "string"}},
            "required": ["b", "a", "z"],
            "additionalProperties": False,
        },
    ),
    (
        {"type": "object"},
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    ),
    (
        {
            "properties": {
                "a": {"anyOf": [{"type": "string"}]},
                "b": {"oneOf": [{"type": "null"}]},
                "c": {"$ref": "#/$defs/x"},
                "d": {"type": ["string", "null"]},
                "e": {"enum": [1, None]},
                "f": {"enum": [1], "type": "integer"},
                "g": True,
            }
        },
        {
            "properties": {
                "a": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "b": {"oneOf": [{"type": "null"}]},
                "c": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]},
                "d": {"type": ["string", "null"]},
                "e": {"enum": [1, None]},
                "f": {"anyOf": [{"enum": [1], "type": "integer"}, {"type": "null"}]},
                "g": True,
            },
            "required": ["a", "b", "c", "d", "e", "f", "g"],
            "additionalProperties": False,
        },
    ),
]
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


@pytest.mark.parametrize(("schema", "made"), STRICT_CASES)
def test_strict_schemas_are_closed_and_complete(
    schema: dict[str, Any], made: dict[str, Any]
) -> None:
    before = json.dumps(schema)
    assert strict_schema(schema, "s") == made
    assert json.dumps(schema) == before
    assert strict_schema(made, "s") == made


@pytest.mark.parametrize("key", ["$defs", "definitions", "patternProperties"])
def test_objects_inside_maps_are_closed(key: str) -> None:
    assert strict_schema({key: {"x": {"type": "object"}}}, "s")[key] == {"x": CLOSED}


@pytest.mark.parametrize(
    "key", ["items", "contains", "additionalItems", "if", "then", "else", "not"]
)
def test_objects_inside_single_schemas_are_closed(key: str) -> None:
    assert strict_schema({key: {"type": "object"}}, "s")[key] == CLOSED


@pytest.mark.parametrize("key", ["anyOf", "allOf", "oneOf", "prefixItems", "items"])
def test_objects_inside_lists_are_closed(key: str) -> None:
    assert strict_schema({key: [{"type": "object"}, True]}, "s")[key] == [CLOSED, True]


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        ({"type": "object", "additionalProperties": True}, "s.additionalProperties"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "s.additionalProperties"),
        ({"type": "object", "properties": []}, "s.properties"),
        ({"type": "object", "required": "a"}, "s.required"),
        ({"type": "object", "required": [5]}, "s.required"),
        ({"anyOf": {}}, "s.anyOf"),
        (
            {"properties": {"a": {"type": "object", "additionalProperties": True}}},
            "s.properties.a.additionalProperties",
        ),
        ({"anyOf": [{}, {"type": "object", "required": 1}]}, "s.anyOf[1].required"),
    ],
)
def test_what_strict_mode_cannot_be_is_named(schema: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        strict_schema(schema, "s")
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("form", "param"),
    [
        (5, "response_format"),
        ({}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        (
            {"type": "json_schema", "json_schema": {"schema": {}}},
            "response_format.json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "", "schema": {}}},
            "response_format.json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n"}},
            "response_format.json_schema.schema",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": 1}},
            "response_format.json_schema.strict",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "description": 1}},
            "response_format.json_schema.description",
        ),
    ],
)
def test_malformed_formats_are_named(form: Any, param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        chat_format(form)
    assert (caught.value.status, caught.value.param) == (400, param)
