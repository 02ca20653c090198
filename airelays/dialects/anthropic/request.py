"""A request of Anthropic's Messages API as the Responses request that goes upstream. Layer: rules."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from airelays.dialects.anthropic.messages import BILLING, MessageMap, Rules, read_system
from airelays.dialects.anthropic.settings import (
    Thinking,
    format_of,
    limit_of,
    reasoning_of,
    stops_of,
    thinking_of,
)
from airelays.dialects.anthropic.signature import Sealer, is_ours
from airelays.dialects.anthropic.tools import Names, read_choice, read_tools
from airelays.dialects.checks import fault, present, want_object
from airelays.dialects.parameters import model_of, stream_of
from airelays.dialects.responses.request import DEFAULT_INSTRUCTIONS, ENCRYPTED_REASONING
from airelays.dialects.takes import Takes, fit
from airelays.dialects.translated import Notes, ReplyOptions, Translated

# Versions are dates; from this one on sampling cannot be set and some blocks are refused.
STRICT_SINCE = "2026-10-21"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SAMPLING = ("temperature", "top_p", "top_k")
_READ = frozenset(
    (
        *(
            "model",
            "messages",
            "system",
            "max_tokens",
            "tools",
            "tool_choice",
            "thinking",
            "stream",
        ),
        *("output_config", "output_format", "stop_sequences", *_SAMPLING),
    )
)
# Matters of the original's own service. The last two hold what is nobody's business upstream or in a log.
_SILENT = frozenset(("context_management", "cache_control", "betas", "metadata", "safeguards"))


class Asked(NamedTuple):
    """What the request says beside its body: the API version, the session, what signatures are bound to."""

    sealer: Sealer
    version: str = ""
    session: str = ""

    @property
    def strict(self) -> bool:
        """Whether the rules of the newer API version count; those of later ones are taken for the same."""
        return bool(_VERSION.fullmatch(self.version)) and self.version >= STRICT_SINCE


class Plan(NamedTuple):
    """What the reply maps need beside the translation: tool names, how thinking is shown, what signs it."""

    names: Names
    thinking: str
    sealer: Sealer


def from_messages(
    body: dict[str, Any],
    asked: Asked,
    *,
    tools_allowed: bool,
    takes: Takes,
    counting: bool = False,
) -> tuple[Translated, Plan]:
    """Return what to send for a `/v1/messages` request to an upstream that `takes` this, and how to answer.

    With `counting` it is a request of `count_tokens`: without max_tokens, and with parts of conversations.
    Raises ClientFault.
    """
    body = present(body)
    if not tools_allowed:
        _refuse_tools(body)
    if body.get("mcp_servers"):
        text = "cannot be used: the relay connects to none; remove it"
        raise fault("mcp_servers", text, "unsupported_parameter")
    notes, names = Notes(), Names()
    limit = None if counting else limit_of(body, takes.least_output_tokens)
    texts = MessageMap(notes, names, Rules(asked.sealer, asked.strict, counting))
    texts.add_all(body.get("messages"))
    thinking = thinking_of(body)
    made = _made(body, texts, names, thinking, takes)
    if limit is not None:
        made["max_output_tokens"] = limit
    if _SESSION.fullmatch(asked.session) and takes.has("prompt_cache_key"):
        made["prompt_cache_key"] = asked.session
    options = ReplyOptions(model=made["model"], stream=stream_of(body), stop=stops_of(body))
    _fit(body, made, notes, asked, takes)
    translated = Translated(
        body=made,
        options=options,
        ignored=tuple(notes.ignored),
        quirks=tuple(notes.quirks),
        file_refs=tuple(notes.file_refs),
    )
    return translated, Plan(names, thinking.shown, asked.sealer)


def _made(
    body: dict[str, Any], texts: MessageMap, names: Names, thinking: Thinking, takes: Takes
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "model": model_of(body),
        "instructions": read_system(body.get("system")) or DEFAULT_INSTRUCTIONS,
        "input": texts.input,
        "tools": read_tools(body.get("tools", []), names, takes, texts.referred),
    }
    made["tool_choice"], made["parallel_tool_calls"] = read_choice(body, names, made["tools"])
    config = {**want_object(body.get("output_config", {}), "output_config"), **texts.output_config}
    made["reasoning"] = reasoning_of(thinking, config)
    made["include"] = [ENCRYPTED_REASONING]
    form = format_of(config, body)
    if form is not None:
        made["text"] = {"format": form}
    return {**made, "store": False, "stream": True}


def _refuse_tools(body: dict[str, Any]) -> None:
    if body.get("tools"):
        raise fault("tools", "cannot be used on a /no-tools route; send it to /v1, or remove it")
    choice = body.get("tool_choice")
    if choice is not None and not (isinstance(choice, dict) and choice.get("type") == "none"):
        raise fault("tool_choice", 'on a /no-tools route may only be "none"; remove it')


def _fit(
    body: dict[str, Any], made: dict[str, Any], notes: Notes, asked: Asked, takes: Takes
) -> None:
    """Complete `made` by what the upstream takes of the rest of `body`, and name what is left out."""
    sampling = {name: body[name] for name in _SAMPLING if name in body}
    for name, value in sampling.items():
        if asked.strict:
            raise fault(
                name,
                f"is not accepted with anthropic-version {asked.version}; remove it",
                "unsupported_parameter",
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise fault(name, "is not a number; send one, or remove it", "invalid_type")
    if not takes.has("prompt_cache_key"):
        made.pop(
            "prompt_cache_key", None
        )  # of our own making, so nothing is named that the client sent
    fit(sampling, made, notes, api="responses", takes=takes)
    left = [name for name in body if name not in _READ and name not in _SILENT]
    notes.ignored += sorted(left)


def without_private(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request as a server that speaks this API itself gets it.

    What concerns only the client and the vendor of the original stays here, and so do signatures of the relay.
    """
    made = {key: value for key, value in body.items() if key not in ("metadata", "safeguards")}
    system = made.get("system")
    first = system[0] if isinstance(system, list) and system else None
    if isinstance(first, dict) and str(first.get("text", "")).startswith(BILLING):
        made["system"] = [*system[1:]] if isinstance(system, list) else system

    def kept(block: Any) -> bool:
        return not (isinstance(block, dict) and is_ours(str(block.get("signature") or "")))

    messages = made.get("messages")
    if isinstance(messages, list):
        made["messages"] = [
            {**one, "content": [block for block in one["content"] if kept(block)]}
            if isinstance(one, dict) and isinstance(one.get("content"), list)
            else one
            for one in messages
        ]
    return made
