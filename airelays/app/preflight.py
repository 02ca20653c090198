"""Pages of other origins: the answer to a preflight, and which page can read an answer (Fetch). Layer: app."""

from __future__ import annotations

from airelays.guard.gate import Gate
from airelays.model import Route
from airelays.net.request import Request

MAX_BODY_BYTES = 64 * 1024
_EXPOSED = (
    b"x-request-id, retry-after, x-airelays-ignored-parameters, x-airelays-quirks, x-airelays-upstream, "
    b"x-airelays-fallback, x-airelays-rules, x-airelays-token-count"
)


def grant_origin(gate: Gate, request: Request) -> None:
    """Let a page that the user listed read the answer; never a wildcard."""
    page = request.head.get(b"origin")
    if page is None:
        return
    request.fields.append((b"vary", b"origin"))
    scheme = gate.scheme_of(request.head, request.peer)
    if gate.allows_origin(page, request.head.authority, scheme):
        request.fields.append((b"access-control-allow-origin", page))
        request.fields.append((b"access-control-expose-headers", _EXPOSED))


async def answer_preflight(
    gate: Gate, request: Request, route: Route | None, token: bytes | None
) -> None:
    """Answer OPTIONS without a token: a preflight has none, and learns nothing about the routes. Raises Refused."""
    scheme = gate.scheme_of(request.head, request.peer)
    gate.check_browser(request.head, route, request.connection.here, token, scheme)
    gate.check_scope(gate.client_of(request.head, request.peer), request.connection.door)
    if request.head.has_body:
        await request.read_body(MAX_BODY_BYTES)
    fields = [(b"allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS")]
    if request.head.get(b"origin") is not None:
        asked = request.head.get(b"access-control-request-headers")
        fields.append((b"access-control-allow-methods", b"GET, HEAD, POST, PUT, DELETE"))
        fields.append((b"access-control-allow-headers", asked or b"authorization, content-type"))
        fields.append((b"access-control-max-age", b"600"))
        if request.head.get(b"access-control-request-private-network") is not None:
            fields.append((b"access-control-allow-private-network", b"true"))
    await request.reply(204, b"", fields)
