"""The fuzzer's targets hold for their seeds, for everything that ever crashed them, and for a minute of chance."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

from fuzz import FINDINGS, MAX_INPUT_BYTES, SEEDS, TARGETS, seeds_of  # noqa: E402 - build/ is no package

CASES = [(name, seed) for name in SEEDS for seed in seeds_of(name)]
CASES += [(path.parent.name, path.read_bytes()) for path in sorted(FINDINGS.glob("*/*"))]
# So many that all targets together take about a minute.
EXAMPLES = 2500
# What the grammars of the targets are made of.
TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b":", b";", b",", b"=", b" ", b"\t", b'"', b"\\", b"{", b"}", b"[", b"]",
    b"0\r\n\r\n", b"ffffffffffffffff", b"-1", b"chunked", b"Content-Length: 1\r\n", b"Transfer-Encoding: ",
    b"--B", b"--B--\r\n", b"data: ", b"data: [DONE]\n\n", b"event: ", b"\xef\xbb\xbf", b"\xff", b"null", b"1e999",
    b"\\ud83d", b'"type":', b'"delta":', b"response.completed", b"\x1f\x8b",
)  # fmt: skip


@pytest.mark.parametrize(("name", "data"), CASES, ids=range(len(CASES)))
def test_seeds_and_old_crashes_are_dealt_with(name: str, data: bytes) -> None:
    TARGETS[name](data)


# Cut out some bytes somewhere, and put others there.
EDIT = st.tuples(
    st.integers(0, MAX_INPUT_BYTES),
    st.integers(0, 12),
    st.one_of(st.sampled_from(TOKENS), st.binary(max_size=12)),
)


@pytest.mark.parametrize("name", TARGETS)
def test_a_minute_of_chance(name: str) -> None:
    target: Callable[[bytes], None] = TARGETS[name]
    seeds = sorted(seeds_of(name), key=len)[:8]

    @given(st.sampled_from(seeds), st.lists(EDIT, min_size=1, max_size=4))
    @settings(max_examples=EXAMPLES, deadline=None)
    def mutate(data: bytes, edits: list[tuple[int, int, bytes]]) -> None:
        for place, gone, put in edits:
            at = place % (len(data) + 1)
            data = data[:at] + put + data[at + gone :]
        target(data)

    mutate()
