"""Codes and tokens of the page, with which the owner's browser can see the relay and lift a block.

`airelays open` gets a code over the control listener. The page exchanges it once for a token, which is accepted for
the routes of PAGE_ROUTES and nothing else. Both are 32 random bytes and are bound to the current relay token: once it
is replaced, they are worth nothing. They are kept in memory only, so they end with the process.

Owns: these rules. Refuses to know: the clock, randomness, how either came in. Layer: rules.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from airelays.model import RequestHead, Route

PREFIX = b"airp_"
RANDOM_BYTES = 32
CODE_S = 60.0
LONGEST_S = 12 * 3600.0
IDLE_S = 30 * 60.0
# Of each kind: one more ends the oldest code, or the token that was unused for the longest time.
MAX_CODES = MAX_TOKENS = 16
# The route that exchanges a code for a token; a wrong code counts as a failed attempt there.
SESSION = "page_session"
# By name of the route: what a token can do, with the one method allowed in addition to GET and HEAD.
PAGE_ROUTES = {
    "relay_status": "",
    "relay_usage": "",
    "relay_feed": "",
    "relay_models": "",
    "relay_windows": "",
    "relay_requests": "",
    "relay_blocks": "",
    "relay_unblock": "POST",
    "docs": "",
    "doc": "",
}


# By name: what the page itself requests, which is not listed among the requests.
OWN_ROUTES = frozenset(PAGE_ROUTES) | {SESSION, "page", "health"}


class _Code(NamedTuple):
    id: str
    made_s: float
    relay: bytes


class _Token:
    __slots__ = ("made_s", "relay", "used_s")

    def __init__(self, now_s: float, relay: bytes) -> None:
        self.made_s = self.used_s = now_s
        self.relay = relay


class PageTokens:
    """What opens the page of one relay. `now_s` is monotonic; `relay` is the relay token of that moment, or None.

    Only SHA-256 digests are kept. A presented value is looked up by its digest, and that is compared in constant time.
    """

    __slots__ = ("_codes", "_tokens", "_used")

    def __init__(self) -> None:
        self._codes: dict[bytes, _Code] = {}
        self._used: deque[str] = deque(maxlen=MAX_CODES)
        self._tokens: dict[bytes, _Token] = {}

    def make_code(self, random: bytes, now_s: float, relay: bytes | None) -> tuple[str, str]:
        """Return a new code, good for CODE_S and one use, and the id under which `state_of` knows it."""
        self._forget(now_s)
        while len(self._codes) >= MAX_CODES:
            del self._codes[min(self._codes, key=lambda digest: self._codes[digest].made_s)]
        code = _text_of(random)
        digest = _digest(code)
        found = _Code(digest.hex()[:16], now_s, _digest(relay or b""))
        self._codes[digest] = found
        return code.decode("ascii"), found.id

    def state_of(self, code_id: str, now_s: float) -> str:
        """Return "used", "waiting", or "ended" for a code that was not used and cannot be any more."""
        self._forget(now_s)
        if code_id in self._used:
            return "used"
        waits = any(code.id == code_id for code in self._codes.values())
        return "waiting" if waits else "ended"

    def is_code(self, presented: Iterable[bytes], now_s: float, relay: bytes | None) -> bool:
        """Whether one of `presented` is a code that can be redeemed now; it stays so."""
        return self._find_code(presented, now_s, relay) is not None

    def redeem(
        self, presented: Iterable[bytes], random: bytes, now_s: float, relay: bytes | None
    ) -> str | None:
        """Return a new token for the code among `presented`, which is used up; None when there is no such code."""
        digest = self._find_code(presented, now_s, relay)
        if digest is None:
            return None
        self._used.append(self._codes.pop(digest).id)
        while len(self._tokens) >= MAX_TOKENS:
            del self._tokens[min(self._tokens, key=lambda d: self._tokens[d].used_s)]
        token = PREFIX + _text_of(random)
        self._tokens[_digest(token)] = _Token(now_s, _digest(relay or b""))
        return token.decode("ascii")

    def use(self, presented: Iterable[bytes], now_s: float, relay: bytes | None) -> bytes:
        """Return the digest of the live token among `presented`, which counts as used now; b"" when there is none."""
        for value in presented:
            if is_page_token(value):
                digest = _digest(value)
                if self.keep(digest, now_s, relay):
                    return digest
        return b""

    def keep(self, digest: bytes, now_s: float, relay: bytes | None) -> bool:
        """Count the token of `digest` as used now; False when it has ended."""
        self._forget(now_s)
        found = next((d for d in self._tokens if hmac.compare_digest(d, digest)), b"")
        token = self._tokens.get(found)
        if token is None:
            return False
        if not hmac.compare_digest(token.relay, _digest(relay or b"")):
            del self._tokens[found]
            return False
        token.used_s = now_s
        return True

    def __len__(self) -> int:
        return len(self._tokens)

    def _find_code(
        self, presented: Iterable[bytes], now_s: float, relay: bytes | None
    ) -> bytes | None:
        self._forget(now_s)
        current, found = _digest(relay or b""), None
        for value in presented:
            wanted = _digest(value)
            for digest, code in self._codes.items():
                same = hmac.compare_digest(digest, wanted)
                if same and hmac.compare_digest(code.relay, current):
                    found = digest
        return found

    def _forget(self, now_s: float) -> None:
        """Drop what has ended by time."""
        self._codes = {d: c for d, c in self._codes.items() if now_s - c.made_s < CODE_S}
        self._tokens = {
            digest: token
            for digest, token in self._tokens.items()
            if now_s - token.made_s < LONGEST_S and now_s - token.used_s < IDLE_S
        }


def is_page_token(presented: bytes) -> bool:
    """Whether a credential has the form of a token of the page; it need not be a valid one."""
    return presented.startswith(PREFIX)


def opens(route: Route | None, method: str) -> bool:
    """Whether a token of the page may send `method` to `route`."""
    taken = None if route is None else PAGE_ROUTES.get(route.name)
    if taken is None:
        return False
    return method == taken if taken else method in ("GET", "HEAD")


def is_own_page(head: RequestHead, scheme: str) -> bool:
    """Whether nothing says that another origin than `scheme`://Host sent this; what changes something must prove it.

    A browser sends Origin with every request to another origin that carries a credential, and with every POST. Plain
    http to another host than loopback has no Sec-Fetch-Site, so a GET may come with neither.
    """
    origin, site = head.get(b"origin"), head.get(b"sec-fetch-site")
    own = f"{scheme}://{head.authority}".lower().encode("latin-1")
    if origin is not None and origin.lower() != own:
        return False
    if site is not None and site.lower() != b"same-origin":
        return False
    return head.method in ("GET", "HEAD") or origin is not None or site is not None


def _text_of(random: bytes) -> bytes:
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"made of {RANDOM_BYTES} random bytes")
    return base64.urlsafe_b64encode(random).rstrip(b"=")


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
