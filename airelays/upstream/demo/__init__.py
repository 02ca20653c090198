"""The embedded upstream: no network, no login, the same answer each time; failures on request.

It speaks the Responses protocol through the same interface as the real ones, so that a newcomer can try any
client in a minute, and a client's author can test against every way an answer can go wrong.
Layer: I/O (it keeps time between words).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from airelays.dialects.takes import Takes
from airelays.errors import UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Call, Fields
from airelays.settings.values import Settings, UpstreamSettings
from airelays.upstream.base import Answer, Upstream
from airelays.upstream.demo.events import encode_event, events, failure_events
from airelays.upstream.demo.plan import Plan, make_plan

# Small, so that many streams at full speed take turns with everybody else.
BATCH_BYTES = 4 * 1024
MAX_PACE_MS = 10_000
QUOTA_SECONDS = 3600
MODELS = ("demo", "demo-mini")


_CATALOGUE: list[dict[str, Any]] = [
    {
        "slug": slug,
        "display_name": slug,
        "description": "The relay's embedded demo: echoes, calls tools, obeys schemas.",
        "supported_reasoning_levels": [
            {"effort": effort, "description": effort}
            for effort in ("none", "low", "medium", "high")
        ],
        "default_reasoning_level": "none",
        "visibility": "list",
        "supported_in_api": True,
        "priority": rank,
        "context_window": 1_000_000,
        "input_modalities": ["text", "image"],
    }
    for rank, slug in enumerate(MODELS, start=1)
]


_TAKES = Takes(
    parameters=frozenset(
        (
            *("model", "instructions", "input", "stream", "store", "include", "text", "reasoning"),
            *("tools", "tool_choice", "parallel_tool_calls", "max_output_tokens"),
            *("service_tier", "prompt_cache_key", "client_metadata"),
        )
    )
)


def make(
    settings: Settings,
    own: UpstreamSettings,
    *,
    warn: Callable[[str], None] | None,
    redactor: Callable[[], Redactor] | None,
) -> Demo:
    """Make the upstream; see upstream.base.Maker."""
    return Demo(own.name, pace_ms=settings.demo_pace_ms, reasoning=settings.demo_reasoning)


class Demo(Upstream):
    """The demo upstream. `pace_ms` lies between two words; 0 sends as fast as they are taken."""

    kind = "demo"
    offers = frozenset({"image"})

    def __init__(self, name: str = "demo", *, pace_ms: float = 0.0, reasoning: bool = True) -> None:
        self.name = name
        self.redactor = Redactor
        self._pace_ms = pace_ms
        self._reasoning = reasoning

    def takes(self, model: str) -> Takes:
        """What its answers follow; it has no sampling that could be set."""
        return _TAKES

    async def respond(self, body: dict[str, Any], call: Call) -> _DemoAnswer:
        """Answer any request for any model. Raises the failure that a `demo:` switch asks for."""
        plan = make_plan(body, reasoning=self._reasoning)
        _raise_switched(plan)
        pace_ms = plan.switches.get("pace")
        pace_s = min(self._pace_ms if pace_ms is None else pace_ms, MAX_PACE_MS) / 1000
        return _DemoAnswer(plan, body, call.request_id, pace_s)

    async def models(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """Return the two names that are listed; any other name is answered as well."""
        return _CATALOGUE

    async def image(self, operation: str, body: dict[str, Any]) -> tuple[dict[str, Any], Fields]:
        """Draw one small picture. The switches that fail before an answer work in the prompt, too."""
        from airelays.upstream.demo.sample import image_answer

        asked = {"input": [{"type": "message", "role": "user", "content": body.get("prompt")}]}
        _raise_switched(make_plan(asked, reasoning=False))
        return image_answer(body, int(time.time())), ()

    async def status(self) -> dict[str, Any]:
        """Return facts: always ready."""
        return {"kind": self.kind, "ready": True}


class _DemoAnswer(Answer):
    """One answer, made while it is pumped."""

    ignored: tuple[str, ...] = ()

    def __init__(self, plan: Plan, body: dict[str, Any], request_id: str, pace_s: float) -> None:
        self.fields: Fields = ()
        self._plan = plan
        self._body = body
        self._id = "resp_" + request_id.removeprefix("req_")
        self._pace_s = pace_s
        self._free = asyncio.Event()
        self._free.set()
        self._aborted = asyncio.Event()

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        """Say the answer. Raises UpstreamFault for `demo:cut`, and after `abort`."""
        batch = b""
        for frame, is_word in self._frames():
            if self._pace_s and is_word:
                await self._rest(self._pace_s)
            batch += frame
            if self._pace_s or len(batch) >= BATCH_BYTES:
                await self._free.wait()
                self._check()
                feed(batch)
                batch = b""
                await asyncio.sleep(0)
        if batch:
            feed(batch)
        await self._last_act()

    async def _last_act(self) -> None:
        if "cut" in self._plan.switches:
            raise _cut()
        if "stall" in self._plan.switches:
            await self._aborted.wait()
            raise _cut()

    def _frames(self) -> Iterator[tuple[bytes, bool]]:
        switches, now_s = self._plan.switches, int(time.time())
        if "context" in switches:
            text = "the input is longer than this model's maximum context length is"
            code = "context_length_exceeded"
            for event in failure_events(self._body, self._id, now_s, code, text):
                yield encode_event(event), False
            return
        half, words = len(self._plan.words) // 2, 0
        broken = bool({"fail", "cut", "stall"} & switches.keys())
        for event in events(self._plan, self._body, self._id, now_s):
            is_word = event["type"].endswith(".delta")
            words += is_word
            if broken and (words > half or event["type"].endswith(".done")):
                if "fail" in switches:
                    text = "the demo upstream failed as it was asked to"
                    failure = failure_events(self._body, self._id, now_s, "server_error", text)[-1]
                    yield (
                        encode_event({**failure, "sequence_number": event["sequence_number"]}),
                        False,
                    )
                return
            yield encode_event(event), is_word

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._aborted.wait()
        except TimeoutError:
            return
        raise _cut()

    def _check(self) -> None:
        if self._aborted.is_set():
            raise _cut()

    def pause(self) -> None:
        """Say nothing until `resume`."""
        self._free.clear()

    def resume(self) -> None:
        """Go on."""
        self._free.set()

    def end_within(self, seconds: float) -> None:
        """Go on for so long at most."""
        asyncio.get_running_loop().call_later(seconds, self.abort)

    def abort(self) -> None:
        """Stop; a running `pump` raises."""
        self._aborted.set()
        self._free.set()


def _cut() -> UpstreamFault:
    return UpstreamFault(
        "upstream closed the connection before the answer was complete",
        hop="stream",
        code="incomplete_stream",
        type="server_error",
    )


def _raise_switched(plan: Plan) -> None:
    if "rate-limit" in plan.switches:
        raise UpstreamFault(
            "the demo upstream refuses requests for 7 seconds, as it was asked to",
            status=429,
            code="rate_limit_exceeded",
            retry_after_s=7.0,
        )
    if "quota" in plan.switches:
        raise UpstreamFault(
            "The usage limit has been reached (demo)",
            status=429,
            code="usage_limit_reached",
            type="usage_limit_reached",
            retry_after_s=float(QUOTA_SECONDS),
            should_retry=False,
            upstream={"plan_type": "demo", "resets_in_seconds": QUOTA_SECONDS},
        )
    if "overload" in plan.switches:
        raise UpstreamFault(
            "the demo upstream is overloaded, as it was asked to be",
            status=503,
            code="server_is_overloaded",
            type="server_error",
        )
