"""What the demo upstream answers to a request: decided from the request alone, the same each time. Pure.

The last user message steers it: it is echoed, unless it asks for a tool ("call the tool NAME"), or holds a
switch `demo:WORD`. `airelays docs demo` lists the switches.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airelays.settings.record import Record
from airelays.upstream.demo.sample import sample

SWITCHES = {
    "rate-limit": "status 429, rate_limit_exceeded, Retry-After 7",
    "quota": "status 429, usage_limit_reached, resets in an hour",
    "overload": "status 503, server_is_overloaded",
    "context": "status 400, context_length_exceeded, reported by the stream's first event",
    "fail": "the stream fails (server_error) after half of the words",
    "cut": "the connection ends after half of the words, without a terminal event",
    "stall": "the stream goes silent after half of the words",
    "refusal": "the answer is a refusal",
    "length": "the answer is cut by the token limit",
    "filter": "the answer is cut by the content filter",
    "reasoning": "reasoning comes first",
    "pace=N": "N milliseconds between words",
    "words=N": "N words, up to 100,000",
}
_SWITCH = re.compile(r"demo:([a-z-]+)(?:=([0-9]{1,6}))?")
_CALL = re.compile(r"call (?:the )?(?:tools?|functions?) ([\w, \-]+)", re.IGNORECASE)
_ARGUMENTS = re.compile(r"with (\{.*\})", re.DOTALL)


class ToolCall(Record):
    """A call of an offered tool. `kind` is "function" or "custom"; `payload` its arguments or input."""

    kind: str
    name: str
    payload: str
    namespace: str | None = None


class Plan(Record):
    """One answer. `switches` are the `demo:` words found; `words` what is said, in pieces."""

    switches: dict[str, int | None]
    words: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    reasoning: tuple[str, ...] = ()
    incomplete: str | None = None
    refusal: bool = False
    input_tokens: int = 0


def make_plan(body: dict[str, Any], *, reasoning: bool = True) -> Plan:
    """Return the answer to the Responses request `body`; `reasoning` allows it when effort is asked for."""
    items = [item for item in body.get("input") or [] if isinstance(item, dict)]
    asked = _last_user_text(items)
    switches = {m[1]: int(m[2]) if m[2] else None for m in _SWITCH.finditer(asked)}
    calls = () if "refusal" in switches else _calls(body, items, asked)
    words = () if calls else tuple(_pieces(_text(body, items, asked, switches)))
    words, incomplete = _cut(words, body, switches)
    thinks = "reasoning" in switches or (reasoning and _effort(body) not in (None, "none"))
    return Plan(
        words=words,
        calls=calls,
        reasoning=("Reading the request. ", "Choosing the answer.") if thinks else (),
        switches=switches,
        incomplete=incomplete,
        refusal="refusal" in switches,
        input_tokens=_count(body.get("instructions")) + sum(_count(item) for item in items),
    )


def _effort(body: dict[str, Any]) -> Any:
    reasoning = body.get("reasoning")
    return reasoning.get("effort") if isinstance(reasoning, dict) else None


def _text(
    body: dict[str, Any], items: list[dict[str, Any]], asked: str, switches: dict[str, int | None]
) -> str:
    if "refusal" in switches:
        return "I cannot help with that."
    if switches.get("words"):
        count = min(switches["words"] or 0, 100_000)
        return " ".join(f"word{n}" for n in range(1, count + 1))
    form = _format(body)
    if form.get("type") == "json_schema":
        return json.dumps(sample(form.get("schema")), ensure_ascii=False)
    if form.get("type") == "json_object":
        return json.dumps({"echo": asked}, ensure_ascii=False)
    outputs = _tool_outputs(items)
    if outputs:
        return "The tool said: " + " | ".join(outputs)
    images = sum(_images(item) for item in items)
    if images:
        return f"I see {images} image{'s' if images > 1 else ''}. You said: {asked}"
    files = [name for item in items for name in _files(item)]
    if files:
        return (
            f"I got the file{'s' if len(files) > 1 else ''} {', '.join(files)}. You said: {asked}"
        )
    return f"You said: {asked}" if asked else "Hello from the demo upstream."


def _format(body: dict[str, Any]) -> dict[str, Any]:
    text = body.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    return form if isinstance(form, dict) else {}


def _cut(
    words: tuple[str, ...], body: dict[str, Any], switches: dict[str, int | None]
) -> tuple[tuple[str, ...], str | None]:
    """Apply a token limit (a word counts as one token) and the switches that cut."""
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and len(words) > limit:
        return words[:limit], "max_output_tokens"
    if "length" in switches:
        return words[: max(1, len(words) // 2)], "max_output_tokens"
    if "filter" in switches:
        return words[: max(1, len(words) // 2)], "content_filter"
    return words, None


def _calls(body: dict[str, Any], items: list[dict[str, Any]], asked: str) -> tuple[ToolCall, ...]:
    """Return the calls that the request asks for; none when the last items are outputs of tools."""
    tools = list(_offered(body, items))
    choice = body.get("tool_choice", "auto")
    if not tools or choice == "none" or (items and _is_output(items[-1])):
        return ()
    wanted: list[str] = []
    if isinstance(choice, dict) and choice.get("name"):
        wanted = [str(choice["name"])]
    else:
        named = _CALL.search(asked)
        if named:
            listed = re.split(r",|\band\b", named[1])
            wanted = [words.split()[0] for words in listed if words.split()]
        elif choice == "required" or (
            isinstance(choice, dict) and choice.get("mode") == "required"
        ):
            wanted = [tools[0][0].get("name", "")]
    found = [next((t for t in tools if t[0].get("name") == name), None) for name in wanted]
    given = _ARGUMENTS.search(asked)
    return tuple(_call(*tool, given[1] if given else None) for tool in found if tool is not None)


def _offered(
    body: dict[str, Any], items: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], str | None]]:
    """Return (tool, namespace) for everything that can be called, in the classic and the lite form."""
    listed: list[Any] = list(body.get("tools") or [])
    for item in items:
        if item.get("type") == "additional_tools":
            listed.extend(item.get("tools") or [])
    offered: list[tuple[dict[str, Any], str | None]] = []
    for tool in listed:
        if not isinstance(tool, dict):
            continue
        if tool.get("type") == "namespace":
            inner = [t for t in tool.get("tools") or [] if isinstance(t, dict)]
            offered.extend((t, tool.get("name")) for t in inner)
        elif tool.get("type") in ("function", "custom"):
            offered.append((tool, None))
    return offered


def _call(tool: dict[str, Any], namespace: str | None, given: str | None) -> ToolCall:
    name = str(tool.get("name", ""))
    if tool.get("type") == "custom":
        return ToolCall("custom", name, given or f"demo input for {name}", namespace)
    arguments = given if given and _is_json(given) else json.dumps(sample(tool.get("parameters")))
    return ToolCall("function", name, arguments, namespace)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_output(item: dict[str, Any]) -> bool:
    return str(item.get("type", "")).endswith("_call_output")


def _tool_outputs(items: list[dict[str, Any]]) -> list[str]:
    """Return the outputs at the end of the input, oldest first."""
    found: list[str] = []
    for item in reversed(items):
        if not _is_output(item):
            break
        output = item.get("output")
        found.append(output if isinstance(output, str) else " ".join(_texts({"content": output})))
    return found[::-1]


def _last_user_text(items: list[dict[str, Any]]) -> str:
    for item in reversed(items):
        if item.get("role") == "user":
            return " ".join(_texts(item))
    return ""


def _texts(item: dict[str, Any]) -> list[str]:
    content = item.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [str(p["text"]) for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str)]


def _parts(item: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    return [p for p in parts if isinstance(p, dict) and p.get("type") == kind]


def _images(item: dict[str, Any]) -> int:
    return len(_parts(item, "input_image"))


def _files(item: dict[str, Any]) -> list[str]:
    return [str(p.get("filename") or "(unnamed)") for p in _parts(item, "input_file")]


def _pieces(text: str) -> list[str]:
    """Split into words that keep their spaces, so that the pieces join to the text."""
    return re.findall(r"\s*\S+\s*?(?=\s|$)|\s+$", text) if text else []


def _count(value: Any) -> int:
    """Count words as a stand-in for tokens."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, dict):
        return sum(_count(v) for k, v in value.items() if k not in ("type", "role", "image_url"))
    return sum(_count(v) for v in value) if isinstance(value, list) else 0
