"""upstream.compatible.base_url: what may be wrong with one, and what is meant instead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airelays.errors import UpstreamFault
from airelays.upstream.compatible.base_url import BetterBase, candidates, doubt

HOST = "http://127.0.0.1:1234"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (HOST, f"{HOST}/v1"),
        (f"{HOST}/", f"{HOST}/v1"),
        (f"{HOST}/v1/chat/completions", f"{HOST}/v1"),
        (f"{HOST}/v1/chat/completions/", f"{HOST}/v1"),
        (f"{HOST}/v1/responses", f"{HOST}/v1"),
        (f"{HOST}/v1/models", f"{HOST}/v1"),
        (f"{HOST}/v1/v1", f"{HOST}/v1"),
        (f"{HOST}/v1/", f"{HOST}/v1"),
        (f" {HOST}/v1 ", f"{HOST}/v1"),
        ("https://h.example/api", "https://h.example/api/v1"),
        ("https://h.example/openai/v1/completions", "https://h.example/openai/v1"),
        ("https://h.example/api/v4/chat/completions", "https://h.example/api/v4"),
        ("https://v1.example", "https://v1.example/v1"),
    ],
)
def test_the_likeliest_comes_first(written: str, meant: str) -> None:
    assert candidates(written)[0] == meant


@pytest.mark.parametrize("written", [HOST, f"{HOST}/chat/completions", "https://h.example/a/b/v1"])
def test_candidates_are_few_and_at_the_same_server(written: str) -> None:
    host = written.split("/")[2]
    found = candidates(written)
    assert 1 <= len(found) <= 4 and written not in found
    assert all(one.split("/")[2] == host for one in found)
    assert f"http://{host}/v1" in found or f"https://{host}/v1" in found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"{HOST}/v1", ""),
        (f"{HOST}/v1/", ""),
        ("https://h.example/api/v4", ""),
        ("https://h.example/v1beta/openai", ""),
        (HOST, f'"{HOST}/v1"'),
        (f"{HOST}/v1/chat/completions", f'"{HOST}/v1"'),
        (f"{HOST}/v1/v1", f'"{HOST}/v1"'),
    ],
)
def test_what_is_said_of_an_unusual_one(written: str, said: str) -> None:
    assert said in doubt(written) and bool(said) == bool(doubt(written))


def ask_of(works: str, asked: list[str]) -> Any:
    async def ask(url: str) -> Any:
        asked.append(url)
        if url != f"{works}/models":
            raise UpstreamFault("404")
        return {"data": []}

    return ask


def test_what_works_is_found_once() -> None:
    async def run() -> None:
        asked: list[str] = []
        better = BetterBase(HOST, ask_of(f"{HOST}/v1", asked))
        for _ in range(3):
            assert await better.hint() == f'; base_url = "{HOST}/v1" works'
        assert len(asked) == len(candidates(HOST))
        assert await BetterBase(HOST, ask_of("x", asked)).hint() == "; check base_url"

    asyncio.run(run())
