"""The user's rules for parameters, applied to a request in the client's own API. Layer: rules.

They come before any adaptation, so what an upstream does not take of their outcome is adapted as always.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from airelays.dialects.anthropic.settings import thinking_of
from airelays.errors import ClientFault
from airelays.settings.rules import EFFORTS, PARAMETERS
from airelays.settings.values import Rule

Body = dict[str, Any]

# Where a text API has a parameter by another name, the usual one first; a dot leads into an object. None: it has none.
_SPELLED: dict[str, dict[str, tuple[str, ...] | None]] = {
    "chat": {"max_output_tokens": ("max_completion_tokens", "max_tokens")},
    # Its `logprobs` is a number.
    "completions": {"max_output_tokens": ("max_tokens",), "verbosity": None, "logprobs": None},
    "responses": {
        "reasoning_effort": ("reasoning.effort",),
        "verbosity": ("text.verbosity",),
        **dict.fromkeys(("stop", "n", "logprobs")),
    },
    "messages": {
        "max_output_tokens": ("max_tokens",),
        "stop": ("stop_sequences",),
        "reasoning_effort": ("output_config.effort",),
        **dict.fromkeys(
            (
                "frequency_penalty",
                "logprobs",
                "max_tool_calls",
                "n",
                "parallel_tool_calls",
                "presence_penalty",
                "prompt_cache_key",
                "safety_identifier",
                "seed",
                "top_logprobs",
                "truncation",
                "user",
                "verbosity",
            )
        ),
    },
}
_OPTIONS = (
    "temperature", "top_p", "top_k", "seed", "stop", "presence_penalty", "frequency_penalty",
)  # fmt: skip
_SPELLED["ollama_chat"] = _SPELLED["ollama_generate"] = {
    **dict.fromkeys(PARAMETERS),
    **{name: (f"options.{name}",) for name in _OPTIONS},
    "max_output_tokens": ("options.num_predict",),
    "reasoning_effort": ("think",),
}
# Efforts for which an API has another word, and what its own words amount to.
_WORDS: dict[str, dict[str, Any]] = {
    "output_config.effort": {"none": "low", "minimal": "low"},
    "think": {"none": False, "minimal": "low", "xhigh": "max"},
}
_AMOUNT_TO = {False: "none", True: "medium", "max": "xhigh"}


def rules_for(rules: Sequence[Rule], upstream: str, models: Sequence[str]) -> list[Rule]:
    """Return the rules that are meant for `upstream` and one of `models`, the names of the requested model."""
    return [
        rule
        for rule in rules
        if rule.upstream in ("", upstream)
        and (not rule.model or any(_fits(rule.model, model) for model in models))
    ]


def apply_rules(rules: Sequence[Rule], body: Body, api: str) -> tuple[Body, list[str]]:
    """Return the body as the rules have it, and what they changed: "set temperature", in their order.

    `api` is the name of a route; a request of a route without such parameters is not changed. `body` stays as it is.
    """
    names = _SPELLED.get(api)
    if names is None or not rules:
        return body, []
    made = {name: dict(value) if isinstance(value, dict) else value for name, value in body.items()}
    done: list[str] = []
    for rule in rules:
        for name in rule.strip:
            if _take(made, names.get(name, (name,)) or ()) is not None:
                done.append(f"strip {name}")
        for what, pairs in (("default", rule.default), ("set", rule.set), ("cap", rule.cap)):
            for name, value in pairs:
                if _change(made, names.get(name, (name,)) or (), what, name, value):
                    done.append(f"{what} {name}")
    return (made, list(dict.fromkeys(done))) if done else (body, [])


def _change(body: Body, spelled: tuple[str, ...], what: str, name: str, value: Any) -> bool:
    """Do one thing of a rule; return whether that made a difference."""
    if not spelled:
        return False
    value = list(value) if isinstance(value, tuple) else value
    found = next((one for path in spelled if (one := _look(body, path)) is not None), None)
    if name == "reasoning_effort":
        found = _effort(body, spelled[0], found)
    if what == "default" and found is not None:
        return False
    if what == "cap":
        # Without a word of the client an answer has no limit, so the cap is one; all others have usual values.
        unlimited = name == "max_output_tokens" and (found is None or _is_endless(found))
        if not unlimited and not _exceeds(found, value):
            return False
    if found == value and type(found) is type(value):
        return False
    _take(body, spelled)
    words = _WORDS.get(spelled[0], {})
    _put(body, spelled[0], words.get(value, value) if words else value)
    return True


def _effort(body: Body, path: str, found: Any) -> Any:
    """Return the effort that a request asks for in the words of a rule, where its API has others."""
    if path == "output_config.effort" and found is None:
        try:
            return thinking_of(body).effort or None
        except ClientFault:
            return None  # the checks after this one refuse it
    if path in _WORDS and isinstance(found, (bool, str)):
        return _AMOUNT_TO.get(found, found)
    return found


def _is_endless(limit: Any) -> bool:
    """Whether a limit on tokens is Ollama's way to say that there is none."""
    return type(limit) is int and limit <= 0


def _exceeds(found: Any, cap: Any) -> bool:
    if isinstance(cap, str):
        return found in EFFORTS and EFFORTS.index(found) > EFFORTS.index(cap)
    return isinstance(found, (int, float)) and not isinstance(found, bool) and found > cap


def _look(body: Body, path: str) -> Any:
    outer, dot, inner = path.partition(".")
    value = body.get(outer)
    return value if not dot else value.get(inner) if isinstance(value, dict) else None


def _take(body: Body, spelled: tuple[str, ...]) -> Any:
    """Remove a parameter in every spelling; return the value it had."""
    found = None
    for path in spelled:
        outer, dot, inner = path.partition(".")
        holder = body.get(outer) if dot else body
        value = holder.pop(inner if dot else outer, None) if isinstance(holder, dict) else None
        found = value if found is None else found
    return found


def _put(body: Body, path: str, value: Any) -> None:
    outer, dot, inner = path.partition(".")
    if not dot:
        body[outer] = value
    elif isinstance(body.get(outer), dict):
        body[outer][inner] = value
    else:
        body[outer] = {inner: value}


def _fits(pattern: str, model: str) -> bool:
    return fnmatchcase(model.casefold(), pattern.casefold())
