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
from airelays.dialects.reply import chat_usage, finish_reason, id_of, read_output, read_usage
from airelays.dialects.responses.request import (
    DEFAULT_INSTRUCTIONS,
    ENCRYPTED_REASONING,
    add_passed,
    finish,
)
from airelays.dialects.takes import Takes, refuse_first
from airelays.dialects.translated import Notes, ReplyOptions, Translated

# Each is a request of its own, one after the other.
MAX_PROMPTS = 16


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
        raise fault("instructions", "is not a string; expected a string", "invalid_type")
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


def prompts_of(body: dict[str, Any]) -> list[str]:
    """Return the prompts of a request, each of which gets a choice. Raises ClientFault."""
    prompt = body.get("prompt")
    if prompt is None:
        return [""]
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list):
        raise fault("prompt", f"is {shown(prompt)}; expected a string", "invalid_type")
    if not 1 <= len(prompt) <= MAX_PROMPTS:
        raise fault("prompt", f"has {len(prompt):,} entries; expected 1 to {MAX_PROMPTS}")
    for at, one in enumerate(prompt):
        if not isinstance(one, str):
            raise fault(
                f"prompt[{at}]", f"is {shown(one)}; expected a string (tokens are not supported)"
            )
    return prompt


def _prompt(body: dict[str, Any]) -> str:
    prompts = prompts_of(body)
    if len(prompts) > 1:
        raise fault(
            "prompt", f"has {len(prompts):,} entries; expected one in each upstream request"
        )
    return prompts[0]


def joined(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one completion for those of several prompts: a choice for each, and the sum of what they used."""
    made = {**answers[0]}
    made["choices"] = [{**answer["choices"][0], "index": at} for at, answer in enumerate(answers)]
    used = [answer["usage"] for answer in answers if "usage" in answer]
    if len(used) == len(answers):
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        made["usage"] = {name: sum(one[name] for one in used) for name in names}
    return made


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
        "id": id_of(response.get("id"), "cmpl-"),
        "object": "text_completion",
        "created": created_of(response),
        "model": response.get("model") or options.model,
        "choices": [choice],
    }
    usage = read_usage(response.get("usage"))
    return made if usage is None else {**made, "usage": chat_usage(usage)}
