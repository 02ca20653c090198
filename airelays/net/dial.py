"""From an address to an open connection: name lookup, TCP, CONNECT through a proxy, TLS.

Every phase has its deadline and every failure names its hop. Owns: how a connection comes to be.
Refuses to know: HTTP beyond CONNECT, pools, who is allowed where. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from airelays.errors import UpstreamFault
from airelays.hints import told
from airelays.net.address import Target
from airelays.net.proxy import Proxy
from airelays.protocol import socks5
from airelays.protocol.http1 import encode_request_head, find_head_end, parse_response_head
from airelays.protocol.socks5 import SocksError
from airelays.settings.hosts import is_near

# RFC 8305 section 5: 250 ms between two attempts; the first family is not waited for longer.
STAGGER_S = 0.25
MAX_ADDRESSES = 8
MAX_CONNECT_HEAD_BYTES = 16 * 1024
SHUTDOWN_S = 2.0


class Dialled(asyncio.BufferedProtocol):
    """What a dialled connection is handed to. `tls_s` is how long its handshake took; 0.0 without TLS."""

    tls_s = 0.0


_NOBODY = Dialled()
_ProtocolT = TypeVar("_ProtocolT", bound=Dialled)
_Address = tuple[int, tuple[object, ...]]


def unreachable(message: str, hop: str, *, timeout: bool = False) -> UpstreamFault:
    """Return the fault of a connection that never came to be: 502, or 504 after a deadline."""
    return UpstreamFault(
        message,
        hop=hop,
        sent=False,
        status=504 if timeout else 502,
        code="upstream_timeout" if timeout else "upstream_unreachable",
        type="upstream_error",
    )


def let_go(transport: asyncio.Transport) -> None:
    """Make a transport that is lost forget whom it served.

    asyncio's TLS keeps its protocol's methods for ever, and through them itself with all its buffers: 90 KiB.
    """
    transport.set_protocol(_NOBODY)


async def open_connection(
    target: Target,
    factory: Callable[[], _ProtocolT],
    *,
    proxy: Proxy | None,
    context: ssl.SSLContext | None,
    connect_s: float,
    tls_s: float,
    offline: bool = False,
) -> _ProtocolT:
    """Return a connected protocol for `target`; `context` is given for https.

    The name lookup and the TCP connect share `connect_s`; CONNECT gets the same again; TLS has `tls_s`.
    Raises UpstreamFault with `sent` False, and `step_s` of the step that failed.
    """
    steps = _Steps()
    try:
        sock = await _reach(target, proxy, context is not None, connect_s, offline, steps)
        # From here on the transport owns the socket, also when it fails: closed twice, the number of the
        # descriptor could by then be somebody else's.
        if context is None:
            loop = asyncio.get_running_loop()
            return (await loop.create_connection(factory, sock=sock))[1]
        steps.begin()
        return await _start_tls(sock, target, factory, context, tls_s)
    except UpstreamFault as fault:
        fault.step_s = steps.so_far_s()
        raise


class _Steps:
    """When the step that is going on began."""

    __slots__ = ("_begun_s", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()

    def begin(self) -> None:
        self._begun_s = self._loop.time()

    def so_far_s(self) -> float:
        return self._loop.time() - self._begun_s


async def _reach(
    target: Target,
    proxy: Proxy | None,
    tunnel: bool,
    connect_s: float,
    offline: bool,
    steps: _Steps,
) -> socket.socket:
    """Return a socket that reaches `target`, or the proxy; through its `tunnel` where one is needed."""
    host, port = (target.host, target.port) if proxy is None else (proxy.host, proxy.port)
    place = target.place if proxy is None else f"the proxy {proxy.place} (from {proxy.variable})"
    hop = "" if proxy is None else "proxy"
    deadline_s = asyncio.get_running_loop().time() + connect_s
    addresses = await _look_up(host, port, place, hop or "dns", deadline_s, connect_s)
    if offline:
        _refuse_far(addresses, place)
    steps.begin()
    sock = await _connect(addresses, place, hop or "tcp", deadline_s, connect_s)
    if proxy is None or not (tunnel or proxy.socks):
        return sock
    steps.begin()
    try:
        await (_socks_tunnel if proxy.socks else _tunnel)(sock, target, proxy, connect_s)
    except BaseException:
        sock.close()
        raise
    return sock


async def _look_up(
    host: str, port: int, place: str, hop: str, deadline_s: float, connect_s: float
) -> list[_Address]:
    literal = _literal(host, port)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(deadline_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        text = f"the name of {place} could not be resolved within {connect_s:g} s; check the network and its DNS"
        raise unreachable(text, hop, timeout=True) from None
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        text = (
            f"the name of {place} could not be resolved ({reason}); check the network and its DNS"
        )
        raise unreachable(text, hop) from error
    return _interleave([(int(entry[0]), tuple(entry[4])) for entry in found])


def _refuse_far(addresses: list[_Address], place: str) -> None:
    """Offline nothing is sent beyond this machine and its private network. Raises UpstreamFault."""
    far = [str(address[1][0]) for address in addresses if not is_near(str(address[1][0]))]
    if far:
        fault = unreachable(
            f"{place} is at {far[0]}, but the relay is in offline mode and only connects to loopback and "
            "private addresses (upstream.offline)",
            "dns",
        )
        fault.code, fault.should_retry = "upstream_offline", False
        raise fault


def _literal(host: str, port: int) -> _Address | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return int(family), ((host, port) if family == socket.AF_INET else (host, port, 0, 0))
    return None


def _interleave(addresses: list[_Address]) -> list[_Address]:
    """Alternate the address families, the resolver's first choice first (RFC 8305 section 4)."""
    first = [a for a in addresses if a[0] == addresses[0][0]]
    others = [a for a in addresses if a[0] != addresses[0][0]]
    mixed = [a for pair in zip(first, others, strict=False) for a in pair]
    short = min(len(first), len(others))
    return (mixed + first[short:] + others[short:])[:MAX_ADDRESSES]


async def _connect(
    addresses: list[_Address], place: str, hop: str, deadline_s: float, connect_s: float
) -> socket.socket:
    errors: list[OSError] = []
    try:
        async with asyncio.timeout_at(deadline_s):
            if len(addresses) == 1:
                return await _connect_one(addresses[0])
            found = await _race(addresses, errors)
            if found is not None:
                return found
    except TimeoutError:
        text = f"{place} did not accept the connection within {connect_s:g} s; check network and firewall"
        raise unreachable(text, hop, timeout=True) from None
    except OSError as error:
        errors.append(error)
    reason = _os_reason(errors[0]) if errors else "no address"
    raise unreachable(f"cannot connect to {place} ({reason}); check network and address", hop)


async def _connect_one(address: _Address) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(addresses: list[_Address], errors: list[OSError]) -> socket.socket | None:
    """Start an attempt every STAGGER_S, or at once when one fails; the first that connects wins."""
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    won: socket.socket | None = None
    try:
        while (waiting or running) and won is None:
            if waiting:
                running.add(asyncio.create_task(_connect_one(waiting.pop(0)), name="dial"))
            pause_s = STAGGER_S if waiting else None
            done, running = await asyncio.wait(
                running, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if isinstance(error, OSError):
                    errors.append(error)
                elif error is not None:
                    raise error
                elif won is None:
                    won = task.result()
                else:
                    task.result().close()
        return won
    finally:
        for task in running:
            task.add_done_callback(_close_late)
            task.cancel()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _os_reason(error: OSError) -> str:
    if error.errno == errno.ECONNREFUSED:
        return "connection refused"
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "network unreachable"
    return (error.strerror or type(error).__name__).lower()


async def _tunnel(sock: socket.socket, target: Target, proxy: Proxy, connect_s: float) -> None:
    """Ask the proxy for a tunnel to `target` on the bare socket; returns when TLS may begin."""
    where = f"the proxy {proxy.place} (from {proxy.variable})"
    try:
        async with asyncio.timeout(connect_s):
            reply = await _ask_for_tunnel(sock, target, proxy)
    except TimeoutError:
        text = f"{where} did not answer CONNECT {target.place} within {connect_s:g} s"
        raise unreachable(text, "proxy", timeout=True) from None
    except OSError as error:
        raise unreachable(f"{where} broke the connection ({_os_reason(error)})", "proxy") from error
    end = find_head_end(reply)
    try:
        status = parse_response_head(reply[: max(end, 0)], method="CONNECT").status
    except UpstreamFault as fault:
        text = f"{where} sent no usable answer to CONNECT {target.place}"
        raise unreachable(text, "proxy") from fault
    if status == 407:
        text = f"{where} requires other credentials (407); put them in its URL: http://USER:PASSWORD@HOST:PORT"
        raise unreachable(text, "proxy")
    if not 200 <= status < 300:
        text = f"{where} refused CONNECT {target.place} with status {status}; ask its operator"
        raise unreachable(text, "proxy")
    if len(reply) > end:
        text = f"{where} sent bytes before the TLS handshake; it is not a clean tunnel"
        raise unreachable(text, "proxy")


async def _ask_for_tunnel(sock: socket.socket, target: Target, proxy: Proxy) -> bytes:
    """Return what the proxy says to CONNECT: a whole head, or less when it closes or says too much."""
    loop = asyncio.get_running_loop()
    fields = [(b"host", target.place.encode("ascii"))]
    if proxy.authorization:
        fields.append((b"proxy-authorization", proxy.authorization))
    await loop.sock_sendall(sock, encode_request_head("CONNECT", target.place, fields))
    reply = b""
    while find_head_end(reply) < 0 and len(reply) <= MAX_CONNECT_HEAD_BYTES:
        data = await loop.sock_recv(sock, 4096)
        if not data:
            break
        reply += data
    return reply


async def _socks_tunnel(
    sock: socket.socket, target: Target, proxy: Proxy, connect_s: float
) -> None:
    """Ask a SOCKS5 proxy for a connection to `target`; returns when the first byte for it can be sent."""
    where = f"the proxy {proxy.place} (from {proxy.variable})"
    try:
        async with asyncio.timeout(connect_s):
            await _ask_socks(sock, target, proxy)
    except TimeoutError:
        text = f"{where} did not connect to {target.place} within {connect_s:g} s"
        raise unreachable(text, "proxy", timeout=True) from None
    except SocksError as error:
        raise unreachable(f"{where} {error}", "proxy") from error
    except OSError as error:
        raise unreachable(f"{where} broke the connection ({_os_reason(error)})", "proxy") from error


async def _ask_socks(sock: socket.socket, target: Target, proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()

    async def ask(data: bytes, count: int) -> bytes:
        await loop.sock_sendall(sock, data)
        return await _read_exactly(sock, count)

    signs_in = bool(proxy.user)
    reply = await ask(socks5.greeting(with_password=signs_in), 2)
    if socks5.chosen_method(reply, with_password=signs_in):
        socks5.check_password_reply(
            await ask(socks5.password_request(proxy.user, proxy.password), 2)
        )
    head = await ask(socks5.connect_request(target.host, target.port), 5)
    await _read_exactly(sock, socks5.rest_of_reply(head))


async def _read_exactly(sock: socket.socket, count: int) -> bytes:
    """Return `count` bytes, less at the end: what comes behind them is the upstream's."""
    loop, found = asyncio.get_running_loop(), b""
    while len(found) < count:
        data = await loop.sock_recv(sock, count - len(found))
        if not data:
            break
        found += data
    return found


async def _start_tls(
    sock: socket.socket,
    target: Target,
    factory: Callable[[], _ProtocolT],
    context: ssl.SSLContext,
    tls_s: float,
) -> _ProtocolT:
    loop = asyncio.get_running_loop()
    place = target.place
    begun_s = loop.time()
    try:
        async with asyncio.timeout(tls_s):
            _, protocol = await loop.create_connection(
                factory,
                sock=sock,
                ssl=context,
                server_hostname=target.host,
                ssl_handshake_timeout=tls_s + 1,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
            protocol.tls_s = loop.time() - begun_s
            return protocol
    except TimeoutError:
        text = (
            f"{place} did not finish the TLS handshake within {tls_s:g} s; check proxy and firewall"
        )
        raise unreachable(text, "tls", timeout=True) from None
    except ssl.SSLCertVerificationError as error:
        raise _distrusted(place, error) from error
    except ssl.SSLError as error:
        reason = (error.reason or "handshake failure").replace("_", " ").lower()
        raise unreachable(
            f"TLS with {place} failed ({reason}); TLS 1.2 or newer is required", "tls"
        ) from error
    except OSError as error:
        text = f"{place} broke the connection during the TLS handshake ({_os_reason(error)})"
        raise unreachable(text, "tls") from error


def _distrusted(place: str, error: ssl.SSLCertVerificationError) -> UpstreamFault:
    reason = (error.verify_message or "verification failed").rstrip(".")
    if "expired" in reason or "not yet valid" in reason:
        advice = "check this machine's clock"
    elif "ostname" in reason or "IP address" in reason:
        advice = "something else answers at this name: check DNS, proxy and hosts file"
    else:
        advice = (
            "if your network inspects TLS, set its certificate authority with upstream.ca_file or SSL_CERT_FILE;"
            f" `{told('doctor')}` shows the certificates in use"
        )
    fault = unreachable(f"the certificate of {place} is not trusted ({reason}); {advice}", "tls")
    fault.code = "upstream_certificate"
    fault.should_retry = False
    return fault
