"""The tools of a Responses request as functions, for servers that know functions only, and the way back. Layer: rules.

A tool of a namespace becomes a function with both names in its own; a custom tool one with a single string parameter.
Hosted tools cannot be offered: they are named.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any, NamedTuple

from airelays.dialects.translated import Notes

CUSTOM_INPUT = "input"
# What OpenAI and most servers take as the name of a function.
MAX_NAME_CHARS = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_FIELDS = ("name", "description", "parameters", "strict")


class Named(NamedTuple):
    """A tool as the client knows it."""

    name: str
    namespace: str = ""
    custom: bool = False


class ToolNames:
    """The functions that stand for the client's tools: `named` by the function's name, `offered` as they are sent."""

    __slots__ = ("_functions", "named", "offered")

    def __init__(self) -> None:
        self.offered: list[dict[str, Any]] = []
        self.named: dict[str, Named] = {}
        self._functions: dict[tuple[str, str], str] = {}

    def function_of(self, name: str, namespace: str = "") -> str:
        """Return the function that stands for a tool, also for one that is not offered any more."""
        return self._functions.get((namespace, name)) or _joined(namespace, name)

    def add(self, tool: Any, notes: Notes, namespace: str = "") -> None:
        """Offer a tool, or each of a namespace; note what cannot be offered."""
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind == "namespace" and not namespace:
            children = tool.get("tools")
            for child in children if isinstance(children, list) else []:
                self.add(child, notes, str(tool.get("name") or ""))
        elif kind in ("function", "custom"):
            self._offer(tool, namespace, custom=kind == "custom")
        else:
            notes.ignored.append(f"tools.{kind}")

    def _offer(self, tool: dict[str, Any], namespace: str, *, custom: bool) -> None:
        name = str(tool.get("name") or "")
        if (namespace, name) in self._functions:
            return  # the same tool once more, as clients repeat them in `additional_tools`
        function = _joined(namespace, name)
        if function in self.named:
            function = _shortened(f"{function}_{len(self.named)}", f"{namespace}\0{name}")
        self._functions[namespace, name] = function
        self.named[function] = Named(name, namespace, custom)
        shape = _as_function(tool) if custom else {k: tool[k] for k in _FIELDS if k in tool}
        self.offered.append({"type": "function", "function": {**shape, "name": function}})

    def only(self, names: set[str]) -> None:
        """Offer of all the functions only these."""
        self.offered = [one for one in self.offered if one["function"]["name"] in names]


def tool_names(body: dict[str, Any], notes: Notes) -> ToolNames:
    """Return the tools of a request: those of `tools`, and of `additional_tools` items in the input."""
    found = ToolNames()
    items = body.get("input")
    lists = [body.get("tools")]
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and item.get("type") == "additional_tools":
            lists.append(item.get("tools"))
    for tools in lists:
        for tool in tools if isinstance(tools, list) else []:
            found.add(tool, notes)
    return found


def add_tools(body: dict[str, Any], made: dict[str, Any], tools: ToolNames, notes: Notes) -> None:
    """Put the tools and what the request says of their choice into `made`."""
    choice = _choice(body.get("tool_choice"), tools, notes)
    if not tools.offered:
        return
    made["tools"] = tools.offered
    if choice is not None:
        made["tool_choice"] = choice
    if "parallel_tool_calls" in body:
        made["parallel_tool_calls"] = body["parallel_tool_calls"]


def one_string(text: str) -> str:
    """Return the arguments of the function that stands for a custom tool."""
    return json.dumps({CUSTOM_INPUT: text}, ensure_ascii=False)


def _joined(namespace: str, name: str) -> str:
    if not namespace:
        return name
    between = "" if namespace.endswith("_") else "__"
    whole = f"{namespace}{between}{name}"
    return _shortened(whole, whole)


def _shortened(text: str, whole: str) -> str:
    """Return a name that servers take; what has to be changed in it gets a digest of `whole`, to stay its own."""
    plain = _NOT_IN_NAMES.sub("_", text)
    if plain == text and len(plain) <= MAX_NAME_CHARS:
        return plain
    digest = sha256(whole.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain[: MAX_NAME_CHARS - 9]}_{digest}"


def _as_function(tool: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string", "description": "The whole input of the tool, as plain text."}
    form = tool.get("format")
    form = form if isinstance(form, dict) else {}
    rule, said = form.get("definition"), str(tool.get("description") or "")
    if isinstance(rule, str) and rule:
        said += f"\n\nThe input follows this grammar ({form.get('syntax', 'lark')}):\n{rule}"
    return {
        "name": "",
        "description": said.strip(),
        "parameters": {
            "type": "object",
            "properties": {CUSTOM_INPUT: text},
            "required": [CUSTOM_INPUT],
        },
    }


def _choice(choice: Any, tools: ToolNames, notes: Notes) -> Any:
    if isinstance(choice, str):
        return choice
    if not isinstance(choice, dict):
        return None
    if choice.get("type") == "allowed_tools":
        listed = choice.get("tools")
        named = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        if named:
            tools.only({_chosen(one, tools) for one in named})
        return choice.get("mode", "auto")
    if choice.get("name"):
        return {"type": "function", "function": {"name": _chosen(choice, tools)}}
    notes.ignored.append("tool_choice")
    return None


def _chosen(choice: dict[str, Any], tools: ToolNames) -> str:
    return tools.function_of(str(choice.get("name") or ""), str(choice.get("namespace") or ""))
