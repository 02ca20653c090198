"""The matrix of stream ends as data: how far an answer had come, and what went wrong then, in each wire format.

An upstream that plays any of its cells: the number of the case stands in the prompt, so that many run at once. A new
dialect adds a row to `ROUTES`, a new kind of upstream one to `KINDS`; `expected` says what each cell must end in.
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

TEXT, TOOL = "Hello-from-upstream", "lookup_weather"
MAX_EVENT_BYTES = 16 * 1024 * 1024
WAIT_S = 30.0

POSITIONS = ("before_head", "after_ping", "created", "text", "tool", "after_terminal")
FAILURES = (
    "failed",  # the failure event of the protocol
    "error",  # an event named error
    "in_band",  # an error object without a type
    "cut",  # FIN inside the body
    "ended",  # a proper end of the body, without a terminal event
    "reset",  # RST
    "oversized",  # one event of more than 16 MiB
    "garbage",  # bytes that are not chunked framing
    "nonsense",  # events that are not JSON, then a proper end
    "timeout",  # silence
)


class Kind(NamedTuple):
    """A kind of upstream: the config of the relay in front of it, and the APIs that the server has."""

    config: str
    apis: tuple[str, ...]


CHATGPT = 'kind = "chatgpt"\nbase_url = "{url}/backend-api/codex"\nissuer_base_url = "{url}"\n'
COMPATIBLE = 'kind = "compatible"\nbase_url = "{url}/v1"\n'
KINDS = {
    "chatgpt": Kind(CHATGPT, ("responses",)),
    "native": Kind(COMPATIBLE, ("chat", "responses", "completions", "messages")),
    "chat_only": Kind(COMPATIBLE, ("chat",)),
    "responses_only": Kind(COMPATIBLE, ("responses",)),
}


@dataclass(frozen=True)
class Route:
    """A route of the relay: where the prompt goes in its body, and which API of a server it corresponds to."""

    path: str
    api: str
    stream: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, prompt: str) -> dict[str, Any]:
        """Return a request body that asks for an answer to `prompt`."""
        asked: dict[str, dict[str, Any]] = {
            "chat": {"messages": [{"role": "user", "content": prompt}]},
            "responses": {"input": prompt},
            "completions": {"prompt": prompt},
            "messages": {"messages": [{"role": "user", "content": prompt}], "max_tokens": 4096},
            "ollama": {"messages": [{"role": "user", "content": prompt}]},
        }
        return {"model": "gpt-5.5", "stream": self.stream, **asked[self.api], **self.extra}


ROUTES = {
    "chat": Route("/v1/chat/completions", "chat"),
    "chat_usage": Route(
        "/v1/chat/completions", "chat", extra={"stream_options": {"include_usage": True}}
    ),
    "chat_stop": Route("/v1/chat/completions", "chat", extra={"stop": ["never-said"]}),
    "responses": Route("/v1/responses", "responses"),
    "responses_unkept": Route("/v1/responses", "responses", extra={"store": False}),
    "responses_stored": Route("/v1/responses", "responses", extra={"store": True}),
    "codex": Route("/v1/responses", "responses", headers={"originator": "codex_cli_rs"}),
    "completions": Route("/v1/completions", "completions"),
    "messages": Route("/v1/messages", "messages"),
    "ollama": Route("/api/chat", "ollama"),
    "ollama_whole": Route("/api/chat", "ollama", stream=False),
    "chat_whole": Route("/v1/chat/completions", "chat", stream=False),
    "responses_whole": Route("/v1/responses", "responses", stream=False),
    "completions_whole": Route("/v1/completions", "completions", stream=False),
    "messages_whole": Route("/v1/messages", "messages", stream=False),
}


class Cell(NamedTuple):
    """One combination of the matrix."""

    kind: str
    route: str
    position: str
    failure: str

    @property
    def wire(self) -> str:
        """The API that the upstream is asked in, as far as the cell can tell beforehand."""
        apis = KINDS[self.kind].apis
        api = ROUTES[self.route].api
        return api if api in apis else apis[-1] if self.kind != "chat_only" else "chat"

    @property
    def native(self) -> bool:
        """Whether a server gets the client's request as it came, in its own dialect."""
        return self.kind != "chatgpt" and self.wire == ROUTES[self.route].api

    @property
    def passed(self) -> bool:
        """Whether client and upstream speak the same dialect of chunks."""
        return self.native and self.wire != "responses"


def cells(failures: tuple[str, ...] = FAILURES) -> list[Cell]:
    """Return every combination that can happen."""
    return [
        cell
        for kind in KINDS
        for route in ROUTES
        for position in POSITIONS
        for failure in failures
        if _happens(cell := Cell(kind, route, position, failure))
    ]


def _happens(cell: Cell) -> bool:
    route = ROUTES[cell.route]
    if cell.route == "codex" and cell.native:
        return False  # the same bytes as `responses`
    if not route.stream and (cell.native or cell.position == "after_ping"):
        return False  # a whole answer of the server itself; no pings in one
    if route.api == "ollama" and cell.position == "tool":
        return False  # a call is told when it is complete
    if cell.position == "tool" and "completions" in (route.api, cell.wire):
        return False  # an API without tools
    return not (cell.failure == "oversized" and cell.position == "after_terminal")


def expected(cell: Cell) -> str:
    """Return how the client's answer must end: "status", "success", or "terminal" (one typed error, the last chunk).

    A ping that happened to come in time turns a status into a terminal; who checks sees it in the answer.
    """
    if cell.position == "after_terminal":
        return "success"
    if not ROUTES[cell.route].stream:
        return "status"
    if cell.position in ("after_ping", "text", "tool"):
        return "terminal"
    if cell.failure == "timeout" and cell.position == "created":
        return "terminal"  # the silence brings a ping
    if cell.route == "codex" and cell.failure in ("failed", "error", "in_band"):
        return "terminal"  # the Codex CLI acts on codes in events, not on those of a status
    return "terminal" if cell.position == "created" and cell.passed else "status"


def mark_of(cell: Cell) -> bytes:
    """Return what the client has to see before the upstream goes on to fail; b"" when it need not wait."""
    if not ROUTES[cell.route].stream:
        return b""
    if cell.position == "after_ping" and cell.route == "ollama":
        return b"1\r\n \r\n"
    if cell.position == "after_ping":
        return b"ping" if cell.route != "codex" else b"keepalive"
    if cell.position == "created":
        marks = {"chat": b'"assistant"', "messages": b"message_start"}
        return marks.get(cell.wire, b'"text"') if cell.passed else b""
    marks = {"text": TEXT.encode(), "tool": TOOL.encode(), "after_terminal": b"0\r\n\r\n"}
    return marks.get(cell.position, b"")


# ---- what an upstream says


def opening(wire: str, position: str) -> bytes:
    """Return the events of an answer up to `position`."""
    wires = {"responses": _responses, "chat": _chat, "completions": _completions}
    return {**wires, "messages": _messages}[wire](position)


def _sse(*events: Any, named: bool = False) -> bytes:
    out = b""
    for event in events:
        if named:
            out += f"event: {event['type']}\n".encode()
        text = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
        out += b"data: " + text.encode() + b"\n\n"
    return out


def _responses(position: str) -> bytes:
    whole: dict[str, Any] = {
        "id": "resp_up",
        "object": "response",
        "created_at": 1790000000,
        "model": "gpt-5.5",
        "status": "in_progress",
        "output": [],
    }
    if position in ("before_head", "after_ping"):
        return b""
    events: list[dict[str, Any]] = [{"type": "response.created", "response": whole}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": TOOL}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    added: dict[str, Any] = {"type": "response.output_item.added", "output_index": 0}
    if position == "tool":
        delta = {
            "type": "response.function_call_arguments.delta",
            "item_id": "fc_1",
            "output_index": 0,
        }
        events += [{**added, "item": {**call, "arguments": ""}}, {**delta, "delta": '{"a'}]
    if position in ("text", "after_terminal"):
        events += [
            {**added, "item": message},
            {"type": "response.output_text.delta", **place, "delta": TEXT},
        ]
    if position == "after_terminal":
        part = {"type": "output_text", "text": TEXT, "annotations": []}
        done = {**message, "status": "completed", "content": [part]}
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        end = {**whole, "status": "completed", "output": [done], "usage": usage}
        events += [
            {"type": "response.output_item.done", "output_index": 0, "item": done},
            {"type": "response.completed", "response": end},
        ]
    return _sse(*events, named=True)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    facts = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1790000000}
    return {**facts, "model": "gpt-5.5", "choices": [choice]}


def _chat(position: str) -> bytes:
    if position in ("before_head", "after_ping"):
        return b""
    chunks: list[Any] = [_chunk({"role": "assistant", "content": ""})]
    if position == "tool":
        function = {"name": TOOL, "arguments": '{"a'}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        chunks.append(_chunk({"tool_calls": [call]}))
    if position in ("text", "after_terminal"):
        chunks.append(_chunk({"content": TEXT}))
    if position == "after_terminal":
        chunks += [_chunk({}, "stop"), "[DONE]"]
    return _sse(*chunks)


def _completions(position: str) -> bytes:
    if position in ("before_head", "after_ping"):
        return b""

    def chunk(text: str, finish: str | None = None) -> dict[str, Any]:
        facts = {"id": "cmpl-up", "object": "text_completion", "created": 1790000000}
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return {**facts, "model": "gpt-5.5", "choices": [choice]}

    chunks: list[Any] = [chunk("")]
    if position in ("text", "after_terminal"):
        chunks.append(chunk(TEXT))
    if position == "after_terminal":
        chunks += [chunk("", "stop"), "[DONE]"]
    return _sse(*chunks)


def _messages(position: str) -> bytes:
    if position in ("before_head", "after_ping"):
        return b""
    message: dict[str, Any] = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "content": [],
    }
    usage = {"input_tokens": 3, "output_tokens": 1}
    message = {**message, "model": "gpt-5.5", "stop_reason": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    start: dict[str, Any] = {"type": "content_block_start", "index": 0}
    delta: dict[str, Any] = {"type": "content_block_delta", "index": 0}
    if position == "tool":
        call = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": {}}
        piece = {"type": "input_json_delta", "partial_json": '{"a'}
        events += [{**start, "content_block": call}, {**delta, "delta": piece}]
    if position in ("text", "after_terminal"):
        events.append({**start, "content_block": {"type": "text", "text": ""}})
        events.append({**delta, "delta": {"type": "text_delta", "text": TEXT}})
    if position == "after_terminal":
        events += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]
    return _sse(*events, named=True)


def failure_event(wire: str, failure: str) -> bytes:
    """Return the event by which an upstream says that it failed."""
    error = {"message": "the model fell over", "type": "server_error", "code": "server_error"}
    if failure == "in_band":
        return _sse({"error": error})
    if failure == "error":
        event: dict[str, Any] = {"type": "error", **error} if wire == "responses" else error
        if wire != "responses":
            event = {"error": error}
        return b"event: error\n" + _sse(event)
    if wire == "responses":
        response = {"id": "resp_up", "status": "failed", "error": error, "output": []}
        return _sse({"type": "response.failed", "response": response}, named=True)
    return _sse({"error": "the model fell over"})


# ---- the upstream


@dataclass
class Case:
    """One cell being played.

    `asked` is set when the upstream has the request, `go` when it may fail, `said` when it has done so, `left` when
    it saw the relay leave.
    """

    cell: Cell
    asked: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    said: threading.Event = field(default_factory=threading.Event)


@dataclass
class Stage:
    """The upstream of all cases of one kind."""

    kind: str
    url: str = ""
    cases: list[Case] = field(default_factory=list)


@contextmanager
def stage(kind: str) -> Iterator[Stage]:
    """Run the upstream until the block ends."""
    state = Stage(kind)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while _serve(state, self.request):
                    pass
            except OSError:
                pass

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.request_queue_size = 256
    server.socket.listen(256)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_APIS = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/completions": "completions",
    "/messages": "messages",
}


def _serve(state: Stage, connection: socket.socket) -> bool:
    head, body = _read_request(connection)
    if not head:
        return False
    path = head.split(b" ")[1].decode().partition("?")[0]
    wire = next((api for end, api in _APIS.items() if path.endswith(end)), "")
    if wire not in KINDS[state.kind].apis:
        models = b'{"models":[{"slug":"gpt-5.5"}],"data":[{"id":"gpt-5.5"}]}'
        missing = b'{"error":{"message":"not found","type":"invalid_request_error"}}'
        status, answer = (b"404 Not Found", missing) if wire else (b"200 OK", models)
        connection.sendall(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (status, len(answer), answer)
        )
        return True
    number = int(body.split(b"case:")[1].split(b":")[0])
    _play(state.cases[number], wire, connection)
    return False


def _read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    buffer = b""
    while b"\r\n\r\n" not in buffer:
        data = connection.recv(65536)
        if not data:
            return b"", b""
        buffer += data
    head, _, body = buffer.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk, b"" for nothing."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)


def _play(case: Case, wire: str, connection: socket.socket) -> None:
    cell = case.cell
    case.asked.set()
    try:
        silent = cell.failure in ("timeout", "stopping", "departed")
        if silent and cell.position == "before_head":
            _await_leaving(case, connection)
            return
        first = _HEAD + chunk(opening(wire, cell.position))
        last = _last(cell, wire)
        if not mark_of(cell):
            connection.sendall(first + last)
        else:
            connection.sendall(first)
            if not case.go.wait(WAIT_S):
                return
            connection.sendall(last)
        case.said.set()
        if silent or cell.failure in ("failed", "error", "in_band", "oversized", "slow"):
            _await_leaving(case, connection)
        elif cell.failure == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        case.left.set()


def _last(cell: Cell, wire: str) -> bytes:
    if cell.failure in ("failed", "error", "in_band"):
        return chunk(failure_event(wire, cell.failure))
    if cell.failure == "oversized":
        return chunk(b"data: " + b"x" * (MAX_EVENT_BYTES + 1024))
    if cell.failure == "garbage":
        return b"zz\r\nthis is not a chunk\r\n"
    if cell.failure == "nonsense":
        return (
            chunk(b"data: {this is not JSON\n\nevent: \xff\xfe\ndata: \x00\xff\n\n") + b"0\r\n\r\n"
        )
    if cell.failure == "slow":
        word = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0}
        text = "word " * 4000
        delta = {"type": "text_delta", "text": text}
        ones: dict[str, Any] = {
            "responses": {**word, "content_index": 0, "delta": text},
            "chat": _chunk({"content": text}),
            "completions": {"choices": [{"text": text}]},
            "messages": {"type": "content_block_delta", "index": 0, "delta": delta},
        }
        one = _sse(ones[wire], named=wire in ("responses", "messages"))
        return chunk(one) * 600 + chunk(failure_event(wire, "failed"))
    return b"0\r\n\r\n" if cell.failure == "ended" else b""


def _await_leaving(case: Case, connection: socket.socket) -> None:
    connection.settimeout(WAIT_S)
    while connection.recv(65536):
        pass
    case.left.set()
