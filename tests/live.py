"""A real relay process, and a client that speaks raw bytes to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airelays.hints import quoted

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "test-relay-token-0123456789-abcdefghij"
DEADLINE_S = 20.0

# What the live tests run when they name no form, and where the built ones are; `conftest.py` sets them
# from `--relay`.
FORM = "package"
BUILT = {
    "onefile": ROOT / "dist" / "airelays.py",
    "frozen": ROOT / "dist" / "airelays",
    "executable": ROOT / "dist" / "airelays",
}


def program(form: str = "") -> list[str]:
    """Return the words that start the program in one of its forms."""
    form = form or FORM
    if form == "onefile":
        return [sys.executable, "-I", str(BUILT["onefile"])]
    if form in ("frozen", "executable"):
        return [str(BUILT["frozen"])]
    return [sys.executable, "-m", "airelays"]


def plain(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Return `done` with every hint naming the program `airelays`, not as the tests have started it."""
    started = {f"{sys.executable} -m airelays", " ".join(map(quoted, program()))}
    for words in started:
        done.stdout = (done.stdout or "").replace(words, "airelays")
        done.stderr = (done.stderr or "").replace(words, "airelays")
    return done


@dataclass
class Relay:
    """A running relay. `port` is where it listens, `home` its HOME."""

    process: subprocess.Popen[str]
    port: int
    home: Path
    token: str

    @property
    def url(self) -> str:
        """Base URL for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    def connect(self, timeout_s: float = DEADLINE_S, host: str = "127.0.0.1") -> Wire:
        """Open a connection."""
        return Wire(socket.create_connection((host, self.port), timeout=timeout_s))

    def get(self, path: str, **headers: str) -> Reply:
        """Send a GET with the token on a connection of its own."""
        return self.send("GET", path, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send one request on a connection of its own; `token` "" is the right one, None is none."""
        with self.connect() as wire:
            wire.send(self.request(method, path, body, token=token, headers=headers))
            return wire.reply(method)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """Return the bytes of one request; a body that is no bytes becomes JSON."""
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        fields = {"Host": f"127.0.0.1:{self.port}"}
        if token is not None:
            fields["Authorization"] = f"Bearer {token or self.token}"
        if body is not None:
            fields["Content-Type"] = "application/json"
            fields["Content-Length"] = str(len(raw))
        fields.update(headers or {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + raw

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Signal the process and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(DEADLINE_S)


@dataclass
class Reply:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw_head: bytes = b""
    fields: list[tuple[str, str]] = field(default_factory=list)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The OpenAI error object."""
        found: dict[str, Any] = self.json()["error"]
        return found

    def events(self) -> list[Any]:
        """The data of each event of a stream, parsed where it is JSON."""
        found = []
        for block in self.body.split(b"\n\n"):
            data = [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
            if data:
                text = b"\n".join(data)
                found.append(json.loads(text) if text != b"[DONE]" else "[DONE]")
        return found


class Wire:
    """One client connection, by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def read(self) -> bytes:
        """Return what came with one read; b"" at the end. Keeps nothing."""
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b""

    def head(self) -> Reply:
        """Read up to the blank line."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.read()
            if not data:
                raise EOFError(f"connection ended inside a head: {self.buffer!r}")
            self.buffer += data
        raw, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        pairs = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
        return Reply(int(lines[0].split(" ")[1]), dict(pairs), b"", raw, pairs)

    def reply(self, method: str = "GET") -> Reply:
        """Read one whole answer."""
        reply = self.head()
        if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return reply
        if reply.headers.get("transfer-encoding") == "chunked":
            reply.body = b"".join(self.chunks())
        elif "content-length" in reply.headers:
            reply.body = self.exactly(int(reply.headers["content-length"]))
        else:
            reply.body = self.rest()
        return reply

    def chunks(self) -> Iterator[bytes]:
        """Yield the chunks of a body up to the last one. Raises EOFError when it is cut."""
        while True:
            while b"\r\n" not in self.buffer:
                self._more()
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            size = int(line, 16)
            data = self.exactly(size + 2)
            if data[size:] != b"\r\n":
                raise ValueError("chunk without its CRLF")
            if not size:
                return
            yield data[:size]

    def exactly(self, count: int) -> bytes:
        """Return `count` bytes."""
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        while data := self.read():
            self.buffer += data
        data, self.buffer = self.buffer, b""
        return data

    def until(self, mark: bytes) -> bytes:
        """Read until `mark` has come; return everything up to its end."""
        while mark not in self.buffer:
            self._more()
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def is_closed(self) -> bool:
        """Whether the relay ends the connection, with nothing more said."""
        return not self.buffer and self.read() == b""

    def _more(self) -> None:
        data = self.read()
        if not data:
            raise EOFError(f"connection ended early, after {self.buffer[-200:]!r}")
        self.buffer += data


@contextmanager
def running(
    home: Path,
    *flags: str,
    token: str | None = TOKEN,
    env: dict[str, str] | None = None,
    form: str = "",
    demo: bool = True,
) -> Iterator[Relay]:
    """Run a relay in `home` until the block ends; demo upstream unless told otherwise."""
    process, ready = start(home, *flags, token=token, env=env, form=form, demo=demo)
    try:
        facts = wait_ready(process, ready)
        yield Relay(process, facts["port"], home, token or "")
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def start(
    home: Path,
    *flags: str,
    token: str | None = TOKEN,
    env: dict[str, str] | None = None,
    form: str = "",
    demo: bool = True,
) -> tuple[subprocess.Popen[str], Path]:
    """Start `serve`; return the process and its ready file."""
    ready = home / "ready.json"
    ready.unlink(missing_ok=True)
    words = [*program(form), "serve", "--port", "0", "--ready-file", str(ready), *flags]
    if demo:
        words.append("--demo")
    variables = {
        "HOME": str(home),
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"AIRELAYS_BEARER_TOKEN": token} if token else {}),
        **(env or {}),
    }
    process = subprocess.Popen(
        words,
        env=variables,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, ready


def wait_for(true: Callable[[], Any], within_s: float = DEADLINE_S) -> Any:
    """Return what `true` returns as soon as that is something: the relay is the clock."""
    end_s = time.monotonic() + within_s
    tick = threading.Event()
    while time.monotonic() < end_s:
        found = true()
        if found:
            return found
        tick.wait(0.01)
    raise AssertionError("it did not happen in time")


def wait_ready(process: subprocess.Popen[str], ready: Path) -> dict[str, Any]:
    """Return what the ready file says; the process's end is the clock between two looks."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        if ready.exists():
            facts: dict[str, Any] = json.loads(ready.read_text())
            return facts
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        out, err = process.communicate()
        raise AssertionError(f"relay ended with {process.returncode}: {out}\n{err}")
    raise AssertionError("relay was not ready in time")
