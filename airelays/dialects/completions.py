"""Legacy completions: the request as a Responses request, the answer as a text completion. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.chat.request import created_of
from airelays.dialects.checks import fault, present, shown
from airelays.dialects.parameters import (
    include_usage_of,
    max_output_tokens_of,
    model_of,
    reasoning_of,
    refuse_count,
    stop_of,
    stream_of,
)
from airelays.dialects.reply import chat_usage, finish_reason, read_output, read_usage
from airelays.dialects.responses.request import (
    DEFAULT_INSTRUCTIONS,
    ENCRYPTED_REASONING,
    add_passed,
    finish,
)
from airelays.dialects.takes import Takes, refuse_first
from airelays.dialects.translated import Notes, ReplyOptions, Translated


def from_completion(body: dict[str, Any], *, takes: Takes) -> Translated:
    """Return what to send for a `/v1/completions` request to an upstream that `takes` this. Raises ClientFault."""
    body = present(body)
    refuse_count(body, "n")
    refuse_count(body, "best_of")
    refuse_first(body, "completions", takes)
    notes = Notes()
    model = model_of(body)
    options = ReplyOptions(
        model=model,
        stream=stream_of(body),
        include_usage=include_usage_of(body),
        stop=stop_of(body),
    )
    instructions = body.get("instructions", "")
    if not isinstance(instructions, str):
        raise fault("instructions", "is no string; expected a string", "invalid_type")
    text = {"type": "input_text", "text": _prompt(body)}
    made: dict[str, Any] = {
        "model": model,
        "instructions": instructions if instructions.strip() else DEFAULT_INSTRUCTIONS,
        "input": [{"type": "message", "role": "user", "content": [text]}],
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "include": [ENCRYPTED_REASONING],
    }
    reasoning = reasoning_of(body, notes)
    if reasoning:
        made["reasoning"] = reasoning
    add_passed(body, made)
    limit = max_output_tokens_of(body, notes, takes.least_output_tokens)
    if limit is not None:
        made["max_output_tokens"] = limit
    made.update(store=False, stream=True)
    return finish(body, made, options, notes, api="completions", takes=takes)


def _prompt(body: dict[str, Any]) -> str:
    prompt = body.get("prompt", "")
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        return prompt[0]
    if isinstance(prompt, list):
        raise fault(
            "prompt",
            f"is an array of {len(prompt):,}; expected a string, or an array of one string "
            "(tokens and several prompts are not supported)",
        )
    raise fault("prompt", f"is {shown(prompt)}; expected a string", "invalid_type")


def to_completion(response: dict[str, Any], options: ReplyOptions) -> dict[str, Any]:
    """Return the text completion for a finished Responses object.

    This API has no field for a refusal: its text is the text, and `content_filter` says what it is.
    """
    found = read_output(response, options)
    reason = finish_reason(response, calls=False, legacy=False, stopped=found.stopped)
    if found.refusal:
        reason = "content_filter"
    choice = {
        "text": found.text + found.refusal,
        "index": 0,
        "logprobs": None,
        "finish_reason": reason,
    }
    made = {
        "id": response.get("id"),
        "object": "text_completion",
        "created": created_of(response),
        "model": response.get("model") or options.model,
        "choices": [choice],
    }
    usage = read_usage(response.get("usage"))
    return made if usage is None else {**made, "usage": chat_usage(usage)}
