"""Which upstream serves a request, and who takes over before the first byte when that one cannot. Layer: app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from airelays.app.happenings import UPSTREAM, Happening
from airelays.dialects.parameters import model_of
from airelays.dialects.rules import apply_rules, rules_for
from airelays.errors import UpstreamFault, forget_frames
from airelays.model import Route
from airelays.net.request import Request
from airelays.upstream.target import Target, cause_of

if TYPE_CHECKING:
    from airelays.app.desk import Desk

Body = dict[str, Any]

# Shorter waits for an upstream's list of models are not logged.
NOTED_MS = 1.0


Serve = Callable[["Desk", Request, Route, Body, Target], Awaitable[None]]


async def try_targets(desk: Desk, request: Request, route: Route, body: Body, serve: Serve) -> None:
    """Let the first target serve, and another only before the first byte and for a cause the user listed."""
    model = model_of(body)
    if desk.settings.ollama_enabled and model.endswith(":latest") and not request.words:
        from airelays.app.names import own_name

        # Clients of Ollama's API use the names of its list in the other APIs too.
        model = await own_name(desk, model)
        body = {**body, "model": model}
    request.outcome.model = model
    begun_s = monotonic()
    targets = await desk.upstreams.targets(model, request.caller.key)
    waited_ms = (monotonic() - begun_s) * 1000
    if waited_ms >= NOTED_MS:
        request.outcome.timings_ms["models"] = waited_ms
    if len(targets) == 1:
        target = targets[0]
        request.outcome.upstream = target.upstream.name
        if target.fault is not None:
            raise target.fault
        await _serve(desk, request, route, body, target, serve)
        return
    await _try_in_turn(desk, request, route, body, targets, serve)


async def _try_in_turn(
    desk: Desk, request: Request, route: Route, body: Body, targets: list[Target], serve: Serve
) -> None:
    """Ask one target after the other, without those that are skipped, until one has begun to answer."""
    care = desk.upstreams.care
    first, model, key = targets[0], request.outcome.model, body.get("prompt_cache_key")
    targets = await _order(desk, request, body, targets)
    for number, target in enumerate(targets, start=1):
        request.outcome.upstream = target.upstream.name
        asking = care.asking(target)
        request.on_head = asking.answered
        try:
            if target.fault is not None:
                raise target.fault
            await _serve(desk, request, route, body, target, serve)
            is_first = target.upstream is first.upstream
            care.cache_keys.note(key, model, target.upstream.name, care.clock(), first=is_first)
            return
        except UpstreamFault as fault:
            cause = cause_of(fault)
            if not request.head_sent:
                asking.failed(fault, cause)
            if number == len(targets) or request.head_sent or cause not in target.causes:
                raise
            _disclose_fallback(desk, request, target, targets[number], cause)
            forget_frames(fault)
        finally:
            request.on_head = None
            asking.end()


async def _order(desk: Desk, request: Request, body: Body, targets: list[Target]) -> list[Target]:
    """Return the targets that are to be asked, in order; say so if the first is not among them."""
    care = desk.upstreams.care
    kept_by = await _kept_by(desk, body, request.caller.owner)
    only = [one for one in targets if one.upstream.name == kept_by][:1]
    left = only or care.worth_asking(targets)
    last = care.cache_keys.of(body.get("prompt_cache_key"), request.outcome.model, care.clock())
    # sorted() leaves the others in their order.
    left = sorted(left, key=lambda one: one.upstream.name != last) if last else left
    if left[0] is not targets[0]:
        cause = care.why_skipped(targets[0])
        why = "stored" if only else "skipped" if cause else "prompt_cache_key"
        _disclose_fallback(desk, request, targets[0], left[0], why, skipped=cause or why)
    return left


async def _kept_by(desk: Desk, body: Body, viewer: str) -> str:
    """Return the upstream that alone has the answer which a request goes on from; "" if there is none."""
    previous = body.get("previous_response_id")
    if not isinstance(previous, str):
        return ""
    maker = desk.turns.makers.of(previous)
    if not maker:
        return ""
    from airelays.state.needs import is_ours

    return "" if await is_ours(desk.store, desk.turns, body, viewer) else maker


async def _serve(
    desk: Desk, request: Request, route: Route, body: Body, target: Target, serve: Serve
) -> None:
    """Let a target serve, once more where it has learned from the first try."""
    if desk.settings.rules:
        body = _ruled(desk, request, route, body, target)
    try:
        await serve(desk, request, route, body, target)
    except UpstreamFault as fault:
        if not fault.again or request.head_sent:
            raise
        forget_frames(fault)
        await serve(desk, request, route, body, target)


def _ruled(desk: Desk, request: Request, route: Route, body: Body, target: Target) -> Body:
    """Return the body as the user's rules for this target have it; the client is told what they changed."""
    models = (request.outcome.model, target.model)
    rules = rules_for(desk.settings.rules, target.upstream.name, models)
    body, done = apply_rules(rules, body, route.name)
    request.fields = [field for field in request.fields if field[0] != b"x-airelays-rules"]
    if done:
        request.fields.append((b"x-airelays-rules", ", ".join(done).encode()))
    return body


def _disclose_fallback(
    desk: Desk, request: Request, failed: Target, taken: Target, cause: str, skipped: str = ""
) -> None:
    """Never silently: the client sees who answers and why, and the journal has it too.

    `skipped` says why the first was not asked at all.
    """
    name = f"{taken.upstream.name}/{taken.model}"
    request.fields = [f for f in request.fields if not f[0].startswith(b"x-airelays-upstream")]
    request.fields.append((b"x-airelays-upstream", name.encode("ascii", "replace")))
    request.fields.append((b"x-airelays-fallback", f"{failed.upstream.name}:{cause}".encode()))
    desk.notes.event(
        "upstream_fallback",
        request.id,
        from_upstream=failed.upstream.name,
        to_upstream=name,
        reason=skipped or cause,
        **({"skipped": True} if skipped else {}),
    )
    desk.happenings.tell(
        Happening(
            UPSTREAM,
            time(),
            "fallback",
            id=request.id,
            upstream=failed.upstream.name,
            model=name,
            code=skipped or cause,
        )
    )
