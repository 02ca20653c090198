"""The upstreams of one relay: made when first needed, chosen by model, shown in one list. Layer: app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from airelays.app.targets import Target
from airelays.errors import ClientFault, UpstreamFault
from airelays.settings import Settings, UpstreamSettings
from airelays.translate.models import IMAGE_MODEL, find, list_body
from airelays.upstream.base import Upstream

if TYPE_CHECKING:
    from airelays.guard.redact import Redactor

__all__ = ["Upstreams"]

# A server that is slow to list its models is left out of the list: nobody waits for it.
LIST_SECONDS = 1.5
_T = TypeVar("_T")


class Upstreams:
    """Owns every configured upstream. `complain` is for what the operator should see once."""

    def __init__(
        self,
        settings: Settings,
        complain: Callable[[str], None],
        *,
        redactor: Callable[[], Redactor] | None = None,
    ) -> None:
        """`redactor` returns what takes every secret of the process out of an upstream's errors."""
        self._settings = settings
        self._redactor = redactor
        self._main_settings = settings.main_upstream
        self._complain = complain
        self._made: dict[str, Upstream] = {}
        self._main: Upstream | None = None
        self._warming: asyncio.Task[None] | None = None
        self._aliases = {alias.name.casefold(): alias for alias in settings.aliases}
        self._named = {one.name: one for one in settings.upstreams}
        self._complained: set[str] = set()

    @property
    def main(self) -> Upstream:
        """The upstream of the `[upstream]` table."""
        if self._main is None:
            self._main = self._get(self._main_settings)
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
        if settings.kind == "compatible":
            from airelays.upstream.compatible import Compatible

            ttl_s = self._settings.models_cache_ttl_seconds
            return Compatible(settings, models_ttl_s=ttl_s, redactor=self._redactor)
        from airelays.upstream.chatgpt.backend import ChatGPTUpstream

        return ChatGPTUpstream(
            self._settings, name=settings.name, warn=self._complain, redactor=self._redactor
        )

    async def targets(self, model: str) -> list[Target]:
        """Return who may serve `model`, first choice first. Raises ClientFault 404 for an unknown model."""
        alias = self._aliases.get(model.casefold())
        upstream, found = await self._find(alias.model if alias is not None else model)
        rules = alias if alias is not None and alias.fallback else self._rules(upstream.name)
        if not rules.fallback:
            return [Target(upstream, found)]
        targets = [Target(upstream, found, frozenset(rules.fallback_on))]
        for other in rules.fallback:
            try:
                targets.append(Target(*await self._find(other), frozenset(rules.fallback_on)))
            except ClientFault as fault:
                self._complain_once(f"fallback {other}: {fault.message}")
        return targets

    async def _find(self, model: str) -> tuple[Upstream, str]:
        """Return the upstream that serves `model`, and the name that it knows the model by.

        `NAME/model` addresses one directly, then the first whose patterns match, then the main one.
        Raises ClientFault 404 for a model that the catalogue does not have; without one the upstream decides.
        """
        upstream, model = self._route(model)
        if upstream.kind != "chatgpt":
            return upstream, model
        try:
            catalogue = await upstream.models()
        except UpstreamFault:
            return upstream, model
        if not getattr(upstream, "catalogue_certain", True):
            return upstream, model  # the table of this release stands in: it knows no newer models
        extra = self._settings.extra_models
        return upstream, find(model, catalogue, extra=extra, images=(IMAGE_MODEL,)).model

    def owner(self, model: str) -> Upstream:
        """Return the upstream that requests for `model` go to first, whether or not it has the model; no network."""
        alias = self._aliases.get(model.casefold())
        return self._route(alias.model if alias is not None else model)[0]

    def _route(self, model: str) -> tuple[Upstream, str]:
        name, slash, rest = model.partition("/")
        if slash and rest and name in self._named:
            return self._get(self._named[name]), rest
        if slash and rest and name == self.main.name:
            model = rest
        folded = model.casefold()
        for settings in self._settings.upstreams:
            if any(fnmatchcase(folded, pattern.casefold()) for pattern in settings.models):
                return self._get(settings), model
        return self.main, model

    def _rules(self, name: str) -> UpstreamSettings:
        return self._named.get(name) or self._main_settings

    def _complain_once(self, text: str) -> None:
        if text not in self._complained:
            self._complained.add(text)
            self._complain(text)

    async def list_body(self, *, refresh: bool = False) -> dict[str, Any]:
        """Return the body of GET /v1/models: of every upstream; one that is down is left out.

        Raises the main upstream's fault when none has a list.
        """
        main = self.main
        others = [self._get(settings) for settings in self._settings.upstreams]
        found = await asyncio.gather(
            main.models(refresh=refresh),
            *(_soon(other.models(refresh=refresh)) for other in others),
            return_exceptions=True,
        )
        lists = [one for one in found if isinstance(one, list)]
        if not lists and isinstance(found[0], BaseException):
            raise found[0]
        body = list_body(
            found[0] if isinstance(found[0], list) else [],
            aliases={alias.name: alias.model for alias in self._settings.aliases},
            extra=self._settings.extra_models,
            images=() if getattr(main, "image", None) is None else (IMAGE_MODEL,),
            upstream=main.name,
            owned_by=f"airelays-{main.name}",
        )
        for other, models in zip(others, found[1:], strict=True):
            if isinstance(models, list):
                named = [{**m, "slug": f"{other.name}/{m.get('slug')}"} for m in models]
                more = list_body(named, upstream=other.name, owned_by=f"airelays-{other.name}")
                body["data"] += more["data"]
        return body

    def default_model(self) -> str:
        """Return a model name for examples."""
        kind = self._settings.upstream_kind
        return {"demo": "demo", "chatgpt": "gpt-5.5"}.get(kind, "MODEL")

    async def status(self) -> dict[str, Any]:
        """Return the facts of each upstream, by name; no network."""
        every = [self.main, *(self._get(settings) for settings in self._settings.upstreams)]
        return {upstream.name: await upstream.status() for upstream in every}

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


async def _soon(awaited: Awaitable[_T]) -> _T:
    async with asyncio.timeout(LIST_SECONDS):
        return await awaited
