"""Fuzz the parsers: `python3 build/fuzz.py [TARGET ...] [--seconds N] [--corpus DIR]`. Needs `pip install atheris`.

Each target is fed whatever the fuzzer finds by coverage, in one read and byte by byte, and may only return or raise the
fault of its kind: every other exception is a finding. What crashed is kept under tests/findings/TARGET and is
tried again by the tests in every run. What widened the coverage is kept under DIR/TARGET for the next run.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FINDINGS = ROOT / "tests" / "findings"
sys.path.insert(0, str(ROOT))

from airelays.dialects.chat.request import from_chat  # noqa: E402
from airelays.dialects.chat.stream import ChatStream  # noqa: E402
from airelays.dialects.chat_server.events import ChatEvents  # noqa: E402
from airelays.dialects.completions import from_completion  # noqa: E402
from airelays.dialects.reply import ReplyMap  # noqa: E402
from airelays.dialects.responses.request import from_responses  # noqa: E402
from airelays.dialects.responses.stream import ResponsesStream  # noqa: E402
from airelays.dialects.stream.passed import PassedChunks  # noqa: E402
from airelays.dialects.takes import Takes  # noqa: E402
from airelays.dialects.translated import ReplyOptions  # noqa: E402
from airelays.errors import ClientFault, UpstreamFault  # noqa: E402 - the checkout is on the path only now
from airelays.model import RequestHead, ResponseHead  # noqa: E402
from airelays.protocol import http1  # noqa: E402
from airelays.protocol.chunked import ChunkDecoder  # noqa: E402
from airelays.protocol.coding import decode_body  # noqa: E402
from airelays.protocol.headcache import HeadCache  # noqa: E402
from airelays.protocol.http1 import (  # noqa: E402
    ProtocolFault,
    parse_request_head,
    parse_response_head,
)
from airelays.protocol.jsonio import loads_object  # noqa: E402
from airelays.protocol.multipart import MultipartParser  # noqa: E402
from airelays.protocol.sse import Parser  # noqa: E402

MAX_INPUT_BYTES = 8192
from airelays.upstream.chatgpt.body import TAKES  # noqa: E402

OPTIONS = ReplyOptions(model="m", stream=True, include_usage=True, stop=("STOP",))


LENGTH_LINE = re.compile(rb"\r\ncontent-length[^\r\n]*", re.IGNORECASE)
# What stands in place of a length: others, the same in other words, and everything that is not a length.
LENGTHS = (
    b"", b"\r\nContent-Length: 0", b"\r\nContent-Length: 7", b"\r\ncontent-length: 007", b"\r\nContent-Length: ",
    b"\r\nContent-Length:", b"\r\nContent-Length:7", b"\r\nContent-Length: 7 ", b"\r\nContent-Length: \0",
    b"\r\nContent-Length: +7", b"\r\nContent-Length: 7, 7", b"\r\nContent-Length: 1234567890123456",
    b"\r\nTransfer-Encoding: chunked",
)  # fmt: skip
STATUS_LINES = (b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/1.1 304 Not Modified")
compared = 0


def request_head(data: bytes) -> None:
    """A head is read or refused."""
    _plain(data + b"\r\n\r\n")


def head_cache(data: bytes) -> None:
    """Heads that differ in what frames the body, in a random order: one cache reads each as the plain way does."""
    global compared
    heads = [near + b"\r\n\r\n" for part in data.split(b"\r\n\r\n")[:3] for near in _near(part)]
    cache = HeadCache()
    for raw in random.Random(data).choices(heads, k=2 * len(heads)):
        compared += 1
        try:
            cached: object = cache.parse(raw)
        except ProtocolFault as fault:
            cached = fault.status, fault.message
        if cached != _plain(raw):
            raise AssertionError(f"the head cache disagrees with the parser about {raw!r}")


def _plain(raw: bytes) -> RequestHead | tuple[int, str]:
    try:
        return parse_request_head(raw)
    except ProtocolFault as fault:
        return fault.status, fault.message


def _near(head: bytes) -> list[bytes]:
    """Return `head`, and it with other lengths in the place of its first one and after its request line."""
    line_end = head.find(b"\r\n")
    at = line_end if line_end >= 0 else len(head)
    found = [head]
    for length in LENGTHS:
        found.append(LENGTH_LINE.sub(lambda _, new=length: new, head, count=1))  # type: ignore[misc]
        found.append(head[:at] + length + head[at:])
    return found


def response_head(data: bytes) -> None:
    """An upstream's head is refused, or framed as h11 frames it when it sees the whole of it, uncached."""
    for line in STATUS_LINES:
        raw = line + b"\r\n" + data + b"\r\n\r\n"
        for method in ("GET", "HEAD", "POST"):
            try:
                told: ResponseHead | None = parse_response_head(raw, method=method)
            except UpstreamFault:
                told = None
            try:
                whole = http1._read_framing.__wrapped__(raw, method)
            except ProtocolFault:
                whole = None
            if (told and told._replace(fields=())) != (whole and whole._replace(fields=())):
                raise AssertionError(f"the two ways to frame an answer disagree about {raw!r}")


def chunked(data: bytes) -> None:
    """A chunked body is the same in one read and byte by byte."""

    def decode(parts: list[bytes]) -> object:
        decoder = ChunkDecoder()
        try:
            return b"".join(decoder.feed(part) for part in parts), decoder.done, decoder.rest
        except ProtocolFault:
            return None

    if decode([data]) != decode([data[i : i + 1] for i in range(len(data))]):
        raise AssertionError("the cuts of a chunked body matter")


def sse(data: bytes) -> None:
    """An event stream is the same in one read and byte by byte."""

    def parse(parts: list[bytes]) -> object:
        parser = Parser(1000)
        try:
            return [event for part in parts for event in parser.feed(part)] + parser.finish()
        except UpstreamFault:
            return None

    if parse([data]) != parse([data[i : i + 1] for i in range(len(data))]):
        raise AssertionError("the cuts of an event stream matter")


def body_json(data: bytes) -> None:
    """A JSON body becomes an object that can be encoded, or a fault."""
    try:
        json.dumps(loads_object(data, max_bytes=1_000_000)).encode()
    except ClientFault:
        return


def multipart(data: bytes) -> None:
    """A form is the same in one read and byte by byte, as far as it is good."""

    def parse(parts: list[bytes]) -> object:
        parser = MultipartParser(b"B")
        found = []
        try:
            for part in parts:
                found += [
                    (type(e).__name__, *(e if "Data" not in type(e).__name__ else ()))
                    for e in parser.feed(part)
                ]
            parser.finish()
        except ClientFault:
            return None
        return [e for e in found if e[0] != "PartData"]

    if parse([data]) != parse([data[i : i + 1] for i in range(len(data))]):
        raise AssertionError("the cuts of a form matter")


def coding(data: bytes) -> None:
    """A compressed body is decoded within its bound, or refused."""
    for name in (b"gzip", b"deflate"):
        try:
            decode_body(data, name, 10_000)
        except ClientFault:
            continue


def request_maps(data: bytes) -> None:
    """Any JSON object is mapped or refused by every request map."""
    try:
        body = loads_object(data, max_bytes=1_000_000)
    except ClientFault:
        return
    maps: tuple[Callable[[Takes], object], ...] = (
        lambda takes: from_chat(body, tools_allowed=True, takes=takes),
        lambda takes: from_completion(body, takes=takes),
        lambda takes: from_responses(body, tools_allowed=True, codex=False, takes=takes),
        lambda takes: from_responses(body, tools_allowed=False, codex=True, takes=takes),
    )
    for go in maps:
        for takes in (Takes(), TAKES):
            try:
                go(takes)
            except ClientFault:
                continue


def reply_maps(data: bytes) -> None:
    """Any event stream gives the same bytes the fast and the plain way, and ends well only when it said so."""
    for codex in (False, True):
        fast, plain = (
            ResponsesStream(OPTIONS, codex=codex, now_s=1, reply_id="r", fast=way)
            for way in (True, False)
        )
        if _told(fast, data) != _told(plain, data):
            raise AssertionError("the ways of the Responses map disagree")
    chat_fast, chat_plain = (
        ChatStream(OPTIONS, now_s=1, reply_id="r", fast=way) for way in (True, False)
    )
    out = _told(chat_fast, data)
    if out != _told(chat_plain, data):
        raise AssertionError("the ways of the chat map disagree")
    told = b"response.completed" in data or b"response.incomplete" in data or b"STOP" in data
    if out.endswith(b"data: [DONE]\n\n") and not told and b"\\u" not in data:
        raise AssertionError("a stream without its end was ended well")


def _told(reply: ReplyMap, data: bytes) -> bytes:
    out = reply.feed(data) + reply.end()
    return out + reply.fail(reply.failure) if reply.failure else out


def chat_streams(data: bytes) -> None:
    """Any chat stream is passed on or translated without an exception."""
    reply = PassedChunks(model="m")
    _told(reply, data)
    events = ChatEvents(model="m", ids="x", now_s=1)
    events.feed(data)
    events.end()


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        request_head,
        head_cache,
        response_head,
        chunked,
        sse,
        body_json,
        multipart,
        coding,
        request_maps,
        reply_maps,
        chat_streams,
    )
}
SEEDS = {
    "request_head": [b"POST /v1/x?a HTTP/1.1\r\nHost: h\r\nContent-Length: 5"],
    "head_cache": [
        b"POST /v1/x?a HTTP/1.1\r\nHost: h\r\nContent-Length: 5",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 12\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: h",
        b"POST / HTTP/1.0\r\nContent-Length: 5\r\nConnection: keep-alive\r\nExpect: 100-continue",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
    ],
    "response_head": [b"Content-Length: 5\r\nConnection: close", b"Transfer-Encoding: chunked"],
    "chunked": [b"5\r\nhello\r\n0\r\n\r\n", b"1;a=b\r\nx\r\n0\r\nT: v\r\n\r\n"],
    "sse": [b"event: a\ndata: b\r\n\r\ndata: c\n\n"],
    "body_json": [b'{"a": [1, "\\ud83d", null]}'],
    "multipart": [b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--B--\r\n'],
    "coding": [b"\x1f\x8b\x08\x00"],
    "request_maps": [
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"tools":[]}',
        b'{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}',
    ],
    "reply_maps": [],
    "chat_streams": [b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'],
}


def seeds_of(name: str) -> list[bytes]:
    """Return what the target `name` begins with: its seeds, and for streams the recorded ones that are not too long."""
    recorded = sorted((ROOT / "tests" / "samples").glob("*.sse")) if name == "reply_maps" else []
    return SEEDS[name] + [p.read_bytes() for p in recorded if p.stat().st_size <= MAX_INPUT_BYTES]


def main(arguments: list[str]) -> int:
    """Fuzz the named targets, or all, one after the other, each in a process of its own."""
    seconds = int(_taken(arguments, "--seconds", "60"))
    corpus = _taken(arguments, "--corpus", "")
    if arguments[:1] == ["--one"]:
        return _fuzz(arguments[1], seconds, corpus)
    failed = []
    for name in arguments or list(TARGETS):
        command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
        with tempfile.TemporaryDirectory() as fresh:
            if subprocess.call([*command, "--corpus", corpus or fresh]) != 0:
                failed.append(name)
    print(
        f"fuzzed {len(arguments or TARGETS)} targets for {seconds} s each; findings in: {failed or 'none'}"
    )
    return 1 if failed else 0


def _taken(arguments: list[str], flag: str, default: str) -> str:
    """Take `flag` and its value out of `arguments`; return the value."""
    if flag not in arguments:
        return default
    at = arguments.index(flag)
    value = arguments[at + 1]
    del arguments[at : at + 2]
    return value


def _fuzz(name: str, seconds: int, corpus: str) -> int:
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # a tool of the desk, not locked

    atheris.instrument_all()
    crashes = FINDINGS / name
    crashes.mkdir(parents=True, exist_ok=True)
    inputs = Path(corpus) / name
    inputs.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds_of(name)):
        (inputs / f"seed{number}").write_bytes(seed)
    flags = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        "-timeout=10",
        "-print_final_stats=1",
    ]
    command = [name, *flags, f"-artifact_prefix={crashes}/", str(inputs)]
    atheris.Setup(command, TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
