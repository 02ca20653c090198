"""The far side of `build/soak.py`: `python3 build/soak_upstream.py PORT` speaks Codex Responses and OpenAI's chat.

What it answers, and how it fails, stands in the request: a plan as `Plan.mark` writes it, the last one that a body
holds. Below `/plain/v1` there is chat only. `GET /soak/stats` tells how many connections are open and busy.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from typing import NamedTuple

MARK = re.compile(rb"soak:(\w+):(\d+):(\d+):(\d+):(\d+):(\w+);")
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
# How an answer goes wrong; the first group before its head is whole, the second inside its body.
HEAD_FAULTS = ("reset", "close", "garbage", "error500", "limit429", "length")
BODY_FAULTS = ("cut", "stop", "stall", "hang", "badchunk", "badevent")
BROKEN_EVENT = b"{no JSON"
STALL_S = 1.0
RETRY_AFTER_S = 7


class Plan(NamedTuple):
    """One answer: `size` words of a length by `pad`, `pace_ms` apart; as text or, `kind` "tool", as arguments."""

    kind: str = "text"
    size: int = 8
    pace_ms: int = 0
    pad: int = 0
    seed: int = 0
    fault: str = "none"

    def mark(self) -> str:
        """Return the plan as a prompt has it."""
        return "soak:" + ":".join(map(str, self)) + ";"

    def words(self) -> list[str]:
        """Return the pieces of the answer, one a delta."""
        return [f"{self.seed}.{number}{'x' * self.pad} " for number in range(self.size)]

    def text(self) -> str:
        """Return the whole answer: its words, or the JSON of the arguments with them."""
        words = "".join(self.words())
        return f'["{words}"]' if self.kind == "tool" else words


def find_plan(body: bytes) -> Plan:
    """Return the last plan in `body`."""
    kind, size, pace, pad, seed, fault = MARK.findall(body)[-1]
    numbers = (int(size), int(pace), int(pad), int(seed))
    return Plan(kind.decode(), *numbers, fault.decode())


# ---- the two dialects


def _event(kind: str, **rest: object) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": 1, **rest}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def codex_frames(plan: Plan) -> list[bytes]:
    """Return the events of a Responses answer."""
    text, tool = plan.text(), plan.kind == "tool"
    item: dict[str, object] = {"id": "msg_1", "type": "message", "role": "assistant"}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    empty: dict[str, object] = {**item, "status": "in_progress", "content": []}
    whole: dict[str, object] = {**item, "status": "completed", "content": [part]}
    if tool:
        item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "note"}
        empty = {**item, "status": "in_progress", "arguments": ""}
        whole = {**item, "status": "completed", "arguments": text}
    kind = "response.function_call_arguments" if tool else "response.output_text"
    where: dict[str, object] = {"item_id": item["id"], "output_index": 0}
    if not tool:
        where["content_index"] = 0
    response = {
        "id": f"resp_{plan.seed}",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.5",
    }
    usage = {"input_tokens": 9, "output_tokens": plan.size, "total_tokens": 9 + plan.size}
    final = {**response, "status": "completed", "output": [whole], "usage": usage}
    frames = [
        _event("response.created", response={**response, "status": "in_progress", "output": []}),
        _event("response.output_item.added", output_index=0, item=empty),
    ]
    pieces = ['["', *plan.words(), '"]'] if tool else plan.words()
    frames += [_event(f"{kind}.delta", **where, delta=piece) for piece in pieces]
    ended: dict[str, object] = {"arguments": text} if tool else {"text": text, "logprobs": []}
    return [
        *frames,
        _event(f"{kind}.done", **where, **ended),
        _event("response.output_item.done", output_index=0, item=whole),
        _event("response.completed", response=final),
    ]


def chat_frames(plan: Plan) -> list[bytes]:
    """Return the chunks of a chat answer."""
    top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "plain-1"}
    choices: list[dict[str, object]] = [{"delta": {"role": "assistant", "content": ""}}]
    choices += [{"delta": {"content": word}} for word in plan.words()]
    choices.append({"delta": {}, "finish_reason": "stop"})
    chunks: list[object] = [{**top, "choices": [{"index": 0, **one}]} for one in choices]
    chunks.append({**top, "choices": [], "usage": _usage(plan)})
    lines = [b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks]
    return [*lines, b"data: [DONE]\n\n"]


def chat_whole(plan: Plan) -> bytes:
    """Return a chat answer that is not streamed."""
    message = {"role": "assistant", "content": "".join(plan.words())}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    top = {"id": "c1", "object": "chat.completion", "created": 1, "model": "plain-1"}
    return json.dumps({**top, "choices": [choice], "usage": _usage(plan)}).encode()


def _usage(plan: Plan) -> dict[str, int]:
    return {"prompt_tokens": 9, "completion_tokens": plan.size, "total_tokens": 9 + plan.size}


# ---- the server


class Upstream:
    """Serves until the process ends; counts its connections, and those that are in the middle of an answer."""

    def __init__(self) -> None:
        self.open = self.busy = self.answers = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.busy += 1
                try:
                    if not await self._answer(head.split(b" ", 2)[1], body, reader, writer):
                        return
                finally:
                    self.busy -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open -= 1
            writer.close()

    async def _answer(
        self,
        path: bytes,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; False when the connection is to end."""
        if path.startswith(b"/soak/stats"):
            facts = {"open": self.open - 1, "busy": self.busy - 1, "answers": self.answers}
            writer.write(_whole(json.dumps(facts).encode()))
        elif b"/models" in path:
            writer.write(
                _whole(b'{"models":[{"slug":"gpt-5.5"}],"object":"list","data":[{"id":"plain-1"}]}')
            )
        elif path.endswith(b"/plain/v1/responses"):
            writer.write(_whole(b'{"detail":"Not Found"}', b"404 Not Found"))
        else:
            self.answers += 1
            plan = find_plan(body)
            if plan.fault in HEAD_FAULTS:
                await _fail(plan, writer)
                return plan.fault in ("error500", "limit429")
            if b"/plain/" in path and not re.search(rb'"stream": ?true', body):
                if plan.fault != "none":
                    await _fail(plan._replace(fault="length"), writer)
                    return False
                writer.write(_whole(chat_whole(plan)))
            else:
                frames = chat_frames(plan) if b"/plain/" in path else codex_frames(plan)
                await _stream(plan, frames, reader, writer)
                return plan.fault == "none"
        return True


def _whole(body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    kind = b"Content-Type: application/json\r\n"
    return b"HTTP/1.1 %s\r\n%s%sContent-Length: %d\r\n\r\n%s" % (
        status,
        kind,
        more,
        len(body),
        body,
    )


async def _fail(plan: Plan, writer: asyncio.StreamWriter) -> None:
    error = {"type": "server_error", "message": "soak: planned failure", "code": "soak"}
    body = json.dumps({"error": error}).encode()
    if plan.fault == "error500":
        writer.write(_whole(body, b"500 Internal Server Error"))
    elif plan.fault == "limit429":
        more = b"Retry-After: %d\r\n" % RETRY_AFTER_S
        writer.write(_whole(body, b"429 Too Many Requests", more))
    elif plan.fault == "garbage":
        writer.write(b"\x00\x01 this is no HTTP \xff\r\n\r\n")
    elif plan.fault == "length":
        whole = _whole(b"x" * 50 + chat_whole(plan))
        writer.write(whole[: len(whole) // 2])
    elif plan.fault == "reset":
        _reset(writer)
        return
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End with a RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _stream(
    plan: Plan,
    frames: list[bytes],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    if plan.fault != "none":
        frames = frames[: len(frames) // 2]
    writer.write(CHUNKED)
    if plan.pace_ms:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for frame in frames:
            writer.write(_chunk(frame))
            due_s += plan.pace_ms / 1000
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await writer.drain()
    else:
        writer.write(b"".join(map(_chunk, frames)))
    await writer.drain()
    if plan.fault == "none":
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    else:
        await _break_off(plan.fault, reader, writer)


async def _break_off(
    fault: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """End a half answer: "stop" ends the body well without its last event, the others break it."""
    if fault == "cut":
        await asyncio.sleep(0.01)  # a RST overtakes what was not read yet
        _reset(writer)
    elif fault == "stop":
        writer.write(b"0\r\n\r\n")
    elif fault == "stall":
        await asyncio.sleep(STALL_S)
    elif fault == "hang":
        await reader.read(1)  # until the relay has had enough
    elif fault == "badchunk":
        writer.write(b"zz\r\nno length\r\n")
    elif fault == "badevent":
        writer.write(_chunk(b"data: %s\n\n" % BROKEN_EVENT) + b"0\r\n\r\n")


async def _main(port: int) -> None:
    server = await asyncio.start_server(Upstream().serve, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
