"""Which upstream serves a request, and who takes over before the first byte when that one cannot. Layer: app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from airelays.errors import UpstreamFault, forget_frames
from airelays.model import Route
from airelays.net.request import Request
from airelays.translate.parameters import model_of
from airelays.upstream.base import Upstream

if TYPE_CHECKING:
    from airelays.app.relay import Relay

__all__ = ["Body", "Serve", "Target", "cause_of", "try_targets"]

Body = dict[str, Any]

# A wait for an upstream's model list that is shorter is not worth a word in the log.
NOTED_MS = 1.0
_QUOTA = frozenset({"usage_limit_reached", "insufficient_quota", "rate_limit_exceeded"})
_OVERLOADED = frozenset({"server_is_overloaded", "overloaded", "slow_down", "overloaded_error"})
_UNREACHABLE_HOPS = frozenset({"proxy", "dns", "tcp", "tls", "challenge", "sign_in"})


class Target(NamedTuple):
    """An upstream and its name for the model. `causes` are those for which the next target may take over.

    `fault` is what it failed with when it was asked for its models: it is not asked again for this request.
    """

    upstream: Upstream
    model: str
    causes: frozenset[str] = frozenset()
    fault: UpstreamFault | None = None


Serve = Callable[["Relay", Request, Route, Body, Target], Awaitable[None]]


async def try_targets(
    relay: Relay, request: Request, route: Route, body: Body, serve: Serve
) -> None:
    """Let the first target serve, and another only before the first byte and for a cause the user listed."""
    model = model_of(body)
    request.outcome.model = model
    begun_s = monotonic()
    targets = await relay.upstreams.targets(model)
    waited_ms = (monotonic() - begun_s) * 1000
    if waited_ms >= NOTED_MS:
        request.outcome.timings_ms["models"] = waited_ms
    for number, target in enumerate(targets, start=1):
        request.outcome.upstream = target.upstream.name
        try:
            if target.fault is not None:
                raise target.fault
            await serve(relay, request, route, body, target)
            return
        except UpstreamFault as fault:
            cause = cause_of(fault)
            if number == len(targets) or request.head_sent or cause not in target.causes:
                raise
            _disclose_fallback(relay, request, target, targets[number], cause)
            forget_frames(fault)


def cause_of(fault: UpstreamFault) -> str:
    """Return the word by which the settings name this failure: quota, overloaded, unreachable, or ""."""
    if fault.status == 429 or fault.code in _QUOTA:
        return "quota"
    if fault.code in _OVERLOADED or (fault.status in (503, 529) and fault.hop == "upstream"):
        return "overloaded"
    if fault.hop in _UNREACHABLE_HOPS or fault.code in ("upstream_closed", "upstream_timeout"):
        return "unreachable"
    return ""


def _disclose_fallback(
    relay: Relay, request: Request, failed: Target, taken: Target, cause: str
) -> None:
    """Never silently: the client sees who answers and why, and the journal has it too."""
    name = f"{taken.upstream.name}/{taken.model}"
    request.fields = [f for f in request.fields if not f[0].startswith(b"x-airelays-upstream")]
    request.fields.append((b"x-airelays-upstream", name.encode("ascii", "replace")))
    request.fields.append((b"x-airelays-fallback", f"{failed.upstream.name}:{cause}".encode()))
    relay.recorder.event(
        "upstream_fallback",
        request.id,
        from_upstream=failed.upstream.name,
        to_upstream=name,
        reason=cause,
    )
