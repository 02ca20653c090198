"""One decision for every request: admit it with a slot, or refuse it with a reason.

The order is fixed: Host and Origin, network scope, token or key (with the failed-auth block), rate of the address,
what the key may use, its rate and budget, concurrency, declared length. What a browser can be made to send is refused
before anything is counted; a request that fails the token check costs nothing from its address's bucket; a refusal
never frees a slot.

Owns: that order, the refusals' texts and codes. Refuses to know: sockets, which paths exist. Layer: rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import NamedTuple

from airelays.errors import ClientFault
from airelays.guard import auth, browser, network
from airelays.guard.keylimits import Spent, Windows
from airelays.guard.keys import OWNER, PREFIX, Caller, Found, Key, KeyTable
from airelays.guard.limits import Blocklist, Buckets, Lease, Leases
from airelays.guard.pagetokens import SESSION, PageTokens
from airelays.guard.refused import (
    Refused,
    blocked,
    busy,
    busy_key,
    check_key,
    check_page,
    ended,
    not_here,
    out_of_scope,
    over_rate,
    over_window,
    refuse_browser,
    require_json,
    wrong,
)
from airelays.hints import told
from airelays.model import Door, Peer, RequestHead, Route
from airelays.settings.hosts import is_loopback
from airelays.settings.values import Settings

# The reason of a refusal that is answered with a page, because a person sees it in a browser.
DOCS_WITHOUT_TOKEN = "docs_without_token"
# The limits of a listener bound to a key, if the key itself has none.
LISTENER_PER_MINUTE, LISTENER_CONCURRENT = 60, 4
# The limits of routes that clients request once per model at every refresh, and that need no upstream
# (`Route.looks`).
LOOKS_PER_MINUTE, LOOKS_BURST = 600, 100
_LISTENERS = "listeners"
_SIDES_OF_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Admission(NamedTuple):
    """An admitted request: the client's address, its key, and the slot to release at its very end.

    `lease` is None if no slot is free: the request can wait for one (`Leases.wait`) of each of `slots` in
    their order, and is `Gate.too_busy` otherwise. The last of them is that of the address, which is `key`.
    """

    client: str
    key: str
    lease: Lease | None
    caller: Caller = OWNER
    slots: tuple[str, ...] = ()


class Asking(NamedTuple):
    """What the gate needs of named keys: `keys` returns those of now, where that matters; `wall_s` is Unix time."""

    keys: Callable[[], KeyTable]
    wall_s: float


NO_KEYS = Asking(KeyTable, 0.0)


class Gate:
    """The limits of one running relay. Not thread-safe: one event loop calls it."""

    def __init__(self, settings: Settings) -> None:
        self.buckets = Buckets(settings.rate_limit_per_minute, settings.rate_limit_burst)
        self.looks = Buckets(LOOKS_PER_MINUTE, LOOKS_BURST)
        self.leases = Leases(settings.concurrent_requests_per_ip)
        self.windows = Windows()
        self.spent = Spent()
        self.pages = PageTokens()
        self.blocklist = Blocklist(
            settings.failed_auth_max_attempts,
            settings.failed_auth_window_seconds,
            settings.failed_auth_block_seconds,
        )
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take new limits and lists; what was counted so far stays."""
        self._settings = settings
        self.buckets.configure(settings.rate_limit_per_minute, settings.rate_limit_burst)
        self.leases.limit = settings.concurrent_requests_per_ip
        self.blocklist.max_attempts = settings.failed_auth_max_attempts
        self.blocklist.window_s = settings.failed_auth_window_seconds
        self.blocklist.block_s = settings.failed_auth_block_seconds
        own = {browser.host_name(_bracketed(host)) for host in settings.hosts}
        own -= {"0.0.0.0", "::", ""}
        self._hosts = _SIDES_OF_LOOPBACK | own | {h.lower() for h in settings.allowed_hosts}
        self._origins = frozenset(o.lower() for o in settings.allowed_origins)
        # On a loopback listener, no other machine can connect; a wider one follows network_scope.
        self.scope = "loopback" if is_loopback(settings.host) else settings.network_scope
        self.reveal, self.docs = told("token show"), told("docs")
        self._trusted: tuple[network.Network, ...] = (
            tuple(ip_network(text, strict=False) for text in settings.trusted_proxies)
            if settings.trust_x_forwarded_for
            else ()
        )

    def client_of(self, head: RequestHead, peer: Peer) -> str:
        """Return the client's address as every limit sees it."""
        return network.client_address(peer.host, head, self._trusted)

    def scheme_of(self, head: RequestHead, peer: Peer) -> str:
        """Return the scheme of the relay's own origin, as the client sees it."""
        return network.client_scheme(peer.host, head, self._trusted)

    def admit(
        self,
        head: RequestHead,
        peer: Peer,
        route: Route | None,
        now_s: float,
        *,
        token: bytes | None,
        here: str = "",
        family: str = "/v1",
        door: Door | None = None,
        asking: Asking = NO_KEYS,
    ) -> Admission:
        """Return an Admission, or raise Refused. `here` is the address that the client connected to.

        `route` None is an unknown path: it requires the token like every other, so that outsiders learn nothing about
        paths. `family` is the protected family that the path lies in, or "".
        `token` None means that no token exists, and nothing matches it. `door` is the listener that was connected to.
        """
        client = self.client_of(head, peer)
        if door is not None and door.key:
            return self._admit_unasked(head, client, route, now_s, door, asking, here)
        scheme = self.scheme_of(head, peer)
        self.check_browser(head, route, here, token, scheme)
        self.check_scope(client, door)
        if route is not None and route.open:
            return Admission(client, "", Lease(None, ""))
        key = network.limiter_key(client)
        caller = self._identify(head, key, now_s, token, family, route, asking)
        check_page(caller, head, route, scheme)
        require_json(head, route, opened=not self._settings.require_bearer_auth)
        if route is not None and route.looks:
            return self._admit_look(head, client, key, route, now_s, caller, asking)
        self._check_rate(self.buckets, key, now_s)
        if caller.key is None:
            return Admission(client, key, self.leases.take(key), caller, (key,))
        own = caller.key
        try:
            check_key(own, head, route, self.spent, asking.wall_s)
            self._check_window(own, own.id, own.requests_per_minute, now_s)
        except Refused:
            self.buckets.give_back(key)
            raise
        slots = (*self._slot_of(own), key)
        return Admission(client, key, self.leases.take_all(slots), caller, slots)

    def _admit_look(
        self,
        head: RequestHead,
        client: str,
        address: str,
        route: Route,
        now_s: float,
        caller: Caller,
        asking: Asking,
    ) -> Admission:
        """Admit a request that only lists what there is: it has a separate rate, takes no slot, and counts for no
        key."""
        self._check_rate(self.looks, address, now_s)
        if caller.key is not None:
            check_key(caller.key, head, route, self.spent, asking.wall_s)
        return Admission(client, address, Lease(None, ""), caller)

    def _slots_of_listener(self, key: Key) -> tuple[str, ...]:
        half = max(1, self._settings.concurrent_requests_per_ip // 2)
        own = _listener_slot(key)
        self.leases.limits[own] = min(key.concurrent or LISTENER_CONCURRENT, half)
        # The limit of all such listeners together: two of them must not use up what the owner's own programs need.
        self.leases.limits[_LISTENERS] = half
        return (own, _LISTENERS)

    def _slot_of(self, key: Key) -> tuple[str, ...]:
        if not key.concurrent:
            return ()
        self.leases.limits[key.id] = key.concurrent
        return (key.id,)

    def _admit_unasked(
        self,
        head: RequestHead,
        client: str,
        route: Route | None,
        now_s: float,
        door: Door,
        asking: Asking,
        here: str,
    ) -> Admission:
        """Admit a request on a listener that is bound to a key: its own credentials are ignored."""
        refuse_browser(head)
        self._check_host(head, here)
        self.check_scope(client, door)
        if route is not None and route.open:
            return Admission(client, "", Lease(None, ""))
        address, table = network.limiter_key(client), asking.keys()
        caller = Caller(table.by_id(door.key))
        problem = table.problem(caller, asking.wall_s)
        if caller.key is None or problem:
            raise ended(caller, problem)
        if route is not None and route.looks:
            return self._admit_look(head, client, address, route, now_s, caller, asking)
        if route is None or not (route.access == "text" or route.name in ("models", "model")):
            raise not_here(head.path)
        self._check_rate(self.buckets, address, now_s)
        key, own = caller.key, _listener_slot(caller.key)
        window = key.id if key.requests_per_minute else own
        try:
            check_key(key, head, route, self.spent, asking.wall_s)
            per_minute = key.requests_per_minute or LISTENER_PER_MINUTE
            self._check_window(key, window, per_minute, now_s)
        except Refused:
            self.buckets.give_back(address)
            raise
        slots = (*self._slot_of(key), *self._slots_of_listener(key), address)
        return Admission(client, address, self.leases.take_all(slots), caller, slots)

    def check_browser(
        self,
        head: RequestHead,
        route: Route | None,
        here: str,
        token: bytes | None,
        scheme: str = "http",
    ) -> None:
        """Refuse (421, 403) what a web page in the user's browser could have sent."""
        if not head.authority and head.http_version == "1.0":
            # No browser speaks HTTP/1.0 without Host, so old tools that send the token are let in.
            if not (token and auth.matches(auth.credentials(head), token)):
                raise Refused(
                    "the request has no Host header; send one, or send the relay token",
                    "no_host",
                    status=421,
                )
        else:
            self._check_host(head, here)
        page = head.get(b"origin")
        if page is not None and not self.allows_origin(page, head.authority, scheme):
            raise Refused(
                "requests from web pages of other origins are refused; list the origin under "
                "security.allowed_origins if it is yours",
                "origin",
                status=403,
                code="origin_not_allowed",
            )
        followed = route is not None and route.open and browser.is_navigation(head)
        if page is None and browser.is_cross_site(head) and not followed:
            raise Refused(
                "requests caused by another website are refused",
                "cross_site",
                status=403,
                code="origin_not_allowed",
            )

    def _check_host(self, head: RequestHead, here: str) -> None:
        if not self.is_our_host(head.authority, here):
            raise Refused(
                f'this relay is not called "{head.authority[:128]}"; use its address, or list the '
                "name under security.allowed_hosts",
                "host",
                status=421,
                code="host_not_allowed",
            )

    def is_our_host(self, authority: str, here: str) -> bool:
        """Whether `authority` names this relay; the very address connected to cannot be a rebound name."""
        if browser.is_allowed_host(authority, self._hosts):
            return True
        return bool(here) and browser.host_name(authority) == here.lower()

    def allows_origin(self, page: bytes, authority: str, scheme: str = "http") -> bool:
        """Whether a page of origin `page` may call; `scheme` and `authority` make the relay's own."""
        return browser.is_allowed_origin(page.decode("latin-1"), authority, self._origins, scheme)

    def scope_of(self, door: Door | None) -> str:
        """Return who may come in by `door`; None stands for `server.host`."""
        if door is None:
            return self.scope
        return "loopback" if is_loopback(door.host) else self._settings.network_scope

    def check_scope(self, client: str, door: Door | None = None) -> None:
        """Refuse (403) a client outside the network scope."""
        scope = self.scope_of(door)
        if network.in_scope(client, scope):
            return
        raise out_of_scope(scope)

    def _identify(
        self,
        head: RequestHead,
        key: str,
        now_s: float,
        token: bytes | None,
        family: str,
        route: Route | None,
        asking: Asking,
    ) -> Caller:
        """Return who presents the relay token, a key, a page's token or code.

        Raises Refused, and counts that as a failed attempt.
        """
        if not self._settings.require_bearer_auth:
            return self._attributed(head, now_s, token, asking)
        presented = auth.credentials(head)
        good = auth.matches(presented, token or b"")
        left_s = self.blocklist.blocked_for_s(key, now_s)
        if good and not (left_s and self._block_holds(token or b"")):
            return OWNER
        found = None if good else _find_key(presented, asking)
        # Keys cannot be guessed, so a block of the address does not apply to them, unless the user set it.
        held = left_s and self._settings.failed_auth_block_scope == "address"
        if found is not None and not found.problem and not held:
            return found.caller
        if not held:
            page = self.pages.use(presented, now_s, token)
            if page:
                return Caller(page=page)
            asks = route is not None and route.name == SESSION
            if asks and self.pages.is_code(presented, now_s, token):
                return OWNER
        self._check_attempt(head, family)
        if left_s:
            raise blocked(left_s)
        raise wrong(presented, found, self.blocklist.fail(key, now_s), self.reveal, route)

    def _attributed(
        self, head: RequestHead, now_s: float, token: bytes | None, asking: Asking
    ) -> Caller:
        """Return whose key or page token was sent to an open relay; anything else is a placeholder, and never
        refused."""
        try:
            presented = auth.credentials(head)
        except ClientFault:
            return OWNER
        found = _find_key(presented, asking)
        if found is not None and not found.problem:
            return found.caller
        return Caller(page=self.pages.use(presented, now_s, token))

    def _check_attempt(self, head: RequestHead, family: str) -> None:
        """Refuse (404) a request for a page without any credential: it is not an attempt to guess the token.

        Browsers look for /favicon.ico, monitors for whatever is there: that must not block the address. One answer
        for all paths outside the protected families, so that they tell nothing about which of them exist.
        """
        if head.method not in ("GET", "HEAD") or not auth.says_nothing(head):
            return
        if not family:
            raise Refused(
                "there is nothing at this path without the relay token; the API is below /v1/ and requires the "
                f"token ({self.reveal} prints it)",
                "path_without_token",
                status=404,
                code="unknown_route",
            )
        if family == "/docs" and browser.opens_page(head):
            raise Refused(
                "the documentation requires the relay token, which a browser does not send; "
                f"`{self.docs}` shows it",
                DOCS_WITHOUT_TOKEN,
                status=404,
                code="unknown_route",
            )

    def _block_holds(self, token: bytes) -> bool:
        """Whether a block applies even to the correct token, because it could be guessed or the user set it."""
        scope = self._settings.failed_auth_block_scope
        return scope == "address" or len(token) < auth.LONG_TOKEN_BYTES

    def _check_rate(self, buckets: Buckets, key: str, now_s: float) -> None:
        wait_s = buckets.take(key, now_s)
        if wait_s:
            raise over_rate(buckets, wait_s)

    def _check_window(self, key: Key, name: str, per_minute: int, now_s: float) -> None:
        if not per_minute:
            return
        wait_s = self.windows.take(name, per_minute, now_s)
        if wait_s:
            raise over_window(key, per_minute, wait_s)

    def give_back(self, admission: Admission) -> None:
        """Undo the counting of a request that did not get its slots."""
        self.buckets.give_back(admission.key)
        key = admission.caller.key
        if key is not None:
            own = _listener_slot(key)
            unlimited = not key.requests_per_minute and own in admission.slots
            self.windows.give_back(own if unlimited else key.id)

    def too_busy(self, admission: Admission, slot: str = "") -> Refused:
        """Return the refusal of a request that got no slot of `slot`; what was counted of it is given back."""
        self.give_back(admission)
        slot = slot or self._taken(admission.slots)
        limit = self.leases.limits.get(slot, self.leases.limit)
        seconds = self._settings.queue_seconds
        waited = f" and none of them ended within {seconds:g} s" if seconds else ""
        if slot != admission.key and admission.caller.key is not None:
            name = admission.caller.key.name
            whose = "listeners bound to a key" if slot == _LISTENERS else f"the key {name}"
            return busy_key(name, whose, limit, waited)
        return busy(limit, waited)

    def _taken(self, slots: Sequence[str]) -> str:
        """Return the first of `slots` that is not available now, otherwise the last."""
        for slot in slots:
            limit = self.leases.limits.get(slot, self.leases.limit)
            if self.leases.in_use(slot) >= limit or self.leases.waiting_for(slot):
                return slot
        return slots[-1]


def _find_key(presented: list[bytes], asking: Asking) -> Found | None:
    """Return the key among `presented`; the lookup happens only if something has the form of a key."""
    if any(value.startswith(PREFIX) for value in presented):
        return asking.keys().find(presented, asking.wall_s)
    return None


def _listener_slot(key: Key) -> str:
    return f"listener {key.id}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
