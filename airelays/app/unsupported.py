"""Routes of OpenAI's API that the configured upstream has nothing for: a truthful 501. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.app.desk import Desk


async def refuse(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """Say that this relay cannot do it, and that trying again will not help."""
    kind = desk.settings.upstream_kind
    raise ClientFault(
        f"{route.path} is not offered: the upstream in use ({kind}) has no such API",
        status=501,
        code="unsupported_route",
        should_retry=False,
    )
