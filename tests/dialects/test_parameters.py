from __future__ import annotations

from typing import Any

import pytest

from airelays.dialects.parameters import max_output_tokens_of, reasoning_of, stop_of
from airelays.dialects.stream.stop import StopFilter, cut
from airelays.dialects.translated import Notes
from airelays.errors import ClientFault


@pytest.mark.parametrize(
    ("body", "limit", "quirks"),
    [
        ({}, None, []),
        ({"max_tokens": 100}, 100, []),
        ({"max_tokens": 100, "max_completion_tokens": 50, "max_output_tokens": 70}, 50, []),
        ({"max_tokens": 100, "max_output_tokens": 70}, 100, []),
        ({"max_output_tokens": 17}, 17, []),
        ({"max_output_tokens": 16}, 16, []),
        ({"max_output_tokens": 15}, 16, ["max_tokens_raised_to_16"]),
        ({"max_tokens": 1}, 16, ["max_tokens_raised_to_16"]),
        ({"max_tokens": 64.0}, 64, []),
        ({"max_tokens": 2**31 - 1}, 2**31 - 1, []),
    ],
)
def test_the_token_limit_has_three_names(
    body: dict[str, Any], limit: Any, quirks: list[str]
) -> None:
    notes = Notes()
    assert max_output_tokens_of(body, notes, 16) == limit
    assert list(notes.quirks) == quirks


@pytest.mark.parametrize("value", [0, -2, 1.5, "10", True, [], 2**31])
def test_other_limits_are_refused(value: Any) -> None:
    with pytest.raises(ClientFault) as caught:
        max_output_tokens_of({"max_tokens": value}, Notes(), 16)
    assert caught.value.param == "max_tokens"


@pytest.mark.parametrize(
    ("body", "reasoning", "quirks"),
    [
        ({}, {}, []),
        ({"reasoning_effort": "high"}, {"effort": "high"}, []),
        ({"reasoning_effort": ""}, {}, []),
        ({"reasoning_effort": "HIGH"}, {"effort": "high"}, []),
        (
            {"reasoning_effort": {"effort": "low", "summary": "detailed"}},
            {"effort": "low", "summary": "detailed"},
            [],
        ),
        ({"reasoning": {"effort": "xhigh", "summary": None}}, {"effort": "xhigh"}, []),
        ({"reasoning": {"generate_summary": "auto"}}, {"summary": "auto"}, []),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, {"effort": "high"}, []),
        ({"reasoning_effort": "none"}, {"effort": "none"}, []),
        ({"reasoning_effort": "max"}, {"effort": "max"}, []),
        ({"reasoning_effort": "minimal"}, {"effort": "low"}, ["effort_mapped"]),
        ({"reasoning_effort": "ultra"}, {"effort": "xhigh"}, ["effort_mapped"]),
        ({"reasoning_effort": "off"}, {"effort": "none"}, ["effort_mapped"]),
        ({"reasoning_effort": "gigantic"}, {"effort": "medium"}, ["effort_mapped"]),
        ({"reasoning_effort": "default"}, {}, ["effort_mapped"]),
    ],
)
def test_efforts_are_mapped_to_the_nearest(
    body: dict[str, Any], reasoning: Any, quirks: list[str]
) -> None:
    notes = Notes()
    assert reasoning_of(body, notes) == reasoning
    assert list(notes.quirks) == quirks


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"reasoning_effort": 5}, "reasoning_effort"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
    ],
)
def test_a_malformed_effort_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        reasoning_of(body, Notes())
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("value", "stops"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("a", ("a",)),
        (["a", "b", "a"], ("a", "b")),
        (["x" * 1024], ("x" * 1024,)),
        ([str(n) for n in range(16)], tuple(str(n) for n in range(16))),
    ],
)
def test_stop_sequences(value: Any, stops: tuple[str, ...]) -> None:
    assert stop_of({"stop": value}) == stops


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (5, "stop"),
        ({}, "stop"),
        ([""], "stop[0]"),
        ([5], "stop[0]"),
        (["x" * 1025], "stop[0]"),
        ([str(n) for n in range(17)], "stop"),
    ],
)
def test_stop_sequences_are_bounded(value: Any, param: str) -> None:
    with pytest.raises(ClientFault) as caught:
        stop_of({"stop": value})
    assert caught.value.param == param


def test_a_stop_filter_gives_in_pieces_what_cut_gives_whole() -> None:
    stops = ("aba", "bb", "caab", "bcc", "abccb")
    for number in range(3**7):
        text, rest = "", number
        for _ in range(7):
            text += "abc"[rest % 3]
            rest //= 3
        filtered = StopFilter(stops)
        pieces = "".join(filtered.feed(letter) for letter in text)
        out = pieces if filtered.hit else pieces + filtered.flush()
        whole, hit = cut(text, stops)
        assert hit == filtered.hit
        assert out == whole
