"""The gate's refusals: the type, and the texts about keys and bodies that it refuses. Layer: rules."""

from __future__ import annotations

import math
from typing import Any

from airelays.errors import ClientFault
from airelays.guard import auth, browser
from airelays.guard.keylimits import Spent
from airelays.guard.keys import MISTYPED, Caller, Found, Key, route_refusal
from airelays.guard.limits import Buckets
from airelays.guard.pagetokens import SESSION, is_own_page, is_page_token, opens
from airelays.hints import told
from airelays.model import RequestHead, Route

# The reason of a refusal because the address's bucket is empty.
NO_RATE_TOKEN = "request_rate_limit"


class Refused(ClientFault):
    """The gate's answer to a request that it does not admit. `reason` is the journal's word for it.

    `presented` is the fingerprint of a wrong token, `blocked` whether this failure began a block. `key` is the name of
    the key that was presented, `problem` why it opens nothing.
    """

    def __init__(
        self,
        message: str,
        reason: str,
        *,
        presented: str = "",
        blocked: bool = False,
        key: str = "",
        problem: str = "",
        **rest: Any,
    ) -> None:
        super().__init__(message, **rest)
        self.reason = reason
        self.presented = presented
        self.blocked = blocked
        self.key = key
        self.problem = problem


def wrong(
    presented: list[bytes],
    found: Found | None,
    began: bool,
    reveal: str,
    route: Route | None = None,
) -> Refused:
    """Return the 401; `reveal` is the command that shows the token.

    One body for everything except a wrong checksum, which anyone could compute, and what the page sends.
    """
    text, code = (
        (
            "the relay token is missing or wrong; send it as Authorization: Bearer TOKEN "
            f"({reveal} prints it)"
        ),
        "invalid_api_key",
    )
    if route is not None and route.name == SESSION:
        text, code = wrong_code(), "page_code_wrong"
    elif any(map(is_page_token, presented)):
        text = f"this page is no longer signed in; open it again: {told('open')}"
        code = "page_session_ended"
    if found is not None and found.problem == MISTYPED:
        text = (
            "the key is mistyped: its checksum does not match; copy all 54 characters of it again"
        )
    return Refused(
        text,
        "auth_failed",
        presented=auth.fingerprint(presented[0]) if presented else "",
        blocked=began,
        key="" if found is None else found.caller.name,
        problem="" if found is None else found.problem,
        status=401,
        code=code,
        headers={"www-authenticate": 'Bearer realm="airelays"'},
    )


def blocked(left_s: float) -> Refused:
    """Return the 429 of an address that has failed too often."""
    return Refused(
        "too many failed attempts to authenticate from this address; "
        f"blocked for {math.ceil(left_s)} more seconds",
        "auth_block_active",
        status=429,
        code="ip_temporarily_blocked",
        retry_after_s=left_s,
    )


def out_of_scope(scope: str) -> Refused:
    """Return the 403 of a client that may not connect at all."""
    where = "on_this_machine" if scope == "loopback" else "on_private_network"
    return Refused(
        f'clients outside the scope "{scope}" are refused (security.network_scope)',
        "network_scope",
        status=403,
        code=f"client_not_{where}",
    )


def wrong_code() -> str:
    """Return the text for every code that is not accepted, whatever the reason."""
    return f"the code is wrong, was already used or is too old; get a new one: {told('open')}"


def check_page(caller: Caller, head: RequestHead, route: Route | None, scheme: str) -> None:
    """Refuse (403) what the page's token does not allow, and that token in requests from anything but the relay's own
    page."""
    if not caller.page:
        return
    if not is_own_page(head, scheme):
        raise Refused(
            "the token of the page is for the relay's own page, and this request comes from elsewhere",
            "page_origin",
            status=403,
            code="origin_not_allowed",
        )
    if not opens(route, head.method):
        raise Refused(
            f"the token of the page does not open {head.method} {head.path[:200]}; use the relay token",
            "page_route",
            status=403,
            code="route_not_allowed",
            should_retry=False,
        )


def ended(caller: Caller, problem: str) -> Refused:
    """Return the 401 of a listener whose key is no longer valid."""
    return Refused(
        f"the key that this listener is bound to is no longer valid; create a new one with `{told('key create')}`, "
        "name it in [[listen]] or --listen, and restart the relay",
        "listener_key",
        key=caller.name,
        problem=problem,
        status=401,
        code="invalid_api_key",
    )


def not_here(path: str) -> Refused:
    """Return the 404 of a listener bound to a key for what it does not serve."""
    return Refused(
        f"there is no {path[:200]} on this listener, which serves text and model routes only",
        "listener_route",
        status=404,
        code="unknown_route",
    )


def over_rate(buckets: Buckets, wait_s: float) -> Refused:
    """Return the 429 of an address that exceeds its rate."""
    return Refused(
        f"more than {buckets.per_minute} requests per minute from this address "
        f"(burst {buckets.burst}); try again in {math.ceil(wait_s)} s",
        NO_RATE_TOKEN,
        status=429,
        code="rate_limit_exceeded",
        retry_after_s=wait_s,
    )


def over_window(key: Key, per_minute: int, wait_s: float) -> Refused:
    """Return the 429 of a key that exceeds its rate."""
    return Refused(
        f"the key {key.name} has reached its limit of {per_minute} requests per minute; try again in "
        f"{math.ceil(wait_s)} s",
        "key_rate_limit",
        status=429,
        code="rate_limit_exceeded",
        retry_after_s=wait_s,
        key=key.name,
    )


def busy_key(name: str, whose: str, limit: int, waited: str) -> Refused:
    """Return the 429 of a key, or of all listeners bound to one, that has no slot left."""
    return Refused(
        f"{limit} requests of {whose} are running{waited}, which is the limit; try again",
        "key_concurrency_limit",
        status=429,
        code="too_many_concurrent_requests",
        retry_after_s=1.0,
        key=name,
    )


def busy(limit: int, waited: str) -> Refused:
    """Return the 429 of an address that has no slot left."""
    return Refused(
        f"{limit} requests of this address are running{waited}; try again, or raise "
        "security.concurrent_requests_per_ip (how many run at a time) or security.queue_seconds (how long a "
        "request waits)",
        "concurrency_limit",
        status=429,
        code="too_many_concurrent_requests",
        retry_after_s=1.0,
    )


def check_key(
    key: Key, head: RequestHead, route: Route | None, spent: Spent, wall_s: float
) -> None:
    """Refuse (403, 429) what `key` cannot use, or has no tokens left for."""
    if route is None:
        return
    text = route_refusal(key, route.access, head.method, head.path)
    if text:
        raise Refused(
            text,
            "key_route",
            status=403,
            code="route_not_allowed",
            should_retry=False,
            key=key.name,
        )
    if not key.tokens_per_day or route.access == "read":
        return
    wait_s = spent.wait_s(key.id, key.tokens_per_day, wall_s)
    if wait_s:
        raise Refused(
            f"the key {key.name} has used {spent.today(key.id, wall_s):,} tokens today, and its budget is "
            f"{key.tokens_per_day:,} per UTC day (requests that have ended are counted); it is renewed in "
            f"{math.ceil(wait_s):,} s",
            "key_token_budget",
            status=429,
            code="insufficient_quota",
            retry_after_s=wait_s,
            should_retry=False,
            key=key.name,
        )


def require_json(head: RequestHead, route: Route | None, *, opened: bool) -> None:
    """Refuse (415) a body of a type that a web page can send without a preflight (Fetch: simple requests).

    In open mode, this applies to every body; otherwise to routes that accept any type, but only from programs.
    """
    taken = "" if route is None else route.body
    if taken == "multipart" or not (opened or taken == "any"):
        return  # a page's upload carries an Origin, which was refused above
    if head.method not in ("POST", "PUT", "PATCH"):
        return
    if taken == "any" and not browser.field_of(head):
        return
    kind = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if head.has_body and kind != b"application/json":
        who = "without a relay token" if opened else "from a browser"
        raise Refused(
            f"{who} only bodies with content-type application/json are accepted",
            "content_type",
            status=415,
            code="unsupported_media_type",
        )


def refuse_browser(head: RequestHead) -> None:
    """Refuse (403) what a browser sent to a listener that requires no credential."""
    found = browser.field_of(head)
    if found:
        raise Refused(
            f"this listener is for programs on this machine, and the header {found.decode()} comes from a "
            "browser; use another listener, with the token or a key",
            "browser_field",
            status=403,
            code="browser_refused",
        )


def check_length(head: RequestHead, max_body_bytes: int) -> None:
    """Refuse (413) a body whose declared length is too long."""
    if head.content_length is not None and head.content_length > max_body_bytes:
        raise Refused(
            f"the request body is {head.content_length:,} bytes; this route accepts at most "
            f"{max_body_bytes:,}",
            "body_too_large",
            status=413,
            code="request_too_large",
        )
