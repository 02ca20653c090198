"""What a client may send, hold and wait for, seen from its side of a socket."""

from __future__ import annotations

import asyncio
import json
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airelays.errors import ClientFault
from airelays.model import Peer, RequestHead
from airelays.net.connection import Connection
from airelays.net.request import Request
from tests.fakes.clock import run_fast
from tests.live import Relay, running, start, wait_for, wait_ready
from tests.net.test_live_wire import WIDE, chat
from tests.state.test_live_files import FORM, file_part, form, upload

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    env = {**WIDE, "AIRELAYS_DRAIN_SECONDS": "0.5"}
    with running(tmp_path_factory.mktemp("home"), env=env) as one:
        yield one


# ---- heads and bodies


@pytest.mark.parametrize(
    ("head", "status"),
    [(b"GET /" + b"a" * 8200, 414), (b"GET / HTTP/1.1\r\nX: " + b"a" * 32_800, 431)],
)
def test_a_head_without_end_is_refused_while_it_comes(
    relay: Relay, head: bytes, status: int
) -> None:
    with relay.connect() as wire:
        wire.send(head)
        assert wire.reply().status == status
        assert wire.is_closed()


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_route_without_a_body_takes_a_small_one_at_most(
    relay: Relay, size: int, status: int, chunked: bool
) -> None:
    raw = relay.request("GET", "/v1/relay/status", b"x" * size)
    if chunked:
        raw = relay.request("GET", "/v1/relay/status", headers={"Transfer-Encoding": "chunked"})
        raw += b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
    with relay.connect() as wire:
        wire.send(raw)
        assert wire.reply().status == status


@pytest.mark.parametrize(
    ("path", "coding"),
    [
        ("/v1/chat/completions", "br"),
        ("/v1/chat/completions", "gzip, gzip"),
        ("/v1/files", "br"),
        ("/v1/files", "gzip"),
        ("/v1/images/edits", "gzip"),
    ],
)
def test_a_coding_that_is_not_decoded_is_refused_before_the_body(
    relay: Relay, path: str, coding: str
) -> None:
    fields = {"Content-Encoding": coding, "Content-Length": "100", "Expect": "100-continue"}
    if path != "/v1/chat/completions":
        fields.update(FORM)
    with relay.connect() as wire:
        wire.send(relay.request("POST", path, headers=fields))
        reply = wire.reply()
        assert (reply.status, reply.error["code"]) == (415, "unsupported_content_encoding")
        assert wire.is_closed()


def test_an_answer_is_kept_by_nobody_and_names_no_server(relay: Relay) -> None:
    for reply in (
        relay.get("/v1/models"),
        relay.send("GET", "/v1/models", token=None),
        relay.send("POST", "/v1/chat/completions", chat("hi")),
    ):
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "server" not in reply.headers


# ---- what is sent too early or too late


def taken_of(sock: socket.socket, total: int) -> int:
    """Send up to `total` bytes; return how many the other side let in before it read no more for a while."""
    sock.setblocking(False)
    piece, sent = b"x" * 65536, 0
    while sent < total and select.select([], [sock], [], 0.5)[1]:
        try:
            sent += sock.send(piece)
        except OSError:
            break
    return sent


def test_what_is_sent_ahead_of_its_turn_is_held_back(relay: Relay) -> None:
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", chat("a demo:stall", stream=True)))
        wire.until(b"data:")
        # What the system's own buffers hold is some MiB; the relay reads 64 KiB.
        assert taken_of(wire.sock, 32 * MIB) < 24 * MIB


def test_a_half_closed_client_of_a_long_wait_counts_as_gone(relay: Relay) -> None:
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", chat("demo:pace=60000 a b")))
        wire.sock.shutdown(socket.SHUT_WR)
        begun_s = time.monotonic()
        assert wire.is_closed()
        assert time.monotonic() - begun_s < 2.0


def test_a_flood_behind_an_early_answer_is_cut(relay: Relay) -> None:
    fields = {"Content-Length": "4000000000", "Authorization": "Bearer wrong"}
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", headers=fields))
        assert wire.reply().status == 401
        assert taken_of(wire.sock, 64 * MIB) < 24 * MIB


def test_who_waits_behind_an_early_answer_is_let_go(relay: Relay) -> None:
    def connections() -> int:
        found: int = relay.get("/v1/relay/status").json()["connections"]
        return found

    before = connections()
    fields = {"Content-Length": "400", "Authorization": "Bearer wrong"}
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", headers=fields))
        assert wire.reply().status == 401
        assert wire.is_closed()
        wait_for(lambda: connections() <= before, within_s=5.0)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_drips_is_a_408_in_the_end(chunked: bool) -> None:
    """A byte now and then keeps every gap short; the average decides, from the tenth second on."""

    async def main() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        _, connection = await loop.connect_accepted_socket(
            lambda: Connection(loop, Peer("127.0.0.1", 1), "127.0.0.1", 60.0), theirs
        )
        length = None if chunked else 50_000
        head = RequestHead("POST", "/", "", "h", "1.1", (), length, chunked, True, False)
        request = Request(connection, head, "req_1", 15.0)
        drip = asyncio.create_task(_drip(ours, b"1\r\nx\r\n" if chunked else b"x"))
        begun_s = loop.time()
        with pytest.raises(ClientFault) as caught:
            await request.read_body(100_000)
        drip.cancel()
        took_s = loop.time() - begun_s
        connection.abort()
        ours.close()
        return took_s, caught.value.status

    took_s, status = run_fast(main())
    assert status == 408 and 9.0 < took_s < 30.0


async def _drip(sock: socket.socket, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(100):
        await loop.sock_sendall(sock, data)
        await asyncio.sleep(1.0)


# ---- many


def test_all_connections_together_are_capped(tmp_path: Path) -> None:
    env = {"AIRELAYS_MAX_CONNECTIONS": "4", "AIRELAYS_MAX_CONNECTIONS_PER_IP": "100"}
    with running(tmp_path, env=env) as relay:
        wires = [relay.connect() for _ in range(4)]
        for wire in wires:
            wire.send(relay.request("GET", "/healthz", token=None))
            assert wire.reply().status == 200
        with relay.connect() as extra:
            assert (extra.reply().status, extra.is_closed()) == (503, True)
        for wire in wires:
            wire.sock.close()


def test_idle_connections_make_room_near_the_cap(tmp_path: Path) -> None:
    from airelays.app.doors import open_doors
    from airelays.app.relay import Relay as Wiring
    from airelays.credentials.token import TokenSource
    from airelays.host.process import listen
    from airelays.settings.values import Settings

    async def main() -> tuple[float, float]:
        settings = Settings(data_dir=str(tmp_path), port=0, max_connections=4, log_enabled=False)
        wiring = Wiring(settings, TokenSource(str(tmp_path / "token")), complain=print)
        listener = listen(wiring, open_doors(settings))
        listener.start()
        relaxed_s = wiring._keep_alive_s()
        crowd = [await asyncio.open_connection("127.0.0.1", wiring.desk.port) for _ in range(4)]
        for reader, writer in crowd:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        crowded_s = wiring._keep_alive_s()
        await listener.stop_accepting()
        for _, writer in crowd:
            writer.close()
        await wiring.close()
        return relaxed_s, crowded_s

    assert asyncio.run(main()) == (75.0, 30.0)


@on_linux
def test_the_limit_of_descriptors_is_raised_at_the_start(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        process, ready = start(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        wait_ready(process, ready)
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] >= min(2 * 512, hard)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_port_is_shared_with_nobody(relay: Relay) -> None:
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", relay.port))


# ---- the event loop is for everybody


def main_thread(relay: Relay) -> tuple[int, int]:
    """Return the bytes that the relay's main thread has written to files, and its CPU time in ticks."""
    task = Path(f"/proc/{relay.process.pid}/task/{relay.process.pid}")
    written = int((task / "io").read_text().partition("wchar:")[2].split()[0])
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    return written, int(fields[11]) + int(fields[12])


@on_linux
def test_files_are_written_off_the_loop(relay: Relay) -> None:
    before, _ = main_thread(relay)
    assert upload(relay, b"x" * 4 * MIB).status == 200
    assert main_thread(relay)[0] - before < MIB


@on_linux
def test_a_large_body_is_parsed_off_the_loop(relay: Relay) -> None:
    body = json.dumps({"model": "demo", "input": 1, "x": [[n] for n in range(500_000)]}).encode()
    _, before = main_thread(relay)
    assert relay.send("POST", "/v1/responses", body).status == 400
    assert main_thread(relay)[1] - before < 15


def test_an_upload_that_failed_gives_its_share_back(tmp_path: Path) -> None:
    env = {
        **WIDE,
        "AIRELAYS_MAX_UPLOAD_BYTES": "1000",
        "AIRELAYS_MAX_TOTAL_UPLOAD_BYTES": "2500",
    }
    with running(tmp_path, env=env) as relay:
        twice = form(file_part(b"x" * 900), file_part(b"y"))
        for _ in range(3):
            assert relay.send("POST", "/v1/files", twice, headers=FORM).status == 400
        assert upload(relay, b"x" * 1000).status == 200
