"""The request maps as they are for the ChatGPT upstream, unless a test says what another one takes."""

from __future__ import annotations

from typing import Any

from airelays.dialects import completions
from airelays.dialects.chat import request as chat
from airelays.dialects.responses import request as responses
from airelays.dialects.takes import Takes
from airelays.dialects.translated import Translated
from airelays.upstream.chatgpt.body import TAKES


def from_chat(body: dict[str, Any], *, tools_allowed: bool, takes: Takes = TAKES) -> Translated:
    """As `chat.from_chat`."""
    return chat.from_chat(body, tools_allowed=tools_allowed, takes=takes)


def from_completion(body: dict[str, Any], *, takes: Takes = TAKES) -> Translated:
    """As `completions.from_completion`."""
    return completions.from_completion(body, takes=takes)


def from_responses(
    body: dict[str, Any], *, tools_allowed: bool, codex: bool, takes: Takes = TAKES
) -> Translated:
    """As `responses.from_responses`."""
    return responses.from_responses(body, tools_allowed=tools_allowed, codex=codex, takes=takes)
