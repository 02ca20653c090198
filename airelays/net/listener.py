"""Listening sockets: bind, accept under caps, drain.

The accept loop is ours: asyncio's own repeats a failing accept a hundred times with one traceback each when
descriptors run out (CPython `_accept_connection`). Owns: sockets to listen on, how many clients may be connected.
Refuses to know: requests. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Callable, Mapping

from airelays.errors import ConfigError, RelayError
from airelays.hints import hint
from airelays.model import Door, Peer
from airelays.net.connection import Connection
from airelays.net.session import Session
from airelays.settings.listen import OLLAMA_KEY, OLLAMA_PORT

BACKLOG = 512
_BUSY_BODY = (
    b'{"error": {"message": "too many connections to this relay; try again in a second", '
    b'"type": "server_error", "param": null, "code": "too_many_connections"}}\n'
)
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"cache-control: no-store\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
    % (len(_BUSY_BODY), _BUSY_BODY)
)
# So many refused clients at a time get a readable answer; the rest is closed without one.
MAX_REFUSALS = 64
_ACCEPT_RETRY_SECONDS = 0.25
_COMPLAINT_SECONDS = 60.0


def bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets for every address of `host`. Raises ConfigError saying who to blame.

    "localhost" means both loopbacks, where the machine has both. With port 0 the system picks one
    port for all. No address is shared with another process.
    """
    sockets: list[socket.socket] = []
    for address in addresses_of(host):
        try:
            bound = _bind_one(address, sockets[0].getsockname()[1] if sockets else port)
        except OSError as error:
            if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            for other in sockets:
                other.close()
            raise ConfigError(_bind_error(address, port, error)) from error
        sockets.append(bound)
    return sockets


def addresses_of(host: str) -> list[str]:
    """Return the addresses that `host` stands for as something to listen on."""
    return {"localhost": ["127.0.0.1", "::1"]}.get(host.lower(), [host])


def claim(passed: list[socket.socket], host: str, port: int) -> list[socket.socket]:
    """Take out of `passed`, sockets that listen already, those that listen on `port` of `host`."""
    wanted = set()
    for address in addresses_of(host) if passed else ():
        with contextlib.suppress(OSError):  # `bind` says what is wrong with the name
            wanted.add(_resolved(address, port)[4][:2])
    found = [one for one in passed if one.getsockname()[:2] in wanted]
    for one in found:
        passed.remove(one)
    return found


def _resolved(
    address: str, port: int
) -> tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]:
    # As bytes an ASCII name is not sent through the IDNA codec, whose import takes 4 ms of every start.
    name = address.encode() if address.isascii() else address
    return socket.getaddrinfo(
        name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]


def _bind_one(address: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = _resolved(address, port)
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1
            )
        listening.bind(where)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _bind_error(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE and port == OLLAMA_PORT:
        other = hint(f"serve --for-ollama --listen 127.0.0.1:{port + 1},key={OLLAMA_KEY}")
        return (
            f"port {port} on {address} is used by another program, most likely Ollama itself; stop it, or "
            f"use another port and enter it in your clients: {other}"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {address} is used by another program; stop that program (often another relay: "
            f"{hint('stop')}), or choose another port, for example: {hint(f'serve --port {port % 65535 + 1}')}"
        )
    if error.errno == errno.EACCES:
        return f"not allowed to listen on port {port}; choose one from 1024 to 65535 with --port"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return (
            f"{address} is not an address of this machine; set --host to one, for example 127.0.0.1"
        )
    return f"cannot listen on {address} port {port}: {error.strerror or error}"


class Listener:
    """Accepts clients on bound sockets and owns their sessions until they have ended."""

    def __init__(
        self,
        sockets: list[socket.socket],
        make_session: Callable[[Connection], Session],
        *,
        max_connections: int,
        max_per_address: int,
        write_stall_s: float,
        complain: Callable[[str], None],
        on_bug: Callable[[str, BaseException], None],
        doors: Mapping[socket.socket, Door] | None = None,
    ) -> None:
        """`doors` says of each socket which listener it is; one that is not in it is the first."""
        self.sockets = sockets
        self._doors = doors or {}
        self.sessions: set[Session] = set()
        self.refused = 0
        self._make_session = make_session
        self._max = max_connections
        self._max_per_address = max_per_address
        self._write_stall_s = write_stall_s
        self._complain = complain
        self._on_bug = on_bug
        self._complained_s = float("-inf")
        self._per_address: dict[str, int] = {}
        self._connected = 0
        self._refusals = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []
        self._stopping = False

    def configure(self, max_connections: int, max_per_address: int) -> None:
        """Count clients by new caps from now on; who is connected stays."""
        self._max, self._max_per_address = max_connections, max_per_address

    def start(self) -> None:
        """Begin to accept."""
        for listening in self.sockets:
            task = asyncio.create_task(self._accept(listening), name="accept")
            self._accepting.append(task)

    @property
    def near_cap(self) -> bool:
        """Whether more than three quarters of the connections are taken."""
        return len(self.sessions) > self._max * 3 // 4

    async def stop_accepting(self) -> None:
        """Take no further client and close the sockets; idle connections are closed too."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        for listening in self.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows
                loop.remove_reader(listening)
        # A client that was accepted just now reaches its task in the next round of the loop; cancelled now, it is lost.
        await asyncio.sleep(0)
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self.sockets:
            listening.close()
        for session in list(self.sessions):
            session.stop()

    async def drain(self, seconds: float, last_word: RelayError) -> None:
        """Wait up to `seconds` for running requests; then end each with `last_word`."""
        await self._wait(seconds)
        for session in list(self.sessions):
            session.interrupt(last_word)
        await self._wait(2.0)
        for session in list(self.sessions):
            session.connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await self._wait(1.0)

    async def _wait(self, seconds: float) -> None:
        if self._tasks and seconds > 0:
            await asyncio.wait(list(self._tasks), timeout=seconds)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping:
            try:
                client, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._complain_once(f"cannot accept clients: {error.strerror}")
                    await asyncio.sleep(_ACCEPT_RETRY_SECONDS)
                continue
            host = address[0]
            if self._is_full(host):
                self._refuse(client)
                continue
            door = self._doors.get(listening)
            serving = self._serve(client, Peer(host, address[1]), door)
            task = asyncio.create_task(serving, name=f"client {host}")
            self._per_address[host] = self._per_address.get(host, 0) + 1
            self._connected += 1
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _is_full(self, host: str) -> bool:
        return (
            self._connected >= self._max or self._per_address.get(host, 0) >= self._max_per_address
        )

    async def _serve(self, client: socket.socket, peer: Peer, door: Door | None) -> None:
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        session: Session | None = None
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            here = client.getsockname()[0]
            _, connection = await loop.connect_accepted_socket(
                lambda: Connection(loop, peer, here, self._write_stall_s), client
            )
            connection.door = door
            session = self._make_session(connection)
            self.sessions.add(session)
            if self._stopping:
                session.stop()
            await session.run()
        except OSError:
            client.close()
        except asyncio.CancelledError:
            # The client left, or the relay shuts down: the session has cleaned up behind itself.
            if session is None:
                client.close()
        except Exception as bug:  # a defect of ours must neither leak the socket nor go unseen
            self._on_bug("connection", bug)
            if connection is not None:
                connection.reset()
            else:
                client.close()
        finally:
            if session is not None:
                self.sessions.discard(session)
            self._forget(peer.host)

    def _forget(self, host: str) -> None:
        self._connected -= 1
        left = self._per_address.get(host, 1) - 1
        if left:
            self._per_address[host] = left
        else:
            self._per_address.pop(host, None)

    def _refuse(self, client: socket.socket) -> None:
        """Tell one client too many to come back, without a session."""
        self.refused += 1
        self._complain_once("refused a client: too many connections")
        if self._refusals >= MAX_REFUSALS:
            client.close()
            return
        self._refusals += 1
        task = asyncio.create_task(self._say_busy(client), name="refuse")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say_busy(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            client.setblocking(False)
            client.send(_BUSY)
            client.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(1.0):
                while await loop.sock_recv(client, 65536):
                    pass
        except (OSError, TimeoutError):
            pass
        finally:
            self._refusals -= 1
            client.close()

    def _complain_once(self, text: str) -> None:
        """At most one line a minute: an attacker must not fill the terminal."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._complained_s >= _COMPLAINT_SECONDS:
            self._complained_s = now_s
            self._complain(text)
