"""upstream.compatible.optional: what a chat server refuses is left out, per model and value, for a day."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.guard.redact import Redactor
from airelays.model import ResponseHead
from airelays.upstream.compatible.lacking import REMEMBERED_S
from airelays.upstream.compatible.optional import MAX_ENTRIES, OptionalParameters
from airelays.upstream.compatible.refusal import Refused

BODY: dict[str, Any] = {
    "model": "m",
    "verbosity": "low",
    "reasoning_effort": "xhigh",
    "stream_options": {"include_usage": True},
}


def refused(text: str, status: int = 400, **more: str) -> Refused:
    raw = json.dumps({"error": {"message": text, **more}}).encode()
    return Refused(ResponseHead(status, (), len(raw), False, True), raw, Redactor())


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("Unknown parameter: 'verbosity'.", "verbosity", "text.verbosity"),
        ("reasoning_effort: Input should be 'low'", "reasoning_effort", "reasoning.effort"),
        ("this model does not support reasoning effort", "reasoning_effort", "reasoning.effort"),
        ("field: 'stream_options'", "stream_options", "stream_options"),
    ],
)
def test_it_is_left_out_for_a_day(text: str, name: str, told: str) -> None:
    optional = OptionalParameters()
    assert optional.learn(BODY, refused(text), 5.0) == [name]
    kept, names = optional.strip(BODY, 5.0 + REMEMBERED_S - 1)
    assert names == (told,) and set(BODY) - set(kept) == {name}
    assert optional.strip(BODY, 5.0 + REMEMBERED_S) == (BODY, ())
    assert optional.strip({**BODY, "model": "other"}, 6.0)[1] == ()


def test_another_value_of_it_is_tried() -> None:
    optional = OptionalParameters()
    optional.learn(BODY, refused("reasoning_effort: Input should be 'high'"), 0.0)
    assert optional.strip({**BODY, "reasoning_effort": "high"}, 1.0)[1] == ()


def test_the_server_may_name_it_as_param() -> None:
    assert OptionalParameters().learn(BODY, refused("Invalid value", param="verbosity"), 0.0) == [
        "verbosity"
    ]


@pytest.mark.parametrize("status", [401, 404, 413, 429, 503])
def test_other_causes_and_other_texts_change_nothing(status: int) -> None:
    optional = OptionalParameters()
    assert optional.learn(BODY, refused("verbosity", status), 0.0) == []
    assert optional.learn(BODY, refused("the model is loading"), 0.0) == []
    assert optional.learn({"model": "m"}, refused("verbosity"), 0.0) == []
    assert optional.strip(BODY, 1.0) == (BODY, ())


def test_it_is_bounded() -> None:
    optional = OptionalParameters()
    for number in range(MAX_ENTRIES + 10):
        optional.learn({**BODY, "model": str(number)}, refused("verbosity"), 0.0)
    assert optional.strip({**BODY, "model": "0"}, 1.0)[1] == ()
    assert optional.strip({**BODY, "model": str(MAX_ENTRIES + 9)}, 1.0)[1] == ("text.verbosity",)
