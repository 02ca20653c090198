"""What each control request does, after `control.py` has accepted it. Layer: app."""

from __future__ import annotations

import asyncio
import json
import os
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from airelays.app.operator import status_facts
from airelays.app.resets import redeem_one, resets_of
from airelays.errors import ClientFault, ConfigError
from airelays.guard.network import limiter_key
from airelays.guard.pagetokens import CODE_S, RANDOM_BYTES
from airelays.settings.kinds import KINDS
from airelays.upstream.base import Check

SIGN_IN_STATES = ("signed_in", "signed_out")

if TYPE_CHECKING:
    from airelays.app.control import Body, Control


async def status(control: Control, body: Body) -> Body:
    """GET /status: the facts of GET /v1/relay/status, and of the process."""
    relay = control.relay
    return {
        **await status_facts(relay.desk),
        "process": {
            "pid": control.about.pid,
            "form": control.about.form,
            "config_path": control.about.config_path,
            "stopping": relay.stopping,
            "reload_problem": relay.reload_problem or None,
        },
    }


async def models(control: Control, body: Body) -> Body:
    """GET /models?refresh=true: the body of GET /v1/models."""
    listing = await control.relay.desk.upstreams.listing(refresh=body.get("refresh") == "true")
    found: dict[str, Any] = json.loads(listing.body)
    main = await control.relay.desk.upstreams.main.status()
    return {**found, "models_cache": main.get("models_cache")}


async def usage(control: Control, body: Body) -> Body:
    """GET /usage?raw=true: the windows of the main upstream's subscription."""
    return await control.relay.desk.upstreams.main.usage(raw=body.get("raw") == "true")


async def resets(control: Control, body: Body) -> Body:
    """GET /resets: what GET /v1/relay/accounts/resets answers."""
    return await resets_of(control.relay.desk)


async def redeem(control: Control, body: Body) -> Body:
    """POST /resets/redeem: redeem one, as POST /v1/relay/accounts/resets/redeem does."""
    return await redeem_one(control.relay.desk, body)


async def checks(control: Control, body: Body) -> Body:
    """GET /checks?ask=true: each upstream looked at from inside this process; `ask` costs a short answer."""
    found: list[Check] = []
    for upstream in control.relay.desk.upstreams.every():
        found += [check async for check in upstream.checks(ask=body.get("ask") == "true")]
    return {"checks": [check.as_json() for check in found]}


async def unblock(control: Control, body: Body) -> Body:
    """POST /unblock {"client": IP or ""}: lift one block, or all; {"lifted": how many}."""
    client = body.get("client", "")
    try:
        key = limiter_key(str(ip_address(client))) if client else None
    except ValueError:
        raise ClientFault("client is not an IP address", code="invalid_value") from None
    return {"lifted": control.relay.unblock(client, key)}


async def reload(control: Control, body: Body) -> Body:
    """POST /reload: reload the settings; returns what was applied, and what requires a restart."""
    if control.read_again is None:
        raise ConfigError("this relay cannot reload its settings; restart it")
    taken, left = control.relay.reload_from(control.read_again)
    return {"taken": taken, "need_restart": left}


async def keys(control: Control, body: Body) -> Body:
    """POST /keys: look at the named keys again, and end what runs with one that has ended; {"ended": how many}."""
    return {"ended": control.relay.desk.keys.end_gone()}


async def sign_in(control: Control, body: Body) -> Body:
    """POST /sign-in {"state": "signed_in" or "signed_out"}: one was stored or removed; none before it is used."""
    relay, state = control.relay, body.get("state")
    for upstream in relay.desk.upstreams.every():
        upstream.forget_sign_in()
        if state in SIGN_IN_STATES and KINDS[upstream.kind].signs_in:
            relay.teller.sign_in_changed(upstream.name, state)
    return {}


async def leased(control: Control, body: Body) -> Body:
    """GET /leased?id=ID: what was used with a leased key."""
    found = control.relay.desk.keys.leases.get(str(body.get("id")))
    if found is None:
        raise ClientFault("this lease does not exist", status=404, code="unknown_lease")
    return found.sums.facts()


async def page_code(control: Control, body: Body) -> Body:
    """POST /page-code: a code that signs one page in; it is in this answer and nowhere else."""
    desk = control.relay.desk
    code, code_id = desk.gate.pages.make_code(
        os.urandom(RANDOM_BYTES), time.monotonic(), desk.token.current()
    )
    return {"code": code, "id": code_id, "seconds": CODE_S}


async def page_code_state(control: Control, body: Body) -> Body:
    """GET /page-code?id=ID: whether the code was used, waits for that, or has ended without."""
    pages = control.relay.desk.gate.pages
    return {"state": pages.state_of(str(body.get("id")), time.monotonic())}


async def stop(control: Control, body: Body) -> Body:
    """POST /stop: end in an orderly way, as by SIGTERM; then `drain_seconds` is how long answers may take."""
    asyncio.get_running_loop().call_soon(control.on_stop)
    settings = control.relay.desk.settings
    return {
        "announce_seconds": settings.announce_seconds,
        "drain_seconds": settings.drain_seconds,
    }
