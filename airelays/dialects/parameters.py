"""What requests of the text APIs hold at their top: read by name, each with its limits and its errors.

Which of them an API has and an upstream takes stands in `takes`. Layer: rules.
"""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import (
    fault,
    kept_id,
    shown,
    want_bool,
    want_list,
    want_object,
    want_text,
    wrong_type,
)
from airelays.dialects.translated import Notes

QUIRKS = {
    "arguments_object": "sent the arguments of a replayed call as JSON text; they were an object",
    "cache_control_ignored": "dropped cache_control from content parts; the upstream caches prompts automatically",
    "codex_keepalive_events": "sent keep-alives to the Codex CLI as events; comments do not reset its timer",
    "codex_refusals_as_text": "sent a refusal to the Codex CLI as text; it cannot read refusal parts",
    "content_object": "read content that was a single part as an array with one part",
    "context_phrase_added": "added the words by which LiteLLM recognizes the error for a full context",
    "effort_mapped": "replaced a reasoning effort that current models do not have by the nearest one",
    "empty_content": "sent a message without content as empty text, or dropped it if it contains tool calls",
    "flat_tools": "read chat tools that were in the flat form of the Responses API",
    "input_schema_read": "read a tool's parameters from Anthropic's name, input_schema",
    "json_word_added": "added a system message that mentions JSON, which Ollama's format json requires upstream",
    "legacy_functions": "served the functions and function_call of 2023 as tools; the answer uses function_call",
    "max_tokens_raised_to_16": "raised an output limit to 16 tokens; the upstream refuses lower ones",
    "max_tokens_unlimited": "treated a limit of -1 as no limit, as llama.cpp and LM Studio do",
    "message_name_dropped": "dropped the name of a message's author; the upstream has no field for it",
    "nested_tools": "read Responses tools that were in the nested form of the chat API",
    "reasoning_without_content_dropped": "dropped replayed reasoning without encrypted content",
    "responses_body_on_chat": "served a Responses body on the chat route, and answered with a chat completion",
    "server_blocks_dropped": "dropped blocks that Anthropic's servers created (their tools, compaction)",
    "signature_too_long": "dropped encrypted reasoning that is too long for a signature",
    "system_to_developer": "sent system messages in a Responses input as developer messages",
    "thinking_parts_dropped": "dropped replayed thinking parts of other vendors",
    "tool_choice_mapped": "sent a tool choice that was in another vendor's spelling in OpenAI's",
}
"""Names and what each means, for `airelays quirks`."""

# OpenAI takes 4; llama.cpp users send more. Each costs a comparison per streamed character.
MAX_STOPS = 16
MAX_STOP_CHARS = 1024
# The list stops at 256; what it leaves out can be used all the same. A name stands in logs and header fields.
MAX_MODEL_CHARS = 2048

_EFFORTS = frozenset({"none", "low", "medium", "high", "xhigh", "max"})
# Words of other vendors and of older models, and the nearest that current models take
# (ChatGPT rejects "minimal"; the Codex CLI sends "xhigh" for "ultra").
_NEAREST_EFFORT = {
    "off": "none",
    "disabled": "none",
    "disable": "none",
    "false": "none",
    "zero": "none",
    "minimal": "low",
    "min": "low",
    "tiny": "low",
    "lowest": "low",
    "light": "low",
    "normal": "medium",
    "standard": "medium",
    "balanced": "medium",
    "mid": "medium",
    "highest": "xhigh",
    "very_high": "xhigh",
    "very-high": "xhigh",
    "extra_high": "xhigh",
    "extra-high": "xhigh",
    "extra high": "xhigh",
    "x-high": "xhigh",
    "ultra": "xhigh",
    "maximum": "max",
}
_DEFAULT_EFFORTS = frozenset({"auto", "default"})


def model_of(body: dict[str, Any]) -> str:
    """Return the model's name."""
    model = want_text(body.get("model"), "model", "the name of a model; GET /v1/models lists them")
    if len(model) > MAX_MODEL_CHARS:
        raise fault(
            "model", f"has {len(model):,} characters; at most {MAX_MODEL_CHARS:,} are accepted"
        )
    return model


def stream_of(body: dict[str, Any]) -> bool:
    """Return whether the client wants a stream."""
    return want_bool(body.get("stream", False), "stream")


def include_usage_of(body: dict[str, Any]) -> bool:
    """Return `stream_options.include_usage`, which only a stream can have."""
    options = body.get("stream_options")
    if options is None or not stream_of(body):
        return False
    value = want_object(options, "stream_options").get("include_usage")
    return False if value is None else want_bool(value, "stream_options.include_usage")


def stop_of(body: dict[str, Any]) -> tuple[str, ...]:
    """Return the stop sequences, without repeats."""
    value = body.get("stop")
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = [value]
    elif not isinstance(value, list):
        raise wrong_type("stop", value, "a string or an array of strings")
    stops = want_list(value, "stop", most=MAX_STOPS)
    for at, stop in enumerate(stops):
        want_text(stop, f"stop[{at}]")
        if len(stop) > MAX_STOP_CHARS:
            raise fault(
                f"stop[{at}]",
                f"has {len(stop):,} characters; at most {MAX_STOP_CHARS:,} are accepted",
            )
    return tuple(dict.fromkeys(stops))


def max_output_tokens_of(body: dict[str, Any], notes: Notes, least: int) -> int | None:
    """Return the limit on output tokens under whichever of its three names it was given, raised to `least`."""
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value == -1 and not isinstance(value, bool):
            notes.quirk("max_tokens_unlimited")
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**31 - 1:
            raise fault(name, f"is {shown(value)}; expected a whole number of tokens, 1 or more")
        if value < least:
            notes.quirk("max_tokens_raised_to_16")
        return max(value, least)
    return None


def reasoning_of(body: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Return the `reasoning` object from `reasoning` and `reasoning_effort`, either of any known form."""
    found: dict[str, Any] = {}
    for name in ("reasoning_effort", "reasoning"):
        value = body.get(name)
        if isinstance(value, str) and name == "reasoning_effort":
            value = {"effort": value} if value.strip() else None
        if value is None:
            continue
        for key, item in want_object(value, name).items():
            if item is None:
                continue
            if key in ("effort", "summary", "context"):
                found[key] = want_text(item, f"{name}.{key}")
            elif key == "generate_summary":
                found.setdefault("summary", want_text(item, f"{name}.{key}"))
            else:
                notes.ignored.append(f"{name}.{key}")
    if "effort" in found:
        effort = _effort(found.pop("effort"), notes)
        if effort:
            found["effort"] = effort
    return found


def _effort(word: str, notes: Notes) -> str:
    known = word.strip().lower()
    if known in _EFFORTS:
        return known
    notes.quirk("effort_mapped")
    return "" if known in _DEFAULT_EFFORTS else _NEAREST_EFFORT.get(known, "medium")


def conversation_of(body: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return (conversation id, previous response id); a request names at most one of them."""
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = want_text(conversation.get("id"), "conversation.id")
    elif conversation is not None:
        conversation = want_text(conversation, "conversation", "an id, or an object with an id")
    previous = body.get("previous_response_id")
    if previous is not None:
        previous = kept_id(want_text(previous, "previous_response_id"))
    if conversation is not None and previous is not None:
        raise fault("previous_response_id", "cannot be used together with conversation; remove one")
    return conversation, previous


def refuse_count(body: dict[str, Any], name: str) -> None:
    """Refuse a number of answers (`n`, `best_of`) other than 1."""
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or value != 1):
        raise fault(
            name,
            f"is {shown(value)}; the upstream gives one answer per request, so only 1 is accepted",
            "unsupported_parameter",
        )


def refuse_tools(body: dict[str, Any]) -> None:
    """Refuse every way to offer tools, for the `/no-tools` routes."""
    for name in ("tools", "functions"):
        if body.get(name):
            raise fault(
                name,
                "cannot be used on a /no-tools route, nor with a key made with --no-tools; remove it",
            )
    for name in ("tool_choice", "function_call"):
        if body.get(name) not in (None, "none"):
            text = 'can only be "none" on a /no-tools route and with a key made with --no-tools'
            raise fault(name, f"{text}; remove it")
