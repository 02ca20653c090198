"""The model catalogue: live with ETag, kept in memory and on disk, served at once, never waited for twice.

A stale copy is served while a new one is fetched; when there is none at all and the upstream is down, a
table of the models known at the time of this release is. Owns: freshness. Refuses to know: HTTP. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from airelays.credentials.secretfile import read_secret, write_private
from airelays.errors import ConfigError, UpstreamFault
from airelays.settings.record import Record

# The catalogue depends on the version that asks. Raised with releases; upstream.client_version overrides.
CLIENT_VERSION = "0.169.0"
# After a failed fetch a stale copy is served for so long before the upstream is asked again.
CALM_S = 30.0
MAX_FILE_BYTES = 4 * 1024 * 1024
_LEVELS = ("low", "medium", "high", "xhigh")
# slug, default effort, context window: for the hour in which the upstream cannot be asked, never as truth.
_KNOWN = (
    ("gpt-6.1-sol", "low", 272_000),
    ("gpt-6-astra", "low", 272_000),
    ("gpt-6-sol", "medium", 272_000),
    ("gpt-6-luna", "medium", 272_000),
    ("gpt-5.6-sol", "low", 272_000),
    ("gpt-6.1-terra", "low", 500_000),
    ("gpt-5.6-terra", "medium", 272_000),
    ("gpt-5.6-luna", "medium", 272_000),
    ("gpt-5.5", "medium", 272_000),
)

Models = list[dict[str, Any]]


_FALLBACK: Models = [
    {
        "slug": slug,
        "display_name": slug,
        "description": "Known at the time of this release; the upstream could not be asked.",
        "default_reasoning_level": default,
        "supported_reasoning_levels": [{"effort": e, "description": e} for e in _LEVELS],
        "visibility": "list",
        "supported_in_api": True,
        "priority": rank,
        "context_window": window,
        "input_modalities": ["text", "image"],
    }
    for rank, (slug, default, window) in enumerate(_KNOWN, 1)
]


class Fetched(Record):
    """One answer of the upstream; `models` is None when it said that the copy with this ETag still holds."""

    models: Models | None
    etag: str


class Catalogue:
    """`fetch(etag)` asks the upstream. `path` keeps a copy over restarts, for the same `identity` only."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[Fetched]],
        *,
        ttl_s: float,
        path: str = "",
        identity: str = "",
    ) -> None:
        self._fetch = fetch
        self._ttl_s = ttl_s
        self._path = path
        self._identity = identity
        self._models: Models | None = None
        self._etag = ""
        self._fresh_until_s = 0.0
        self._fetched_s = 0.0
        self._calm_until_s = 0.0
        self._flight: asyncio.Task[None] | None = None
        self._read_file = False
        self.certain = False

    async def models(self, *, refresh: bool = False) -> Models:
        """Return the catalogue. `refresh` waits for the upstream; a copy serves while that is down.

        A time to live of 0 means `refresh` each time.

        Raises UpstreamFault for a sign-in that cannot be used when there is no copy.
        """
        return await self._get(refresh=refresh, in_time=False)

    async def _get(self, *, refresh: bool, in_time: bool) -> Models:
        refresh = refresh or self._ttl_s <= 0
        if self._models is not None and not refresh and time.monotonic() < self._fresh_until_s:
            return self._models
        if not self._read_file:
            self._read_file = True
            await asyncio.to_thread(self._load)
        if refresh or self._models is None:
            return await self._wait(refresh, in_time)
        if time.monotonic() >= self._calm_until_s:
            self._start()
        return self._models

    async def for_request(self, *, patient: bool) -> Models:
        """Return the catalogue for a request that names a model. Without a copy, and not `patient`, [] at once.

        Raises the fault of a connection that was waited for until its deadline: the request has then spent that time,
        and to dial once more would double it.
        """
        if patient or self._models is not None:
            return await self._get(refresh=False, in_time=True)
        if not self._read_file:
            self._read_file = True
            await asyncio.to_thread(self._load)
        if self._models is None and time.monotonic() >= self._calm_until_s:
            self._start()
        return self._models or []

    def seen_etag(self, etag: str) -> None:
        """Take note of the ETag on another answer: the same renews the copy, another one makes it stale."""
        if not self._etag or not self._ttl_s:
            return
        if etag == self._etag:
            self._fresh_until_s = time.monotonic() + self._ttl_s
        else:
            self._fresh_until_s = self._calm_until_s = 0.0

    def describe(self) -> dict[str, Any]:
        """Return how old the copy is, for `status`."""
        now_s = time.monotonic()
        state = (
            "empty"
            if self._models is None
            else "fresh"
            if now_s < self._fresh_until_s
            else "expired"
        )
        facts: dict[str, Any] = {
            "enabled": self._ttl_s > 0,
            "ttl_seconds": self._ttl_s,
            "state": state if self._ttl_s > 0 else "disabled",
            "cached_model_count": len(self._models or ()),
            "age_seconds": None,
            "expires_in_seconds": None,
        }
        if self._fetched_s:
            facts["age_seconds"] = round(now_s - self._fetched_s, 1)
            facts["expires_in_seconds"] = round(max(0.0, self._fresh_until_s - now_s), 1)
        return facts

    async def close(self) -> None:
        """Stop a running fetch."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])

    async def _wait(self, refresh: bool, in_time: bool) -> Models:
        if refresh or self._flight is not None or time.monotonic() >= self._calm_until_s:
            try:
                await asyncio.shield(self._start())
            except UpstreamFault as fault:
                if self._models is None and fault.hop == "sign_in":
                    raise
                if in_time and fault.status == 504 and not fault.sent:
                    raise
        return self._models if self._models is not None else _FALLBACK

    def _start(self) -> asyncio.Task[None]:
        if self._flight is None:
            loop = asyncio.get_running_loop()
            self._flight = loop.create_task(self._renew(), name="models-fetch")
            self._flight.add_done_callback(self._landed)
        return self._flight

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()

    async def _renew(self) -> None:
        self._calm_until_s = time.monotonic() + CALM_S
        try:
            found = await self._fetch(self._etag if self._models is not None else "")
        except UpstreamFault as fault:
            if fault.hop == "sign_in":
                # Signing in is noticed at once, not half a minute later.
                self._calm_until_s = 0.0
            raise
        now_s = time.monotonic()
        self._calm_until_s = 0.0
        self._fetched_s, self._fresh_until_s = now_s, now_s + self._ttl_s
        self.certain = True
        if found.models is not None:
            self._models, self._etag = found.models, found.etag
            await asyncio.to_thread(self._save)

    def _load(self) -> None:
        if not self._path:
            return
        try:
            data = read_secret(self._path, warn=lambda _: None, max_bytes=MAX_FILE_BYTES)
            value = json.loads(data or b"{}")
        except (ConfigError, ValueError, RecursionError):
            return
        if not isinstance(value, dict) or value.get("identity") != self._identity:
            return
        models, etag = value.get("models"), value.get("etag")
        if self._models is not None:
            return
        if isinstance(models, list) and models and all(isinstance(m, dict) for m in models):
            self._models, self._etag = models, etag if isinstance(etag, str) else ""
            self.certain = True

    def _save(self) -> None:
        if not self._path:
            return
        value = {"identity": self._identity, "etag": self._etag, "models": self._models}
        try:
            write_private(self._path, json.dumps(value).encode())
        except ConfigError:
            # A full or read-only disk costs the copy over restarts, nothing else.
            return
