"""GET /v1/relay/usage: what requests have used, today and by the book. Layer: app."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.hints import told
from airelays.journal.report import read_query, report
from airelays.journal.tally import Rows
from airelays.model import Route
from airelays.net.request import Request
from airelays.state.usage import read_usage

if TYPE_CHECKING:
    from airelays.app.desk import OperatorDesk


async def relay_usage(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """A key sees its own, the owner sees all."""
    own = request.caller.key
    table = desk.keys.current()
    keys = table.keys if own is None else (own,)
    asked = dict(parse_qsl(request.head.query))
    words = [asked.get(name, "") for name in ("by", "since", "until")]
    try:
        query = read_query(words[0], words[1], words[2], time.time())
    except ConfigError as error:
        raise ClientFault(str(error), code="invalid_value") from error
    try:
        rows: Rows = await asyncio.to_thread(
            partial(
                read_usage,
                desk.settings.data_dir,
                query.since,
                query.until,
                sessions=query.sessions,
            )
        )
    except ConfigError as error:
        text = f"the book of usage cannot be read; `{told('usage')}` says why"
        raise RelayError(text, status=503, code="storage_unavailable", local=str(error)) from error
    if own is not None:
        rows = {cell: sums for cell, sums in rows.items() if cell.key == own.id}
    names = {key.id: key.name for key in keys}
    body: dict[str, Any] = {
        "object": "relay.usage",
        "keys": [desk.keys.facts(key) for key in keys],
        "book": report(rows, query, lambda key: names.get(key, key), desk.settings.prices),
    }
    await request.reply(200, json.dumps(body).encode() + b"\n")
