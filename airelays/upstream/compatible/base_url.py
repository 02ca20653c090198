"""What may be wrong with a `base_url`, and which others are likely to be meant. Layer: I/O.

Most servers have their API below /v1; pages that describe them show a whole address, or only the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from airelays.errors import UpstreamFault

# So long all candidates are asked, and so long the answer is not asked for again.
ASK_SECONDS = 3.0
CALM_SECONDS = 30.0

_ENDPOINT = re.compile(
    r"/(?:chat/completions|chat|completions|responses|embeddings|models|messages|rerank|generate|tags"
    r"|images/generations|audio/(?:speech|transcriptions|translations))\Z"
)
_VERSION = re.compile(r"/v[0-9][0-9a-z.]*(?=/|\Z)")
_ORIGIN = re.compile(r"[a-z]+://[^/]*", re.IGNORECASE)
MAX_CANDIDATES = 4


def candidates(base_url: str) -> list[str]:
    """Return what may be meant instead of `base_url`, the likeliest first; all at the same server."""
    written = base_url.strip()
    bare = _ENDPOINT.sub("", written.rstrip("/")).rstrip("/")
    origin = _ORIGIN.match(bare)
    found = [bare]
    if not _VERSION.search(bare, 0 if origin is None else origin.end()):
        found.insert(0 if bare == written.rstrip("/") else 1, f"{bare}/v1")
    found.append(re.sub(r"(/v[0-9]+)\1+", r"\1", bare))
    if origin is not None:
        found += [f"{origin[0]}/v1", f"{origin[0]}/api/v1"]
    return [one for one in dict.fromkeys(found) if one != base_url][:MAX_CANDIDATES]


def doubt(base_url: str) -> str:
    """Return what to say of a `base_url` that is not likely to work; "" for a usual one."""
    written = base_url.strip().rstrip("/")
    found = _ENDPOINT.search(written)
    if found is not None:
        better = candidates(base_url)[0]
        return f'ends with {found[0]}, which the relay appends; try base_url = "{better}"'
    origin = _ORIGIN.match(written)
    rest = written[origin.end() :] if origin is not None else ""
    if re.search(r"(/v[0-9]+)\1", rest):
        return f'contains the version twice; try base_url = "{candidates(base_url)[0]}"'
    if not _VERSION.search(rest):
        return (
            "has no version in its path, and most servers have their API at /v1; if requests fail with "
            f'404, try base_url = "{written}/v1"'
        )
    return ""


class BetterBase:
    """Finds out which other base URL works at a server that does not know a path; `ask` sends it a GET."""

    def __init__(self, base_url: str, ask: Callable[[str], Awaitable[Any]]) -> None:
        self._base_url = base_url
        self._ask = ask
        self._known: tuple[str, float] = ("", 0.0)

    async def hint(self, unless: str = "; check base_url") -> str:
        """Return what to add to an error: the base URL that works, `unless` when none is found."""
        text, until_s = self._known
        if time.monotonic() < until_s:
            return text or unless
        tried = candidates(self._base_url)
        works = [False]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                works = await asyncio.gather(*map(self._works, tried))
        better = next((url for url, yes in zip(tried, works, strict=False) if yes), "")
        text = f'; base_url = "{better}" works' if better else ""
        self._known = (text, time.monotonic() + CALM_SECONDS)
        return text or unless

    async def _works(self, base_url: str) -> bool:
        """Whether the server lists models there, as one with OpenAI's API does."""
        try:
            listed = await self._ask(f"{base_url}/models")
        except UpstreamFault:
            return False
        return isinstance(listed, dict) and isinstance(listed.get("data"), list)
