"""A small OpenAI-compatible server on a thread: it has the APIs it is told to have and records what comes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Seen:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class OpenAIServer:
    """`apis` are the paths below /v1 that exist. `answers` replaces an answer: path -> (status, type, body).

    `fields` go out with every answer.
    `refuses` are members of a chat body with the text that refuses each, with a 400.
    `messages` answer the next chats, one each, in place of the echo. `gap_s` lies between chunks of a stream.
    `strict` refuses paths that are not below /v1. `chunk_bytes` sends those of `answers` in chunks, without a length.
    """

    apis: set[str]
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    fields: list[tuple[str, str]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    gap_s: float = 0
    chunk_bytes: int = 0
    cut_after: int | None = None
    strict: bool = False

    def last(self, path: str) -> Seen:
        """The newest request for `path`."""
        return [one for one in self.seen if one.path == path][-1]


@contextmanager
def openai_server(*apis: str) -> Iterator[OpenAIServer]:
    """Run a server with these APIs until the block ends."""
    state = OpenAIServer(set(apis))

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_state: OpenAIServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_DELETE(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        state = self.server_state
        path = self.path.removeprefix("/v1")
        headers = {k.lower(): v for k, v in self.headers.items()}
        state.seen.append(Seen(path, headers, body))
        if state.strict and not self.path.startswith("/v1/"):
            self._send(404, "application/json", b'{"detail":"Not Found"}')
        elif path in state.answers:
            self._send(*state.answers[path], chunk_bytes=state.chunk_bytes)
        elif path not in state.apis:
            self._send(404, "application/json", b'{"detail":"Not Found"}')
        elif path == "/models":
            self._send_json({"object": "list", "data": [{"id": "tiny"}, {"id": "other"}]})
        elif path == "/chat/completions":
            self._chat(json.loads(body))
        elif path == "/responses":
            self._responses(json.loads(body))
        elif path == "/embeddings":
            self._send_json({"object": "list", "data": [{"embedding": [0.25, -1.5e-9]}]})
        elif path == "/audio/speech":
            self._send(200, "audio/mpeg", bytes(range(256)) * 4096)
        else:
            self._send(200, "application/json", json.dumps({"bytes": len(body)}).encode())

    def _chat(self, body: dict[str, Any]) -> None:
        for name in set(self.server_state.refuses) & set(body):
            error = {"message": self.server_state.refuses[name]}
            self._send(400, "application/json", json.dumps({"error": error}).encode())
            return
        text = f"chat {body['model']}: {body['messages'][-1]['content']}"
        planned = self.server_state.messages
        message = planned.pop(0) if planned else {"content": text}
        calls = message.get("tool_calls") or []
        end = "tool_calls" if calls else "stop"
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": end}
            self._send_json({"id": "c1", "object": "chat.completion", "choices": [choice]})
            return
        deltas: list[dict[str, Any]] = [{"role": "assistant"}]
        deltas += [{"content": word} for word in (message.get("content") or "").split(" ") if word]
        deltas += [{"tool_calls": [{"index": at, **call}]} for at, call in enumerate(calls)]
        frames: list[Any] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": end}]})
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        frames.append({"choices": [], "usage": usage})
        lines = [b"data: " + json.dumps(f).encode() + b"\n\n" for f in frames]
        self._stream([*lines, b"data: [DONE]\n\n"])

    def _responses(self, body: dict[str, Any]) -> None:
        content = body["input"] if isinstance(body["input"], str) else body["input"][-1]["content"]
        asked = content if isinstance(content, str) else content[0]["text"]
        part = {
            "type": "output_text",
            "text": f"responses {body['model']}: {asked}",
            "annotations": [],
        }
        item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
        response = {"id": "resp_1", "object": "response", "status": "completed", "output": [item]}
        if not body.get("stream"):
            self._send_json({**response, "model": body["model"]})
            return
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**response, "output": []}},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**item, "content": []},
            },
            {"type": "response.output_text.delta", "output_index": 0, "delta": part["text"]},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ]
        self._stream([f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events])

    def _stream(self, frames: list[bytes]) -> None:
        state = self.server_state
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self._send_more()
        for number, frame in enumerate(frames):
            if number == state.cut_after:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            time.sleep(state.gap_s)
        self.wfile.write(b"0\r\n\r\n")

    def _send_json(self, value: Any) -> None:
        self._send(200, "application/json", json.dumps(value).encode())

    def _send_more(self) -> None:
        for name, value in self.server_state.fields:
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, kind: str, body: bytes, *, chunk_bytes: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if chunk_bytes:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-Id", "up-1")
        self.send_header("Set-Cookie", "secret=1")
        self._send_more()
        if not chunk_bytes:
            self.wfile.write(body)
            return
        for at in range(0, len(body), chunk_bytes):
            piece = body[at : at + chunk_bytes]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")
