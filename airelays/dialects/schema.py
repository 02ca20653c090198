"""Structured output: `response_format` and `text.format` as the Responses `text.format`.

A schema is changed only where the client said `strict: true`; then it is brought into the form that strict mode
demands: closed objects, every property required, optional ones nullable. Layer: rules.
"""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import fault, shown, want_bool, want_object, want_text, wrong_type
from airelays.errors import ClientFault

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SINGLES = ("items", "contains", "additionalItems", "if", "then", "else", "not")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_TYPES = "text, json_object or json_schema"


def chat_format(value: Any, path: str = "response_format") -> dict[str, Any] | None:
    """Return `text.format` for a chat `response_format`; None for plain text."""
    form = want_object(value, path)
    kind = form.get("type")
    if kind == "json_schema":
        inner = f"{path}.json_schema"
        return _json_schema(want_object(form.get("json_schema"), inner), inner)
    return _simple(form, path)


def responses_format(value: Any, path: str = "text.format") -> dict[str, Any] | None:
    """Return `text.format` for a Responses `text.format`; a chat-style nested schema is flattened."""
    form = want_object(value, path)
    if form.get("type") != "json_schema":
        return _simple(form, path)
    if isinstance(form.get("json_schema"), dict):
        return chat_format(form, path)
    return _json_schema(form, path)


def _simple(form: dict[str, Any], path: str) -> dict[str, Any] | None:
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        if form.get("schema") is not None:
            # llama.cpp and DeepSeek spell a schema so.
            return _json_schema({"name": "response", "schema": form["schema"]}, path)
        return {"type": "json_object"}
    raise fault(f"{path}.type", f"is {shown(kind)}; expected {_TYPES}")


def _json_schema(form: dict[str, Any], path: str) -> dict[str, Any]:
    name = want_text(form.get("name"), f"{path}.name")
    schema = want_object(form.get("schema"), f"{path}.schema")
    strict = form.get("strict")
    strict = False if strict is None else want_bool(strict, f"{path}.strict")
    made: dict[str, Any] = {"type": "json_schema", "name": name, "strict": strict}
    description = form.get("description")
    if description is not None:
        if not isinstance(description, str):
            raise wrong_type(f"{path}.description", description, "a string")
        made["description"] = description
    made["schema"] = strict_schema(schema, f"{path}.schema") if strict else schema
    return made


def keeps_strict(schema: dict[str, Any]) -> bool:
    """Whether strict mode takes the schema as it is; changed, it would allow other answers than were asked for."""
    try:
        return strict_schema(schema, "schema") == schema
    except ClientFault:
        return False


def strict_schema(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return `schema` as strict mode demands it; raises ClientFault naming the place that cannot be."""
    made = dict(schema)
    for key in _MAPS:
        if key in made:
            inner = want_object(made[key], f"{path}.{key}")
            made[key] = {name: _sub(value, f"{path}.{key}.{name}") for name, value in inner.items()}
    for key in _SINGLES:
        if isinstance(made.get(key), dict):
            made[key] = strict_schema(made[key], f"{path}.{key}")
        elif isinstance(made.get(key), list):
            made[key] = _each(made[key], f"{path}.{key}")
    for key in _LISTS:
        if key in made:
            if not isinstance(made[key], list):
                raise wrong_type(f"{path}.{key}", made[key], "an array of schemas")
            made[key] = _each(made[key], f"{path}.{key}")
    return _closed(made, path) if _is_object(made) else made


def _sub(value: Any, path: str) -> Any:
    return strict_schema(value, path) if isinstance(value, dict) else value


def _each(values: list[Any], path: str) -> list[Any]:
    return [_sub(value, f"{path}[{at}]") for at, value in enumerate(values)]


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    if isinstance(kind, list):
        return "object" in kind
    return kind == "object" or (kind is None and "properties" in schema)


def _closed(schema: dict[str, Any], path: str) -> dict[str, Any]:
    extra = schema.get("additionalProperties", False)
    if extra is not False:
        raise fault(
            f"{path}.additionalProperties",
            f"is {shown(extra)}; a strict schema accepts only false; "
            "set it so, or send strict: false",
        )
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise wrong_type(f"{path}.required", required, "an array of property names")
    schema["properties"] = {
        name: value if name in required else _nullable(value) for name, value in properties.items()
    }
    extra_names = [name for name in dict.fromkeys(required) if name not in properties]
    schema["required"] = [*properties, *extra_names]
    schema["additionalProperties"] = False
    return schema


def _nullable(schema: Any) -> Any:
    """Return `schema` so that null satisfies it; what already takes null is left as it is."""
    if not isinstance(schema, dict):
        return schema
    if "const" in schema or "enum" in schema:
        values = schema.get("enum")
        if isinstance(values, list) and None in values:
            return schema
        return {"anyOf": [schema, {"type": "null"}]}
    kind = schema.get("type")
    if isinstance(kind, str):
        return schema if kind == "null" else {**schema, "type": [kind, "null"]}
    if isinstance(kind, list):
        return schema if "null" in kind else {**schema, "type": [*kind, "null"]}
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            variants = schema[key]
            if any(isinstance(v, dict) and v.get("type") == "null" for v in variants):
                return schema
            return {**schema, key: [*variants, {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}
