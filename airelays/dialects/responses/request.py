"""A Responses request of a client as the Responses request that the upstream accepts. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import (
    asks,
    fault,
    missing,
    present,
    want_bool,
    want_list,
    want_object,
    want_text,
)
from airelays.dialects.parameters import (
    conversation_of,
    drop_rest,
    include_usage_of,
    max_output_tokens_of,
    model_of,
    reasoning_of,
    refuse_asked,
    refuse_tools,
    stop_of,
    stream_of,
)
from airelays.dialects.responses.items import input_items
from airelays.dialects.schema import responses_format
from airelays.dialects.tools import responses_choice, responses_tools
from airelays.dialects.translated import Notes, ReplyOptions, Translated

__all__ = [
    "DEFAULT_INSTRUCTIONS",
    "ENCRYPTED_REASONING",
    "add_passed",
    "finish",
    "from_flat",
    "from_responses",
    "responses_body",
]

# The upstream wanted instructions until July 2026 and takes any (upstream-protocol.md 2.7).
DEFAULT_INSTRUCTIONS = "."
# Without it the reasoning of an answer cannot be replayed to an upstream that stores nothing.
ENCRYPTED_REASONING = "reasoning.encrypted_content"
MAX_INCLUDES = 64

_KNOWN = frozenset(
    {
        "model",
        "instructions",
        "input",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "reasoning_effort",
        "include",
        "service_tier",
        "prompt_cache_key",
        "text",
        "verbosity",
        "client_metadata",
        "max_output_tokens",
        "max_completion_tokens",
        "max_tokens",
        "conversation",
        "previous_response_id",
        "store",
        "stream",
    }
)
# What `stream.ResponsesStream` does for it.
_CODEX_QUIRKS = ("codex_keepalive_events", "codex_refusals_as_text")
_REFUSED = ("top_logprobs", "logprobs", "background", "prompt", "logit_bias", "audio", "prediction")
_OF_CHAT = ("messages", "response_format", "functions", "function_call")


def from_responses(body: dict[str, Any], *, tools_allowed: bool, codex: bool) -> Translated:
    """Return what to send for a `/v1/responses` request.

    With `codex` the body is the Codex CLI's own and goes through as it is, apart from nulls at the top,
    `store`, `stream` and the two fields that only the relay understands. Raises ClientFault.
    """
    body = present(body)
    if not tools_allowed:
        refuse_tools(body)
    if codex:
        return _from_codex(body)
    for name in _OF_CHAT:
        if asks(body.get(name)):
            raise fault(
                name,
                "belongs to /v1/chat/completions; use its counterpart of the Responses API",
                "unsupported_parameter",
            )
    refuse_asked(body, ("stop",), "the Responses API does not have")
    notes = Notes()
    made = responses_body(body, notes)
    options = ReplyOptions(model=made["model"], stream=stream_of(body))
    drop_rest(body, _KNOWN, notes)
    return finish(body, made, options, notes)


def finish(
    body: dict[str, Any], made: dict[str, Any], options: ReplyOptions, notes: Notes
) -> Translated:
    """Return the translation of `body`: what was `made` of it, and what the app must know beside it."""
    conversation, previous = conversation_of(body)
    store = body.get("store")
    return Translated(
        body=made,
        options=options,
        ignored=tuple(notes.ignored),
        quirks=tuple(notes.quirks),
        conversation=conversation,
        previous_response_id=previous,
        store=False if store is None else want_bool(store, "store"),
        file_refs=tuple(notes.file_refs),
        item_refs=tuple(notes.item_refs),
    )


def from_flat(body: dict[str, Any]) -> Translated:
    """Return what to send for a Responses body that came to the chat route (Cursor does this)."""
    notes = Notes()
    notes.quirk("responses_body_on_chat")
    made = responses_body(body, notes)
    made["reasoning"] = {"summary": "auto", **made.get("reasoning", {})}
    options = ReplyOptions(
        model=made["model"],
        stream=stream_of(body),
        include_usage=include_usage_of(body),
        stop=stop_of(body),
    )
    known = (
        _KNOWN
        | {"stop", "n", "best_of", "logprobs", "modalities"}
        | ({"stream_options"} if options.stream else set())
    )
    drop_rest(body, known, notes)
    return finish(body, made, options, notes)


def responses_body(body: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Return the upstream's body for a Responses `body` without nulls, from the allow-list only."""
    refuse_asked(body, _REFUSED, "the upstream cannot honour")
    made: dict[str, Any] = {"model": model_of(body)}
    instructions = body.get("instructions", "")
    if not isinstance(instructions, str):
        raise fault("instructions", "is no string; expected a string", "invalid_type")
    made["instructions"] = instructions if instructions.strip() else DEFAULT_INSTRUCTIONS
    made["input"] = _input(body, notes)
    made["tools"] = responses_tools(body["tools"], notes) if "tools" in body else []
    if "tool_choice" in body:
        made["tool_choice"] = responses_choice(body["tool_choice"], notes)
    if "parallel_tool_calls" in body:
        made["parallel_tool_calls"] = want_bool(body["parallel_tool_calls"], "parallel_tool_calls")
    reasoning = reasoning_of(body, notes)
    if reasoning:
        made["reasoning"] = reasoning
    made["include"] = _include(body)
    add_passed(body, made)
    text = _text(body, notes)
    if text:
        made["text"] = text
    limit = max_output_tokens_of(body, notes)
    if limit is not None:
        made["max_output_tokens"] = limit
    made["store"] = False
    made["stream"] = True
    return made


def add_passed(body: dict[str, Any], made: dict[str, Any]) -> None:
    """Copy the parameters that both APIs share and the upstream takes as they are."""
    for name in ("service_tier", "prompt_cache_key"):
        if name in body:
            made[name] = want_text(body[name], name)
    if "client_metadata" in body:
        made["client_metadata"] = want_object(body["client_metadata"], "client_metadata")


def _input(body: dict[str, Any], notes: Notes) -> list[dict[str, Any]]:
    value = body.get("input")
    goes_on = "conversation" in body or "previous_response_id" in body
    if value is None:
        if goes_on:
            return []
        raise missing("input", "a string or an array of items")
    items = input_items(value, notes)
    if not items and not goes_on:
        raise fault("input", "holds no item that can be sent; expected at least one")
    return items


def _include(body: dict[str, Any]) -> list[str]:
    names = want_list(body.get("include", []), "include", most=MAX_INCLUDES)
    for at, name in enumerate(names):
        want_text(name, f"include[{at}]")
        if name.endswith(".logprobs"):
            raise fault(
                f"include[{at}]",
                "asks for logprobs, which the upstream cannot give; leave it out",
                "unsupported_parameter",
            )
    return list(dict.fromkeys([*names, ENCRYPTED_REASONING]))


def _text(body: dict[str, Any], notes: Notes) -> dict[str, Any]:
    text = present(want_object(body.get("text", {}), "text"))
    made: dict[str, Any] = {}
    verbosity = text.get("verbosity", body.get("verbosity"))
    if verbosity is not None:
        made["verbosity"] = want_text(verbosity, "text.verbosity")
    form = responses_format(text["format"]) if "format" in text else None
    if form is not None:
        made["format"] = form
    notes.ignored += [f"text.{name}" for name in sorted(set(text) - {"verbosity", "format"})]
    return made


def _from_codex(body: dict[str, Any]) -> Translated:
    model = model_of(body)
    conversation, previous = conversation_of(body)
    made = {
        key: value
        for key, value in body.items()
        if key not in ("conversation", "previous_response_id")
    }
    made["store"] = False
    made["stream"] = True
    if isinstance(made.get("input"), str):
        made["input"] = input_items(made["input"], Notes())
    return Translated(
        body=made,
        options=ReplyOptions(model=model, stream=stream_of(body)),
        quirks=_CODEX_QUIRKS,
        conversation=conversation,
        previous_response_id=previous,
    )
