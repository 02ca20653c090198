"""Sockets that systemd has opened: whose they are, which are taken, and that no client is refused in a restart."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airelays.app.doors import open_doors
from airelays.errors import ConfigError
from airelays.host.systemd import FIRST_FD, count_passed, stopping
from airelays.settings.values import Settings
from tests.live import DEADLINE_S, TOKEN, wait_ready

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are of POSIX")


@pytest.mark.parametrize("told, count", [("1", 1), ("3", 3), ("128", 128)])
def test_sockets_for_this_process_are_counted_once(told: str, count: int) -> None:
    env = {"LISTEN_PID": "7", "LISTEN_FDS": told, "LISTEN_FDNAMES": "a", "PATH": "/bin"}
    assert count_passed(env, 7) == count
    assert env == {"PATH": "/bin"}
    assert count_passed(env, 7) == 0


def test_sockets_for_another_process_are_left_alone() -> None:
    assert count_passed({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, 7) == 0
    assert count_passed({"LISTEN_FDS": "1"}, 7) == 0


@pytest.mark.parametrize("told", ["", "x", "-1", "129", "99999999999999999999", "\u0663"])
def test_a_number_that_cannot_be_is_refused(told: str) -> None:
    with pytest.raises(ConfigError, match=r"LISTEN_FDS is .* at most 128"):
        count_passed({"LISTEN_PID": "7", "LISTEN_FDS": told}, 7)


def test_a_stop_has_the_time_that_it_takes() -> None:
    assert stopping(2.5) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=2500000"


@pytest.fixture
def opened() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as one:
        yield one


def test_a_socket_of_the_settings_is_taken(opened: socket.socket) -> None:
    port = opened.getsockname()[1]
    doors = open_doors(Settings(data_dir="/nowhere", host="localhost", port=port), [opened])
    assert [(door.host, door.port) for door in doors.values()] == [("127.0.0.1", port)]
    assert list(doors) == [opened]


def test_a_socket_that_the_settings_do_not_name_is_refused(opened: socket.socket) -> None:
    port = opened.getsockname()[1]
    with pytest.raises(ConfigError) as caught:
        open_doors(Settings(data_dir="/nowhere", port=port - 1), [opened])
    assert str(caught.value) == (
        f"systemd listens on 127.0.0.1:{port} for the relay, but the relay is configured to listen on "
        f"127.0.0.1:{port - 1}; change ListenStream= in airelays.socket (systemctl edit "
        "airelays.socket), or server.host and server.port"
    )
    assert opened.fileno() == -1


# Gives the descriptor the number that systemd would, and becomes the relay.
START = (
    f"import os, sys; os.dup2(int(sys.argv[1]), {FIRST_FD}); os.set_inheritable({FIRST_FD}, True); "
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.executable, sys.argv[2:])"
)


@contextlib.contextmanager
def started(home: Path, passed: socket.socket, port: int) -> Iterator[subprocess.Popen[str]]:
    ready = home / "ready.json"
    ready.unlink(missing_ok=True)
    words = [sys.executable, "-m", "airelays", "serve", "--demo", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(passed.fileno()), *words, "--ready-file", str(ready)],
        pass_fds=[passed.fileno()],
        env={**os.environ, "HOME": str(home), "AIRELAYS_BEARER_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ask(client: socket.socket) -> str:
    client.settimeout(DEADLINE_S)
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    with client, client.makefile("rb") as answer:
        return json.dumps(answer.read().decode())


@needs_posix
def test_no_client_is_refused_while_the_relay_restarts(
    tmp_path: Path, opened: socket.socket
) -> None:
    where = opened.getsockname()
    with started(tmp_path, opened, where[1]) as relay:
        wait_ready(relay, tmp_path / "ready.json")
        assert "200 OK" in ask(socket.create_connection(where))
        # Connected and not asked yet when the relay is told to stop: answered by it, not reset.
        early, served = socket.create_connection(where), socket.create_connection(where)
        with served:
            served.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert served.recv(65536)
            relay.terminate()
            with contextlib.suppress(ConnectionResetError):  # it was idle: this is the stop
                assert served.recv(65536) == b""
        assert ask(early)[:16] in ('"HTTP/1.1 503 Se', '"HTTP/1.1 200 OK')
        relay.communicate(timeout=DEADLINE_S)
        assert relay.returncode == 0
    waiting = [socket.create_connection(where) for _ in range(20)]
    with started(tmp_path, opened, where[1]):
        assert all("200 OK" in ask(client) for client in waiting)


@needs_posix
@pytest.mark.parametrize("kind", ["local", "quiet"])
def test_something_else_than_a_listening_socket_is_refused(tmp_path: Path, kind: str) -> None:
    other = socket.socket(socket.AF_UNIX if kind == "local" else socket.AF_INET)
    with other, started(tmp_path, other, 0) as process:
        _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert said == (
        "airelays: descriptor 3, which was passed to the relay, is not a listening TCP socket; use only "
        "ListenStream=ADDRESS:PORT and Accept=no in airelays.socket\n"
    )
