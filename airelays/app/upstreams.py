"""The upstreams of one relay: made when first needed, chosen by model, shown in one list. Layer: app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airelays.app.targets import Target
from airelays.errors import UpstreamFault
from airelays.settings import Settings, UpstreamSettings
from airelays.translate.models import find, list_body
from airelays.upstream.base import Upstream

__all__ = ["Upstreams"]


class Upstreams:
    """Owns every configured upstream. `complain` is for what the operator should see once."""

    def __init__(self, settings: Settings, complain: Callable[[str], None]) -> None:
        self._settings = settings
        self._complain = complain
        self._made: dict[str, Upstream] = {}
        self._main: Upstream | None = None
        self._warming: asyncio.Task[None] | None = None
        self._aliases = {alias.name: alias.model for alias in settings.aliases}

    @property
    def main(self) -> Upstream:
        """The upstream of the `[upstream]` table."""
        if self._main is None:
            self._main = self._get(self._settings.main_upstream)
        return self._main

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

        return ChatGPTUpstream(self._settings, name=settings.name, warn=self._complain)

    async def targets(self, model: str) -> list[Target]:
        """Return who may serve `model`, first choice first. Raises ClientFault 404 for an unknown model."""
        return [Target(*await self.pick(model))]

    async def pick(self, model: str) -> tuple[Upstream, str]:
        """Return the upstream that serves `model`, and the name that it knows the model by.

        Raises ClientFault 404 for a model that the catalogue does not have; when there is no catalogue, the
        upstream itself decides.
        """
        upstream = self.main
        if upstream.kind == "demo":
            return upstream, model
        try:
            catalogue = await upstream.models()
        except UpstreamFault:
            return upstream, model
        if not getattr(upstream, "catalogue_certain", True):
            # The table of this release stands in for the catalogue: it knows no newer models.
            return upstream, self._aliases.get(model, model)
        found = find(model, catalogue, aliases=self._aliases, extra=self._settings.extra_models)
        return upstream, found.model

    async def list_body(self, *, refresh: bool = False) -> dict[str, Any]:
        """Return the body of GET /v1/models."""
        upstream = self.main
        return list_body(
            await upstream.models(refresh=refresh),
            aliases=self._aliases,
            extra=self._settings.extra_models,
            upstream=upstream.name,
            owned_by=f"airelays-{upstream.name}",
        )

    def default_model(self) -> str:
        """Return a model name for examples."""
        return "demo" if self._settings.upstream_kind == "demo" else "gpt-5.5"

    async def status(self) -> dict[str, Any]:
        """Return the facts of each upstream, by name; no network."""
        return {self.main.name: await self.main.status()}

    def warm(self) -> None:
        """Prepare, beside everything else, what the first request would otherwise wait for."""
        warm = getattr(self.main, "warm", None)
        if warm is not None:
            self._warming = asyncio.get_running_loop().create_task(warm(), name="warm")

    def secrets(self) -> list[bytes]:
        """Return every secret that the upstreams hold now, for the redaction. Any thread may ask."""
        found: list[bytes] = []
        for upstream in list(self._made.values()):
            tell = getattr(upstream, "secrets", None)
            if tell is not None:
                found += tell()
        return found

    async def close(self) -> None:
        """Close every upstream that was made."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        await asyncio.gather(*(upstream.close() for upstream in self._made.values()))
