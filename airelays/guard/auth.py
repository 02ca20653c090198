"""The relay token: where a request may carry it, and how it is compared.

Owns: reading credentials from a head, comparing them in constant time. Refuses to know: where the token is
stored, what a failure costs. Layer: rules.
"""

from __future__ import annotations

import hashlib
import hmac

from airelays.errors import ClientFault
from airelays.model import RequestHead

# A token this long cannot be guessed, so a valid one passes while its address is blocked.
LONG_TOKEN_BYTES = 32
# Below these, a token is weak: something that was typed to try the program, never a token from `token rotate`.
ENOUGH_BYTES = 16
ENOUGH_KINDS = 8
# In lower case. The first one is in our documentation (tests/credentials/test_weak_tokens.py reads it there).
PUBLISHED = frozenset((b"your_airelays_token", b"x", b"test", b"changeme", b"sk-1234"))

# OpenAI SDKs send Authorization; Azure-style clients `api-key`; Continue also sends `x-api-key`.
_CREDENTIAL_FIELDS = frozenset((b"authorization", b"x-api-key", b"api-key"))


def credentials(head: RequestHead) -> list[bytes]:
    """Return what the request presents as relay token, at most one a field; [] when it presents none.

    Never looks at the target or at cookies. Raises ClientFault (400) when a credential field comes twice:
    which of the two counts must not be left to chance (RFC 9110 section 5.3).
    """
    found: dict[bytes, bytes] = {}
    for name, value in head.fields:
        if name in _CREDENTIAL_FIELDS:
            if name in found:
                count = len(head.get_all(name))
                raise ClientFault(
                    f"the request has {count} {name.decode()} header fields; send exactly one",
                    code="duplicate_credential",
                )
            found[name] = value
    scheme, _, token = found.pop(b"authorization", b"").partition(b" ")
    bearer = token.strip(b" \t") if scheme.lower() == b"bearer" else b""
    return [value for value in (bearer, *found.values()) if value]


def says_nothing(head: RequestHead) -> bool:
    """Whether the request makes no attempt to authenticate. One of a scheme that is not taken (Basic) is an attempt."""
    return not any(
        value and not (name == b"authorization" and value.lower() == b"bearer")
        for name, value in head.fields
        if name in _CREDENTIAL_FIELDS
    )


def matches(presented: list[bytes], token: bytes) -> bool:
    """Whether one of `presented` is `token`. The same work for every wrong value (RFC 6750 section 3).

    Both sides are hashed first, so that neither length nor content of the token shows in the time taken.
    """
    wanted = hashlib.sha256(token).digest()
    good = False
    for value in presented or [b""]:
        good |= hmac.compare_digest(hashlib.sha256(value).digest(), wanted)
    return good and bool(token)


def weakness(token: bytes) -> str:
    """Return what makes `token` easy to guess, as words that follow "it"; "" when nothing does."""
    if token.lower() in PUBLISHED:
        return "is published as an example"
    if len(token) < ENOUGH_BYTES:
        return f"is shorter than {ENOUGH_BYTES} characters"
    if len(set(token)) < ENOUGH_KINDS:
        return f"has fewer than {ENOUGH_KINDS} different characters"
    return ""


def fingerprint(secret: bytes) -> str:
    """Return 12 hex digits by which two log lines can be told to be about the same wrong token."""
    return hashlib.sha256(secret).hexdigest()[:12]
