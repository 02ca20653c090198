"""Earned resets of the subscription: GET /v1/relay/accounts/resets, and POST .../redeem. Layer: app."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from airelays.app.bodies import read_json
from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.app.desk import Desk

_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")


async def listed(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET: which resets there are, in the list form of the older AIRelays."""
    await request.reply(200, json.dumps(await resets_of(desk)).encode() + b"\n")


async def redeem(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST {"credit_id", "redeem_request_id"}, both optional: redeem one reset."""
    body = await redeem_one(desk, await read_json(desk, request))
    await request.reply(200, json.dumps(body).encode() + b"\n")


async def resets_of(desk: Desk) -> dict[str, Any]:
    """Return the resets of the main upstream's subscription."""
    found = await desk.upstreams.main.resets()
    account = {"slug": "default", "email": None, "resets": found}
    return {
        "object": "accounts.resets",
        "available_count": found["available_count"],
        "accounts": [account],
    }


async def redeem_one(desk: Desk, body: dict[str, Any]) -> dict[str, Any]:
    """Redeem one reset. Raises ClientFault (422) for values that are not ids."""
    for name in ("account", "credit_id", "redeem_request_id"):
        value = body.get(name)
        if value is not None and (not isinstance(value, str) or not _ID.fullmatch(value)):
            raise ClientFault(
                f"{name} is {str(value)[:80]!r}; expected up to 200 letters, digits and . _ : -",
                status=422,
                code="invalid_value",
                param=name,
            )
    if body.get("account") not in (None, "default"):
        raise ClientFault(
            "the only account is called default",
            status=404,
            code="unknown_account",
            param="account",
        )
    asked = body.get("redeem_request_id") or os.urandom(16).hex()
    found = await desk.upstreams.main.redeem(body.get("credit_id"), asked)
    desk.notes.event(
        "reset_credit_redeem",
        "reset",
        account="default",
        credit_id=found["credit_id"],
        redeem_request_id=asked,
        outcome=found["outcome"],
        windows_reset=found["windows_reset"],
    )
    return {"object": "accounts.reset_redeem", "slug": "default", "email": None, **found}
