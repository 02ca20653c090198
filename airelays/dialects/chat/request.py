"""Chat completions: the request as a Responses request, the finished answer as a chat completion.

Layer: rules.
"""

from __future__ import annotations

from typing import Any

from airelays.dialects.chat.messages import MessageMap
from airelays.dialects.checks import fault, present, want_bool, want_list, want_text
from airelays.dialects.parameters import (
    include_usage_of,
    max_output_tokens_of,
    model_of,
    reasoning_of,
    refuse_count,
    refuse_tools,
    stop_of,
    stream_of,
)
from airelays.dialects.reply import chat_usage, finish_reason, id_of, read_output, read_usage
from airelays.dialects.responses.request import (
    DEFAULT_INSTRUCTIONS,
    ENCRYPTED_REASONING,
    add_passed,
    finish,
    from_flat,
)
from airelays.dialects.schema import chat_format
from airelays.dialects.takes import Takes, refuse_first
from airelays.dialects.tools import chat_choice, chat_tools, legacy_choice, legacy_tools, web_search
from airelays.dialects.translated import Notes, ReplyOptions, Translated


def from_chat(body: dict[str, Any], *, tools_allowed: bool, takes: Takes) -> Translated:
    """Return what to send for a `/v1/chat/completions` request to an upstream that `takes` this. Raises ClientFault."""
    body = present(body)
    if not tools_allowed:
        refuse_tools(body)
    refuse_count(body, "n")
    refuse_count(body, "best_of")
    _refuse_modalities(body)
    refuse_first(body, "chat", takes)
    if "input" in body:
        if "messages" in body:
            raise fault("input", "cannot be used together with messages; send one of them")
        return from_flat(body, takes)
    notes = Notes()
    made, options = _body(body, notes, takes)
    return finish(body, made, options, notes, api="chat", takes=takes)


def _refuse_modalities(body: dict[str, Any]) -> None:
    modalities = body.get("modalities")
    if modalities is not None and modalities not in (["text"], []):
        raise fault(
            "modalities",
            'requests more than text, which the upstream cannot provide; expected ["text"]',
            "unsupported_parameter",
        )


def _body(body: dict[str, Any], notes: Notes, takes: Takes) -> tuple[dict[str, Any], ReplyOptions]:
    model = model_of(body)
    options = ReplyOptions(
        model=model,
        stream=stream_of(body),
        include_usage=include_usage_of(body),
        stop=stop_of(body),
        legacy_functions=bool(body.get("functions")),
    )
    text = _text(body)
    instructions, items = _messages(body, text.get("format"), notes)
    made: dict[str, Any] = {"model": model, "instructions": instructions, "input": items}
    _add_tools(body, made, options, notes)
    # The summary is what clients get as `reasoning_content`; the CLI asks for it the same way.
    made["reasoning"] = {"summary": "auto", **reasoning_of(body, notes)}
    if made["reasoning"]["summary"] == "none":
        del made["reasoning"]["summary"]
    made["include"] = _include(body)
    add_passed(body, made)
    if text:
        made["text"] = text
    limit = max_output_tokens_of(body, notes, takes.least_output_tokens)
    if limit is not None:
        made["max_output_tokens"] = limit
    made["store"] = False
    made["stream"] = True
    return made, options


def _messages(
    body: dict[str, Any], form: dict[str, Any] | None, notes: Notes
) -> tuple[str, list[dict[str, Any]]]:
    texts = MessageMap(
        notes,
        json_mode=form is not None and form["type"] == "json_object",
        open_history="conversation" in body or "previous_response_id" in body,
    )
    texts.add_all(body.get("messages"))
    own = body.get("instructions", "")
    if not isinstance(own, str):
        raise fault("instructions", "is not a string; expected a string", "invalid_type")
    joined = "\n\n".join(([own] if own.strip() else []) + texts.instructions)
    return joined if joined.strip() else DEFAULT_INSTRUCTIONS, texts.input


def _text(body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if "verbosity" in body:
        made["verbosity"] = want_text(body["verbosity"], "verbosity")
    form = chat_format(body["response_format"]) if "response_format" in body else None
    if form is not None:
        made["format"] = form
    return made


def _include(body: dict[str, Any]) -> list[str]:
    names = want_list(body.get("include", []), "include", most=64)
    for at, name in enumerate(names):
        want_text(name, f"include[{at}]")
    return list(dict.fromkeys([*names, ENCRYPTED_REASONING]))


def _add_tools(
    body: dict[str, Any], made: dict[str, Any], options: ReplyOptions, notes: Notes
) -> None:
    if options.legacy_functions:
        notes.quirk("legacy_functions")
        if body.get("tools"):
            raise fault("functions", "cannot be used together with tools; send one of them")
        made["tools"] = legacy_tools(body["functions"])
    else:
        made["tools"] = chat_tools(body.get("tools", []), notes)
    if "web_search_options" in body:
        made["tools"].append(web_search(body["web_search_options"], "web_search_options"))
    if "tool_choice" in body:
        made["tool_choice"] = chat_choice(body["tool_choice"], notes)
    elif "function_call" in body:
        made["tool_choice"] = legacy_choice(body["function_call"])
    else:
        made["tool_choice"] = "auto"
    parallel = want_bool(body.get("parallel_tool_calls", True), "parallel_tool_calls")
    made["parallel_tool_calls"] = parallel and not options.legacy_functions


def to_chat(response: dict[str, Any], options: ReplyOptions) -> dict[str, Any]:
    """Return the chat completion for a finished Responses object."""
    found = read_output(response, options)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": found.text or (None if found.calls or found.refusal else ""),
        "refusal": found.refusal or None,
    }
    if found.annotations:
        message["annotations"] = found.annotations
    if found.reasoning:
        message["reasoning_content"] = found.reasoning
    if found.calls:
        if options.legacy_functions:
            message["function_call"] = _named_call(found.calls[0])[1]
        else:
            message["tool_calls"] = [_call(item, at) for at, item in enumerate(found.calls)]
    reason = finish_reason(
        response,
        calls=bool(found.calls),
        legacy=options.legacy_functions,
        stopped=found.stopped,
    )
    # A stop sequence may have cut the text in the middle of a token: no log probabilities then.
    logprobs = {"content": found.logprobs, "refusal": None} if found.logprobs else None
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None if found.stopped else logprobs,
        "finish_reason": reason,
    }
    made = {
        "id": id_of(response.get("id"), "chatcmpl-"),
        "object": "chat.completion",
        "created": created_of(response),
        "model": response.get("model") or options.model,
        "choices": [choice],
    }
    usage = read_usage(response.get("usage"))
    return made if usage is None else {**made, "usage": chat_usage(usage)}


def created_of(response: dict[str, Any]) -> int:
    """Return `created_at` as whole seconds; 0 when it cannot be read."""
    value: Any = response.get("created_at")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < 2**53 else 0


def _call(item: dict[str, Any], at: int) -> dict[str, Any]:
    kind, inner = _named_call(item)
    call_id = item.get("call_id") or item.get("id") or f"call_{at}"
    return {"id": call_id, "type": kind, kind: inner}


def _named_call(item: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if item.get("type") == "custom_tool_call":
        return "custom", {"name": item.get("name") or "", "input": item.get("input") or ""}
    return "function", {"name": item.get("name") or "", "arguments": item.get("arguments") or ""}
