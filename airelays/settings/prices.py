"""`[prices]`: what a million tokens of a model costs, written by the user. Layer: values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airelays.errors import ConfigError
from airelays.settings.parse import shown
from airelays.settings.values import Price

_FIELDS = ("input", "cached", "output")
MAX_PRICE = 1_000_000
EXAMPLE = '"gpt-5.5*" = { input = 1.25, cached = 0.125, output = 10 }'


def read_prices(tree: Mapping[str, Any], path: str) -> tuple[Price, ...]:
    """Return the prices in the file's order: the first pattern that fits a model counts. Raises ConfigError."""
    table = tree.get("prices", {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: prices is {shown(table)}; expected a table such as {EXAMPLE}")
    found = []
    for model, value in table.items():
        where = f"{path}: prices.{model}"
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {shown(value)}; expected a table such as {EXAMPLE}")
        for name, number in value.items():
            if name not in _FIELDS:
                raise ConfigError(
                    f"{where}.{name} is unknown; expected one of {', '.join(_FIELDS)}"
                )
            if isinstance(number, bool) or not isinstance(number, int | float):
                number = -1
            if not 0 <= number <= MAX_PRICE:
                raise ConfigError(
                    f"{where}.{name} is {shown(value[name])}; expected a number from 0 to {MAX_PRICE:,}, the "
                    f"price per million tokens"
                )
        whole = float(value.get("input", 0))
        output, cached = float(value.get("output", 0)), float(value.get("cached", whole))
        found.append(Price(model, whole, cached, output))
    return tuple(found)
