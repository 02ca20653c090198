"""Whole answers of a compatible server: bounded where the relay reads them, and JSON or a 502 that says why not."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.live import Relay, Reply
from tests.upstream.test_live_compatible import ALL, relaying

LIMIT = 4096
MIB = 1024 * 1024
MESSAGES = [{"role": "user", "content": "x"}]
ASKED: dict[str, dict[str, Any]] = {
    "/chat/completions": {"model": "tiny", "messages": MESSAGES},
    "/responses": {"model": "tiny", "input": "x"},
    "/completions": {"model": "tiny", "prompt": "x"},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "/chat/completions": {"choices": [{"index": 0, "message": {"content": "hi"}}]},
    "/responses": {"object": "response", "status": "completed", "error": None, "output": []},
    "/completions": {"choices": [{"index": 0, "text": "hi"}]},
}


def padded(value: dict[str, Any], size: int) -> bytes:
    """Return `value` as JSON of exactly `size` bytes, written as only this server writes it."""
    bare = json.dumps({**value, "pad": ""}, indent=1).encode()
    return json.dumps({**value, "pad": "p" * (size - len(bare))}, indent=1).encode()


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server(*ALL, "/completions", "/rerank", "/images/generations") as one:
        yield one


@pytest.fixture
def relay(tmp_path: Path, server: OpenAIServer) -> Iterator[Relay]:
    with relaying(tmp_path, server.url, f"max_answer_bytes = {LIMIT}\n") as one:
        yield one


def ask(relay: Relay, path: str) -> Reply:
    return relay.send("POST", "/v1" + path, ASKED[path])


@pytest.mark.parametrize("chunk_bytes", [0, 1000])
def test_an_answer_can_be_as_long_as_the_setting_and_no_longer(
    relay: Relay, server: OpenAIServer, chunk_bytes: int
) -> None:
    server.chunk_bytes = chunk_bytes
    for path, answer in ANSWERS.items():
        for size in (LIMIT - 1, LIMIT, LIMIT + 1):
            body = padded(answer, size)
            server.answers[path] = (200, "application/json", body)
            reply = ask(relay, path)
            if size <= LIMIT:
                assert (reply.status, reply.body) == (200, body), "byte for byte"
                continue
            assert (reply.status, reply.error["code"]) == (502, "upstream_too_large")
            assert reply.error["message"] == (
                "the upstream's answer is larger than 4,096 bytes, which is the limit"
            )


def test_the_list_of_models_and_errors_have_the_same_bound(
    tmp_path: Path, server: OpenAIServer
) -> None:
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        server.answers["/models"] = (
            200,
            "application/json",
            padded({"data": [{"id": "tiny"}]}, size),
        )
        error = padded({"error": {"message": "too hot", "code": "hot"}}, size)
        server.answers["/chat/completions"] = (422, "application/json", error)
        home = tmp_path / str(size)
        home.mkdir()
        with relaying(home, server.url, f"max_answer_bytes = {LIMIT}\n") as relay:
            listed = relay.get("/v1/models")
            reply = ask(relay, "/chat/completions")
            assert reply.status == 422
            if size <= LIMIT:
                assert [one["id"] for one in listed.json()["data"]] == ["tiny"]
                assert (reply.error["message"], reply.error["code"]) == ("too hot", "hot")
            else:
                assert (listed.status, listed.error["code"]) == (502, "upstream_too_large")
                assert reply.error["message"].endswith("refused without an explanation (422)")


GOOD = b'{"choices":[{"index":0,"message":{"content":"\xc3\xa9"}}],"output":[],"n":%s}'
NOT_JSON = {
    "NaN": (GOOD % b"NaN", "it contains NaN, which is not JSON"),
    "infinity": (GOOD % b"-Infinity", "it contains -Infinity, which is not JSON"),
    "Latin-1": (GOOD.replace(b"\xc3", b"") % b"1", "it is not UTF-8 (byte 45)"),
    "UTF-16": ((GOOD % b"1").decode().encode("utf-16"), "it is not UTF-8 (byte 0)"),
    "truncated": ((GOOD % b"1")[:-1], "it ends too early, after 69 bytes"),
    "truncated in a string": (GOOD[:44], "it ends too early, after 44 bytes"),
    "a page": (b"<html>Bad Gateway</html>", "Expecting value at line 1, column 1"),
    "two values": (GOOD % b"1" + b"{}", "Extra data at line 1, column 70"),
    "nothing": (b"", "it is empty"),
    "blanks": (b" \n", "it is empty"),
    "a list": (b"[]", "it is not a JSON object"),
    "too deep": (b"[" * 200_000, "it nests too deeply"),
}


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_a_200_that_is_not_json_is_a_502_that_says_so(
    tmp_path: Path, server: OpenAIServer, kind: str
) -> None:
    with relaying(tmp_path, server.url) as relay:
        for path in (*ASKED, "/images/generations"):
            for what, (body, why) in NOT_JSON.items():
                server.answers[path] = (200, kind, body)
                asked = ASKED.get(path, {"model": "tiny", "prompt": "x"})
                reply = relay.send("POST", "/v1" + path, asked)
                assert (reply.status, reply.error["code"]) == (502, "upstream_malformed"), what
                assert reply.error["type"] == "upstream_error"
                assert reply.error["message"] == (
                    "the upstream compatible answered 200 with a body that isn't valid JSON: "
                    f"{why}; check base_url and the server's log"
                ), what
            server.answers[path] = (200, kind, GOOD % b"1e400")
            assert relay.send("POST", "/v1" + path, asked).body == GOOD % b"1e400"


def test_a_list_of_models_that_is_not_json_is_a_502_too(
    tmp_path: Path, server: OpenAIServer
) -> None:
    server.answers["/models"] = (200, "application/json", b'{"data":[NaN]}')
    with relaying(tmp_path, server.url) as relay:
        reply = relay.get("/v1/models")
        assert (reply.status, reply.error["code"]) == (502, "upstream_malformed")
        assert "it contains NaN" in reply.error["message"]
        problem = relay.get("/v1/relay/status").json()["upstreams"]["compatible"]["problem"]
        assert "it contains NaN" in problem


def test_an_answer_whose_connection_breaks_is_a_502(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    for framing, body in (
        (b"Content-Length: 100\r\n\r\n", b'{"choices":[]}'),
        (b"Transfer-Encoding: chunked\r\n\r\n", b'e\r\n{"choices":[]}\r\n'),
    ):
        with scripted(head + framing + body) as (url, _), relaying(tmp_path, url) as relay:
            reply = ask(relay, "/chat/completions")
            assert (reply.status, reply.error["code"]) == (502, "incomplete_stream")


@pytest.mark.parametrize("chunk_bytes", [0, 100_000])
def test_what_is_not_parsed_passes_without_a_bound(
    relay: Relay, server: OpenAIServer, chunk_bytes: int
) -> None:
    server.chunk_bytes = chunk_bytes
    for path in ("/embeddings", "/rerank", "/audio/speech"):
        for size in (LIMIT + 1, MIB):
            body = b"\xff" * size
            server.answers[path] = (200, "application/octet-stream", body)
            reply = relay.send("POST", "/v1" + path, {"model": "tiny", "input": "x"})
            assert (reply.status, reply.body) == (200, body)


def test_images_can_have_64_mib(relay: Relay, server: OpenAIServer) -> None:
    value = {"data": [{"b64_json": "iVBOR"}]}
    for size in (64 * MIB - 1, 64 * MIB, 64 * MIB + 1):
        body = padded(value, size)
        server.answers["/images/generations"] = (200, "application/json", body)
        asked = {"model": "tiny", "prompt": "x"}
        with relay.connect() as wire:
            wire.send(relay.request("POST", "/v1/images/generations", asked))
            reply = wire.head()
            got = bytearray(wire.buffer)
            while len(got) < int(reply.headers["content-length"]):
                got += wire.sock.recv(MIB)
        if size <= 64 * MIB:
            assert reply.status == 200 and got == body
        else:
            assert (reply.status, json.loads(got)["error"]["code"]) == (502, "upstream_too_large")


# ---- memory


class scripted:
    """A server that sends these bytes to each request, then `more` for ever, or closes. Counts what was taken."""

    def __init__(self, raw: bytes, more: bytes = b"") -> None:
        self._raw, self._more = raw, more
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.taken = 0
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> tuple[str, scripted]:
        self._thread.start()
        return f"http://127.0.0.1:{self._sock.getsockname()[1]}/v1", self

    def __exit__(self, *_: object) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._sock.accept()
            except OSError:
                return
            with client:
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                request += client.recv(65536)
            client.sendall(self._raw)
            while self._more:
                self.taken += client.send(self._more)
        except OSError:
            return


def peak_mib(relay: Relay) -> float:
    """Return the most memory that the relay has held at once since `forget_peak`."""
    for line in Path(f"/proc/{relay.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def forget_peak(relay: Relay) -> None:
    Path(f"/proc/{relay.process.pid}/clear_refs").write_text("5")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/completions", "/models"])
def test_an_endless_answer_costs_its_bound_and_no_more(tmp_path: Path, path: str) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b'%x\r\n["%s"]\r\n' % (65536, b"x" * 65532)
    with (
        scripted(head, piece) as (url, far),
        relaying(tmp_path, url, f"max_answer_bytes = {4 * MIB}\n") as relay,
    ):
        relay.get("/v1/relay/status")
        forget_peak(relay)
        before = peak_mib(relay)
        for _ in range(3):
            far.taken = 0
            reply = relay.get("/v1/models") if path == "/models" else ask(relay, path)
            assert (reply.status, reply.error["code"]) == (502, "upstream_too_large")
            # What the kernel holds on both sides comes on top.
            assert far.taken < 4 * MIB + 16 * MIB
        assert peak_mib(relay) - before < 3 * 4 + 8, "MiB"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_announced_length_beyond_the_bound_is_not_read_at_all(tmp_path: Path) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n"
    )
    with scripted(head, b"x" * 65536) as (url, far), relaying(tmp_path, url) as relay:
        reply = ask(relay, "/chat/completions")
        assert (reply.status, reply.error["code"]) == (502, "upstream_too_large")
        assert far.taken < 16 * MIB
