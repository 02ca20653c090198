"""How many tokens requests have: estimates, and what is learned of each model while the relay runs. Layer: app."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from airelays.dialects.anthropic.counting import (
    Ratios,
    estimate,
    has_pictures,
    prose,
    sample,
)
from airelays.model import Usage
from airelays.upstream.target import Target

TOKENIZER_EVERY_S = 60.0
MAX_MODELS = 256
# Of a longer request nothing is learned: to estimate it takes as long as other clients should wait.
MAX_LEARNED_BYTES = 4 * 1024 * 1024


class Counts:
    """Estimates for models, corrected by what their upstreams report."""

    def __init__(self) -> None:
        self._ratios = Ratios()
        self._asked_s: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def tokens(self, target: Target, body: dict[str, Any]) -> tuple[int, float]:
        """Return about how many tokens `body` has for the model, and the ratio that the estimate was corrected by."""
        key = _key(target)
        return self._ratios.corrected(key, estimate(body)), self._ratios.of(key)

    def learn(self, target: Target, body: dict[str, Any], size: int, usage: Usage | None) -> None:
        """Compare what the upstream counted for a request of `size` bytes to the estimate."""
        if usage is not None and size <= MAX_LEARNED_BYTES and not has_pictures(body):
            self._ratios.note(_key(target), estimate(body), usage.input_tokens)

    def ask_tokenizer(self, target: Target, body: dict[str, Any]) -> None:
        """Let the server's own tokenizer count a text, in the background, if nothing better is known of the model."""
        key, now_s = _key(target), monotonic()
        if not target.upstream.passes or self._ratios.knows(key):
            return
        if now_s - self._asked_s.get(key, float("-inf")) < TOKENIZER_EVERY_S:
            return
        if len(self._asked_s) >= MAX_MODELS:
            self._asked_s.clear()
        self._asked_s[key] = now_s
        task = asyncio.get_running_loop().create_task(self._compare(key, target, sample(body)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _compare(self, key: str, target: Target, text: str) -> None:
        found = await target.upstream.tokenize(target.model, text)
        if found is not None and not self._ratios.knows(key):
            self._ratios.note(key, prose(text), found)

    async def close(self) -> None:
        """Ask no tokenizer any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _key(target: Target) -> str:
    return f"{target.upstream.name}/{target.model}"
