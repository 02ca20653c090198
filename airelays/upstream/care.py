"""Looks after the upstreams that others can stand in for: who is skipped, and when one is asked again. Layer: I/O.

The rules are those of `health.py`; here are the clock, the probes, and what the operator is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from airelays.errors import UpstreamFault
from airelays.upstream.cachekeys import CacheKeys
from airelays.upstream.health import Health, counts, is_timeout, shows_life

if TYPE_CHECKING:
    from airelays.upstream.base import Upstream
    from airelays.upstream.target import Target

PROBE_S = 5.0
# Upstream, "skipped" or "back", a sentence, for how many seconds.
Tell = Callable[[str, str, str, float | None], None]


class Care:
    """The health of every upstream of one relay, by the object: it goes with the upstream over a reload."""

    def __init__(
        self, complain: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self.cache_keys = CacheKeys()
        self.clock = clock
        self.tell: Tell = lambda name, state, text, seconds: complain(text)
        self._known: dict[Upstream, Health] = {}
        self._timers: dict[Upstream, asyncio.TimerHandle] = {}
        self._probes: dict[Upstream, asyncio.Task[None]] = {}

    def why_skipped(self, target: Target) -> str:
        """Return the listed cause for which `target` is not worth asking now; "" for none."""
        health = self._known.get(target.upstream)
        cause = "" if health is None else health.why_not(target.model, self.clock())
        return cause if cause in target.causes else ""

    def is_skipped(self, upstream: Upstream) -> bool:
        """Whether `upstream` is left out, for whatever is asked of it."""
        health = self._known.get(upstream)
        return health is not None and bool(health.why_not("", self.clock()))

    def worth_asking(self, targets: Sequence[Target]) -> list[Target]:
        """Return the targets that are not skipped, in their order; all of them if all are."""
        return [one for one in targets if not self.why_skipped(one)] or list(targets)

    def asking(self, target: Target) -> Asking:
        """Return what notes how `target` serves one request that begins now."""
        upstream = target.upstream
        health = self._known.get(upstream)
        if health is None:
            health = self._known[upstream] = Health()
        return Asking(self, target, health)

    def answered(self, upstream: Upstream, model: str) -> None:
        """Note that `upstream` has answered a request for `model`."""
        health = self._known.get(upstream)
        if health is None or not health.succeeded(model):
            return
        self._stop_timer(upstream)
        text = f"the upstream {upstream.name} is answering again and back in use"
        self.tell(upstream.name, "back", text, None)

    def pause(self, upstream: Upstream, health: Health, why: str) -> None:
        """Tell of the pause that has begun, and look at its end whether the upstream is back."""
        seconds = health.until_s - self.clock()
        if health.begins_an_outage:
            text = f"the upstream {upstream.name} is skipped for {seconds:.0f} s, then tried again: {why}"
            self.tell(upstream.name, "skipped", text, seconds)
        self._stop_timer(upstream)
        if health.silent:
            loop = asyncio.get_running_loop()
            self._timers[upstream] = loop.call_later(max(0.0, seconds), self.probe, upstream)

    def facts(self, upstream: Upstream) -> dict[str, Any]:
        """Return what `status` says: ready, skipped or trying, why, and for how long."""
        health, now_s = self._known.get(upstream), self.clock()
        if health is None:
            return {"state": "ready"}
        spent = health.spent_models(now_s)
        found: dict[str, Any] = (
            {"state": "ready"} if not spent else {"state": "ready", "quota_used_up": spent}
        )
        if health.skipped:
            left_s = round(max(0.0, health.until_s - now_s), 1)
            state = "skipped" if left_s or health.silent else "trying"
            found |= {"state": state, "cause": health.cause, "for_seconds": left_s}
        return found

    def probe(self, upstream: Upstream) -> asyncio.Task[None] | None:
        """Ask a silent upstream, beside all requests, whether it is back; return who does, None if nobody need."""
        self._timers.pop(upstream, None)
        health = self._known.get(upstream)
        if health is None or upstream in self._probes or not health.silent:
            return None
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._probe(upstream, health), name=f"probe {upstream.name}")
        self._probes[upstream] = task
        task.add_done_callback(lambda done: self._probed(upstream, done))
        return task

    async def _probe(self, upstream: Upstream, health: Health) -> None:
        begun_s = max(self.clock(), health.until_s)
        try:
            async with asyncio.timeout(PROBE_S):
                alive = await upstream.alive()
        except TimeoutError:
            alive = False
        if not health.silent:
            return
        if alive:
            self.answered(upstream, "")
            return
        now_s = max(self.clock(), begun_s)
        if health.failed(health.cause, begun_s, now_s, timeout=True):
            self.pause(upstream, health, "")

    def _probed(self, upstream: Upstream, task: asyncio.Task[None]) -> None:
        self._probes.pop(upstream, None)
        if not task.cancelled():
            task.exception()

    def _stop_timer(self, upstream: Upstream) -> None:
        timer = self._timers.pop(upstream, None)
        if timer is not None:
            timer.cancel()

    async def forget(self, upstream: Upstream) -> None:
        """Let go of an upstream that is closed."""
        self._known.pop(upstream, None)
        self._stop_timer(upstream)
        task = self._probes.get(upstream)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


class Asking:
    """One request to one upstream, from its beginning to its end."""

    __slots__ = ("_begun_s", "_care", "_decides", "_health", "_target")

    def __init__(self, care: Care, target: Target, health: Health) -> None:
        self._care, self._target, self._health = care, target, health
        self._begun_s = care.clock()
        self._decides = health.begin(self._begun_s)

    def answered(self) -> None:
        """The first byte has come, or the whole answer."""
        self._decides = False
        self._care.answered(self._target.upstream, self._target.model)

    def failed(self, fault: UpstreamFault, cause: str) -> None:
        """It failed before the first byte; `cause` is the word of the settings for it."""
        target, health, now_s = self._target, self._health, self._care.clock()
        if shows_life(fault):
            self.answered()
        elif cause == "quota":
            if fault.retry_after_s:
                health.spent(target.model, now_s + fault.retry_after_s)
        elif cause in target.causes and (is_timeout(fault) or counts(fault)):
            timeout = is_timeout(fault)
            if health.failed(cause, self._begun_s, now_s, timeout=timeout):
                self._decides = False
                self._care.pause(target.upstream, health, fault.local)

    def end(self) -> None:
        """The request is over, whatever came of it."""
        if self._decides:
            self._health.give_up()
