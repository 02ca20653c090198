"""What `doctor` finds on the way to ChatGPT: the network step by step, the sign-in, the models, one answer.

Layer: I/O.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

from airelays.errors import UpstreamFault
from airelays.hints import hint
from airelays.model import Call
from airelays.net.address import split_url
from airelays.net.response import Response
from airelays.upstream.base import Check
from airelays.upstream.chatgpt.backend import ChatGPTUpstream
from airelays.upstream.chatgpt.calls import USER_AGENT, read_refusal

# Tokens are refreshed five minutes before they expire: beyond that a wrong clock breaks the sign-in.
CLOCK_WARN_S = 60.0
CLOCK_FAIL_S = 300.0
OLD_STORE_DAYS = 730
PROBE_S = 30.0
DNS_S = 10.0


async def chatgpt_checks(upstream: ChatGPTUpstream, *, ask: bool) -> AsyncIterator[Check]:
    """Yield every finding; what cannot be looked at after a failure is skipped, with the reason."""
    reached = True
    async for check in _network(upstream):
        reached = reached and check.status != "fail"
        yield check
    async for check in _account(upstream, reached, not ask):
        yield check


async def _network(upstream: ChatGPTUpstream) -> AsyncIterator[Check]:
    target = split_url(upstream.settings.upstream_base_url)
    yield _trust(upstream, target.scheme)
    try:
        proxy = upstream.client.proxy_for(upstream.settings.upstream_base_url)
    except UpstreamFault as fault:
        yield Check("proxy", "fail", fault.local)
        return
    if proxy is None:
        yield Check("proxy", "pass", "direct connection, no proxy applies")
        check = await _dns(target.host, target.port)
        yield check
        if check.status == "fail":
            for name in ("tls", "clock"):
                yield Check(name, "skip", "the name was not resolved")
            return
    else:
        yield Check("proxy", "pass", f"through {proxy.place} (from {proxy.variable})")
        yield Check("dns", "skip", "the proxy resolves the name")
    async for check in _reach(upstream, target.place, target.scheme):
        yield check


def _trust(upstream: ChatGPTUpstream, scheme: str) -> Check:
    facts = upstream.client.trust.describe()
    text = f"certificates from {facts['path']} ({facts['source']}), dated {facts['date'] or 'unknown date'}"
    if scheme == "https" and (facts["age_days"] or 0) > OLD_STORE_DAYS:
        return Check(
            "trust",
            "warn",
            f"{text}; they are old: update the system's certificates or certifi",
            data=facts,
        )
    return Check("trust", "pass", text, data=facts)


async def _dns(host: str, port: int) -> Check:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DNS_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return Check(
            "dns",
            "fail",
            f"{host} was not resolved within {DNS_S:g} s; check the network and its DNS",
        )
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        return Check(
            "dns", "fail", f"{host} cannot be resolved ({reason}); check the network and its DNS"
        )
    addresses = sorted({str(entry[4][0]) for entry in found})
    return Check(
        "dns", "pass", f"{host} is {', '.join(addresses[:4])}", data={"addresses": addresses}
    )


async def _reach(upstream: ChatGPTUpstream, place: str, scheme: str) -> AsyncIterator[Check]:
    """Connect once without the sign-in: TLS with its issuer, a challenge, and the clock by the Date field."""
    try:
        response = await upstream.client.request(
            method="GET",
            url=upstream.settings.upstream_base_url,
            fields=((b"user-agent", USER_AGENT.encode()),),
            head_s=PROBE_S,
        )
    except UpstreamFault as fault:
        name = fault.hop if fault.hop in ("proxy", "dns") else "tls"
        yield Check(name, "fail", fault.local, data={"hop": fault.hop})
        return
    issuer = response.tls_issuer()
    date = response.head.get(b"date")
    refusal = await read_refusal(response, upstream.redactor())
    if refusal.is_challenge:
        text = refusal.fault(now_s=time.time(), codex=False).message
        yield Check("tls", "fail", text, data={"hop": "challenge"})
    elif scheme == "https":
        text = f"connected to {place}; its certificate was issued by {issuer or 'an unnamed authority'}"
        yield Check("tls", "pass", text, data=_timings(response, issuer))
    else:
        yield Check(
            "tls", "warn", f"connected to {place}, without TLS", data=_timings(response, "")
        )
    yield _clock(date)


def _timings(response: Response, issuer: str) -> dict[str, Any]:
    return {"issuer": issuer or None, "status": response.status, "timings_ms": response.timings_ms}


def _clock(date: bytes | None) -> Check:
    from email.utils import parsedate_to_datetime

    try:
        there_s = parsedate_to_datetime((date or b"").decode("latin-1")).timestamp()
    except (TypeError, ValueError):
        return Check("clock", "skip", "the upstream sent no date")
    off_s = time.time() - there_s
    text = f"this machine's clock is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} the upstream's"
    data = {"offset_seconds": round(off_s, 1)}
    if abs(off_s) >= CLOCK_FAIL_S:
        return Check("clock", "fail", f"{text}; set the clock: tokens depend on it", data=data)
    if abs(off_s) >= CLOCK_WARN_S:
        return Check("clock", "warn", f"{text}; set the clock soon", data=data)
    return Check("clock", "pass", text, data=data)


async def _account(
    upstream: ChatGPTUpstream, reached: bool, skip_response: bool
) -> AsyncIterator[Check]:
    facts = await asyncio.to_thread(upstream.tokens.describe)
    lack, model = "", ""
    if not facts["authenticated"]:
        text = facts.get("problem") or "no ChatGPT sign-in is stored"
        yield Check("openai_auth", "fail", text, (hint("login"),))
        lack = "the sign-in is not ready"
    elif not reached:
        lack = "cannot reach the upstream"
        yield Check("openai_auth", "skip", lack)
    else:
        check = await _sign_in(upstream)
        lack = "" if check.status == "pass" else "the sign-in is not ready"
        yield check
    if lack:
        yield Check("openai_models", "skip", lack)
    else:
        check = await _models(upstream)
        model = check.data.get("selected_model", "")
        lack = "" if model else "there are no known models"
        yield check
    if skip_response or lack:
        yield Check("openai_response", "skip", "not asked for" if skip_response else lack)
    else:
        yield await _response(upstream, model)


async def _sign_in(upstream: ChatGPTUpstream) -> Check:
    try:
        sign_in = await upstream.tokens.current()
    except UpstreamFault as fault:
        return Check("openai_auth", "fail", fault.local, (hint("login"),))
    who = sign_in.email or sign_in.account_id or "an account without a name"
    plan = f", plan {sign_in.plan_type}" if sign_in.plan_type else ""
    return Check("openai_auth", "pass", f"signed in as {who}{plan}")


async def _models(upstream: ChatGPTUpstream) -> Check:
    try:
        models = await upstream.models(refresh=True)
    except UpstreamFault as fault:
        return Check("openai_models", "fail", fault.local, data={"hop": fault.hop})
    slugs = [model["slug"] for model in models if isinstance(model.get("slug"), str)]
    if not slugs or not upstream.catalogue.certain:
        return Check(
            "openai_models",
            "fail",
            "the upstream's model catalog could not be read; try again later",
        )
    data = {"model_count": len(slugs), "selected_model": slugs[0]}
    return Check("openai_models", "pass", f"{len(slugs)} models, first {slugs[0]}", data=data)


async def _response(upstream: ChatGPTUpstream, model: str) -> Check:
    """Ask for one word; success is the terminal event, not the status."""
    text = [{"type": "input_text", "text": "Answer with the word ok."}]
    body = {
        "model": model,
        "instructions": "Answer with one word.",
        "input": [{"type": "message", "role": "user", "content": text}],
        "tools": [],
    }
    parts: list[bytes] = []
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(PROBE_S * 2):
            answer = await upstream.respond(body, Call("req_doctor"))
            await answer.pump(parts.append)
    except TimeoutError:
        return Check(
            "openai_response",
            "fail",
            f"no complete answer within {PROBE_S * 2:g} s; try again later",
        )
    except UpstreamFault as fault:
        return Check(
            "openai_response", "fail", fault.local, data={"hop": fault.hop, "code": fault.code}
        )
    seconds = time.monotonic() - started_s
    if b'"response.completed"' not in b"".join(parts):
        return Check(
            "openai_response",
            "fail",
            f"{model} answered without a completed response; try again later",
        )
    return Check("openai_response", "pass", f"{model} answered in {seconds:.1f} s")
