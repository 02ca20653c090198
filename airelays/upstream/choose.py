"""The upstreams of one relay: made when first needed, chosen by model, shown in one list. Layer: I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from airelays.dialects.listing import MAX_ID_CHARS, MAX_LISTED, Listing, Source
from airelays.dialects.models import IMAGE_MODEL, Index, find
from airelays.errors import ClientFault, UpstreamFault
from airelays.guard.keys import Key, check_model, check_upstream
from airelays.lookup import find_named
from airelays.settings.kinds import KINDS
from airelays.settings.values import Alias, Settings, UpstreamSettings
from airelays.upstream.base import Maker, Upstream
from airelays.upstream.care import Care
from airelays.upstream.target import Target, allows

if TYPE_CHECKING:
    from airelays.guard.redact import Redactor

# A server that is slow to list its models is left out of the list: nobody waits for it.
LIST_SECONDS = 1.5
# Options outside an upstream's own table that it is made of.
_MADE_OF = ("client_version", "image_timeout_seconds", "models_cache_ttl_seconds", "retry_attempts",
            "retry_backoff_seconds")  # fmt: skip
_T = TypeVar("_T")
Catalogue = list[dict[str, Any]]


def make_upstream(
    settings: Settings,
    own: UpstreamSettings,
    *,
    warn: Callable[[str], None] | None = None,
    redactor: Callable[[], Redactor] | None = None,
) -> Upstream:
    """Make the upstream of `own`, whose kind says how. Raises ConfigError for settings that cannot work."""
    make: Maker = find_named("airelays.upstream", KINDS[own.kind].makes)
    return make(settings, own, warn=warn, redactor=redactor)


class Upstreams:
    """Owns every configured upstream. `complain` is for what the operator should see once."""

    def __init__(
        self,
        settings: Settings,
        complain: Callable[[str], None],
        *,
        redactor: Callable[[], Redactor] | None = None,
        care: Care | None = None,
    ) -> None:
        """`redactor` returns what takes every secret of the process out of an upstream's errors."""
        self._settings = settings
        self._redactor = redactor
        self._main_settings = settings.main_upstream
        self._complain = complain
        self.care = care or Care(complain)
        self._made: dict[str, Upstream] = {}
        self._main: Upstream | None = None
        # Names of those that a successor goes on with.
        self._handed_on: set[str] = set()
        self._warming: asyncio.Task[None] | None = None
        self._aliases = {alias.name.casefold(): alias for alias in settings.aliases}
        self._patterns = patterns_of(settings.aliases)
        self._named = {one.name: one for one in settings.upstreams}
        self._complained: set[str] = set()
        # What was made of which catalogues; these are never changed, only replaced.
        self._indexed: tuple[Catalogue, Index] = ([], Index([]))
        self._listed: tuple[list[Catalogue | None], Listing | None] = ([], None)
        self._listing_lock = asyncio.Lock()

    def successor(self, settings: Settings) -> Upstreams:
        """Return the upstreams of new settings, with those of these that are the same.

        Raises ConfigError when one cannot be made; then nothing has changed here.
        """
        fresh = Upstreams(settings, self._complain, redactor=self._redactor, care=self.care)
        before = {one.name: one for one in (self._main_settings, *self._settings.upstreams)}
        for own in (settings.main_upstream, *settings.upstreams):
            old = before.get(own.name)
            made = self._made.get(own.name)
            if old is None or made is None:
                continue
            if _made_of(settings, own) == _made_of(self._settings, old):
                fresh._made[own.name] = made
        fresh.every()
        self._handed_on = {name for name, one in fresh._made.items() if self._made.get(name) is one}
        return fresh

    @property
    def main(self) -> Upstream:
        """The upstream of the `[upstream]` table."""
        if self._main is None:
            self._main = self._get(self._main_settings)
        return self._main

    def _get(self, settings: UpstreamSettings) -> Upstream:
        upstream = self._made.get(settings.name)
        if upstream is None:
            upstream = self._made[settings.name] = make_upstream(
                self._settings, settings, warn=self._complain, redactor=self._redactor
            )
        return upstream

    async def targets(self, model: str, key: Key | None = None) -> list[Target]:
        """Return who may serve `model`, first choice first. Raises ClientFault 404 for an unknown model.

        For a named key 403 when it may not use what `model` stands for; fallbacks that it may not use are left out.
        """
        alias, owner = self._alias(model), self.owner(model)
        if key is not None:
            check_upstream(key, owner.name)
        rules = alias if alias is not None and alias.fallback else self._rules(owner.name)
        # One that is skipped is not waited for either when its models are looked up.
        patient = not rules.fallback or not self.care.is_skipped(owner)
        first = await self._find(self._meant(model), patient=patient)
        check_model(key, model, first.upstream.name, first.model)
        if not rules.fallback:
            return [first]
        causes = frozenset(rules.fallback_on)
        targets = [first._replace(causes=causes)]
        for other in rules.fallback:
            try:
                target = await self._find(self._meant(other), patient=False)
            except ClientFault as fault:
                self._complain_once(f"fallback {other}: {fault.message}")
                continue
            if key is not None and not allows(key, other, target):
                continue
            # An alias and its model, or two aliases of one model: what has just failed is not asked again.
            target = target._replace(causes=causes)
            if target not in targets:
                targets.append(target)
        return targets

    def _alias(self, model: str) -> Alias | None:
        """Return the alias that a name is: one of just this name, else the most exact of the patterns that fit."""
        folded = model.casefold()
        found = self._aliases.get(folded)
        if found is None and self._patterns:
            fits = (a for a in self._patterns if fnmatchcase(folded, a.name.casefold()))
            found = next(fits, None)
        return found

    def _meant(self, model: str) -> str:
        """Return the model that an alias stands for; any other name as it is."""
        alias = self._alias(model)
        return model if alias is None else alias.model

    async def _find(self, model: str, *, patient: bool = True) -> Target:
        """Return the upstream that serves `model`, and the name that it knows the model by.

        `NAME/model` addresses one directly, then the first whose patterns match, then the main one.
        Raises ClientFault 404 for a model that the catalogue does not have; without one the upstream decides.
        A catalogue that is not there yet is waited for only if `patient`.
        """
        upstream, model = self._route(model)
        if not upstream.knows_its_models:
            return Target(upstream, model)
        try:
            catalogue = await upstream.models_for_request(patient=patient)
        except UpstreamFault as fault:
            timed_out = fault.status == 504 and not fault.sent
            return Target(upstream, model, fault=fault if timed_out else None)
        if catalogue is None:
            return Target(upstream, model)
        if self._indexed[0] is not catalogue:
            self._indexed = catalogue, await asyncio.to_thread(Index, catalogue)
        extra = self._settings.extra_models
        found = find(model, self._indexed[1], extra=extra, images=(IMAGE_MODEL,))
        return Target(upstream, found.model)

    def has_named(self, name: str) -> bool:
        """Whether there is an upstream of this name beside the main one."""
        return name in self._named

    def owner(self, model: str) -> Upstream:
        """Return the upstream that requests for `model` go to first, whether or not it has the model; no network."""
        return self._route(self._meant(model))[0]

    def named(self, name: str) -> Upstream | None:
        """Return the upstream of this name; no network."""
        if name == self.main.name:
            return self.main
        return self._get(self._named[name]) if name in self._named else None

    def destination(self, model: str) -> tuple[str, str]:
        """Return the name of the upstream that `model` goes to first, and the model there; no network."""
        upstream, there = self._route(self._meant(model))
        return upstream.name, there

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

    async def listing(self, *, refresh: bool = False) -> Listing:
        """Return the answer to GET /v1/models: of every upstream; one that is down is left out.

        It is made when a catalogue is a new one, and is the same object until then.
        Raises the main upstream's fault when none has a list.
        """
        others = [self._get(settings) for settings in self._settings.upstreams]
        found = await asyncio.gather(
            self.main.models(refresh=refresh),
            *(_soon(other.models(refresh=refresh)) for other in others),
            return_exceptions=True,
        )
        catalogues = [one if isinstance(one, list) else None for one in found]
        if isinstance(found[0], BaseException) and not any(one is not None for one in catalogues):
            raise found[0]
        async with self._listing_lock:
            listed, listing = self._listed
            if listing is None or any(a is not b for a, b in zip(listed, catalogues, strict=True)):
                listing = await asyncio.to_thread(self._make_listing, catalogues)
                self._listed = catalogues, listing
                if listing.left_out:
                    self._complain_once(
                        f"GET /v1/models leaves out {listing.left_out:,} models (it lists up to {MAX_LISTED:,}, with "
                        f"ids of up to {MAX_ID_CHARS} characters); they can be used by name"
                    )
        return listing

    def _make_listing(self, catalogues: list[Catalogue | None]) -> Listing:
        main = self.main
        names = [one.name for one in self._settings.upstreams]
        others = [
            Source(name, catalogue, f"{name}/")
            for name, catalogue in zip(names, catalogues[1:], strict=True)
            if catalogue is not None
        ]
        return Listing(
            [Source(main.name, catalogues[0] or []), *others],
            aliases={
                alias.name: alias.model
                for alias in self._settings.aliases
                if alias not in self._patterns
            },
            extra=self._settings.extra_models,
            images=(IMAGE_MODEL,) if "image" in main.offers else (),
        )

    def default_model(self) -> str:
        """Return a model name for examples, as far as it is known without asking; "" when it is not."""
        example = KINDS[self._settings.upstream_kind].example_model
        listing = self._listed[1]
        return example or ("" if listing is None else listing.first())

    def every(self) -> list[Upstream]:
        """Return all upstreams, the main one first."""
        return [self.main, *(self._get(settings) for settings in self._settings.upstreams)]

    async def status(self) -> dict[str, Any]:
        """Return the facts of each upstream, by name; no network."""
        every = self.every()
        return {one.name: {**await one.status(), "health": self.care.facts(one)} for one in every}

    def warm(self) -> None:
        """Prepare, beside everything else, what the first request would otherwise wait for."""
        self._warming = asyncio.get_running_loop().create_task(self.main.warm(), name="warm")

    def secrets(self) -> list[bytes]:
        """Return every secret that the upstreams hold now, for the redaction. Any thread may ask."""
        found: list[bytes] = []
        for upstream in list(self._made.values()):
            found += upstream.secrets()
        return found

    async def close(self) -> None:
        """Close every upstream that was made."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        made = [one for name, one in self._made.items() if name not in self._handed_on]
        await asyncio.gather(*(self.care.forget(upstream) for upstream in made))
        await asyncio.gather(*(upstream.close() for upstream in made))


def patterns_of(aliases: tuple[Alias, ...]) -> tuple[Alias, ...]:
    """Return the aliases that are patterns, the most exact first: with most characters other than wildcards."""
    found = [alias for alias in aliases if any(mark in alias.name for mark in "*?[")]
    return tuple(sorted(found, key=lambda a: -sum(c not in "*?" for c in a.name)))


def _made_of(settings: Settings, own: UpstreamSettings) -> tuple[object, ...]:
    """Return what an upstream is made of: all but what only the choice between them looks at."""
    chosen_by = own.replace(models=(), aliases=(), fallback=(), fallback_on=())
    return (chosen_by, *(getattr(settings, name) for name in _MADE_OF))


async def _soon(awaited: Awaitable[_T]) -> _T:
    async with asyncio.timeout(LIST_SECONDS):
        return await awaited
