"""Which proxy a connection takes, from the usual environment variables. Owns: their syntax and order.

HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are read in both cases, lower case first as curl does.
Loopback is never proxied. Credentials stay inside `Proxy` and are in no text. Layer: I/O.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from airelays.errors import ConfigError, UpstreamFault
from airelays.net.address import split_url
from airelays.settings.hosts import is_loopback
from airelays.settings.record import Record


class Proxy(Record, hidden=("authorization", "user", "password")):
    """A plain HTTP proxy, or a SOCKS5 one that resolves names (`socks`).

    `authorization` is the value for Proxy-Authorization, or empty; SOCKS5 has `user` and `password` instead.
    """

    host: str
    port: int
    variable: str
    authorization: bytes = b""
    socks: bool = False
    user: bytes = b""
    password: bytes = b""

    @property
    def place(self) -> str:
        """Return host and port for a sentence."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ProxyRules:
    """The proxy of the settings, else those that an environment names; without arguments: none.

    `url` is `upstream.proxy`; it wins, and NO_PROXY then still makes exceptions.
    """

    def __init__(self, env: Mapping[str, str] | None = None, *, url: str = "") -> None:
        self._env: dict[str, tuple[str, str]] = {}
        for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
            for variable in (name, name.upper()):
                # httpoxy (CVE-2016-5385): in a CGI process HTTP_PROXY is a request header.
                if env is None or (variable == "HTTP_PROXY" and "REQUEST_METHOD" in env):
                    continue
                if value := env.get(variable, "").strip():
                    self._env[name] = (variable, value)
                    break
        if url:
            self._env["https_proxy"] = self._env["http_proxy"] = ("upstream.proxy", url)

    def choose(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy for this origin, or None for a direct connection.

        Raises UpstreamFault (hop "proxy") when the variable that applies holds no usable proxy URL.
        """
        if not self._env or is_loopback(host) or self._excepted(host, port):
            return None
        found = self._env.get(f"{scheme}_proxy") or self._env.get("all_proxy")
        return None if found is None else _parse(*found)

    def _excepted(self, host: str, port: int) -> bool:
        entries = self._env.get("no_proxy", ("", ""))[1]
        return any(
            _matches(entry.strip().lower(), host, port)
            for entry in entries.replace(" ", ",").split(",")
            if entry.strip()
        )


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry or ":" in entry.rpartition("]")[0] or entry.count(":") > 1:
        return _in_network(entry.strip("[]"), host)
    name, _, wanted_port = entry.partition(":")
    if wanted_port and wanted_port != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return host == name or host.endswith("." + name)


def _in_network(entry: str, host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _parse(variable: str, value: str) -> Proxy:
    scheme, mark, rest = value.partition("://")
    if not mark:
        scheme, rest = "http", value
    credentials, mark, place = rest.rpartition("@")
    try:
        if scheme.lower() not in ("http", "socks5h"):
            raise ConfigError("scheme")
        place = place.rstrip("/")
        if scheme.lower() == "socks5h" and not place.rpartition(":")[2].isdigit():
            place += ":1080"  # the port of RFC 1928
        target = split_url(f"http://{place}")
    except ConfigError:
        raise _misconfigured(
            f"{variable} does not name a proxy that can be used; expected http://HOST:PORT or socks5h://HOST:PORT"
            " (https://, socks4:// and socks5:// are not supported); correct or unset it, or set "
            "upstream.use_env_proxy = false"
        ) from None
    authorization = b""
    if mark:
        from urllib.parse import unquote_to_bytes

        user, _, password = credentials.partition(":")
        name, secret = unquote_to_bytes(user), unquote_to_bytes(password)
        if scheme.lower() == "socks5h":
            if not 0 < len(name) <= 255 or len(secret) > 255:
                raise _misconfigured(
                    f"the user name or password in {variable} is empty or longer than 255 bytes"
                )
            return Proxy(target.host, target.port, variable, b"", True, name, secret)
        authorization = b"Basic " + b64encode(name + b":" + secret)
    if scheme.lower() == "socks5h":
        return Proxy(target.host, target.port, variable, socks=True)
    return Proxy(target.host, target.port, variable, authorization)


def _misconfigured(text: str) -> UpstreamFault:
    return UpstreamFault(
        text,
        hop="proxy",
        sent=False,
        code="proxy_misconfigured",
        type="upstream_error",
        should_retry=False,
    )
