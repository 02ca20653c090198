"""dialects.stream.finish: what a `finish_reason` says."""

from __future__ import annotations

from typing import Any

import pytest

from airelays.dialects.stream.finish import FAILED, chunk_ends, finish_of, interrupted

MEANINGS: list[tuple[Any, str]] = [
    ("stop", "stop"),
    ("length", "length"),
    ("tool_calls", "tool_calls"),
    ("function_call", "function_call"),
    ("content_filter", "content_filter"),
    ("sensitive", "content_filter"),
    ("safety", "content_filter"),
    ("SAFETY", "content_filter"),
    ("eos_token", "stop"),
    ("end_turn", "stop"),
    ("model_length", "length"),
    ("max_tokens", "length"),
    ("", ""),
    (" ", ""),
    ("null", ""),
    (None, ""),
    (0, ""),
    ([], ""),
    ("network_error", FAILED),
    ("error", FAILED),
    ("abort", FAILED),
    ("insufficient_system_resource", FAILED),
    ("made_up", FAILED),
]


@pytest.mark.parametrize(("word", "meaning"), MEANINGS)
def test_each_word_has_one_meaning(word: Any, meaning: str) -> None:
    assert finish_of(word) == meaning


def test_an_unknown_word_is_quoted_printable_and_short() -> None:
    fault = interrupted("boom", "the GPU is gone")
    assert fault.message == (
        'the upstream broke off its answer with finish_reason "boom" (the GPU is gone); '
        "what has arrived is incomplete"
    )
    assert (fault.status, fault.code, fault.type) == (502, "upstream_interrupted", "server_error")
    assert len(interrupted("x" * 9999).message) < 200
    assert "\n" not in interrupted('a"\nb').message


def test_the_ends_of_a_chunk_are_read_by_choice() -> None:
    chunk: dict[str, Any] = {
        "choices": [
            {"index": 1, "finish_reason": "eos"},
            {"index": 0, "finish_reason": None},
            "nonsense",
        ]
    }
    finished: set[Any] = set()
    assert chunk_ends(chunk, finished) is True
    assert (finished, chunk["choices"][0]["finish_reason"]) == ({1}, "stop")
    assert chunk_ends({"choices": [{"finish_reason": "stop"}]}, finished) is False
    failed = {"finish_reason": "error", "error": {"message": "gone", "code": 502}}
    assert chunk_ends({"choices": [failed]}, finished) == ("error", "gone")
