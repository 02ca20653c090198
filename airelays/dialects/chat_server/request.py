"""A Responses request as a chat completions request, for servers that have no Responses API. Layer: rules.

The other direction of `chat/request.py`. What a chat server has no word for (hosted tools, files by reference) is left
out and named. `messages` and `tools` make what every chat server accepts, and `events` turns the calls back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airelays.dialects.chat_server.messages import MessageList
from airelays.dialects.chat_server.tools import Named, ToolNames, add_tools, tool_names
from airelays.dialects.checks import present
from airelays.dialects.takes import Takes, fit
from airelays.dialects.translated import Notes


class ChatRequest:
    """The request to send. `tools` are the client's by the function's name, `ignored` names what was left out."""

    __slots__ = ("body", "ignored", "tools")

    def __init__(
        self, body: dict[str, Any], tools: Mapping[str, Named], ignored: tuple[str, ...]
    ) -> None:
        self.body = body
        self.tools = tools
        self.ignored = ignored


def _nothing(call_id: str) -> str:
    return ""


def chat_request(body: dict[str, Any], recall: Callable[[str], str] = _nothing) -> ChatRequest:
    """Return the streamed chat request for a Responses request that `responses.from_responses` has checked.

    `recall` returns the reasoning that led to the call of an id, for servers that ask for it back; "" for none.
    """
    body = present(body)
    notes = Notes()
    tools = tool_names(body, notes)
    made: dict[str, Any] = {
        "model": body.get("model"),
        "messages": _messages(body, notes, tools, recall),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    add_tools(body, made, tools, notes)
    _settings(body, made)
    fit(body, made, notes, api="server", takes=Takes())
    return ChatRequest(made, tools.named, tuple(dict.fromkeys(notes.ignored)))


def _settings(body: dict[str, Any], made: dict[str, Any]) -> None:
    if "max_output_tokens" in body:
        made["max_tokens"] = body["max_output_tokens"]
    if "message.output_text.logprobs" in (body.get("include") or ()):
        made["logprobs"] = True
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort"):
        made["reasoning_effort"] = reasoning["effort"]
    text = body.get("text")
    if isinstance(text, dict) and text.get("verbosity"):
        made["verbosity"] = text["verbosity"]
    form = text.get("format") if isinstance(text, dict) else None
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = {k: form[k] for k in ("name", "description", "schema", "strict") if k in form}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif isinstance(form, dict) and form.get("type") == "json_object":
        made["response_format"] = {"type": "json_object"}


def _messages(
    body: dict[str, Any], notes: Notes, tools: ToolNames, recall: Callable[[str], str]
) -> list[dict[str, Any]]:
    messages = MessageList(notes, tools, recall)
    instructions = body.get("instructions")
    if isinstance(instructions, str) and instructions.strip(" ."):
        messages.add_system(instructions)
    items = body.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            messages.add(item)
    return messages.result()
