"""The fuzzer's targets hold for their seeds, for everything that ever crashed them, and for a little chance."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "build"))

from fuzz import FINDINGS, SEEDS, TARGETS  # noqa: E402 - build/ is no package

CASES = [(name, seed) for name, seeds in SEEDS.items() for seed in seeds]
CASES += [(path.parent.name, path.read_bytes()) for path in sorted(FINDINGS.glob("*/*"))]


@pytest.mark.parametrize(("name", "data"), CASES, ids=range(len(CASES)))
def test_seeds_and_old_crashes_are_dealt_with(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_a_little_chance(name: str) -> None:
    target: Callable[[bytes], None] = TARGETS[name]
    seeds = [seed for seed in SEEDS[name] if seed] or [b"data: x\n\n"]

    @given(st.sampled_from(seeds), st.integers(0, 200), st.binary(max_size=12), st.integers(0, 12))
    @settings(max_examples=150, deadline=None)
    def mutate(seed: bytes, at: int, put: bytes, gone: int) -> None:
        at = min(at, len(seed))
        target(seed[:at] + put + seed[at + gone :])

    mutate()
