"""Whether a server is an Ollama, which then gets the requests of Ollama's API as they are. Layer: I/O."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from airelays.errors import UpstreamFault

# A server may be replaced by another one at the same address.
REMEMBERED_S = 3600.0


class Native:
    """Asks at the root of the server `base`. `ask` sends a GET and returns its JSON, None for any other answer."""

    def __init__(self, base: str, ask: Callable[[str], Awaitable[Any]]) -> None:
        self._base = base
        self._root = base.removesuffix("/v1")
        self._ask = ask
        self._known = False
        self._until_s = 0.0

    def url_of(self, path: str) -> str:
        """Return the URL of a path below the base URL; those of Ollama's API are below the root of the server."""
        return (self._root if path.startswith("/api/") else self._base) + path

    async def is_ollama(self) -> bool:
        """Whether it says so. Raises UpstreamFault when the server does not answer."""
        if time.monotonic() >= self._until_s:
            try:
                answer = await self._ask(f"{self._root}/api/version")
            except UpstreamFault as fault:
                if fault.code != "upstream_malformed":
                    raise
                answer = None
            version = answer.get("version") if isinstance(answer, dict) else None
            self._known = isinstance(version, str) and bool(version)
            self._until_s = time.monotonic() + REMEMBERED_S
        return self._known
