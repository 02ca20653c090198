"""URLs of the far side, taken apart once. Owns: what an http(s) URL of the settings may look like.

Refuses to know: sockets, proxies. Layer: I/O (used by the client, the proxy rules and the sign-in).
"""

from __future__ import annotations

import re

from airelays.errors import ConfigError
from airelays.settings.record import Record

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>/[!-~]*)?",
    re.IGNORECASE,
)
_DEFAULT_PORT = {"http": 80, "https": 443}


class Target(Record):
    """One URL. `host` has no brackets, `authority` is ready for a Host field, `target` starts with "/"."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str

    @property
    def place(self) -> str:
        """Return host and port for a sentence, e.g. "chatgpt.com:443"."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what the allow-list and the pool compare: scheme, host and port."""
        return self.scheme, self.host, self.port


def split_url(url: str) -> Target:
    """Take an absolute http or https URL apart.

    Raises ConfigError for anything else, for user names or fragments inside it and for a bad port; the
    text does not repeat the URL, which could carry a password.
    """
    match = _URL.fullmatch(url)
    if match is None or "#" in (match["target"] or ""):
        raise ConfigError(
            "the upstream's URL cannot be used; expected http:// or https://, a host, an optional port"
            " and a path, without a user name, spaces or #"
        )
    scheme = match["scheme"].lower()
    host = match["host"].lower()
    port = int(match["port"] or _DEFAULT_PORT[scheme])
    if not 1 <= port <= 65535:
        raise ConfigError(f"the upstream's URL has port {port}; allowed are 1 to 65535")
    authority = host if port == _DEFAULT_PORT[scheme] else f"{host}:{port}"
    target = match["target"] or "/"
    return Target(scheme, host.strip("[]").rstrip("."), port, authority, target)
