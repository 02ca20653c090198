"""A server's own tokenizer: `/tokenize` of llama.cpp and vLLM, beside the API. Layer: I/O."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from airelays.errors import UpstreamFault
from airelays.upstream.encoding import encode

# A server that has none is asked again after so long.
LACKING_S = 86_400.0


class Tokenizer:
    """Asks at the root of the server `base`. `ask` sends a POST and returns its JSON, None for any other answer."""

    def __init__(self, base: str, ask: Callable[[str, bytes], Awaitable[Any]]) -> None:
        self._url = base.removesuffix("/v1") + "/tokenize"
        self._ask = ask
        self._lacking_until_s = 0.0

    async def count(self, model: str, text: str) -> int | None:
        """Return how many tokens `text` has, None if nobody says."""
        if time.monotonic() < self._lacking_until_s:
            return None
        # Both servers pass over the other's field.
        asked = {"model": model, "content": text, "prompt": text}
        try:
            answer = await self._ask(self._url, await encode(asked))
        except UpstreamFault as fault:
            if fault.code != "upstream_malformed":
                return None  # it may be back in a minute
            answer = None
        found = _count_in(answer)
        if found is None:
            self._lacking_until_s = time.monotonic() + LACKING_S
        return found


def _count_in(answer: Any) -> int | None:
    if not isinstance(answer, dict):
        return None
    count, tokens = answer.get("count"), answer.get("tokens")
    if type(count) is int and count > 0:
        return count
    return len(tokens) if isinstance(tokens, list) and tokens else None
