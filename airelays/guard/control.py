"""Who may use the control listener: whoever can read this process's secret, and no browser. Layer: rules.

The owner's commands read the secret from `running.json` (0600) and have the relay prove that it knows it before they
send it: whoever took the port of a relay that is gone learns a random number only. Nothing else opens this listener,
no relay token and no key; and the secret opens nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from airelays.errors import ClientFault
from airelays.model import RequestHead

SECRET_FIELD = b"x-airelays-control"
SECRET_BYTES = 32
_NONCE = re.compile(r"[0-9a-f]{32,128}")
_OF_BROWSERS = (b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")


def prove(secret: str, nonce: str, started: str) -> str:
    """Return HMAC-SHA256(secret, nonce + start time) in hexadecimal digits. Raises ClientFault for a bad nonce."""
    if not _NONCE.fullmatch(nonce):
        raise ClientFault("a nonce is 32 to 128 hexadecimal digits", code="invalid_value")
    return hmac.new(secret.encode(), (nonce + started).encode(), hashlib.sha256).hexdigest()


def is_proof(given: str, secret: str, nonce: str, started: str) -> bool:
    """Whether `given` is what the relay that wrote the file answers to `nonce`. Takes the same time for all."""
    return hmac.compare_digest(given.encode(), prove(secret, nonce, started).encode())


def check_source(head: RequestHead, port: int) -> None:
    """Refuse what a browser sent, or what was meant for another host. Raises ClientFault (403)."""
    foreign = head.authority != f"127.0.0.1:{port}"
    if foreign or any(head.get(name) is not None for name in _OF_BROWSERS):
        text = "this is the control listener of AIRelays; it serves the program's own commands only"
        raise ClientFault(text, status=403, code="control_forbidden")


def knows(head: RequestHead, secret: str) -> bool:
    """Whether the request carries the secret. Takes the same time for all wrong ones of one length."""
    return hmac.compare_digest(head.get(SECRET_FIELD) or b"", secret.encode())
