"""One running relay: what all requests share, the way of a request through it, start and stop.

Owns: the wiring. Each request goes route -> gate -> body -> endpoint; a miss is answered only behind the gate, so
that strangers learn no paths. Refuses to know: dialects, files, how an upstream works. Layer: app.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airelays.app import endpoints
from airelays.app.recording import Recorder
from airelays.app.reload import reload_text, split_changes
from airelays.app.routes import KNOWN_METHODS, Routes, family_of
from airelays.app.upstreams import Upstreams
from airelays.disk import unblock
from airelays.disk.retention import saved_policy
from airelays.disk.store import Store
from airelays.disk.token import TokenSource
from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.guard.gate import DOCS_WITHOUT_TOKEN, Gate, Refused
from airelays.guard.network import limiter_key
from airelays.model import RequestHead, Route
from airelays.net.connection import Connection
from airelays.net.listener import Listener
from airelays.net.request import Request
from airelays.net.session import Session, SessionLimits
from airelays.protocol.headcache import HeadCache
from airelays.settings import Settings, client_base_url

if TYPE_CHECKING:
    from airelays.app.turns import Turns

__all__ = ["Relay"]

# Multipart framing beside the file's own bytes.
UPLOAD_FRAMING_BYTES = 1024 * 1024
SMALL_BODY_BYTES = 64 * 1024
# Without SIGUSR1 (Windows) the relay looks for an unblock wish when a blocked client comes.
HAS_SIGNALS = hasattr(signal, "SIGUSR1")
_CORS_EXPOSED = b"x-request-id, retry-after, x-airelays-ignored-parameters, x-airelays-quirks, x-airelays-upstream"


class Relay:
    """Everything that lives as long as the process serves."""

    def __init__(
        self,
        settings: Settings,
        token: TokenSource,
        *,
        complain: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.token = token
        self._token_now: bytes | None = None
        self.gate = Gate(settings)
        self.routes = Routes()
        self._heads = HeadCache()
        self.upstreams = Upstreams(settings, complain, redactor=lambda: self.recorder.redactor())
        self.recorder = Recorder(settings, secrets=self.upstreams.secrets, complain=complain)
        self.complain = complain
        self.store = Store(
            settings.data_dir,
            max_file_bytes=settings.max_upload_bytes,
            max_total_bytes=settings.max_total_upload_bytes,
        )
        self._turns: Turns | None = None
        self.started_wall_s = time.time()
        self.started_s = time.monotonic()
        self.requests_total = 0
        self.streams_open = 0
        self.stopping = False
        self.listener: Listener | None = None
        self.port = settings.port

    @property
    def turns(self) -> Turns:
        """What stateful requests share; made with the first of them."""
        if self._turns is None:
            from airelays.app.turns import Turns

            self._turns = Turns()
        return self._turns

    @property
    def base_url(self) -> str:
        """What clients on this machine are given as base URL."""
        return client_base_url(self.settings.host, self.port)

    def reload(self, fresh: Settings) -> None:
        """Take over what of `fresh` can change while serving; say what takes a restart."""
        taken, left = split_changes(self.settings, fresh)
        if taken:
            self.settings = self.settings.replace(**{name: getattr(fresh, name) for name in taken})
            self.gate.configure(self.settings)
            if self.listener is not None:
                self.listener.configure(
                    self.settings.max_connections, self.settings.max_connections_per_ip
                )
            self.recorder.configure(self.settings)
        self.complain(reload_text(taken, left, saved_policy(self.settings.logs_dir)))
        self.recorder.event("settings_reloaded", "reload", taken=taken, need_restart=left)

    # ---- connections

    def make_session(self, connection: Connection) -> Session:
        """Return the session that will serve `connection`."""
        settings = self.settings
        limits = SessionLimits(
            settings.first_byte_seconds,
            settings.head_seconds,
            settings.body_gap_seconds,
            self._keep_alive_s,
        )
        return Session(
            connection,
            self.handle,
            limits,
            heads=self._heads,
            on_refused=self._bad_head,
            on_done=self.recorder.finish,
            on_bug=self.note_bug,
        )

    def _keep_alive_s(self) -> float:
        """Seconds that an idle connection is kept: fewer when clients may need its place."""
        if self.stopping:
            return 0.0
        near = self.listener is not None and self.listener.near_cap
        return (
            min(self.settings.keep_alive_seconds, 30.0)
            if near
            else self.settings.keep_alive_seconds
        )

    # ---- requests

    async def handle(self, request: Request) -> None:
        """Serve one request. Faults are raised; the session answers with them."""
        head = request.head
        route, values = self.routes.find(head.path)
        self._grant_origin(request)
        if self.stopping:
            request.keep_alive = False
        if head.method == "OPTIONS":
            await self._options(request, route)
            return
        token = self.token.current()
        if token is not self._token_now:
            self._token_changed(token)
        self.recorder.know_token(token)
        try:
            admission = self.gate.admit(
                head,
                request.peer,
                route,
                time.monotonic(),
                token=token,
                max_body_bytes=self._max_body_bytes(route),
                here=request.connection.here,
                family=family_of(head.path),
            )
        except Refused as refused:
            self._refused(request, refused)
            if refused.reason != DOCS_WITHOUT_TOKEN:
                raise
            await self._show_way_to_docs(request, refused)
            return
        self.recorder.begin(request, route, admission.client)
        try:
            await self._admitted(request, route, values)
        finally:
            admission.lease.release()

    async def _show_way_to_docs(self, request: Request, refused: Refused) -> None:
        from airelays.app.docpages import closed_page
        from airelays.app.page import PAGE_FIELDS

        request.outcome.error = refused
        page = closed_page(self.base_url.removesuffix("/v1"))
        await request.reply(refused.status, page, PAGE_FIELDS, b"text/html; charset=utf-8")

    async def _admitted(
        self, request: Request, route: Route | None, values: dict[str, str]
    ) -> None:
        head = request.head
        if route is None:
            raise self._no_route(head.path)
        _refuse_upgrade(request, route)
        _check_method(head.method, route)
        if route.body == "multipart" and head.has_body:
            _refuse_coding(head)
        if route.body == "none" and head.has_body:
            await request.read_body(SMALL_BODY_BYTES)
        if not route.open:
            self.requests_total += 1
        await endpoints.find(route.name)(self, request, route, values)

    def _max_body_bytes(self, route: Route | None) -> int:
        if route is not None and route.body == "multipart":
            return self.settings.max_upload_bytes + UPLOAD_FRAMING_BYTES
        if route is not None and route.body == "none":
            return SMALL_BODY_BYTES
        return self.settings.max_json_body_bytes

    def _no_route(self, path: str) -> ClientFault:
        return ClientFault(
            f"there is no {path[:200]} here; the base URL for clients is {self.base_url}",
            status=404,
            code="unknown_route",
        )

    # ---- browsers

    def _grant_origin(self, request: Request) -> None:
        """Let a page that the user listed read the answer; never a wildcard."""
        page = request.head.get(b"origin")
        if page is None:
            return
        request.fields.append((b"vary", b"origin"))
        if self.gate.allows_origin(page, request.head.authority):
            request.fields.append((b"access-control-allow-origin", page))
            request.fields.append((b"access-control-expose-headers", _CORS_EXPOSED))

    async def _options(self, request: Request, route: Route | None) -> None:
        """Answer a preflight without a token: it carries none, and tells nothing about the routes."""
        client = self.gate.client_of(request.head, request.peer)
        try:
            self.gate.check_browser(
                request.head, route, request.connection.here, self.token.current()
            )
            self.gate.check_scope(client)
        except Refused as refused:
            self._refused(request, refused)
            raise
        if request.head.has_body:
            await request.read_body(SMALL_BODY_BYTES)
        fields = [(b"allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS")]
        if request.head.get(b"origin") is not None:
            wanted = request.head.get(b"access-control-request-headers")
            fields.append((b"access-control-allow-methods", b"GET, HEAD, POST, PUT, DELETE"))
            fields.append(
                (b"access-control-allow-headers", wanted or b"authorization, content-type")
            )
            fields.append((b"access-control-max-age", b"600"))
            if request.head.get(b"access-control-request-private-network") is not None:
                fields.append((b"access-control-allow-private-network", b"true"))
        await request.reply(204, b"", fields)

    # ---- what is recorded

    def start(self) -> None:
        """Begin to write the journal, with a record of how the relay is guarded."""
        self.recorder.start()
        self.lift_blocks()  # a wish that waits since before this process is answered: nobody is blocked
        settings, token = self.settings, self.token.current()
        self._token_now = token
        self.recorder.know_token(token)
        self.recorder.event(
            "endpoint_security_ready",
            "startup",
            require_bearer_auth=settings.require_bearer_auth,
            bearer_token_present=token is not None,
            bearer_token_created=self.token.created,
            bearer_token_source=self.token.source,
            bearer_token_file=settings.bearer_token_file,
            rate_limit_per_minute=settings.rate_limit_per_minute,
            rate_limit_burst=settings.rate_limit_burst,
            concurrent_requests_per_ip=settings.concurrent_requests_per_ip,
            network_scope=self.gate.scope,
            upstream=settings.upstream_kind,
        )

    def _token_changed(self, token: bytes | None) -> None:
        """Say once that there is no token any more, and once that there is one again."""
        before, self._token_now = self._token_now, token
        if not self.settings.require_bearer_auth or (before is None) == (token is None):
            return
        if token is None:
            self.complain(
                f"no client is let in: {self.token.lack()}; "
                "mend that, or make a new token: airelays token rotate"
            )
        else:
            self.complain(f"the relay token in {self.token.path} is used again")

    def lift_blocks(self) -> None:
        """Do what `airelays unblock` has asked for, if it has."""
        data_dir = self.settings.data_dir
        try:
            wish = unblock.take(data_dir)
            if wish is None:
                return
            key = limiter_key(wish.client) if wish.client else None
            lifted = self.gate.blocklist.lift(key)
            self.recorder.event(
                "endpoint_unblocked", "operator", client_ip=wish.client or "all", lifted=lifted
            )
            unblock.answer(data_dir, wish, lifted)
        except ConfigError as error:
            self.complain(str(error))

    def _refused(self, request: Request, refused: Refused) -> None:
        if refused.reason == "auth_block_active" and not HAS_SIGNALS:
            self.lift_blocks()
        request.outcome.reason = refused.reason
        self.recorder.metrics.reject(refused.reason)
        client = self.gate.client_of(request.head, request.peer)
        if refused.reason == "auth_failed":
            self.recorder.event(
                "endpoint_auth_failed",
                request.id,
                method=request.head.method,
                path=request.head.path,
                client_ip=client,
                headers=request.head.fields,
                token_fingerprint=refused.presented,
                blocked=refused.blocked,
                block_seconds=self.settings.failed_auth_block_seconds if refused.blocked else 0,
            )
        else:
            self.recorder.event(
                "endpoint_rejected",
                request.id,
                client_ip=client,
                method=request.head.method,
                path=request.head.path,
                reason=refused.reason,
                status_code=refused.status,
                retry_after_seconds=refused.retry_after_s,
            )

    def _bad_head(self, request: Request, error: RelayError) -> None:
        self.recorder.metrics.reject("malformed_request")
        self.recorder.event(
            "endpoint_rejected",
            request.id,
            client_ip=request.peer.host,
            reason="malformed_request",
            status_code=error.status,
            message=error.message,
        )

    def note_bug(self, request_id: str, bug: BaseException) -> None:
        """A defect: its place goes to the terminal, never its text, which may hold what a client sent."""
        at = bug.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        place = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at is not None else "?"
        self.complain(f"{request_id}: {type(bug).__name__} at {place}")
        self.recorder.metrics.bugs += 1
        self.recorder.event("relay_bug", request_id, error=type(bug).__name__, place=place)

    # ---- facts

    def uptime_s(self) -> float:
        """Seconds since the relay began to serve."""
        return time.monotonic() - self.started_s

    async def close(self) -> None:
        """Let go of the upstreams and the store. What is still to be written down is `recorder.close`'s."""
        await self.upstreams.close()
        await asyncio.to_thread(self.store.close)

    def facts(self) -> dict[str, Any]:
        """Return what is counted: requests, open streams, connections."""
        listener = self.listener
        return {
            "requests_total": self.requests_total,
            "requests_open": self.recorder.open_requests,
            "streams_open": self.streams_open,
            "connections": len(listener.sessions) if listener is not None else 0,
            "connections_refused": listener.refused if listener is not None else 0,
        }


def _check_method(method: str, route: Route) -> None:
    if method in route.methods:
        return
    allowed = ", ".join((*route.methods, "OPTIONS"))
    known = method in KNOWN_METHODS
    found = f"does not take {method}" if known else f"knows no method {method[:32]}"
    raise ClientFault(
        f"{route.path} {found}; it takes {allowed}",
        status=405 if known else 501,
        code="method_not_allowed",
        headers={"allow": allowed},
    )


def _refuse_coding(head: RequestHead) -> None:
    """An upload is taken as it is: a coding would be stored, or would hide the form (security.md, W16)."""
    coding = head.get(b"content-encoding")
    if coding is not None:
        from airelays.protocol.coding import check_coding

        check_coding(coding, decodes=False)


def _refuse_upgrade(request: Request, route: Route) -> None:
    """WebSocket is not spoken; 426 makes the Codex CLI use HTTP at once, any other status costs it 6 s."""
    if route.name == "responses" and b"websocket" in (request.head.get(b"upgrade") or b"").lower():
        request.keep_alive = False
        raise ClientFault(
            "WebSocket is not spoken here; use HTTP POST",
            status=426,
            code="upgrade_required",
            headers={"upgrade": "HTTP/1.1"},
        )
