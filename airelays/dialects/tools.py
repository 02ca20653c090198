"""Tools and the choice among them, in either API's spelling, as Responses tools. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import (
    fault,
    missing,
    present,
    shown,
    want_bool,
    want_list,
    want_object,
    want_text,
    wrong_type,
)
from airelays.dialects.translated import Notes

MAX_TOOLS = 512
_CHOICES = ("auto", "none", "required")
# Anthropic and Mistral say "any"; the former also wraps each word, and calls a function "tool".
_FOREIGN_CHOICES = {"any": "required"}


def chat_tools(value: Any, notes: Notes) -> list[dict[str, Any]]:
    """Return the tools of a chat request: functions and custom tools, nested or flat."""
    tools = []
    for at, tool in enumerate(want_list(value, "tools", most=MAX_TOOLS)):
        path = f"tools[{at}]"
        tool = want_object(tool, path)
        kind = tool.get("type", "function")
        if kind not in ("function", "custom"):
            raise fault(f"{path}.type", f"is {shown(kind)}; expected function or custom")
        if tool.get(kind) is None:
            notes.quirk("flat_tools")
            inner, where = tool, path
        else:
            where = f"{path}.{kind}"
            inner = want_object(tool[kind], where)
        if kind == "function" and "parameters" not in inner and "input_schema" in inner:
            notes.quirk("input_schema_read")
            inner = {**inner, "parameters": inner["input_schema"]}
        make = _function if kind == "function" else _custom
        tools.append(make(present(inner), where))
    return tools


def legacy_tools(value: Any) -> list[dict[str, Any]]:
    """Return the tools of a request that uses `functions`, the form of 2023."""
    return [
        _function(present(want_object(entry, f"functions[{at}]")), f"functions[{at}]")
        for at, entry in enumerate(want_list(value, "functions", most=MAX_TOOLS))
    ]


def responses_tools(value: Any, notes: Notes) -> list[dict[str, Any]]:
    """Return the tools of a Responses request: functions checked, all other kinds passed on."""
    tools = []
    for at, tool in enumerate(want_list(value, "tools", most=MAX_TOOLS)):
        path = f"tools[{at}]"
        tool = want_object(tool, path)
        kind = want_text(tool.get("type"), f"{path}.type", 'a tool type, for example "function"')
        if kind in ("function", "custom") and isinstance(tool.get(kind), dict):
            notes.quirk("nested_tools")
            tool = {"type": kind, **tool[kind]}
        tool = present(tool)
        if kind == "function":
            want_text(tool.get("name"), f"{path}.name")
            tool["parameters"] = parameters_of(tool.get("parameters"), f"{path}.parameters")
            if "strict" in tool:
                want_bool(tool["strict"], f"{path}.strict")
        tools.append(tool)
    return tools


def web_search(options: Any, path: str) -> dict[str, Any]:
    """Return the hosted search tool for chat's `web_search_options`, which may be empty."""
    made: dict[str, Any] = {"type": "web_search"}
    found = present(want_object(options, path))
    if "search_context_size" in found:
        made["search_context_size"] = want_text(
            found["search_context_size"], f"{path}.search_context_size"
        )
    place = found.get("user_location")
    if place is not None:
        place = present(want_object(place, f"{path}.user_location"))
        inner = place.get("approximate")
        made["user_location"] = {
            "type": "approximate",
            **(inner if isinstance(inner, dict) else place),
        }
    return made


def parameters_of(value: Any, path: str) -> dict[str, Any]:
    """Return a function's schema as upstreams take it: an object with properties, even if it has none."""
    if value is None:
        return {"type": "object", "properties": {}}
    schema = want_object(value, path)
    if schema.get("type", "object") != "object" or "$ref" in schema:
        return schema
    if "type" in schema and "properties" in schema:
        return schema
    return {"type": "object", "properties": {}, **schema}


def _function(function: dict[str, Any], path: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "function",
        "name": want_text(function.get("name"), f"{path}.name"),
    }
    _copy_description(function, made, path)
    made["parameters"] = parameters_of(function.get("parameters"), f"{path}.parameters")
    # The Responses API takes a missing `strict` for true, chat takes it for false.
    made["strict"] = want_bool(function.get("strict", False), f"{path}.strict")
    return made


def _custom(custom: dict[str, Any], path: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "custom",
        "name": want_text(custom.get("name"), f"{path}.name"),
    }
    _copy_description(custom, made, path)
    form = custom.get("format")
    if form is not None:
        form = present(want_object(form, f"{path}.format"))
        if isinstance(form.get("grammar"), dict):
            form = {"type": "grammar", **present(form["grammar"])}
        made["format"] = form
    return made


def _copy_description(source: dict[str, Any], made: dict[str, Any], path: str) -> None:
    description = source.get("description")
    if description is None:
        return
    if not isinstance(description, str):
        raise wrong_type(f"{path}.description", description, "a string")
    made["description"] = description


def chat_choice(value: Any, notes: Notes | None = None) -> Any:
    """Return the Responses `tool_choice` for a chat one, nested or flat."""
    value = _own_spelling(value, notes)
    if isinstance(value, str):
        if value not in _CHOICES:
            raise fault("tool_choice", f"is {shown(value)}; expected auto, none or required")
        return value
    choice = want_object(value, "tool_choice")
    kind = choice.get("type")
    if kind in ("function", "custom"):
        return _named(choice, kind, "tool_choice")
    if kind == "allowed_tools":
        return _allowed(choice)
    raise fault("tool_choice.type", f"is {shown(kind)}; expected function, custom or allowed_tools")


def _own_spelling(value: Any, notes: Notes | None) -> Any:
    """Return `value` with the words of other vendors replaced by ours."""
    kind = value.get("type") if isinstance(value, dict) else value
    if not isinstance(kind, str):
        return value
    if isinstance(value, dict) and kind == "tool" and "name" in value:
        made: Any = {"type": "function", "name": value["name"]}
    elif kind in _FOREIGN_CHOICES or (isinstance(value, dict) and kind in _CHOICES):
        made = _FOREIGN_CHOICES.get(kind, kind)
    else:
        return value
    if notes is not None:
        notes.quirk("tool_choice_mapped")
    return made


def responses_choice(value: Any, notes: Notes | None = None) -> Any:
    """Return the `tool_choice` of a Responses request; kinds that chat does not know are passed on."""
    value = _own_spelling(value, notes)
    if isinstance(value, dict):
        kind = want_text(value.get("type"), "tool_choice.type")
        if kind not in ("function", "custom", "allowed_tools"):
            return present(value)
    return chat_choice(value)


def _named(choice: dict[str, Any], kind: str, path: str) -> dict[str, str]:
    inner = choice.get(kind)
    if isinstance(inner, dict):
        return {"type": kind, "name": want_text(inner.get("name"), f"{path}.{kind}.name")}
    return {"type": kind, "name": want_text(choice.get("name"), f"{path}.name")}


def _allowed(choice: dict[str, Any]) -> dict[str, Any]:
    path = "tool_choice"
    if isinstance(choice.get("allowed_tools"), dict):
        path, choice = "tool_choice.allowed_tools", choice["allowed_tools"]
    mode = choice.get("mode", "auto")
    if mode not in ("auto", "required"):
        raise fault(f"{path}.mode", f"is {shown(mode)}; expected auto or required")
    tools = want_list(choice.get("tools"), f"{path}.tools", most=MAX_TOOLS)
    if not tools:
        raise fault(f"{path}.tools", "is empty; expected at least one tool")
    made = []
    for at, tool in enumerate(tools):
        where = f"{path}.tools[{at}]"
        tool = want_object(tool, where)
        kind = tool.get("type", "function")
        if not isinstance(kind, str):
            raise missing(f"{where}.type", 'a tool type, for example "function"')
        known = kind in ("function", "custom")
        made.append(_named(tool, kind, where) if known else present(tool))
    return {"type": "allowed_tools", "mode": mode, "tools": made}


def legacy_choice(value: Any) -> Any:
    """Return the Responses `tool_choice` for a `function_call` of 2023."""
    if value in ("auto", "none"):
        return value
    if isinstance(value, dict):
        return {"type": "function", "name": want_text(value.get("name"), "function_call.name")}
    raise fault("function_call", f"is {shown(value)}; expected auto, none or an object with a name")
