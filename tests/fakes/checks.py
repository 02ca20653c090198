"""What the ChatGPT backend refuses in a Responses body, with its literal answers."""

from __future__ import annotations

from typing import Any

from tests.fakes.events import ENCRYPTED

KNOWN = {
    "model": 1, "stream": 1, "store": 1, "service_tier": 1, "instructions": 1, "input": 1, "tools": 1,
    "tool_choice": 1, "parallel_tool_calls": 1, "reasoning": 1, "include": 1, "prompt_cache_key": 1,
    "text": 1, "client_metadata": 1, "stream_options": 1, "max_output_tokens": 1,
}  # fmt: skip
CALLS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "local_shell_call": "local_shell_call_output",
}
PREFIXES = {
    "message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fc",
    "custom_tool_call": "ctc", "custom_tool_call_output": "ctc",
}  # fmt: skip


def problem_with(
    body: object, *, models: set[str], max_output_tokens: str
) -> tuple[dict[str, Any], int] | None:
    """Return (error body, status) for the first rule that `body` breaks, or None."""
    if not isinstance(body, dict):
        return {"detail": "Body must be an object"}, 400
    if body.get("store") is not False:
        return {"detail": "Store must be set to false"}, 400
    if body.get("stream") is not True:
        return {"detail": "Stream must be set to true"}, 400
    for name in body:
        if name not in KNOWN or (name == "max_output_tokens" and max_output_tokens == "reject"):
            return {"detail": f"Unsupported parameter: {name}"}, 400
    if set(body.get("stream_options") or {}) - {"reasoning_summary_delivery"}:
        return {"detail": "Unsupported parameter: stream_options"}, 400
    if body.get("model") not in models:
        text = f"The '{body.get('model')}' model is not supported when using Codex with a ChatGPT account."
        return {"detail": text}, 400
    if not isinstance(body.get("input"), list):
        return {"detail": "Input must be a list"}, 400
    if (body.get("reasoning") or {}).get("effort") == "minimal":
        return invalid("Unsupported value: 'minimal'", "reasoning.effort", "unsupported_value"), 400
    if isinstance(body.get("max_output_tokens"), int) and body["max_output_tokens"] < 16:
        return invalid(
            "Expected a value >= 16", "max_output_tokens", "integer_below_min_value"
        ), 400
    return _problem_with_tools(body.get("tools") or []) or _problem_with_items(body["input"])


def _problem_with_items(items: list[Any]) -> tuple[dict[str, Any], int] | None:
    calls: dict[str, set[Any]] = {kind: set() for kind in CALLS}
    outputs: dict[str, set[Any]] = {kind: set() for kind in CALLS}
    back = {output: kind for kind, output in CALLS.items()}
    for n, item in enumerate(items):
        if not isinstance(item, dict):
            return invalid("Invalid item", f"input[{n}]", "invalid_value"), 400
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") == "system":
            return {"detail": "System messages are not allowed"}, 400
        if kind in CALLS or kind in back:
            if not item.get("call_id"):
                return invalid(
                    "Missing call_id", f"input[{n}].call_id", "missing_required_parameter"
                ), 400
            table = calls[kind] if kind in CALLS else outputs[back[kind]]
            table.add(item["call_id"])
        if (problem := _problem_with_shape(item, kind, f"input[{n}]")) is not None:
            return problem
        sealed = item.get("encrypted_content")
        if sealed is not None and not str(sealed).startswith(ENCRYPTED):
            text = "The encrypted content could not be verified."
            return invalid(text, f"input[{n}]", "invalid_encrypted_content"), 400
    for kind, ids in calls.items():
        if lone := ids - outputs[kind]:
            return invalid(
                f"No tool output found for function call {min(lone)}.", "input", None
            ), 400
        if lone := outputs[kind] - ids:
            text = f"No tool call found for function call output with call_id {min(lone)}."
            return invalid(text, "input", None), 400
    return None


def _problem_with_shape(
    item: dict[str, Any], kind: str, path: str
) -> tuple[dict[str, Any], int] | None:
    """What was seen less often: ids, lost reasoning, part types."""
    item_id = item.get("id")
    if kind == "item_reference" or (kind == "reasoning" and not item.get("encrypted_content")):
        text = f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false."
        return invalid(text, "input", None), 404
    prefix = PREFIXES.get(kind)
    if item_id is not None and prefix and not str(item_id).startswith(prefix):
        text = f"Invalid '{path}.id': '{item_id}'. Expected an ID that begins with '{prefix}'."
        return invalid(text, f"{path}.id", "invalid_value"), 400
    if kind == "message" and not isinstance(item.get("content"), str):
        parts = item.get("content") or []
        wrong = "input_text" if item.get("role") == "assistant" else "output_text"
        for m, part in enumerate(parts):
            if part.get("type") in (wrong, "text", "image_url", None):
                text = f"Invalid value: '{part.get('type')}'."
                return invalid(text, f"{path}.content[{m}]", "invalid_value"), 400
    return None


def _problem_with_tools(tools: list[Any]) -> tuple[dict[str, Any], int] | None:
    for n, tool in enumerate(tools):
        if tool.get("type") in ("function", "custom") and not tool.get("name"):
            text = f"Missing required parameter: 'tools[{n}].name'."
            return invalid(text, f"tools[{n}].name", "missing_required_parameter"), 400
    return None


def invalid(message: str, param: str, code: str | None) -> dict[str, Any]:
    """The model API's own error shape."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return {"error": error}
