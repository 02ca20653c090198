"""How much the model is to think, what form its answer has and where it ends, in Anthropic's words. Layer: rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from airelays.dialects.checks import (
    fault,
    missing,
    shown,
    want_list,
    want_object,
    want_text,
    wrong_type,
)
from airelays.dialects.parameters import MAX_STOP_CHARS, MAX_STOPS
from airelays.dialects.schema import keeps_strict

# How thinking is shown: not at all, as blocks with a signature and no text, with its text.
HIDDEN, OMITTED, SHOWN = "", "omitted", "shown"
# The original's models answer with up to 128,000 tokens. A limit this large only says "as long as it takes", and
# servers refuse it where it is more than they have: they go by their own then.
LARGE_LIMIT = 32_000
MAX_LIMIT = 2**31 - 1
# "max" is a word that few models of other vendors know.
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh"}
_BUDGETS = ((4096, "low"), (16_384, "medium"), (32_768, "high"))
_DISPLAYS = {"omitted": OMITTED, "summarized": SHOWN, "updates": SHOWN}


class Thinking(NamedTuple):
    """What `thinking` asks for: how it is shown, and the effort that its budget stands for ("" for none)."""

    shown: str = HIDDEN
    effort: str = ""


def thinking_of(body: Mapping[str, Any]) -> Thinking:
    """Return what `thinking` asks for."""
    value = body.get("thinking")
    if value is None:
        return Thinking()
    asked = want_object(value, "thinking")
    kind = want_text(asked.get("type"), "thinking.type", "adaptive, enabled or disabled")
    if kind == "disabled":
        return Thinking()
    if kind not in ("adaptive", "enabled"):
        raise fault("thinking.type", f"is {shown(kind)}; expected adaptive, enabled or disabled")
    display = asked.get("display")
    if display is not None and (not isinstance(display, str) or display not in _DISPLAYS):
        raise fault(
            "thinking.display", f"is {shown(display)}; expected omitted, summarized or updates"
        )
    form = SHOWN if display is None else _DISPLAYS[display]
    if kind == "adaptive":
        return Thinking(form)
    budget = asked.get("budget_tokens")
    if budget is None:
        raise missing("thinking.budget_tokens", "a number of tokens")
    if type(budget) is not int or budget < 1:
        raise wrong_type("thinking.budget_tokens", budget, "a number of tokens, 1 or more")
    return Thinking(form, next((word for most, word in _BUDGETS if budget <= most), "xhigh"))


def reasoning_of(thinking: Thinking, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `reasoning` object. The effort in `config` counts before that of a budget."""
    effort = thinking.effort
    word = config.get("effort")
    if word is not None:
        if not isinstance(word, str):
            raise wrong_type("output_config.effort", word, "low, medium, high, xhigh or max")
        if word not in _EFFORTS:
            raise fault(
                "output_config.effort",
                f"is {shown(word)}; expected low, medium, high, xhigh or max",
            )
        effort = _EFFORTS[word]
    made = {"summary": "auto"} if thinking.shown == SHOWN else {}
    return {**made, "effort": effort} if effort else made


def format_of(config: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return `text.format` for `output_config.format`, or for `output_format` as earlier betas spelled it."""
    path, value = "output_config.format", config.get("format")
    if value is None:
        path, value = "output_format", body.get("output_format")
    if value is None:
        return None
    form = want_object(value, path)
    kind = want_text(form.get("type"), f"{path}.type", '"json_schema"')
    if kind != "json_schema":
        raise fault(f"{path}.type", f'is {shown(kind)}; expected "json_schema"')
    schema = want_object(form.get("schema"), f"{path}.schema")
    return {
        "type": "json_schema",
        "name": "response",
        "strict": keeps_strict(schema),
        "schema": schema,
    }


def limit_of(body: Mapping[str, Any], least: int) -> int | None:
    """Return the limit on output tokens, at least `least`; None for one that is left to the upstream."""
    value = body.get("max_tokens")
    if value is None:
        raise missing("max_tokens", "a whole number of tokens, 1 or more")
    if type(value) is not int or not 1 <= value <= MAX_LIMIT:
        raise fault(
            "max_tokens", f"is {shown(value)}; expected a whole number of tokens, 1 or more"
        )
    return max(value, least) if value < LARGE_LIMIT else None


def stops_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stop sequences, without repeats."""
    path = "stop_sequences"
    listed = want_list(body.get(path, []), path, most=MAX_STOPS)
    for at, stop in enumerate(listed):
        want_text(stop, f"{path}[{at}]")
        if len(stop) > MAX_STOP_CHARS:
            raise fault(
                f"{path}[{at}]",
                f"has {len(stop):,} characters; at most {MAX_STOP_CHARS:,} are accepted",
            )
    return tuple(dict.fromkeys(listed))
