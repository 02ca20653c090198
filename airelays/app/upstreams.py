"""The upstreams of one relay: made when first needed, chosen by model, shown in one list. Layer: app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airelays.settings import Settings, UpstreamSettings
from airelays.upstream.base import Upstream

__all__ = ["Upstreams"]


class Upstreams:
    """Owns every configured upstream. `complain` is for what the operator should see once."""

    def __init__(self, settings: Settings, complain: Callable[[str], None]) -> None:
        self._settings = settings
        self._complain = complain
        self._made: dict[str, Upstream] = {}

    @property
    def main(self) -> Upstream:
        """The upstream of the `[upstream]` table."""
        return self._get(self._settings.main_upstream)

    def _get(self, settings: UpstreamSettings) -> Upstream:
        upstream = self._made.get(settings.name)
        if upstream is None:
            upstream = self._made[settings.name] = self._make(settings)
        return upstream

    def _make(self, settings: UpstreamSettings) -> Upstream:
        if settings.kind == "demo":
            from airelays.upstream.demo import Demo

            return Demo(
                settings.name,
                pace_ms=self._settings.demo_pace_ms,
                reasoning=self._settings.demo_reasoning,
            )
        from airelays.upstream.chatgpt.backend import ChatGPTUpstream

        return ChatGPTUpstream(self._settings)

    async def pick(self, model: str) -> tuple[Upstream, str]:
        """Return the upstream that serves `model`, and the name that it knows the model by."""
        return self.main, model

    async def catalogue(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """Return the models of every upstream."""
        return await self.main.models(refresh=refresh)

    def default_model(self) -> str:
        """Return a model name for examples."""
        return "demo" if self._settings.upstream_kind == "demo" else "gpt-5.5"

    async def status(self) -> dict[str, Any]:
        """Return the facts of each upstream, by name; no network."""
        return {self.main.name: await self.main.status()}

    def warm(self) -> None:
        """Prepare what the first request would otherwise wait for."""

    async def close(self) -> None:
        """Close every upstream that was made."""
        await asyncio.gather(*(upstream.close() for upstream in self._made.values()))
