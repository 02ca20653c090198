"""A finished Responses object as Ollama's answer, and what its stream shares with it. Layer: rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airelays.dialects.ollama.listing import stamp
from airelays.dialects.ollama.request import GENERATE, Plan
from airelays.dialects.reply import finish_reason, read_output, read_usage
from airelays.dialects.translated import ReplyOptions
from airelays.errors import UpstreamFault
from airelays.model import Usage

_CALLS = ("function_call", "custom_tool_call")
# Bytes of JSON per token, for prompts that the upstream does not count.
_BYTES_PER_TOKEN = 4


class Meter:
    """What the last line counts: tokens, and nanoseconds.

    `begun_s` is when the request came, on `clock`; `now_s` is the Unix time at which this is made, and `prompt` what
    was sent, whose length stands in for a count that the upstream does not give.
    """

    __slots__ = ("_asked_s", "_begun_s", "_clock", "_prompt", "_wall_s", "first_s")

    def __init__(
        self, *, begun_s: float, now_s: float, clock: Callable[[], float], prompt: Any = None
    ) -> None:
        self._clock = clock
        self._begun_s = begun_s
        self._asked_s = clock()
        self._wall_s = now_s - self._asked_s
        self._prompt = prompt
        self.first_s = 0.0

    def first(self) -> None:
        """The first text is there."""
        if not self.first_s:
            self.first_s = self._clock()

    def stamp(self) -> str:
        """Return the time of now as RFC 3339."""
        return stamp(self._wall_s + self._clock())

    def counts(self, usage: Usage | None, pieces: int) -> dict[str, int]:
        """Return the counters: clients divide by them, so none is 0. `pieces` is how many pieces of text came."""
        now_s = self._clock()
        # When an answer came in one piece, when its first token was made is not known: each part gets half of the time.
        first_s = self.first_s or (self._asked_s + now_s) / 2
        spent, made = (0, 0) if usage is None else (usage.input_tokens, usage.output_tokens)
        if not spent:
            size = len(json.dumps(self._prompt, ensure_ascii=False))
            spent = size // _BYTES_PER_TOKEN
        return {
            "total_duration": _ns(now_s - self._begun_s),
            "load_duration": _ns(self._asked_s - self._begun_s),
            "prompt_eval_count": max(1, spent),
            "prompt_eval_duration": _ns(first_s - self._asked_s),
            "eval_count": max(1, made or pieces),
            "eval_duration": _ns(now_s - first_s),
        }


def _ns(seconds: float) -> int:
    return max(1, int(seconds * 1e9))


def to_ollama(
    response: dict[str, Any], options: ReplyOptions, plan: Plan, meter: Meter
) -> dict[str, Any]:
    """Return the answer for a finished Responses object. Raises UpstreamFault for calls that cannot be told."""
    found = read_output(response, options)
    calls = [call_of(item, at, plan) for at, item in enumerate(found.calls)]
    text = found.text + found.refusal
    thoughts = {"thinking": found.reasoning} if plan.thoughts and found.reasoning else {}
    reason = finish_reason(response, calls=False, legacy=False, stopped=found.stopped)
    made: dict[str, Any] = {"model": plan.model, "created_at": meter.stamp()}
    if plan.api == GENERATE:
        made |= {"response": text, **thoughts}
    else:
        message: dict[str, Any] = {"role": "assistant", "content": text, **thoughts}
        made["message"] = {**message, "tool_calls": calls} if calls else message
    usage = read_usage(response.get("usage"))
    pieces = max(1, len(text) // _BYTES_PER_TOKEN)
    return {**made, "done": True, "done_reason": reason, **meter.counts(usage, pieces)}


def empty(plan: Plan, reason: str, meter: Meter) -> dict[str, Any]:
    """Return the answer to a request that only loads or unloads a model."""
    said: dict[str, Any] = {"message": {"role": "assistant", "content": ""}}
    return {
        "model": plan.model,
        "created_at": meter.stamp(),
        **({"response": ""} if plan.api == GENERATE else said),
        "done": True,
        "done_reason": reason,
    }


def call_of(item: dict[str, Any], at: int, plan: Plan) -> dict[str, Any]:
    """Return a finished call as this API has it. Raises UpstreamFault where its arguments are not an object."""
    name = item.get("name")
    text = item.get("arguments")
    try:
        arguments = json.loads(text) if isinstance(text, str) and text.strip() else {}
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise UpstreamFault(
            f"the model called {str(name)[:80]} with arguments that are not a JSON object, which Ollama's API "
            "cannot return; try again",
            code="upstream_malformed",
            type="upstream_error",
        )
    made = {
        "function": {
            "index": at,
            "name": name if isinstance(name, str) else "",
            "arguments": arguments,
        }
    }
    call_id = item.get("call_id") or item.get("id")
    return {"id": call_id, **made} if plan.ids and isinstance(call_id, str) else made


def is_call(item: dict[str, Any]) -> bool:
    """Whether an output item calls a tool."""
    return item.get("type") in _CALLS
