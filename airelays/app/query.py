"""Query strings and pages of lists, the way OpenAI's API has them. Layer: app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from airelays.errors import ClientFault
from airelays.net.request import Request

MAX_QUERY_FIELDS = 64


class Paging(NamedTuple):
    """Which part of a list is wanted."""

    after: str | None
    limit: int
    newest_first: bool


def query_of(request: Request) -> dict[str, str]:
    """Return the query's parameters; of a repeated one the last counts. Raises ClientFault."""
    try:
        pairs = parse_qsl(
            request.head.query, True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError as error:
        raise ClientFault("the query string is malformed; expected name=value pairs") from error
    return dict(pairs)


def paging_of(query: dict[str, str], *, default: int, most: int) -> Paging:
    """Read `after`, `limit` and `order`; newest first unless told otherwise. Raises ClientFault."""
    text = query.get("limit", str(default))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 1 <= limit <= most:
        raise ClientFault(
            f'limit is "{text[:40]}"; expected a whole number from 1 to {most:,}',
            param="limit",
            code="invalid_value",
        )
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ClientFault(
            f'order is "{order[:40]}"; expected asc or desc', param="order", code="invalid_value"
        )
    return Paging(query.get("after") or None, limit, order == "desc")


def list_body(data: Sequence[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """Return a page as OpenAI's clients read it."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
