"""A key that lives as long as the control connection that created it. The relay gets only its digest. Layer: app."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from airelays.app.relay import Relay
from airelays.credentials.keys import parse
from airelays.errors import ClientFault, ConfigError
from airelays.net.request import Request

MAX_LEASES = 32


async def hold_lease(relay: Relay, request: Request, body: dict[str, Any]) -> None:
    """POST /lease with the text of a key file with one key: let it in until the connection ends."""
    keys = relay.desk.keys
    try:
        found = parse(json.dumps(body).encode(), "the lease")
    except ConfigError as error:
        raise ClientFault(str(error), code="invalid_value") from error
    if len(found) != 1 or keys.current().by_id(found[0].id) is not None:
        raise ClientFault("a lease requires exactly one key, and a new one", code="invalid_value")
    if len(keys.leases) >= MAX_LEASES:
        raise ClientFault(
            f"{MAX_LEASES} commands are running with this relay, which is the limit; wait for one to end",
            status=429,
            code="too_many_leases",
        )
    gone = asyncio.Event()
    request.on_eof = gone.set
    keys.lease(found[0])
    try:
        request.begin_stream([(b"content-type", b"application/json")])
        request.send(b'{"leased":true}\n')
        # The session cancels this when the connection breaks or the relay stops.
        await gone.wait()
        request.keep_alive = False
        request.end_stream()
    finally:
        keys.end_lease(found[0].id)
