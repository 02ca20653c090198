"""Which upstream serves a request, and who takes over before the first byte when that one cannot. Layer: app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from airelays.dialects.parameters import model_of
from airelays.errors import UpstreamFault, forget_frames
from airelays.model import Route
from airelays.net.request import Request
from airelays.upstream.choose import Target, cause_of

if TYPE_CHECKING:
    from airelays.app.desk import Desk

Body = dict[str, Any]

# A wait for an upstream's model list that is shorter is not worth a word in the log.
NOTED_MS = 1.0


Serve = Callable[["Desk", Request, Route, Body, Target], Awaitable[None]]


async def try_targets(desk: Desk, request: Request, route: Route, body: Body, serve: Serve) -> None:
    """Let the first target serve, and another only before the first byte and for a cause the user listed."""
    model = model_of(body)
    request.outcome.model = model
    begun_s = monotonic()
    targets = await desk.upstreams.targets(model, request.caller.key)
    waited_ms = (monotonic() - begun_s) * 1000
    if waited_ms >= NOTED_MS:
        request.outcome.timings_ms["models"] = waited_ms
    for number, target in enumerate(targets, start=1):
        request.outcome.upstream = target.upstream.name
        try:
            if target.fault is not None:
                raise target.fault
            await _serve(desk, request, route, body, target, serve)
            return
        except UpstreamFault as fault:
            cause = cause_of(fault)
            if number == len(targets) or request.head_sent or cause not in target.causes:
                raise
            _disclose_fallback(desk, request, target, targets[number], cause)
            forget_frames(fault)


async def _serve(
    desk: Desk, request: Request, route: Route, body: Body, target: Target, serve: Serve
) -> None:
    """Let a target serve, once more where it has learned from the first try."""
    try:
        await serve(desk, request, route, body, target)
    except UpstreamFault as fault:
        if not fault.again or request.head_sent:
            raise
        forget_frames(fault)
        await serve(desk, request, route, body, target)


def _disclose_fallback(
    desk: Desk, request: Request, failed: Target, taken: Target, cause: str
) -> None:
    """Never silently: the client sees who answers and why, and the journal has it too."""
    name = f"{taken.upstream.name}/{taken.model}"
    request.fields = [f for f in request.fields if not f[0].startswith(b"x-airelays-upstream")]
    request.fields.append((b"x-airelays-upstream", name.encode("ascii", "replace")))
    request.fields.append((b"x-airelays-fallback", f"{failed.upstream.name}:{cause}".encode()))
    desk.notes.event(
        "upstream_fallback",
        request.id,
        from_upstream=failed.upstream.name,
        to_upstream=name,
        reason=cause,
    )
