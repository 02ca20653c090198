"""The control listener's requests: what the owner's commands request from the running relay. Layer: app.

It works in open mode, for a blocked address, and when all client connections are in use. It uses neither tokens nor
keys.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from airelays.app.relay import Relay
from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.guard.control import check_source, knows, prove
from airelays.journal.phases import note_control_refused
from airelays.lookup import find_named
from airelays.net.connection import Connection
from airelays.net.request import Request
from airelays.net.session import Session, SessionLimits
from airelays.protocol.headcache import HeadCache
from airelays.settings.values import Settings

MAX_CONNECTIONS = 64
MAX_BODY_BYTES = 64 * 1024
_LIMITS = SessionLimits(first_byte_s=5.0, head_s=5.0, body_gap_s=5.0, keep_alive_s=lambda: 5.0)
# method, path: what serves it, below `airelays.app`. `/prove` comes first: it is how the relay is known.
_HANDLERS = {
    ("GET", "/status"): "controls:status",
    ("GET", "/models"): "controls:models",
    ("GET", "/usage"): "controls:usage",
    ("GET", "/resets"): "controls:resets",
    ("POST", "/resets/redeem"): "controls:redeem",
    ("GET", "/checks"): "controls:checks",
    ("POST", "/unblock"): "controls:unblock",
    ("POST", "/reload"): "controls:reload",
    ("POST", "/keys"): "controls:keys",
    ("POST", "/sign-in"): "controls:sign_in",
    ("POST", "/page-code"): "controls:page_code",
    ("GET", "/page-code"): "controls:page_code_state",
    ("POST", "/lease"): "leases:hold_lease",
    ("GET", "/leased"): "controls:leased",
    ("POST", "/stop"): "controls:stop",
}

Body = dict[str, Any]
Handler = Callable[["Control", Body], Awaitable[Body]]


class About(NamedTuple):
    """What the process knows about itself, and the relay does not."""

    config_path: str
    form: str
    started: str
    pid: int


class Control:
    """Serves the control listener of one relay. `on_stop` begins an orderly end."""

    def __init__(
        self,
        relay: Relay,
        about: About,
        secret: str,
        *,
        on_stop: Callable[[], None],
        read_again: Callable[[], Settings] | None,
    ) -> None:
        self.relay = relay
        self.about = about
        self.port = 0
        self.on_stop = on_stop
        self.read_again = read_again
        self._secret = secret
        self._heads = HeadCache()
        self._handlers: dict[str, Handler] = {}

    def make_session(self, connection: Connection) -> Session:
        """Return the session that will serve `connection`."""
        return Session(
            connection,
            self.handle,
            _LIMITS,
            heads=self._heads,
            on_refused=lambda _request, _error: None,
            on_done=lambda _: None,
            on_bug=self.relay.note_bug,
        )

    async def handle(self, request: Request) -> None:
        """Serve one request. Faults are raised; the session answers with them."""
        head = request.head
        check_source(head, self.port)
        if head.path == "/prove" and head.method == "GET":
            await _reply(request, {"proof": prove(self._secret, head.query, self.about.started)})
            return
        if not knows(head, self._secret):
            note_control_refused(self.relay.notes, request)
            wrong = ClientFault(
                "the secret does not match the one of this relay's process",
                status=401,
                code="control_secret_wrong",
            )
            self.relay.teller.not_a_request(request, wrong, "control_secret_wrong")
            raise wrong
        named = _HANDLERS.get((head.method, head.path))
        if named is None:
            raise ClientFault(
                f"the control listener has no route {head.method} {head.path[:80]}",
                status=404,
                code="unknown_route",
            )
        body = _parsed(await request.read_body(MAX_BODY_BYTES))
        if head.path == "/lease":
            from airelays.app.leases import hold_lease

            await hold_lease(self.relay, request, body)
            return
        handler = self._handlers.get(named) or find_named("airelays.app", named)
        self._handlers[named] = handler
        held = self.relay.generations.hold()
        try:
            found = await handler(self, {**_query(head.query), **body})
        except ConfigError as error:
            raise RelayError(str(error), status=409, code="not_done") from error
        finally:
            self.relay.generations.release(held)
        await _reply(request, found)


def _query(query: str) -> Body:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return {name: value for name, _, value in pairs}


def _parsed(raw: bytes | bytearray) -> Body:
    if not raw:
        return {}
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ClientFault("the body is not a JSON object", code="invalid_json")
    return found


async def _reply(request: Request, body: Body) -> None:
    await request.reply(200, json.dumps(body).encode() + b"\n")
