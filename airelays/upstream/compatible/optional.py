"""Parameters that a chat server may refuse without loss of the answer: left out after a refusal, for a day. Pure.

Only those that the relay itself translated to: what a client sends in the server's own API goes as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from airelays.upstream.compatible.lacking import REMEMBERED_S
from airelays.upstream.compatible.refusal import Refused

MAX_ENTRIES = 1024
# Longer values come from no client that is meant to be served.
MAX_VALUE_CHARS = 64
_REFUSALS = frozenset((400, 415, 422, 500, 501))


class _Parameter(NamedTuple):
    words: tuple[str, ...]  # in a refusal that is about it
    told: str  # the name that the client knows
    by_value: bool  # whether another value may be taken


PARAMETERS = {
    "verbosity": _Parameter(("verbosity",), "text.verbosity", by_value=True),
    "reasoning_effort": _Parameter(
        ("reasoning_effort", "reasoning effort", "reasoning.effort", "effort"),
        "reasoning.effort",
        by_value=True,
    ),
    "stream_options": _Parameter(
        ("stream_options", "stream options", "include_usage"), "stream_options", by_value=False
    ),
}


class OptionalParameters:
    """What was learned of one server. Times are those of one clock that does not go backwards."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str, str], float] = {}

    def learn(self, body: dict[str, Any], refused: Refused, now_s: float) -> list[str]:
        """Return the names in `body` that `refused` is about, and remember them for its model."""
        if refused.status not in _REFUSALS:
            return []
        text = f"{refused.message} {refused.error.get('param') or ''}".lower()
        names = [
            name
            for name, parameter in PARAMETERS.items()
            if name in body and any(word in text for word in parameter.words)
        ]
        for name in names:
            while len(self._until) >= MAX_ENTRIES:
                self._until.pop(next(iter(self._until)))
            self._until[_key(body, name)] = now_s + REMEMBERED_S
        return names

    def strip(self, body: dict[str, Any], now_s: float) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return `body` without what its model is known to refuse, and the names to tell the client."""
        if not self._until:
            return body, ()
        names = [
            name
            for name in PARAMETERS
            if name in body and now_s < self._until.get(_key(body, name), 0.0)
        ]
        kept = {name: value for name, value in body.items() if name not in names}
        return kept, tuple(PARAMETERS[name].told for name in names)


def _key(body: dict[str, Any], name: str) -> tuple[str, str, str]:
    value = str(body[name])[:MAX_VALUE_CHARS] if PARAMETERS[name].by_value else ""
    return str(body.get("model") or ""), name, value
