"""Lines of a server that speaks Ollama's API itself: passed on as they are, with an end that is true at every cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.ollama.passed import PassedLines, usage_in
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor


def one(**more: Any) -> bytes:
    said = {"model": "m", "message": {"role": "assistant", "content": "a"}, "done": False}
    return json.dumps({**said, **more}, separators=(",", ":")).encode() + b"\n"


LAST = one(done=True, done_reason="stop", prompt_eval_count=3, eval_count=4)
WHOLE = one() + one(message={"role": "assistant", "content": 'the word "done":true'}) + LAST


def test_all_of_it_goes_through_byte_for_byte_however_it_is_cut_into_reads() -> None:
    for size in range(1, len(WHOLE) + 1):
        passed = PassedLines(model="m")
        out = [passed.feed(WHOLE[at : at + size]) for at in range(0, len(WHOLE), size)]
        assert b"".join(out) + passed.end() == WHOLE
        assert (passed.terminal, passed.usage and passed.usage.total_tokens) == ("completed", 7)
        assert all(part == b"" or part.endswith(b"\n") for part in out)


def test_a_cut_at_any_byte_ends_with_one_error_line() -> None:
    for at in range(len(WHOLE) - 1):
        passed = PassedLines(model="m")
        out = passed.feed(WHOLE[:at]) + passed.end()
        assert passed.terminal == "failed" and passed.failure is not None
        out += passed.fail(passed.failure) + passed.fail(passed.failure)
        said = [json.loads(text) for text in out.splitlines() if text.strip()]
        assert [list(line) for line in said].count(["error"]) == 1 and "error" in said[-1]
        assert not any(line.get("done") for line in said)


def test_a_last_line_may_lack_its_end_and_nothing_follows_it() -> None:
    passed = PassedLines(model="m")
    assert passed.feed(LAST[:-1]) == b"" and passed.end() == LAST
    assert passed.terminal == "completed"
    passed = PassedLines(model="m")
    assert passed.feed(LAST + one()) == LAST and passed.feed(one()) == passed.end() == b""


def test_an_error_line_is_the_end_and_tells_no_secret() -> None:
    passed = PassedLines(model="m")
    passed.redactor = lambda: Redactor([b"sk-secret-of-the-upstream"])
    wrong = b'{"error":"bad key sk-secret-of-the-upstream"}\n'
    assert passed.feed(one() + wrong + LAST) == one()
    assert isinstance(passed.failure, UpstreamFault) and passed.terminal == "failed"
    said = passed.fail(passed.failure)
    assert b"bad key" in said and b"sk-secret" not in said


def test_a_line_without_an_end_is_bounded() -> None:
    passed = PassedLines(model="m", max_line_bytes=100)
    assert passed.feed(b"x" * 101) == b"" and passed.terminal == "failed"
    assert passed.failure is not None and "a line of more than 100 bytes" in passed.failure.message


@pytest.mark.parametrize(
    ("counters", "total"),
    [
        ({"prompt_eval_count": 2}, 2),
        ({"eval_count": 5, "prompt_eval_count": -1}, 5),
        ({"eval_count": True}, None),
        ({}, None),
    ],
)
def test_counters_are_read_where_they_are_numbers(
    counters: dict[str, Any], total: int | None
) -> None:
    usage = usage_in(counters)
    assert (None if usage is None else usage.total_tokens) == total
