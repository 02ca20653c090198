"""What a request asks for beside its messages, in Ollama's words: options, thinking, format, loading. Layer: rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from airelays.dialects.checks import fault, shown, want_object, wrong_type
from airelays.dialects.parameters import stop_of
from airelays.dialects.schema import keeps_strict
from airelays.errors import ClientFault

# Options that chat has under the same name, or that servers of their own kind take beside it.
_NUMBERS = (
    "temperature", "top_p", "top_k", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty",
    "seed",
)  # fmt: skip
_THINK_WORDS = ("low", "medium", "high", "max")
# From the least to the most.
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MAX_LIMIT = 2**31 - 1


class Think(NamedTuple):
    """What `think` asks for: whether thoughts are sent, and the effort, "" for the model's own."""

    shown: bool = False
    effort: str = ""


def options_of(body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the options as parameters of chat, and the names of those that are left out. Raises ClientFault."""
    value = body.get("options")
    if value is None:
        return {}, []
    made: dict[str, Any] = {}
    left: list[str] = []
    for name, one in want_object(value, "options").items():
        if one is None:
            continue
        if name == "num_predict":
            limit = _limit(one)
            if limit is not None:
                made["max_tokens"] = limit
        elif name == "stop":
            made["stop"] = list(_stops(one))
        elif name in _NUMBERS:
            if isinstance(one, bool) or not isinstance(one, (int, float)):
                raise wrong_type(f"options.{name}", one, "a number")
            made[name] = one
        else:
            left.append(f"options.{name}")
    return made, left


def _limit(value: Any) -> int | None:
    """Return the limit on output tokens; zero and less mean that there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or value > MAX_LIMIT:
        raise fault(
            "options.num_predict",
            f"is {shown(value)}; expected a whole number of tokens, or -1 for no limit",
        )
    return value if value > 0 else None


def _stops(value: Any) -> tuple[str, ...]:
    try:
        return stop_of({"stop": value})
    except ClientFault as error:
        raise ClientFault(
            f"options.{error.message}", param=f"options.{error.param}", code=error.code
        ) from error


def think_of(body: Mapping[str, Any], efforts: Sequence[str]) -> Think:
    """Return what `think` asks for, in the words of a model that takes `efforts` (none known: ())."""
    value = body.get("think")
    known = [word for word in _EFFORTS if word in efforts]
    if value is None or value == "":
        return Think()
    if value is True:
        # A model that can do without may do so by default.
        idle = len(known) > 1 and known[0] == "none"
        usual = "medium" if "medium" in known else known[1] if idle else ""
        return Think(shown=True, effort=usual if idle else "")
    if value is False:
        return Think(effort=known[0] if known else "")
    if not isinstance(value, str) or value not in _THINK_WORDS:
        raise fault("think", f"is {shown(value)}; expected true, false, low, medium, high or max")
    if value == "max":
        return Think(shown=True, effort=known[-1] if known else "high")
    return Think(shown=True, effort=value)


def format_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return chat's `response_format` for `format`; None for plain text."""
    value = body.get("format")
    if value is None or value == "":
        return None
    if value == "json":
        return {"type": "json_object"}
    if not isinstance(value, dict):
        raise fault("format", f'is {shown(value)}; expected "json" or a JSON schema')
    form = {"name": "response", "schema": value, "strict": keeps_strict(value)}
    return {"type": "json_schema", "json_schema": form}


def loads(body: Mapping[str, Any], api: str) -> str:
    """Return the `done_reason` of a request that only loads or unloads a model, "" for any other."""
    asks = body.get("messages" if api == "chat" else "prompt")
    if asks or (api == "generate" and (body.get("suffix") or body.get("images"))):
        return ""
    if asks is not None and asks != ([] if api == "chat" else ""):
        return ""  # of another type, which the request map refuses
    return "unload" if _is_zero(body.get("keep_alive")) else "load"


def _is_zero(value: Any) -> bool:
    """Whether a `keep_alive` says "not at all": 0, "0", "0s", "0m0s"."""
    if isinstance(value, str):
        digits = [mark for mark in value if mark.isdigit()]
        return bool(digits) and set(digits) == {"0"}
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0
