"""One running relay: how its parts are wired, and the way of a request through them.

Each request goes route -> gate -> body -> endpoint; an unknown path is answered only after the gate, so that
outsiders learn nothing about paths. Refuses to know: dialects, files, how an upstream works. Layer: app.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from airelays.app.accounts import Accounts
from airelays.app.desk import OperatorDesk
from airelays.app.generations import Generations
from airelays.app.happenings import Happenings
from airelays.app.keys import Keys
from airelays.app.preflight import answer_preflight, grant_origin
from airelays.app.queue import Queue
from airelays.app.routes import (
    KNOWN_METHODS,
    OLLAMA,
    Routes,
    absent_api,
    family_of,
    is_ollama,
    is_used,
    routes_of,
    speaks_anthropic,
)
from airelays.app.telling import Teller
from airelays.credentials.token import TokenSource
from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.guard.gate import DOCS_WITHOUT_TOKEN, Admission, Gate
from airelays.guard.limits import Lease
from airelays.guard.refused import Refused, check_length
from airelays.hints import hint, know_listener, told
from airelays.journal.notes import Recorder
from airelays.journal.phases import note_bad_head, note_bug, note_ready, note_refused
from airelays.journal.retention import saved_policy
from airelays.lookup import find_named
from airelays.model import RequestHead, Route
from airelays.net.connection import Connection
from airelays.net.request import Request
from airelays.net.session import Session, SessionLimits
from airelays.protocol.headcache import HeadCache
from airelays.settings.hosts import is_loopback
from airelays.settings.reload import UPSTREAMS, reload_text, spelled, split_changes
from airelays.settings.values import Settings
from airelays.state.thread import Store
from airelays.upstream.choose import Upstreams
from airelays.upstream.hops import arrive

Handler = Callable[[OperatorDesk, Request, Route, dict[str, str]], Awaitable[None]]

# Clients send these by the dozen at a time, and give up on those that fail.
PATIENT = frozenset({"count_tokens"})
FEED = "relay_feed"
# Multipart framing beside the file's own bytes.
UPLOAD_FRAMING_BYTES = 1024 * 1024
SMALL_BODY_BYTES = 64 * 1024


class Relay:
    """Everything that lives as long as the process serves."""

    def __init__(
        self,
        settings: Settings,
        token: TokenSource,
        *,
        complain: Callable[[str], None],
        own_dir: str = "",
        happenings: Happenings | None = None,
    ) -> None:
        """`complain` prints a sentence for the operator; `happenings` are for those who need more than that.

        `own_dir` is for files, conversations and answers of a relay inside a command; its book is with the data.
        """
        self.teller = Teller(
            complain, happenings or Happenings(), redactor=lambda: self.notes.redactor()
        )
        self.complain = complain = self.teller.complain
        know_listener(near=all(map(is_loopback, settings.hosts)))
        folder = own_dir or settings.data_dir
        upstreams = Upstreams(settings, complain, redactor=lambda: self.notes.redactor())
        self.generations = Generations(upstreams)
        self.notes = Recorder(settings, secrets=self.generations.secrets, complain=complain)
        gate = Gate(settings)
        self.desk = OperatorDesk(
            settings,
            upstreams,
            _store_in(folder, settings),
            self.notes,
            gate=gate,
            token=token,
            keys=Keys(folder, gate.spent, complain),
            happenings=self.teller.happenings,
        )
        upstreams.care.tell = self.teller.upstream_changed
        self.desk.keys.sessions = self.desk.sessions
        self.accounts = Accounts(self.desk, complain, settings.data_dir, folds=not own_dir)
        self.stopping = False
        self.reload_problem = ""
        self._queue = Queue(self.desk.gate, self.desk.feeds.give_way)
        self.desk.unblock = self.unblock
        self._routes = Routes(routes_of(settings))
        self._handlers: dict[str, Handler] = {}
        self._heads = HeadCache()
        self._token_now: bytes | None = None

    def start(self) -> None:
        """Begin to write the journal, with a record of how the relay is guarded."""
        self.teller.start()
        self.notes.start()
        desk = self.desk
        desk.keys.start()
        self.accounts.start()
        self._token_now = desk.token.current()
        self.notes.know_token(self._token_now)
        note_ready(self.notes, desk.settings, desk.token, desk.gate.scope)

    def reload_from(self, read_again: Callable[[], Settings]) -> tuple[list[str], list[str]]:
        """Apply what can change while serving; return the names that were applied, and those that require a restart.

        Raises ConfigError when the settings cannot be used: then nothing has changed.
        """
        try:
            done = self.reload(read_again())
        except ConfigError as error:
            self.reload_problem = str(error)
            self.complain(f"the settings were not changed: {error}")
            raise
        self.reload_problem = ""
        return done

    def reload(self, fresh: Settings) -> tuple[list[str], list[str]]:
        """Apply what of `fresh` can change while serving, and report what requires a restart."""
        desk, before = self.desk, self.desk.settings
        taken, left = split_changes(before, fresh)
        if taken:
            settings = before.replace(**{name: getattr(fresh, name) for name in taken})
            if not UPSTREAMS.isdisjoint(taken):
                desk.upstreams = self.generations.replace(settings)
            desk.settings = settings
            desk.gate.configure(desk.settings)
            if desk.listener is not None:
                desk.listener.configure(
                    desk.settings.max_connections, desk.settings.max_connections_per_ip
                )
            self.notes.configure(desk.settings)
            desk.store.quota.configure(settings.max_upload_bytes, settings.max_total_upload_bytes)
        taken, left = (spelled(names, before, fresh) for names in (taken, left))
        self.complain(reload_text(taken, left, saved_policy(desk.settings.logs_dir)))
        self.notes.event("settings_reloaded", "reload", taken=taken, need_restart=left)
        return taken, left

    def begin_to_stop(self, error: RelayError) -> None:
        """Keep no connection alive and let no request wait for a slot: who does is answered with `error`."""
        self.stopping = True
        self.desk.feeds.stop()
        self._queue.stop(error)

    async def close(self) -> None:
        """Close the upstreams and the store. `notes.close` writes what is still to be written."""
        await self.desk.close()
        await self.generations.close()
        await self.accounts.close()
        await asyncio.to_thread(self.desk.store.close)
        self.desk.keys.close()

    # ---- connections

    def make_session(self, connection: Connection) -> Session:
        """Return the session that will serve `connection`."""
        settings = self.desk.settings
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
            on_done=self._done,
            on_bug=self.note_bug,
        )

    def _done(self, request: Request) -> None:
        """Note the end of a request; report once on the terminal if requests fail because of the sign-in."""
        if request.before_end is not None:
            request.before_end = None
            self.accounts.note_broken(request)  # what is known of one that broke off
        self.notes.finish(request)
        self.teller.ended(request)

    def _bad_head(self, request: Request, error: RelayError) -> None:
        note_bad_head(self.notes, request, error)
        self.teller.not_a_request(request, error, "malformed_request")

    def _keep_alive_s(self) -> float:
        """Seconds that an idle connection is kept: fewer when clients may need its place."""
        if self.stopping:
            return 0.0
        longest_s, listener = self.desk.settings.keep_alive_seconds, self.desk.listener
        near = listener is not None and listener.near_cap
        return min(longest_s, 30.0) if near else longest_s

    # ---- requests

    async def handle(self, request: Request) -> None:
        """Serve one request. Faults are raised; the session answers with them."""
        head = request.head
        route, values = self._routes.find(head.path)
        door = request.connection.door
        bound = door is not None and bool(door.key)
        if not bound:
            grant_origin(self.desk.gate, request)
        self._choose_words(request, route)
        if self.stopping:
            request.keep_alive = False
        if head.method == "OPTIONS" and not bound:
            await self._preflight(request, route)
            return
        try:
            admission = await self._admission(request, route, bound)
            key = admission.caller.key
            if route is not None and key is not None and key.no_tools:
                route = route._replace(no_tools=True)
            lease = await self._slot(request, admission, route)
        except Refused as refused:
            self._refused(request, refused)
            if refused.reason != DOCS_WITHOUT_TOKEN:
                raise
            await self._show_way_to_docs(request, refused)
            return
        if is_used(route):
            request.before_end = self.accounts.note
        held = self.generations.hold()
        try:
            self.notes.begin(request, route, admission.client)
            await self._admitted(request, route, values)
        finally:
            self.generations.release(held)
            lease.release()

    def _choose_words(self, request: Request, route: Route | None) -> None:
        """Give errors, including those of the gate, the format of the client's API."""
        if is_ollama(request.head.path, self.desk.settings):
            from airelays.dialects.ollama.errors import Words

            request.words = Words()
        elif speaks_anthropic(request.head, route):
            from airelays.app.words import words_of

            words_of(request)

    async def _admission(self, request: Request, route: Route | None, bound: bool) -> Admission:
        """Return the gate's admission. Raises Refused, for a count of tokens only after a wait for a rate token."""
        token = None if bound else self._token()
        admit = partial(self._admit, request, route, token)
        seconds = 0.0 if self.stopping else self.desk.settings.queue_seconds
        if route is None or route.name not in PATIENT or not seconds:
            return admit()
        return await self._queue.token(request, admit, seconds)

    def _admit(self, request: Request, route: Route | None, token: bytes | None) -> Admission:
        """Ask the gate. Raises Refused."""
        desk, path = self.desk, request.head.path
        admission = desk.gate.admit(
            request.head,
            request.peer,
            route,
            time.monotonic(),
            token=token,
            here=request.connection.here,
            family=family_of(path) or (OLLAMA if is_ollama(path, desk.settings) else ""),
            door=request.connection.door,
            asking=desk.keys.asking(),
        )
        if admission.caller.key is not None:
            desk.keys.admitted(request, admission.caller)
        request.caller = admission.caller
        return admission

    def _token(self) -> bytes | None:
        token = self.desk.token.current()
        if token is not self._token_now:
            self._token_changed(token)
        self.notes.know_token(token)
        return token

    async def _slot(self, request: Request, admission: Admission, route: Route | None) -> Lease:
        """Return the request's slot, waited for if need be. Raises Refused; the slot is given back then."""
        lease = admission.lease
        if lease is None and route is not None and route.name == FEED:
            raise self.desk.gate.too_busy(admission)  # it would have to make way again
        if lease is None:
            seconds = 0.0 if self.stopping else self.desk.settings.queue_seconds
            lease = await self._queue.slot(request, admission, seconds)
        try:
            check_length(request.head, self._max_body_bytes(route))
        except Refused:
            lease.release()
            raise
        return lease

    async def _show_way_to_docs(self, request: Request, refused: Refused) -> None:
        from airelays.app.docpages import closed_page
        from airelays.app.page import DOC_FIELDS

        request.outcome.error = refused
        gate = self.desk.gate
        page = closed_page(
            self.desk.base_url.removesuffix("/v1"), gate.reveal, gate.docs, told("open")
        )
        await request.reply(refused.status, page, DOC_FIELDS, b"text/html; charset=utf-8")

    async def _admitted(
        self, request: Request, route: Route | None, values: dict[str, str]
    ) -> None:
        head = request.head
        if route is None:
            raise self._no_route(head.path)
        arrive(request.head)
        _refuse_upgrade(request, route)
        _check_method(head.method, route)
        if route.body == "multipart" and head.has_body:
            _refuse_coding(head)
        if route.body == "none" and head.has_body:
            await request.read_body(SMALL_BODY_BYTES)
        if not route.open:
            self.desk.requests_total += 1
        await self._handler(route)(self.desk, request, route, values)

    def _max_body_bytes(self, route: Route | None) -> int:
        if route is not None and route.body == "multipart":
            return self.desk.settings.max_upload_bytes + UPLOAD_FRAMING_BYTES
        if route is not None and route.body == "none":
            return SMALL_BODY_BYTES
        return self.desk.settings.max_json_body_bytes

    def _no_route(self, path: str) -> ClientFault:
        absent = absent_api(path)
        if absent is not None:
            return absent
        return ClientFault(
            f"there is no route {path[:200]}; the base URL for clients is {self.desk.base_url}",
            status=404,
            code="unknown_route",
        )

    def _handler(self, route: Route) -> Handler:
        """Return the coroutine that serves `route`; its module is imported with its first request."""
        found = self._handlers.get(route.handler)
        if found is None:
            found = self._handlers[route.handler] = find_named("airelays.app", route.handler)
        return found

    async def _preflight(self, request: Request, route: Route | None) -> None:
        try:
            await answer_preflight(self.desk.gate, request, route, self.desk.token.current())
        except Refused as refused:
            self._refused(request, refused)
            raise

    def _refused(self, request: Request, refused: Refused) -> None:
        client = self.desk.gate.client_of(request.head, request.peer)
        request.outcome.client = client
        block_seconds = self.desk.settings.failed_auth_block_seconds
        note_refused(self.notes, request, refused, client, block_seconds)
        if refused.blocked:
            self.teller.block("blocked", client, request.id, float(block_seconds))

    def note_bug(self, request_id: str, bug: BaseException) -> None:
        """Note a defect in the log, and its place in the source on the terminal."""
        self.complain(note_bug(self.notes, request_id, bug))

    def _token_changed(self, token: bytes | None) -> None:
        """Report once that there is no longer a token, and once that there is one again."""
        before, self._token_now = self._token_now, token
        if not self.desk.settings.require_bearer_auth or (before is None) == (token is None):
            return
        if token is None:
            self.complain(
                f"all clients are refused: {self.desk.token.lack()}; fix it, or create a new token: "
                f"{hint('token rotate')}"
            )
        else:
            self.complain(f"the relay token in {self.desk.token.path} is in use again")

    def unblock(self, client: str, key: str | None) -> int:
        """Lift the block of `key`, or all blocks (None); return how many blocks or counts of failures that were."""
        lifted = self.desk.gate.blocklist.lift(key)
        self.notes.event("endpoint_unblocked", "operator", client_ip=client or "all", lifted=lifted)
        self.teller.block("lifted", client)
        return lifted


def _store_in(folder: str, settings: Settings) -> Store:
    return Store(
        folder,
        max_file_bytes=settings.max_upload_bytes,
        max_total_bytes=settings.max_total_upload_bytes,
    )


def _check_method(method: str, route: Route) -> None:
    if method in route.methods:
        return
    allowed = ", ".join((*route.methods, "OPTIONS"))
    known = method in KNOWN_METHODS
    found = f"does not accept {method}" if known else f"does not know the method {method[:32]}"
    raise ClientFault(
        f"{route.path} {found}; it accepts {allowed}",
        status=405 if known else 501,
        code="method_not_allowed",
        headers={"allow": allowed},
    )


def _refuse_coding(head: RequestHead) -> None:
    """Refuse a coding of an upload: it would be stored, or would hide the form (threat-model.md, W16)."""
    coding = head.get(b"content-encoding")
    if coding is not None:
        from airelays.protocol.coding import check_coding

        check_coding(coding, decodes=False)


def _refuse_upgrade(request: Request, route: Route) -> None:
    """Refuse WebSocket: a 426 makes the Codex CLI use HTTP at once, any other status costs it 6 s."""
    if route.name == "responses" and b"websocket" in (request.head.get(b"upgrade") or b"").lower():
        request.keep_alive = False
        raise ClientFault(
            "WebSocket is not supported; use HTTP POST",
            status=426,
            code="upgrade_required",
            headers={"upgrade": "HTTP/1.1"},
        )
