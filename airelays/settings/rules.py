"""`[[rules]]` of the config file: parameters that are set, defaulted, left out or capped. Layer: values.

The names are those of the Responses API; each text API has its own spelling of them (`dialects/rules.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airelays.errors import ConfigError
from airelays.settings.parse import shown
from airelays.settings.values import Rule, Settings

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
# What a rule can set, and its kind: number, whole (number), effort, text, texts or bool.
PARAMETERS = {
    "frequency_penalty": "number",
    "logprobs": "bool",
    "max_output_tokens": "whole",
    "max_tool_calls": "whole",
    "n": "whole",
    "parallel_tool_calls": "bool",
    "presence_penalty": "number",
    "prompt_cache_key": "text",
    "reasoning_effort": "effort",
    "safety_identifier": "text",
    "seed": "whole",
    "service_tier": "text",
    "stop": "texts",
    "temperature": "number",
    "top_k": "whole",
    "top_logprobs": "whole",
    "top_p": "number",
    "truncation": "text",
    "user": "text",
    "verbosity": "text",
}
_EXPECTED = {
    "number": "a number",
    "whole": "a whole number",
    "bool": "true or false",
    "text": "a string",
    "texts": "a string or a list of up to 16 strings",
    "effort": ", ".join(EFFORTS),
}
_CAPPED = ("number", "whole", "effort")
_KEYS = ("upstream", "model", "set", "default", "strip", "cap")
MAX_RULES = 256


def read_rules(tree: Mapping[str, Any], path: str) -> tuple[Rule, ...]:
    """Return the rules in the order of the file. Raises ConfigError."""
    tables = tree.get("rules", [])
    if not isinstance(tables, list) or not all(isinstance(one, Mapping) for one in tables):
        raise ConfigError(f"{path}: rules is {shown(tables)}; expected tables, written [[rules]]")
    if len(tables) > MAX_RULES:
        raise ConfigError(f"{path}: there are {len(tables)} rules; at most {MAX_RULES} are allowed")
    return tuple(_rule(one, f"{path}: rules[{at}]") for at, one in enumerate(tables))


def check_rules(settings: Settings, path: str) -> None:
    """Refuse a rule for an upstream that there is not."""
    known = [settings.upstream_kind, *(one.name for one in settings.upstreams)]
    for at, rule in enumerate(settings.rules):
        if rule.upstream and rule.upstream not in known:
            raise ConfigError(
                f"{path}: rules[{at}].upstream is {shown(rule.upstream)}; expected one of {', '.join(known)}"
            )


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{where}.{key} is unknown; expected one of {', '.join(_KEYS)}")
    for key in ("upstream", "model"):
        if not isinstance(table.get(key, ""), str):
            raise ConfigError(f"{where}.{key} is {shown(table[key])}; expected a string")
    strip = table.get("strip", [])
    if not isinstance(strip, list):
        raise ConfigError(f"{where}.strip is {shown(strip)}; expected a list of parameters")
    for name in strip:
        _kind_of(name, f"{where}.strip")
    rule = Rule(
        table.get("upstream", ""),
        table.get("model", ""),
        _values(table, "set", where),
        _values(table, "default", where),
        tuple(strip),
        _values(table, "cap", where),
    )
    if not (rule.set or rule.default or rule.strip or rule.cap):
        raise ConfigError(f"{where} does nothing; add set, default, strip or cap")
    both = sorted({name for name, _ in (*rule.set, *rule.default)} & set(strip))
    if both:
        raise ConfigError(
            f"{where} both strips {both[0]} and gives it a value; remove one of the two"
        )
    return rule


def _values(table: Mapping[str, Any], what: str, where: str) -> tuple[tuple[str, Any], ...]:
    given = table.get(what, {})
    where = f"{where}.{what}"
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where} is {shown(given)}; expected a table such as {{ temperature = 0.2 }}"
        )
    return tuple((name, _value(name, value, what, where)) for name, value in given.items())


def _value(name: str, value: Any, what: str, where: str) -> Any:
    kind = _kind_of(name, where)
    if what == "cap" and kind not in _CAPPED:
        capped = [one for one, is_a in PARAMETERS.items() if is_a in _CAPPED]
        raise ConfigError(f"{where}.{name} cannot be capped; expected one of {', '.join(capped)}")
    if not _fits(kind, value) or (name == "max_output_tokens" and value < 1):
        raise ConfigError(f"{where}.{name} is {shown(value)}; expected {_EXPECTED[kind]}")
    return tuple(value) if isinstance(value, list) else value


def _kind_of(name: object, where: str) -> str:
    kind = PARAMETERS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(
            f"{where} contains {shown(name)}, which is not a known parameter; "
            f"expected one of {', '.join(PARAMETERS)}"
        )
    return kind


def _fits(kind: str, value: Any) -> bool:
    if kind == "number":
        return type(value) in (int, float) and math.isfinite(value)
    if kind == "texts" and isinstance(value, list):
        return 0 < len(value) <= 16 and all(isinstance(one, str) and one for one in value)
    if kind == "effort":
        return value in EFFORTS
    wanted = {"whole": int, "bool": bool}.get(kind, str)
    return type(value) is wanted and value != ""
