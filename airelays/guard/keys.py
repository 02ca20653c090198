"""Named keys: their form, what one may do, and finding the one that a request presents.

A key is `airl_`, 43 characters of base64url (32 random bytes), and 6 characters of the CRC-32 of what stands before
them, so that a mistyped key can be distinguished from a wrong one. Only SHA-256 digests are kept: 32 random bytes
cannot be guessed, so a slow hash would protect nothing and cost each request.

Owns: these rules. Refuses to know: files, the clock, how a key came in. Layer: rules.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from airelays.errors import ClientFault

PREFIX = b"airl_"
_SECRET_CHARS, _CHECK_CHARS = 43, 6
_BODY = re.compile(rb"[A-Za-z0-9_-]{49}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_ID = re.compile(r"key_[0-9a-f]{16}")
# Why a presented key is not accepted.
MISTYPED, UNKNOWN, REVOKED, EXPIRED, REPLACED = (
    "mistyped",
    "unknown",
    "revoked",
    "expired",
    "replaced",
)
# From the least to the most; each one includes those before it.
ROUTES = ("read", "text", "all")
# A route of the operator: reading it requires "all", and only the owner can change anything there.
OPERATOR = "operator"
MAX_PER_MINUTE, MAX_CONCURRENT, MAX_TOKENS = 100_000, 10_000, 10**15
_NOTHING = bytes(32)


class Secret(NamedTuple):
    """One digest of a key; `until_s` is the Unix time from which it is no longer accepted, None for the newest."""

    digest: bytes
    until_s: float | None = None


class Key(NamedTuple):
    """A named key. `id` is never used again; 0 and () mean that there is no limit. Times are Unix seconds."""

    id: str
    name: str
    secrets: tuple[Secret, ...]
    created_s: float
    expires_s: float | None = None
    revoked_s: float | None = None
    routes: str = "text"
    models: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    requests_per_minute: int = 0
    concurrent: int = 0
    tokens_per_day: int = 0
    no_tools: bool = False

    def state(self, wall_s: float) -> str:
        """Return "live", REVOKED or EXPIRED."""
        if self.revoked_s is not None:
            return REVOKED
        if self.expires_s is not None and wall_s >= self.expires_s:
            return EXPIRED
        return "live"

    def __repr__(self) -> str:
        return f"Key({self.id!r}, {self.name!r})"


class Caller(NamedTuple):
    """Who is asking: a named key, or the owner (`key` None), who is also everybody in open mode.

    `digest` is the one that was presented, b"" on a listener bound to the key. `page` is the digest of a page's token
    (`guard.pagetokens`), b"" for everybody else.
    """

    key: Key | None = None
    digest: bytes = b""
    page: bytes = b""

    @property
    def owner(self) -> str:
        """What is stored as the owner of an object made by this caller: the id of the key, "" for the owner."""
        return "" if self.key is None else self.key.id

    @property
    def name(self) -> str:
        """The name of the key, "" for the owner."""
        return "" if self.key is None else self.key.name


OWNER = Caller()


class Found(NamedTuple):
    """What a lookup found. `problem` is "" where `caller` is a live key; else `caller` names the key, if it is one."""

    caller: Caller
    problem: str = ""


def make_key(random: bytes) -> str:
    """Return the key made of 32 random bytes."""
    if len(random) != 32:
        raise ValueError("a key is made of 32 random bytes")
    text = PREFIX + base64.urlsafe_b64encode(random)[:_SECRET_CHARS]
    return (text + _check_of(text)).decode("ascii")


def is_well_formed(presented: bytes) -> bool:
    """Whether length, characters and checksum are those of a key; it need not exist."""
    body = presented[len(PREFIX) :]
    if not presented.startswith(PREFIX) or _BODY.fullmatch(body) is None:
        return False
    return _check_of(presented[:-_CHECK_CHARS]) == presented[-_CHECK_CHARS:]


def digest_of(presented: bytes) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(presented).digest()


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a key: 1 to 40 letters, digits, dots, dashes and underscores."""
    return _NAME.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether `text` has the form of a key's id."""
    return _ID.fullmatch(text) is not None


def _check_of(text: bytes) -> bytes:
    check = zlib.crc32(text).to_bytes(4, "big")
    return base64.urlsafe_b64encode(check)[:_CHECK_CHARS]


class KeyTable:
    """The keys of one moment. `find` is the only way from a presented secret to a key."""

    __slots__ = ("_by_digest", "_by_id", "keys")

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self.keys = tuple(keys)
        self._by_id = {key.id: key for key in self.keys}
        self._by_digest = {
            secret.digest: (key, secret) for key in self.keys for secret in key.secrets
        }

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, presented: Iterable[bytes], wall_s: float) -> Found | None:
        """Return what the first value that looks like a key is; None when none of them looks like one.

        The cost does not depend on how many keys there are: one digest, one look into a dict, one comparison.
        """
        for value in presented:
            if value.startswith(PREFIX):
                if not is_well_formed(value):
                    return Found(OWNER, MISTYPED)
                return self._look_up(digest_of(value), wall_s)
        return None

    def _look_up(self, digest: bytes, wall_s: float) -> Found:
        key, secret = self._by_digest.get(digest, (None, Secret(_NOTHING)))
        same = hmac.compare_digest(digest, secret.digest)
        if key is None or not same:
            return Found(OWNER, UNKNOWN)
        caller = Caller(key, digest)
        return Found(caller, self.problem(caller, wall_s))

    def problem(self, caller: Caller, wall_s: float) -> str:
        """Return why the credential of `caller` is no longer accepted, "" while it is."""
        key = None if caller.key is None else self._by_id.get(caller.key.id)
        if key is None:
            return UNKNOWN
        state = key.state(wall_s)
        if state != "live":
            return state
        if not caller.digest:
            return ""
        for secret in key.secrets:
            if secret.digest == caller.digest:
                late = secret.until_s is not None and wall_s >= secret.until_s
                return REPLACED if late else ""
        return REPLACED

    def ends_s(self, caller: Caller) -> float | None:
        """Return the Unix time from which `caller` is no longer let in, None if that is not known."""
        key = None if caller.key is None else self._by_id.get(caller.key.id)
        if key is None:
            return None
        times = [key.expires_s, *(s.until_s for s in key.secrets if s.digest == caller.digest)]
        return min((at_s for at_s in times if at_s is not None), default=None)

    def by_id(self, key_id: str) -> Key | None:
        """Return a key by its id."""
        return self._by_id.get(key_id)

    def named(self, name: str) -> Key | None:
        """Return the key called `name`: the one that is not revoked, else the one that was revoked last."""
        same = [key for key in self.keys if key.name == name]
        return max(same, key=lambda key: (key.revoked_s is None, key.revoked_s or 0), default=None)


# ---- what a key may do


def allows_route(key: Key, access: str, method: str) -> bool:
    """Whether `key` may send `method` to a route of class `access`. No key changes the relay."""
    if access == OPERATOR:
        return key.routes == "all" and method in ("GET", "HEAD")
    return ROUTES.index(access) <= ROUTES.index(key.routes)


def allows_upstream(key: Key, name: str) -> bool:
    """Whether requests of `key` may go to the upstream called `name`."""
    return not key.upstreams or name in key.upstreams


def allows_model(key: Key, asked: str, upstream: str, model: str) -> bool:
    """Whether `key` may use `model` of `upstream`, asked for as `asked`.

    What counts is the model that the upstream is sent, as `model` or as `upstream/model`: an alias is no way around
    the patterns. A pattern without wildcards may name an alias, which then allows what the alias stands for.
    """
    if not key.models:
        return True
    asked, plain = asked.casefold(), model.casefold()
    full = f"{upstream}/{model}".casefold()
    for pattern in map(str.casefold, key.models):
        # A pattern without "/" is about models: "demo*" must not mean all of an upstream called demo.
        if fnmatchcase(plain, pattern) or ("/" in pattern and fnmatchcase(full, pattern)):
            return True
        if pattern == asked:
            return True
    return False


def route_refusal(key: Key, access: str, method: str, path: str) -> str:
    """Return why `key` may not use the route, "" when it may."""
    if allows_route(key, access, method):
        return ""
    if access == OPERATOR and key.routes == "all":
        return f"the key {key.name} cannot change the relay ({method} {path[:100]})"
    return f'the key {key.name} cannot use {path[:100]}; its routes are "{key.routes}"'


def check_upstream(key: Key | None, name: str) -> None:
    """Raise ClientFault 403 when requests of `key` may not go to the upstream called `name`."""
    if key is not None and not allows_upstream(key, name):
        text = f'cannot use the upstream "{name}"; its upstreams are {", ".join(key.upstreams)}'
        raise _refusal(key, text, "upstream_not_allowed", "model")


def check_model(key: Key | None, asked: str, upstream: str, model: str) -> None:
    """Raise ClientFault 403 when `key` may not use the upstream or its model."""
    check_upstream(key, upstream)
    if key is not None and not allows_model(key, asked, upstream, model):
        named = f'the model "{asked[:80]}"' if asked else "a request without a model"
        text = f"cannot use {named}; its models are {', '.join(key.models)[:400]}"
        raise _refusal(key, text, "model_not_allowed", "model")


def check_form(key: Key | None, what: str) -> None:
    """Raise ClientFault 403 for a form that is passed on as it is when `key` is limited to models.

    The relay and the server could read the name of the model in it differently.
    """
    if key is not None and key.models:
        text = f"is limited to models, and {what} is passed on without reading the model; use a key without "
        "--models"
        raise _refusal(key, text, "model_not_allowed", "model")


def _refusal(key: Key, text: str, code: str, param: str | None = None) -> ClientFault:
    return ClientFault(
        f"the key {key.name} {text}",
        status=403,
        code=code,
        param=param,
        should_retry=False,
    )
