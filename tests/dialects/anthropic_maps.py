"""The maps of Anthropic's API with what their tests have in common."""

from __future__ import annotations

import json
from typing import Any

from airelays.dialects.anthropic.errors import Words
from airelays.dialects.anthropic.request import Asked, Plan, from_messages
from airelays.dialects.anthropic.settings import SHOWN
from airelays.dialects.anthropic.signature import Sealer
from airelays.dialects.anthropic.stream import MessageStream
from airelays.dialects.anthropic.tools import Names
from airelays.dialects.takes import Takes
from airelays.dialects.translated import ReplyOptions, Translated
from airelays.upstream.chatgpt.body import TAKES

SEALER = Sealer(b"k" * 32, ("chatgpt", "main", "https://one", "gpt-5.5"))
OTHER = Sealer(b"k" * 32, ("chatgpt", "main", "https://one", "gpt-5.4"))
OPTIONS = ReplyOptions(model="claude-x", stream=True)
NEW = "2026-10-21"


def plan(thinking: str = SHOWN, names: Names | None = None) -> Plan:
    """Return what a reply map needs."""
    return Plan(names or Names(), thinking, SEALER)


def stream(
    options: ReplyOptions = OPTIONS, *, thinking: str = SHOWN, fast: bool = True
) -> MessageStream:
    """Return a stream map."""
    words = Words("req_1")
    return MessageStream(options, plan(thinking), words, now_s=7.9, reply_id="msg_ours", fast=fast)


def body(**more: Any) -> dict[str, Any]:
    """Return a request that is in order, with `more`."""
    asked = {"model": "claude-x", "max_tokens": 100, "messages": [user("Hello")]}
    return {**asked, **more}


def user(content: Any) -> dict[str, Any]:
    """Return a user's message."""
    return {"role": "user", "content": content}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Return a message of the model."""
    return {"role": "assistant", "content": list(blocks)}


def translate(
    version: str = "",
    session: str = "",
    *,
    takes: Takes = TAKES,
    tools_allowed: bool = True,
    counting: bool = False,
    **more: Any,
) -> Translated:
    """Return the translation of `body(**more)`."""
    asked = Asked(SEALER, version, session)
    return from_messages(
        body(**more), asked, tools_allowed=tools_allowed, takes=takes, counting=counting
    )[0]


def events(raw: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream; each has an `event` line of its type's name."""
    found = []
    for block in raw.decode().split("\n\n"):
        if block:
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}", block
            found.append(event)
    return found


def check_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check the order of a stream's events; return its blocks as their deltas fill them."""
    found = [event for event in found if event["type"] != "ping"]
    blocks: list[dict[str, Any]] = []
    is_open = False
    for at, event in enumerate(found):
        kind = event["type"]
        assert (kind == "message_start") == (at == 0), kind
        if kind == "content_block_start":
            assert not is_open and event["index"] == len(blocks), event
            blocks.append({**event["content_block"], "json": ""})
            is_open = True
        elif kind == "content_block_delta":
            assert is_open and event["index"] == len(blocks) - 1, event
            _apply(blocks[-1], event["delta"])
        elif kind == "content_block_stop":
            assert is_open and event["index"] == len(blocks) - 1, event
            is_open = False
            text = blocks[-1].pop("json")
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = _input(text)
    ends = [event["type"] for event in found if event["type"] in ("message_stop", "error")]
    assert len(ends) == 1 and found[-1]["type"] == ends[0], ends
    if ends == ["message_stop"]:
        assert not is_open and found[-2]["type"] == "message_delta"
    return blocks


def _apply(block: dict[str, Any], delta: dict[str, Any]) -> None:
    kind = delta["type"]
    if kind == "input_json_delta":
        block["json"] += delta["partial_json"]
    else:
        name = kind.removesuffix("_delta")
        assert "signature" not in block or not block["signature"], "a signature is the last delta"
        block[name] += delta[name]


def _input(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text
