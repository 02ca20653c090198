"""One decision for every request: admit it with a slot, or refuse it with a reason.

The order is fixed: Host and Origin, network scope, token (with the failed-auth block), bucket, concurrency, declared
length. What a browser can be made to send is refused before anything is counted; a request
that fails the token check costs nothing from its address's bucket; a refusal never frees a slot.

Owns: that order, the refusals' texts and codes. Refuses to know: sockets, which paths exist. Layer: rules.
"""

from __future__ import annotations

import math
from ipaddress import ip_network
from typing import Any, NamedTuple

from airelays.errors import ClientFault
from airelays.guard import auth, browser, network
from airelays.guard.limits import Blocklist, Buckets, Lease, Leases
from airelays.hints import hint
from airelays.model import Peer, RequestHead, Route
from airelays.settings.hosts import is_loopback
from airelays.settings.values import Settings

# The reason of a refusal that a person sees in a browser: it is answered with a page.
DOCS_WITHOUT_TOKEN = "docs_without_token"
# The reason of a refusal for want of a token in the address's bucket.
NO_RATE_TOKEN = "request_rate_limit"
_SIDES_OF_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Refused(ClientFault):
    """The gate's answer to a request that it does not admit. `reason` is the journal's word for it.

    `presented` is the fingerprint of a wrong token, `blocked` whether this failure began a block.
    """

    def __init__(
        self, message: str, reason: str, *, presented: str = "", blocked: bool = False, **rest: Any
    ) -> None:
        super().__init__(message, **rest)
        self.reason = reason
        self.presented = presented
        self.blocked = blocked


class Admission(NamedTuple):
    """An admitted request: the client's address, its key, and the slot to release at its very end.

    `lease` is None where every slot of the key is taken: the request may wait for one (`Leases.wait`), and is
    `Gate.too_busy` otherwise.
    """

    client: str
    key: str
    lease: Lease | None


class Gate:
    """The limits of one running relay. Not thread-safe: one event loop calls it."""

    def __init__(self, settings: Settings) -> None:
        self.buckets = Buckets(settings.rate_limit_per_minute, settings.rate_limit_burst)
        self.leases = Leases(settings.concurrent_requests_per_ip)
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
        own = {browser.host_name(_bracketed(settings.host))} - {"0.0.0.0", "::", ""}
        self._hosts = _SIDES_OF_LOOPBACK | own | {h.lower() for h in settings.allowed_hosts}
        self._origins = frozenset(o.lower() for o in settings.allowed_origins)
        # On a loopback listener nobody else can come; a wider one follows network_scope.
        self.scope = "loopback" if is_loopback(settings.host) else settings.network_scope
        # Somebody on the network is not told where this program and its files are.
        near = self.scope == "loopback"
        self.reveal = hint("token show") if near else "airelays token show"
        self.docs = hint("docs") if near else "airelays docs"
        self._trusted: tuple[network.Network, ...] = (
            tuple(ip_network(text, strict=False) for text in settings.trusted_proxies)
            if settings.trust_x_forwarded_for
            else ()
        )

    def client_of(self, head: RequestHead, peer: Peer) -> str:
        """Return the client's address as every limit sees it."""
        return network.client_address(peer.host, head, self._trusted)

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
    ) -> Admission:
        """Return an Admission, or raise Refused. `here` is the address that the client connected to.

        `route` None is a path that nobody knows: it needs the token like every other, so that
        strangers learn no paths. `family` is the protected family that the path lies in, or "".
        `token` None means that no token exists, and nothing matches it.
        """
        client = self.client_of(head, peer)
        self.check_browser(head, route, here, token)
        self.check_scope(client)
        if route is not None and route.open:
            return Admission(client, "", Lease(None, ""))
        key = network.limiter_key(client)
        if self._settings.require_bearer_auth:
            self._check_token(head, key, now_s, token, family)
        elif head.method in ("POST", "PUT", "PATCH"):
            _require_json(head, route)
        self._check_rate(key, now_s)
        return Admission(client, key, self.leases.take(key))

    def check_browser(
        self, head: RequestHead, route: Route | None, here: str, token: bytes | None
    ) -> None:
        """Refuse (421, 403) what a web page in the user's browser could have sent."""
        if not head.authority and head.http_version == "1.0":
            # No browser speaks HTTP/1.0 without Host; let old tools in that hold the token.
            if not (token and auth.matches(auth.credentials(head), token)):
                raise Refused(
                    "request names no host; send a Host field, or the relay token",
                    "no_host",
                    status=421,
                )
        elif not self.is_our_host(head.authority, here):
            raise Refused(
                f'this relay is not called "{head.authority[:128]}"; use its address, or list the '
                "name under security.allowed_hosts",
                "host",
                status=421,
                code="host_not_allowed",
            )
        page = head.get(b"origin")
        if page is not None and not self.allows_origin(page, head.authority):
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
                "requests that another web site causes are refused",
                "cross_site",
                status=403,
                code="origin_not_allowed",
            )

    def is_our_host(self, authority: str, here: str) -> bool:
        """Whether `authority` names this relay; the very address connected to cannot be a rebound name."""
        if browser.is_allowed_host(authority, self._hosts):
            return True
        return bool(here) and browser.host_name(authority) == here.lower()

    def allows_origin(self, page: bytes, authority: str) -> bool:
        """Whether a page of origin `page` may call."""
        return browser.is_allowed_origin(page.decode("latin-1"), authority, self._origins)

    def check_scope(self, client: str) -> None:
        """Refuse (403) a client outside the network scope."""
        if network.in_scope(client, self.scope):
            return
        where = "on_this_machine" if self.scope == "loopback" else "on_private_network"
        raise Refused(
            f"clients outside the scope {self.scope!r} are refused (security.network_scope)".replace(
                "'", '"'
            ),
            "network_scope",
            status=403,
            code=f"client_not_{where}",
        )

    def _check_token(
        self, head: RequestHead, key: str, now_s: float, token: bytes | None, family: str
    ) -> None:
        presented = auth.credentials(head)
        good = auth.matches(presented, token or b"")
        left_s = self.blocklist.blocked_for_s(key, now_s)
        if good and not (left_s and self._block_holds(token or b"")):
            return
        self._check_attempt(head, family)
        if left_s:
            raise Refused(
                "too many failed attempts to authenticate from this address; "
                f"blocked for {math.ceil(left_s)} more seconds",
                "auth_block_active",
                status=429,
                code="ip_temporarily_blocked",
                retry_after_s=left_s,
            )
        began = self.blocklist.fail(key, now_s)
        raise Refused(
            "the relay token is missing or wrong; send it as Authorization: Bearer TOKEN "
            f"({self.reveal} prints it)",
            "auth_failed",
            presented=auth.fingerprint(presented[0]) if presented else "",
            blocked=began,
            status=401,
            code="invalid_api_key",
            headers={"www-authenticate": 'Bearer realm="airelays"'},
        )

    def _check_attempt(self, head: RequestHead, family: str) -> None:
        """Refuse (404) what asks for a page without any credential: nobody guesses at the token so.

        Browsers look for /favicon.ico, monitors for whatever is there: that must not block the address. One answer
        for all paths outside the protected families, so that they tell nothing about which of them exist.
        """
        if head.method not in ("GET", "HEAD") or not auth.says_nothing(head):
            return
        if not family:
            raise Refused(
                "there is nothing here for a request without the relay token; the paths of the API begin with /v1/ "
                f"and need it ({self.reveal} prints it)",
                "path_without_token",
                status=404,
                code="unknown_route",
            )
        if family == "/docs" and browser.opens_page(head):
            raise Refused(
                "the documentation needs the relay token, which a browser does not send; "
                f"`{self.docs}` shows it",
                DOCS_WITHOUT_TOKEN,
                status=404,
                code="unknown_route",
            )

    def _block_holds(self, token: bytes) -> bool:
        """Whether a block stops even the right token: it could have been guessed, or the user said so."""
        scope = self._settings.failed_auth_block_scope
        return scope == "address" or len(token) < auth.LONG_TOKEN_BYTES

    def _check_rate(self, key: str, now_s: float) -> None:
        wait_s = self.buckets.take(key, now_s)
        if wait_s:
            raise Refused(
                f"more than {self.buckets.per_minute} requests a minute from this address "
                f"(burst {self.buckets.burst}); try again in {math.ceil(wait_s)} s",
                NO_RATE_TOKEN,
                status=429,
                code="rate_limit_exceeded",
                retry_after_s=wait_s,
            )

    def too_busy(self, key: str) -> Refused:
        """Return the refusal of a request that got no slot; its rate token is given back."""
        self.buckets.give_back(key)
        limit, seconds = self.leases.limit, self._settings.queue_seconds
        waited = f" and none of them ended within {seconds:g} s" if seconds else ""
        return Refused(
            f"{limit} requests of this address are running{waited}; try again, or raise "
            "security.concurrent_requests_per_ip (how many run at a time) or security.queue_seconds (how long a "
            "request waits)",
            "concurrency_limit",
            status=429,
            code="too_many_concurrent_requests",
            retry_after_s=1.0,
        )


def _require_json(head: RequestHead, route: Route | None) -> None:
    """In open mode a body must say what no web page can say without asking first (Fetch: simple requests)."""
    if route is not None and route.body == "multipart":
        return  # a page's upload carries an Origin, which was refused above
    kind = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if head.has_body and kind != b"application/json":
        raise Refused(
            "without a relay token only bodies of type application/json are accepted",
            "content_type",
            status=415,
            code="unsupported_media_type",
        )


def check_length(head: RequestHead, max_body_bytes: int) -> None:
    if head.content_length is not None and head.content_length > max_body_bytes:
        raise Refused(
            f"request body is {head.content_length:,} bytes; this route accepts at most "
            f"{max_body_bytes:,}",
            "body_too_large",
            status=413,
            code="request_too_large",
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
