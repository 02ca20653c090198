"""A Responses request of a client as the Responses request that the upstream accepts. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import (
    fault,
    missing,
    present,
    want_bool,
    want_list,
    want_metadata,
    want_object,
    want_text,
)
from airelays.dialects.parameters import (
    conversation_of,
    include_usage_of,
    max_output_tokens_of,
    model_of,
    reasoning_of,
    refuse_tools,
    stop_of,
    stream_of,
)
from airelays.dialects.responses.items import input_items
from airelays.dialects.schema import responses_format
from airelays.dialects.takes import Takes, fit, refuse_first
from airelays.dialects.tools import responses_choice, responses_tools
from airelays.dialects.translated import Notes, ReplyOptions, Translated

# ChatGPT required instructions until July 2026 and takes any.
DEFAULT_INSTRUCTIONS = "."
# Without it the reasoning of an answer cannot be replayed to an upstream that stores nothing.
ENCRYPTED_REASONING = "reasoning.encrypted_content"
MAX_INCLUDES = 64

# What `stream.ResponsesStream` does for it.
_CODEX_QUIRKS = ("codex_keepalive_events", "codex_refusals_as_text")


def from_responses(
    body: dict[str, Any], *, tools_allowed: bool, codex: bool, takes: Takes
) -> Translated:
    """Return what to send for a `/v1/responses` request to an upstream that `takes` this.

    With `codex` the body is the Codex CLI's own and goes through as it is, apart from nulls at the top,
    `store`, `stream` and the two fields that only the relay understands. Raises ClientFault.
    """
    body = present(body)
    if not tools_allowed:
        refuse_tools(body)
    if codex:
        return _from_codex(body)
    refuse_first(body, "responses", takes)
    notes = Notes()
    made = responses_body(body, notes, takes)
    options = ReplyOptions(model=made["model"], stream=stream_of(body))
    return finish(body, made, options, notes, api="responses", takes=takes)


def finish(
    body: dict[str, Any],
    made: dict[str, Any],
    options: ReplyOptions,
    notes: Notes,
    *,
    api: str,
    takes: Takes,
    own: tuple[str, ...] = (),
) -> Translated:
    """Return the translation of `body`: what was `made` of it, and what the app must know beside it.

    `api` is the client's; what the map did not read goes through `takes.fit`, `own` is the relay's.
    """
    if options.stream and api != "responses":
        own += ("stream_options",)
    store, metadata = body.get("store"), None
    if api == "responses" and store is True and "metadata" in body:
        metadata = want_metadata(body["metadata"])
        own += ("metadata",)
    fit(body, made, notes, api=api, takes=takes, own=own)
    conversation, previous = conversation_of(body)
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
        metadata=metadata,
    )


def from_flat(body: dict[str, Any], takes: Takes) -> Translated:
    """Return what to send for a Responses body that came to the chat route (Cursor does this)."""
    notes = Notes()
    notes.quirk("responses_body_on_chat")
    refuse_first({name: body[name] for name in body if name != "stop"}, "responses", takes)
    made = responses_body(body, notes, takes)
    made["reasoning"] = {"summary": "auto", **made.get("reasoning", {})}
    options = ReplyOptions(
        model=made["model"],
        stream=stream_of(body),
        include_usage=include_usage_of(body),
        stop=stop_of(body),
    )
    own: tuple[str, ...] = ("stop", "n", "best_of", "logprobs", "modalities")
    own += ("stream_options",) if options.stream else ()
    return finish(body, made, options, notes, api="responses", takes=takes, own=own)


def responses_body(body: dict[str, Any], notes: Notes, takes: Takes) -> dict[str, Any]:
    """Return what the map reads of a Responses `body` without nulls."""
    made: dict[str, Any] = {"model": model_of(body)}
    instructions = body.get("instructions", "")
    if not isinstance(instructions, str):
        raise fault("instructions", "is not a string; expected a string", "invalid_type")
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
    limit = max_output_tokens_of(body, notes, takes.least_output_tokens)
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
        raise fault("input", "contains no item that can be sent; expected at least one")
    return items


def _include(body: dict[str, Any]) -> list[str]:
    names = want_list(body.get("include", []), "include", most=MAX_INCLUDES)
    for at, name in enumerate(names):
        want_text(name, f"include[{at}]")
        if name.endswith(".logprobs"):
            raise fault(
                f"include[{at}]",
                "requests logprobs, which the upstream cannot provide; remove it",
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
