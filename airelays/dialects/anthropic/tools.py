"""Tools and the choice among them, as Anthropic's API has them, as Responses tools. Layer: rules.

Names of tools may be longer here than upstreams accept: `Names` shortens them and turns them back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
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
from airelays.dialects.takes import Takes
from airelays.dialects.tools import MAX_TOOLS, parameters_of

# Chat and Responses APIs refuse longer names; Anthropic's takes 128, which tools of MCP servers reach.
MAX_NAME_CHARS = 64
MAX_OWN_NAME_CHARS = 256
_SAFE = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME_CHARS}}}")
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_WEB_SEARCH = re.compile(r"web_search_[0-9]{8}")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class Names:
    """The names of tools as they go upstream and come back. Most are the same on both sides."""

    __slots__ = ("_own",)

    def __init__(self) -> None:
        self._own: dict[str, str] = {}

    def short(self, name: str) -> str:
        """Return `name` as every upstream takes it: the same for the same name in each request."""
        if _SAFE.fullmatch(name):
            return name
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
        made = f"{_ODD.sub('_', name)[: MAX_NAME_CHARS - 13]}_{digest}"
        self._own[made] = name
        return made

    def own(self, name: str) -> str:
        """Return the client's name for one that came back."""
        return self._own.get(name, name)


def read_tools(
    value: Any, names: Names, takes: Takes, referred: Collection[str]
) -> list[dict[str, Any]]:
    """Return the Responses tools of `tools`.

    A deferred tool is left out until a message has called or referred to it. A tool that the server of the original
    API runs is refused, unless the upstream has the like. Raises ClientFault.
    """
    made: list[dict[str, Any]] = []
    seen: set[str] = set()
    for at, tool in enumerate(want_list(value, "tools", most=MAX_TOOLS)):
        path = f"tools[{at}]"
        tool = present(want_object(tool, path))
        name = want_text(tool.get("name"), f"{path}.name")
        if len(name) > MAX_OWN_NAME_CHARS:
            raise fault(f"{path}.name", f"has {len(name):,} characters; at most 256 are accepted")
        if name in seen:
            raise fault(f"{path}.name", f"is {shown(name)}, which another tool has; rename one")
        seen.add(name)
        kind = tool.get("type", "custom")
        if kind != "custom":
            made.append(_hosted(tool, kind, path, takes))
            continue
        deferred = want_bool(tool.get("defer_loading", False), f"{path}.defer_loading")
        function = _function(tool, name, path, names)
        if not deferred or name in referred:
            made.append(function)
    return made


def _function(tool: dict[str, Any], name: str, path: str, names: Names) -> dict[str, Any]:
    if "input_schema" not in tool:
        raise missing(f"{path}.input_schema", "a JSON schema")
    made: dict[str, Any] = {"type": "function", "name": names.short(name)}
    description = tool.get("description")
    if description is not None:
        if not isinstance(description, str):
            raise wrong_type(f"{path}.description", description, "a string")
        made["description"] = description
    made["parameters"] = parameters_of(tool["input_schema"], f"{path}.input_schema")
    # As at the original: `strict` has rules of its own there that schemas of tools seldom keep.
    made["strict"] = False
    return made


def _hosted(tool: dict[str, Any], kind: Any, path: str, takes: Takes) -> dict[str, Any]:
    kind = want_text(kind, f"{path}.type", "a tool type")
    if not _WEB_SEARCH.fullmatch(kind) or "web_search" not in takes.hosted:
        raise fault(
            f"{path}.type",
            f"is {shown(kind)}, a tool that runs at Anthropic or that only its models know; the upstream does not "
            "have it: leave it out, or define the tool with an input_schema",
            "unsupported_value",
        )
    made: dict[str, Any] = {"type": "web_search"}
    domains = tool.get("allowed_domains")
    if domains is not None:
        listed = want_list(domains, f"{path}.allowed_domains", most=100)
        for at, domain in enumerate(listed):
            want_text(domain, f"{path}.allowed_domains[{at}]")
        made["filters"] = {"allowed_domains": listed}
    place = tool.get("user_location")
    if place is not None:
        place = want_object(place, f"{path}.user_location")
        made["user_location"] = {**present(place), "type": "approximate"}
    return made


def read_choice(
    body: Mapping[str, Any], names: Names, tools: list[dict[str, Any]]
) -> tuple[Any, bool]:
    """Return (Responses `tool_choice`, whether calls may be parallel)."""
    value = body.get("tool_choice")
    if value is None:
        return "auto", True
    choice = want_object(value, "tool_choice")
    kind = want_text(choice.get("type"), "tool_choice.type", "auto, any, tool or none")
    single = choice.get("disable_parallel_tool_use")
    parallel = single is None or not want_bool(single, "tool_choice.disable_parallel_tool_use")
    if kind in ("any", "tool") and not tools:
        raise fault("tool_choice", "asks for a tool, and the request has none; send tools with it")
    if kind == "tool":
        name = want_text(choice.get("name"), "tool_choice.name", "a tool's name")
        wanted = names.short(name)
        if all(tool.get("name", tool["type"]) != wanted for tool in tools):
            raise fault("tool_choice.name", f"is {shown(name)}; no tool of the request has it")
        hosted = any(tool["type"] == wanted for tool in tools)
        return ({"type": wanted} if hosted else {"type": "function", "name": wanted}), parallel
    if kind not in _CHOICES:
        raise fault("tool_choice.type", f"is {shown(kind)}; expected auto, any, tool or none")
    return _CHOICES[kind], parallel
