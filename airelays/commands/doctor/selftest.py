"""`doctor --self-test`: the whole path inside this copy of the program, without a network. Layer: commands.

An upstream with TLS on loopback, the relay in front of it, requests with a good token, with a bad one, too large,
streamed, stored. A failure here is caused by this copy or this machine, not by anything else.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from airelays.app.doors import open_doors
from airelays.app.pages import PAGES, page_text
from airelays.app.relay import Relay
from airelays.credentials.token import TokenSource
from airelays.errors import ConfigError, RelayError
from airelays.host.process import listen, shutting_down
from airelays.net.trust import Trust
from airelays.settings.values import Settings
from airelays.upstream.base import Check

DEADLINE_S = 30.0
MAX_BODY_BYTES = 64 * 1024
WORDS = ("one", " two", " three", " ä€")
MODEL = "self-test"
_SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


async def self_test(data_dir: str) -> AsyncIterator[Check]:
    """Yield one finding after the other; the first that fails to be made ends it.

    What is stored goes into a temporary folder; in `data_dir` where there is none, as in a read-only container.
    """
    yield _versions()
    yield _store()
    yield _pages()
    try:
        with tempfile.TemporaryDirectory(
            prefix="airelays-self-test-", dir=_temporary(data_dir)
        ) as folder:
            async for check in _relay_checks(folder):
                yield check
    except OSError as error:
        text = f"there is no usable temporary folder ({error.strerror}); set TMPDIR to one that is"
        yield Check("relay", "fail", text)


def _temporary(data_dir: str) -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        if not os.path.isdir(data_dir):
            raise
        return data_dir


def _versions() -> Check:
    # Loaded by the only module that is allowed to import h11, then inspected.
    import airelays.protocol.http1  # noqa: F401

    data = {
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "h11": str(sys.modules["h11"].__version__),
        "platform": f"{sys.platform} {platform.machine()}",
    }
    text = "Python {python}, {openssl}, h11 {h11}, {platform}".format(**data)
    return Check("versions", "pass", text, data=data)


def _store() -> Check:
    trust = Trust()
    facts = trust.describe()
    where = f"{facts['path']} ({facts['source']}), dated {facts['date'] or 'unknown date'}"
    try:
        count = len(trust.context_now().get_ca_certs())
    except RelayError as error:
        return Check("trust", "fail", error.local, data=facts)
    return Check("trust", "pass", f"{count or 'some'} authorities from {where}", data=facts)


def _pages() -> Check:
    try:
        texts = [page_text(name) for name in PAGES]
    except (ConfigError, OSError, UnicodeError) as error:
        return Check("documentation", "fail", str(error))
    return Check("documentation", "pass", f"{len(texts)} pages are included")


async def _relay_checks(folder: str) -> AsyncIterator[Check]:
    certificate = os.path.join(folder, "certificate.pem")
    both = os.path.join(folder, "key-and-certificate.pem")
    _write(certificate, CERTIFICATE)
    _write(both, KEY + CERTIFICATE)
    token = secrets.token_urlsafe(32)
    tests: tuple[tuple[str, Callable[[int, str], Probe]], ...] = (
        ("models", _models),
        ("stream", _stream),
        ("no_token", _bad_token),
        ("too_large", _too_large),
        ("storage", _storage),
    )
    async with _upstream(both) as upstream_port, _relay(folder, upstream_port, token) as port:
        for name, probe in tests:
            yield await _run(name, probe(port, token))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class Probe:
    """One request and the expected answer; `wanted` returns "" or what is wrong."""

    def __init__(
        self, port: int, request: bytes, good: str, wanted: Callable[[int, bytes], str]
    ) -> None:
        self.port = port
        self.request = request
        self.good = good
        self.wanted = wanted


async def _run(name: str, probe: Probe) -> Check:
    try:
        async with asyncio.timeout(DEADLINE_S):
            status, body = await _ask(probe.port, probe.request)
    except TimeoutError:
        return Check(name, "fail", f"no answer within {DEADLINE_S:g} s")
    except (OSError, ValueError, EOFError) as error:
        return Check(
            name, "fail", f"the relay's answer was broken: {error or type(error).__name__}"
        )
    wrong = probe.wanted(status, body)
    return Check(name, "fail", wrong) if wrong else Check(name, "pass", probe.good)


def _request(method: str, path: str, token: str, body: object = None, declared: int = -1) -> bytes:
    raw = b"" if body is None else json.dumps(body).encode()
    size = declared if declared >= 0 else len(raw)
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nauthorization: Bearer {token}\r\n"
    if method == "POST":
        head += f"content-type: application/json\r\ncontent-length: {size}\r\n"
    return head.encode() + b"\r\n" + raw


def _chat(text: str) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": True}


def _models(port: int, token: str) -> Probe:
    def wanted(status: int, body: bytes) -> str:
        listed = status == 200 and MODEL.encode() in body
        return "" if listed else f"the model list had status {status} and did not include {MODEL}"

    text = "the model list arrived through TLS"
    return Probe(port, _request("GET", "/v1/models", token), text, wanted)


def _stream(port: int, token: str) -> Probe:
    def wanted(status: int, body: bytes) -> str:
        events = [part[6:] for part in body.split(b"\n\n") if part.startswith(b"data: ")]
        if status != 200 or events[-1:] != [b"[DONE]"]:
            return f"the stream had status {status} and did not end with [DONE]"
        said = [
            c["delta"].get("content") or "" for e in events[:-1] for c in json.loads(e)["choices"]
        ]
        same = "".join(said) == "".join(WORDS)
        return "" if same else f"the stream contained {''.join(said)!r}, not {''.join(WORDS)!r}"

    request = _request("POST", "/v1/chat/completions", token, _chat("x"))
    return Probe(port, request, "a streamed answer arrived complete", wanted)


def _bad_token(port: int, token: str) -> Probe:
    def wanted(status: int, body: bytes) -> str:
        return "" if status == 401 else f"a wrong token got status {status} instead of 401"

    request = _request("POST", "/v1/chat/completions", token[::-1], _chat("x"))
    return Probe(port, request, "a wrong token was refused with 401", wanted)


def _too_large(port: int, token: str) -> Probe:
    def wanted(status: int, body: bytes) -> str:
        return (
            "" if status == 413 else f"a body that is too large got status {status} instead of 413"
        )

    request = _request("POST", "/v1/chat/completions", token, declared=MAX_BODY_BYTES + 1)
    return Probe(port, request, "a body that is too large was refused with 413", wanted)


def _storage(port: int, token: str) -> Probe:
    def wanted(status: int, body: bytes) -> str:
        return "" if status == 200 else f"a conversation could not be stored: status {status}"

    request = _request("POST", "/v1/conversations", token, {})
    return Probe(port, request, "a conversation was stored", wanted)


async def _ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Send one request; return the status and the whole body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        body = await reader.read(-1)
        if b"transfer-encoding: chunked" in head.lower():
            body = _unchunked(body)
        return status, body
    finally:
        writer.close()


def _unchunked(data: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


# ---- the two ends


@asynccontextmanager
async def _upstream(chain: str) -> AsyncIterator[int]:
    """A model server with TLS that knows one model and one answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length: " in head:
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        if head.startswith(b"get "):
            models = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
            writer.write(_JSON + json.dumps(models).encode())
        else:
            writer.write(_SSE)
            for at, word in enumerate((*WORDS, "")):
                writer.write(_event(word, last=at == len(WORDS)))
                await writer.drain()
            writer.write(b"data: [DONE]\n\n")
        await writer.drain()
    except (OSError, EOFError, ValueError):
        pass  # the relay has ended: its own message is what counts
    finally:
        writer.close()


def _event(word: str, *, last: bool) -> bytes:
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": "stop" if last else None}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


@asynccontextmanager
async def _relay(folder: str, upstream_port: int, token: str) -> AsyncIterator[int]:
    """The relay as `serve` runs it, in a folder that is thrown away."""
    data_dir = os.path.join(folder, "data")
    os.mkdir(data_dir, 0o700)
    settings = Settings(
        host="127.0.0.1",
        port=0,
        data_dir=data_dir,
        upstream_kind="compatible",
        upstream_base_url=f"https://127.0.0.1:{upstream_port}/v1",
        ca_file=os.path.join(folder, "certificate.pem"),
        use_env_proxy=False,
        offline=True,
        max_json_body_bytes=MAX_BODY_BYTES,
    )
    source = TokenSource(settings.bearer_token_file, {"AIRELAYS_BEARER_TOKEN": token})
    relay = Relay(settings, source, complain=lambda text: None)
    listener = listen(relay, open_doors(settings))
    relay.start()
    listener.start()
    try:
        yield relay.desk.port
    finally:
        relay.begin_to_stop(shutting_down())
        await listener.stop_accepting()
        await listener.drain(1.0, RelayError("the self-test has ended", status=503))
        await relay.close()
        await asyncio.to_thread(relay.notes.close)


KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpPYKYihX/3ZCcYvJ
OZagumRm3FW7ZbXycBA8t8+NwjqhRANCAAT46pVGYCilJiIf/zSwYsB9rYoHaoxQ
snlr5o2/hXCKMfZU0Pzvgo9nrj0kESLIF4bA7xqptK+K1OP9jMe2LZ8r
-----END PRIVATE KEY-----
"""

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIICGDCCAb2gAwIBAgIUI7EWFAF5CSUTmJrkNVJmanUDkV8wCgYIKoZIzj0EAwIw
QDEqMCgGA1UECgwhQUlSZWxheXMgc2VsZi10ZXN0LCB3b3J0aCBub3RoaW5nMRIw
EAYDVQQDDAlsb2NhbGhvc3QwIBcNMDAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAw
MDBaMEAxKjAoBgNVBAoMIUFJUmVsYXlzIHNlbGYtdGVzdCwgd29ydGggbm90aGlu
ZzESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
+OqVRmAopSYiH/80sGLAfa2KB2qMULJ5a+aNv4VwijH2VND874KPZ649JBEiyBeG
wO8aqbSvitTj/YzHti2fK6OBkjCBjzAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8A
AAEwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAwwCgYIKwYB
BQUHAwEwHQYDVR0OBBYEFOvbjTLQuH2VPmWo+HjqxDeQO+XuMB8GA1UdIwQYMBaA
FOvbjTLQuH2VPmWo+HjqxDeQO+XuMAoGCCqGSM49BAMCA0kAMEYCIQD+62ADqWAI
f4RW68KUGZW1Jc0Wl6AOG933ozwruPzm1AIhAPdKK/lyT9QxtPAlTg8K5kLMHV15
wUKMB6rZwxzKUBXS
-----END CERTIFICATE-----
"""
