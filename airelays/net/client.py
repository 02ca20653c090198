"""The client for everything upstream: pooled HTTP/1.1 connections to the hosts that the settings name.

Redirects are never followed, nothing is decoded on the streaming path, and a request is sent twice in one
case only: a connection that had been used before died without a byte of reply.
Owns: the pool and what a caller sees of an answer. Refuses to know: what the bytes mean. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from time import monotonic
from typing import Any

from airelays.errors import RelayBug, UpstreamFault
from airelays.model import Fields, ResponseHead
from airelays.net.address import Target, split_url
from airelays.net.dial import open_connection
from airelays.net.exchange import Exchange
from airelays.net.proxy import Proxy, ProxyRules
from airelays.net.response import Response
from airelays.net.trust import Trust
from airelays.protocol.chunked import encode_chunk
from airelays.protocol.http1 import encode_request_head

# Servers and middle boxes drop idle connections after 5 to 60 s; shorter than all of them is safe.
IDLE_S = 5.0
MAX_IDLE_PER_ORIGIN = 256
MAX_CACHED_HEADS = 256
# asyncio allocates 256 KiB for each TLS connection; 32 KiB gave the same speed (180 -> 70 MiB at 500).
TLS_BUFFER_BYTES = 32 * 1024
_EXTRA = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*")
_OWN_FIELDS = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding")
)


class Client:
    """Pooled connections to an allow-list of origins.

    `origins` are the URLs that the settings name; a request anywhere else is a RelayBug, not a connection.
    `env` is where the proxy variables are read from, or None to ignore them. `offline` refuses every address
    that is neither loopback nor private.
    """

    def __init__(
        self,
        origins: Iterable[str],
        *,
        trust: Trust | None = None,
        env: Mapping[str, str] | None = None,
        proxy: str = "",
        connect_s: float = 10.0,
        tls_s: float = 10.0,
        head_s: float = 120.0,
        gap_s: float = 300.0,
        offline: bool = False,
    ) -> None:
        self._offline = offline
        self._allowed = {split_url(url).origin for url in origins}
        self._trust = Trust() if trust is None else trust
        self._proxies = ProxyRules(env, url=proxy)
        self._connect_s = connect_s
        self._tls_s = tls_s
        self._head_s = head_s
        self._gap_s = gap_s
        self._targets: dict[str, tuple[Target, Proxy | None]] = {}
        self._heads: dict[tuple[str, str, Fields], bytes] = {}
        self._idle: dict[object, list[Exchange]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @classmethod
    def for_settings(cls, origins: Iterable[str], settings: Any) -> Client:
        """Return a client with the network keys of a Settings or UpstreamSettings."""
        return cls(
            origins,
            trust=Trust(settings.ca_file),
            # Offline no proxy is used: what lies behind one cannot be seen from here.
            env=os.environ if settings.use_env_proxy and not settings.offline else None,
            proxy="" if settings.offline else settings.proxy,
            connect_s=settings.connect_seconds,
            tls_s=settings.tls_seconds,
            head_s=settings.request_timeout_seconds,
            gap_s=settings.stream_gap_seconds,
            offline=settings.offline,
        )

    @property
    def trust(self) -> Trust:
        """The certificate store in use."""
        return self._trust

    def egress(self) -> list[str]:
        """Return every origin that this client may connect to, as text."""
        return sorted(f"{scheme}://{host}:{port}" for scheme, host, port in self._allowed)

    def proxy_for(self, url: str) -> Proxy | None:
        """Return the proxy that a request to `url` takes."""
        return self._admit(url)[1]

    async def request(
        self,
        *,
        method: str,
        url: str,
        fields: Fields = (),
        extra: Fields = (),
        body: bytes = b"",
        head_s: float | None = None,
        gap_s: float | None = None,
    ) -> Response:
        """Send one request and return when the head of its answer is in.

        `fields` are those that stay the same from request to request (their encoded head is kept),
        `extra` those that do not. Host, Content-Length and Accept-Encoding are set here.
        Raises UpstreamFault; `sent` says whether a byte of the request can have gone out.
        """
        target, proxy = self._targets.get(url) or self._admit(url)
        sized = body or method in ("POST", "PUT", "PATCH")
        framing = b"content-length: %d" % len(body) if sized else b""
        head = self._encode(method, url, target, proxy, fields, extra, framing)
        head_s = self._head_s if head_s is None else head_s
        gap_s = self._gap_s if gap_s is None else gap_s
        # The loop's clock; to ask for the loop is to ask the system for our process id.
        started_s = monotonic()
        connection = self._take((target.origin, proxy), started_s)
        if connection is not None:
            try:
                answer = await _exchange(connection, method, head, body, head_s, gap_s)
                return Response(
                    connection, answer, {"dial": 0.0, "head": _ms(monotonic() - started_s)}
                )
            except UpstreamFault:
                # RFC 9112 section 9.3.1: a kept connection may close at any time, also just now.
                if not connection.lost_unheard:
                    raise
        replaces = connection is not None
        try:
            connection = await self._dial(target, proxy)
            dialled_s = monotonic()
            answer = await _exchange(connection, method, head, body, head_s, gap_s)
        except UpstreamFault as fault:
            fault.tried_twice = replaces
            raise
        return Response(connection, answer, _times(connection, started_s, dialled_s, monotonic()))

    async def upload(
        self,
        *,
        method: str,
        url: str,
        parts: AsyncIterator[bytes],
        length: int | None,
        fields: Fields = (),
        extra: Fields = (),
        head_s: float | None = None,
    ) -> Response:
        """Send a request whose body comes in `parts`, of `length` bytes or chunked; memory stays constant.

        On a connection of its own: a body that is gone cannot be sent again. Raises as `request` does, and
        whatever `parts` raises.
        """
        target, proxy = self._targets.get(url) or self._admit(url)
        framing = (
            b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        )
        head = self._encode(method, url, target, proxy, fields, extra, framing)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        connection = await self._dial(target, proxy)
        dialled_s = loop.time()
        seconds = self._head_s if head_s is None else head_s
        waiter = connection.begin(method, head, b"", head_s=seconds, gap_s=self._gap_s)
        try:
            connection.reusable = await _send_parts(
                connection, parts, waiter, chunked=length is None
            )
            answer = await waiter
        except BaseException as fault:
            connection.abort()
            waiter.cancel()
            _note_step(fault, dialled_s)
            raise
        return Response(connection, answer, _times(connection, started_s, dialled_s, loop.time()))

    async def close(self) -> None:
        """Close every idle connection; those in use close when their exchange ends."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    # --- inside ----------------------------------------------------------------------------------------

    def _admit(self, url: str) -> tuple[Target, Proxy | None]:
        target = split_url(url)
        if target.origin not in self._allowed:
            raise RelayBug(
                f"a connection to {target.place} was asked for, which the settings do not name"
            )
        proxy = self._proxies.choose(*target.origin)
        if len(self._targets) >= MAX_CACHED_HEADS:
            self._targets.clear()
        self._targets[url] = target, proxy
        return target, proxy

    def _encode(
        self,
        method: str,
        url: str,
        target: Target,
        proxy: Proxy | None,
        fields: Fields,
        extra: Fields,
        framing: bytes,
    ) -> bytes:
        key = (method, url, fields)
        head = self._heads.get(key)
        if head is None:
            head = self._encode_constant(method, target, proxy, fields)
            if len(self._heads) >= MAX_CACHED_HEADS:
                self._heads.clear()
            self._heads[key] = head
        lines = [head]
        for name, value in extra:
            line = name + b": " + value
            if _EXTRA.fullmatch(line) is None or name in _OWN_FIELDS:
                raise RelayBug("a request field for the upstream is not one line of HTTP")
            lines.append(line)
        if framing:
            lines.append(framing)
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    @staticmethod
    def _encode_constant(method: str, target: Target, proxy: Proxy | None, fields: Fields) -> bytes:
        """Return the constant part of a request head, without the line end of its last line."""
        where = target.target
        own = [(b"host", target.authority.encode("ascii")), (b"accept-encoding", b"identity")]
        if proxy is not None and target.scheme == "http" and not proxy.socks:
            where = f"http://{target.authority}{target.target}"
            if proxy.authorization:
                own.append((b"proxy-authorization", proxy.authorization))
        if any(name in _OWN_FIELDS for name, _ in fields):
            raise RelayBug("a caller of the client set a field that the client owns")
        try:
            head = encode_request_head(method, where, (*own, *fields))
        except ValueError as error:
            raise RelayBug("a request head for the upstream is not HTTP") from error
        return head[:-4]

    def _take(self, key: object, now_s: float) -> Exchange | None:
        connections = self._idle.get(key)
        while connections:
            connection = connections.pop()
            if now_s - connection.idle_since_s < IDLE_S and connection.is_usable():
                return connection
            connection.close()
        return None

    async def _dial(self, target: Target, proxy: Proxy | None) -> Exchange:
        key = (target.origin, proxy)
        context: ssl.SSLContext | None = None
        if target.scheme == "https":
            _shrink_tls_buffer()
            context = await self._trust.context()

        def make() -> Exchange:
            return Exchange(target.place, key, self._give_back, self._forget)

        return await open_connection(
            target,
            make,
            proxy=proxy,
            context=context,
            connect_s=self._connect_s,
            tls_s=self._tls_s,
            offline=self._offline,
        )

    def _give_back(self, connection: Exchange) -> None:
        connections = self._idle.setdefault(connection.key, [])
        if self._closed or len(connections) >= MAX_IDLE_PER_ORIGIN:
            connection.close()
            return
        connection.idle_since_s = monotonic()
        connections.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def _forget(self, connection: Exchange) -> None:
        connections = self._idle.get(connection.key, [])
        if connection in connections:
            connections.remove(connection)

    def _sweep(self) -> None:
        self._sweeper = None
        loop = asyncio.get_running_loop()
        oldest_s = loop.time() - IDLE_S
        for key, connections in list(self._idle.items()):
            kept = []
            for connection in connections:
                if connection.idle_since_s > oldest_s:
                    kept.append(connection)
                else:
                    connection.close()
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]
        if self._idle and not self._closed:
            self._sweeper = loop.call_later(IDLE_S, self._sweep)


async def _exchange(
    connection: Exchange, method: str, head: bytes, body: bytes, head_s: float, gap_s: float
) -> ResponseHead:
    begun_s = monotonic()
    try:
        # Not by a name: the future has the fault, and the fault this frame.
        return await connection.begin(method, head, body, head_s=head_s, gap_s=gap_s)
    except BaseException as fault:
        connection.abort()
        _note_step(fault, begun_s)
        raise


async def _send_parts(
    connection: Exchange,
    parts: AsyncIterator[bytes],
    waiter: asyncio.Future[ResponseHead],
    *,
    chunked: bool,
) -> bool:
    """Send the body until it ends, or until the upstream has answered; return whether it was sent whole."""
    async for part in parts:
        if waiter.done():
            return False
        if part:
            await connection.send(encode_chunk(part) if chunked else part)
    if chunked:
        await connection.send(b"0\r\n\r\n")
    return True


def _note_step(fault: BaseException, since_s: float) -> None:
    if isinstance(fault, UpstreamFault):
        fault.step_s = monotonic() - since_s


def _times(
    connection: Exchange, started_s: float, dialled_s: float, head_s: float
) -> dict[str, float]:
    """Return how long a new connection and the head of its first answer took."""
    dial_s = dialled_s - started_s - connection.tls_s
    found = {"dial": _ms(dial_s), "head": _ms(head_s - dialled_s)}
    return {**found, "tls": _ms(connection.tls_s)} if connection.tls_s else found


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _shrink_tls_buffer() -> None:
    import asyncio.sslproto

    if getattr(asyncio.sslproto.SSLProtocol, "max_size", 0) > TLS_BUFFER_BYTES:
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
