"""Texts that people read have none of the phrases that a native writer would not use; `build/english.py` finds them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "build"))

from english import ALLOWED, PATTERNS, files, found_in, look, texts  # noqa: E402 - build/ is no package

# Phrases that are there on purpose. The number may only fall.
MOST_ALLOWED = 3


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_text_reads_like_a_native_s(path: Path) -> None:
    assert [f"{one.line}: {one.pattern}: {one.words}" for one in look(path)] == []


def test_what_is_allowed_is_there_and_does_not_grow() -> None:
    assert len(ALLOWED) <= MOST_ALLOWED
    for (file, words), reason in ALLOWED.items():
        assert reason and any(words in text for _, text in texts(ROOT / file)), (file, words)


SAMPLES = {
    "is no X": "'zzz' is no request id",
    "a for per": "one JSON line an event",
    "so many": "keep files for so many days",
    "object in front": "Lost are conversations.",
    "wants, tells": "the path wants the relay token",
    "may have": "A file may have 32 MiB",
    "behind": "the range lies behind the file's end",
    "odd idioms": "it belongs into the file",
    "beside": "two lengths beside a coding",
    "be connected": "127.0.0.1:1 could not be connected",
    "mend, wish, lack": "the answer lacks a token",
    "somebody": "For whom: somebody who",
    "one files": "in its 1 files",
    "filler": "please try again",
    "British": "parameters that cannot be honoured",
    "old phrases": "a port of its own",
}


def test_each_pattern_finds_its_example() -> None:
    assert set(SAMPLES) == set(PATTERNS)
    for pattern, text in SAMPLES.items():
        assert pattern in {name for name, _ in found_in(text)}, pattern
    assert list(found_in("There is no relay here. It answers in 3 s, 2 times per second.")) == []
