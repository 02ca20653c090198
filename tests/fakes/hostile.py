"""An upstream from hell: a ChatGPT-like server on a thread that answers each model call with the bytes it is told."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Play = Callable[[socket.socket], None]


@dataclass
class Hostile:
    """`play` is given the connection after the request was read; it may write, wait, reset."""

    play: Play
    url: str = ""
    calls: int = 0
    open_connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def sends(data: bytes, *, reset: bool = False) -> Play:
    """Return a play that writes `data` and ends the connection, with a RST if `reset`."""

    def play(connection: socket.socket) -> None:
        if data:
            connection.sendall(data)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return play


def stalls(data: bytes) -> Play:
    """Return a play that writes `data` and then waits for the relay to leave."""

    def play(connection: socket.socket) -> None:
        connection.sendall(data)
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass

    return play


@contextmanager
def hostile_upstream() -> Iterator[Hostile]:
    """Run one until the block ends."""
    state = Hostile(sends(b""))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with state.lock:
                state.open_connections += 1
            try:
                _serve(state, self.request)
            except OSError:
                pass
            finally:
                with state.lock:
                    state.open_connections -= 1

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _serve(state: Hostile, connection: socket.socket) -> None:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65536)
            if not data:
                return
            buffer += data
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(buffer) < length:
            buffer += connection.recv(65536)
        buffer = buffer[length:]
        if b"/responses " not in head.split(b"\r\n")[0]:
            body = b'{"models":[{"slug":"gpt-5.5"}]}'
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            continue
        state.calls += 1
        state.play(connection)
        return
