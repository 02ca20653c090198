"""The clients of `build/soak.py`: a seeded mix of good, bad and leaving ones, and what each answer has to be."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import time
from collections import Counter
from typing import Any, NamedTuple

from soak_upstream import BODY_FAULTS, BROKEN_EVENT, HEAD_FAULTS, RETRY_AFTER_S, Plan

TOKEN = "soak-token-0123456789-0123456789-0123"
# Share of each kind, in parts of their sum.
MIX = {
    "chat": 34, "chat stream": 12, "paced chat stream": 5, "chat, tool": 3,
    "responses stream, tool": 9, "responses stream": 5, "responses": 3,
    "passed chat": 5, "passed chat stream": 5, "responses stream by chat": 4, "responses by chat": 2,
    "stored": 1, "conversation": 1, "file": 2, "models": 4, "status": 0.3,
    "wrong token": 0.4, "malformed": 2, "left": 3, "slow reader": 0.7, "fault": 5,
}  # fmt: skip
# Kinds that are one turn: the way that the client speaks, the model, whether it is streamed.
TURNS = {
    "chat": ("chat", "gpt-5.5", False),
    "chat stream": ("chat", "gpt-5.5", True),
    "paced chat stream": ("chat", "gpt-5.5", True),
    "chat, tool": ("chat", "gpt-5.5", True),
    "responses stream, tool": ("responses", "gpt-5.5", True),
    "responses stream": ("responses", "gpt-5.5", True),
    "responses": ("responses", "gpt-5.5", False),
    "passed chat": ("chat", "plain-1", False),
    "passed chat stream": ("chat", "plain-1", True),
    "responses stream by chat": ("responses", "plain-1", True),
    "responses by chat": ("responses", "plain-1", False),
}
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
NOTE = {"type": "object", "properties": {}, "additionalProperties": True}
PATIENCE_S = 60.0
_CHAT, _JSON = PATHS["chat"], "application/json"
# Requests that are the client's own mistake: method, path, body, its type, the status that they get.
MISTAKES = (
    ("POST", _CHAT, b'{"model": "gpt-5.5", "messages": [', _JSON, 400),
    ("POST", _CHAT, b'{"model": "gpt-5.5"}', _JSON, 400),
    ("POST", _CHAT, b'{"model": "gpt-5.5", "messages": [{"role": 5, "content": "x"}]}', _JSON, 400),
    ("POST", "/v1/files", b"{}", _JSON, 415),
    ("POST", "/v1/responses", b'{"model": "gpt-5.5", "input": 5}', _JSON, 400),
    ("POST", "/v1/responses", b'{"model":"gpt-5.5","input":"x","conversation":"c-no"}', _JSON, 404),
    ("POST", "/v1/files", b"no form", "multipart/form-data; boundary=B", 400),
    ("POST", "/v1/nowhere", b"{}", _JSON, 404),
    ("DELETE", _CHAT, b"", "", 405),
    ("GET", "/v1/responses/resp_none", b"", "", 404),
    ("GET", "/v1/files/file-none", b"", "", 404),
    ("GET", "/v1/models\r\nno colon here", b"", "", 400),
)  # fmt: skip


class Wrong(Exception):
    """An answer that is not what it has to be."""


class Reply(NamedTuple):
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """Return the data of each event; what the upstream broke, and a passed stream still has, is left out."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        lines = [line for line in lines if line != BROKEN_EVENT]
        return [json.loads(line) if line != b"[DONE]" else "[DONE]" for line in lines]


class Wire:
    """One client connection, kept while the relay keeps it. A `slow` one takes a little now and then."""

    def __init__(self, port: int, *, slow: bool = False) -> None:
        self.port, self.slow = port, slow
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> asyncio.StreamWriter:
        """Connect, unless it is connected."""
        if self.writer is None:
            sock = socket.socket()
            sock.setblocking(False)
            if self.slow:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
            limit = 4096 if self.slow else 65536
            self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=limit)
            self.buffer = bytearray()
        return self.writer

    def close(self, *, abort: bool = False) -> None:
        """End the connection."""
        if self.writer is not None:
            if abort:
                self.writer.transport.abort()
            self.writer.close()
            self.writer = None

    async def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = _JSON, token: str = TOKEN
    ) -> Reply:
        """Send one request and read its whole answer."""
        await self.send(method, path, body, kind, token)
        status, headers = await self.head()
        if headers.get("transfer-encoding") == "chunked":
            content = await self._chunks()
        else:
            content = await self._exactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Reply(status, headers, content)

    async def send(
        self, method: str, path: str, body: bytes = b"", kind: str = _JSON, token: str = TOKEN
    ) -> None:
        """Send one request."""
        writer = await self.open()
        more = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n" if body else ""
        target, _, line = path.partition("\r\n")
        first = f"{method} {target} HTTP/1.1\r\n" + (line and f"{line}\r\n")
        fields = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{more}"
        writer.write(f"{first}{fields}\r\n".encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer."""
        raw = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in raw[1:] if line)
        return int(raw[0].split(" ")[1]), {n.lower(): v.strip() for n, _, v in pairs}

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(await self._until(b"\r\n"), 16)
            data = await self._exactly(size + 2)
            if not size:
                return b"".join(parts)
            parts.append(data[:-2])

    async def _until(self, end: bytes) -> bytes:
        while (at := self.buffer.find(end)) < 0:
            await self.more()
        return await self._exactly(at + len(end))

    async def _exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self.more()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    async def more(self) -> None:
        """Read what is there."""
        if self.slow:
            await asyncio.sleep(0.01)
        data = await self.reader.read(8192 if self.slow else 65536)
        if not data:
            raise Wrong(f"cut behind {bytes(self.buffer[-60:])!r}")
        self.buffer += data


# ---- what is asked, and what has to come


def request_body(kind: str, plan: Plan, **more: object) -> bytes:
    """Return the JSON of a turn."""
    way, model, stream = TURNS[kind]
    body: dict[str, object] = {"model": model, "stream": stream, **more}
    if way == "chat":
        body["messages"] = [{"role": "user", "content": plan.mark()}]
    else:
        body["input"] = plan.mark()
    if plan.kind == "tool":
        tool = {"name": "note", "description": "Notes.", "parameters": NOTE}
        flat = {"type": "function", **tool, "strict": False}
        body["tools"] = [{"type": "function", "function": tool} if way == "chat" else flat]
    return json.dumps(body).encode()


def _chat_text(choice: dict[str, Any], part: str) -> str:
    found = choice[part]
    calls = found.get("tool_calls") or []
    return (found.get("content") or "") + "".join(c["function"]["arguments"] for c in calls)


def _item_text(item: dict[str, Any]) -> str:
    if item["type"] == "function_call":
        return str(item["arguments"])
    return "".join(part["text"] for part in item["content"])


def _streamed_text(way: str, events: list[Any]) -> str:
    if way == "chat":
        choices = [e["choices"][0] for e in events if e != "[DONE]" and e.get("choices")]
        return "".join(_chat_text(choice, "delta") for choice in choices)
    return "".join(e["delta"] for e in events if e.get("type", "").endswith(".delta"))


def text_of(kind: str, reply: Reply) -> tuple[str, bool]:
    """Return the text of an answer, and whether it ended as a success."""
    way, _, stream = TURNS[kind]
    if not stream:
        body = reply.json()
        if way == "chat":
            choice = body["choices"][0]
            return _chat_text(choice, "message"), choice["finish_reason"] in ("stop", "tool_calls")
        return "".join(map(_item_text, body["output"])), body["status"] == "completed"
    events = reply.events()
    text = _streamed_text(way, events)
    if way == "chat":
        done = events.index("[DONE]") == len(events) - 1
        return text, done and b'"finish_reason"' in reply.body
    done = events[-1].get("type") == "response.completed"
    if done and "".join(map(_item_text, events[-1]["response"]["output"])) != text:
        raise Wrong("the deltas are not the text of response.completed")
    return text, done


def check_good(kind: str, plan: Plan, reply: Reply) -> None:
    """Raise Wrong unless `reply` is the whole answer of `plan`."""
    if reply.status != 200:
        raise Wrong(f"{reply.status} {reply.body[:300]!r}")
    text, ended = text_of(kind, reply)
    if text != plan.text():
        raise Wrong(f"another text: {text[:60]!r}, not {plan.text()[:60]!r}")
    if not ended or b'"error":{' in reply.body:
        raise Wrong(f"no good end: {reply.body[-200:]!r}")


def check_typed(reply: Reply, *statuses: int) -> None:
    """Raise Wrong unless `reply` is an error of OpenAI's form with one of these statuses."""
    error = reply.json().get("error") or {}
    typed = all(isinstance(error.get(name), str) for name in ("message", "type"))
    if reply.status not in statuses or not typed or "code" not in error:
        raise Wrong(f"{reply.status} {reply.body[:200]!r}, not {statuses}")


def check_failed(kind: str, plan: Plan, reply: Reply) -> None:
    """Raise Wrong unless `reply` says that the upstream failed, and how."""
    if reply.status != 200:
        check_typed(
            reply, *{"limit429": (429,), "error500": (500, 502)}.get(plan.fault, (502, 504))
        )
        if plan.fault == "limit429" and reply.headers.get("retry-after") != str(RETRY_AFTER_S):
            raise Wrong(f"429 with retry-after {reply.headers.get('retry-after')!r}")
        return
    if not TURNS[kind][2]:
        raise Wrong(f"200 {reply.body[:200]!r}")
    last = reply.events()[-1]
    error = last.get("error") or (last.get("response") or {}).get("error") or last
    if last.get("type") == "response.completed" or not isinstance(error.get("message"), str):
        raise Wrong(f"a failure ends with {reply.body[-200:]!r}")
    if b"[DONE]" in reply.body or re.search(rb'"finish_reason": *"', reply.body):
        raise Wrong("a failure ends as a success")
    if not plan.text().startswith(_streamed_text(TURNS[kind][0], reply.events())):
        raise Wrong("the text before a failure is another")


# ---- the traffic


class Traffic:
    """`connections` clients that ask about `rate` times a second together until `stop` is set."""

    def __init__(self, port: int, connections: int, rate: float, seed: int) -> None:
        self.port, self.connections, self.rate, self.seed = port, connections, rate, seed
        self.stop = asyncio.Event()
        self.requests = self.events = 0
        self.kinds: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.examples: list[str] = []
        self.latencies: list[tuple[float, float]] = []

    async def run(self) -> None:
        """Ask until it is enough; every request that was begun is finished."""
        await asyncio.gather(*(self._client(number) for number in range(self.connections)))

    async def one_of_each(self) -> None:
        """Use every kind and every fault once, so that whatever the relay loads late is loaded."""
        rng, wire = random.Random(f"{self.seed}/warm"), Wire(self.port)
        for kind in MIX:
            await self._once(rng, wire, kind)
        for fault in HEAD_FAULTS + BODY_FAULTS:
            await self._once(rng, wire, "fault", fault)
        wire.close()

    async def _client(self, number: int) -> None:
        rng, wire = random.Random(f"{self.seed}/{number}"), Wire(self.port)
        kinds, weights = list(MIX), list(MIX.values())
        mean_s = self.connections / self.rate
        due_s = time.monotonic() + rng.random() * mean_s
        while not self.stop.is_set():
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await self._once(rng, wire, rng.choices(kinds, weights)[0])
            due_s = max(due_s + rng.expovariate(1 / mean_s), time.monotonic() - 2 * mean_s)
        wire.close()

    async def _once(self, rng: random.Random, wire: Wire, kind: str, fault: str = "") -> None:
        """Do one thing, and note when it did not go as it has to."""
        self.kinds[kind] += 1
        what = kind
        try:
            async with asyncio.timeout(PATIENCE_S):
                if kind == "fault":
                    turn = rng.choice(list(TURNS))
                    fault = fault or rng.choice(HEAD_FAULTS + BODY_FAULTS)
                    self.faults[fault] += 1
                    what = f"{turn} with {fault}"
                    await self._fault(rng, wire, turn, fault)
                elif kind in TURNS:
                    await self._turn(rng, wire, kind)
                else:
                    await getattr(self, "_" + kind.replace(" ", "_"))(rng, wire)
        except Exception as error:  # whatever surprises the client is wrong
            self.wrong[what] += 1
            if len(self.examples) < 20:
                self.examples.append(f"{what}: {type(error).__name__}: {error}")
            wire.close(abort=True)

    async def _ask(self, wire: Wire, *words: Any) -> Reply:
        self.requests += 1
        reply = await wire.ask(*words)
        if reply.headers.get("content-type", "").startswith("text/event-stream"):
            self.events += reply.body.count(b"data: ")
        return reply

    def _plan(self, rng: random.Random, kind: str, fault: str = "none") -> Plan:
        tool = "tool" if kind.endswith("tool") else "text"
        pace_ms = 20 if kind.startswith("paced") else 0
        count = rng.randint(20, 60) if TURNS[kind][2] else rng.randint(4, 12)
        return Plan(tool, count, pace_ms, 0, rng.randrange(10**9), fault)

    async def _turn(self, rng: random.Random, wire: Wire, kind: str) -> None:
        plan = self._plan(rng, kind)
        body = request_body(kind, plan)
        await wire.open()
        begun_s = time.monotonic()
        reply = await self._ask(wire, "POST", PATHS[TURNS[kind][0]], body)
        if kind == "chat":
            self.latencies.append((begun_s, time.monotonic() - begun_s))
        check_good(kind, plan, reply)

    async def _fault(self, rng: random.Random, wire: Wire, kind: str, fault: str) -> None:
        plan = self._plan(rng, kind, fault)
        body = request_body(kind, plan)
        check_failed(kind, plan, await self._ask(wire, "POST", PATHS[TURNS[kind][0]], body))

    async def _slow_reader(self, rng: random.Random, wire: Wire) -> None:
        plan = Plan("text", 60, 0, rng.randint(1000, 12000), rng.randrange(10**9))
        own = Wire(self.port, slow=True)
        try:
            body = request_body("chat stream", plan)
            check_good("chat stream", plan, await self._ask(own, "POST", _CHAT, body))
        finally:
            own.close()

    async def _left(self, rng: random.Random, wire: Wire) -> None:
        """Leave in the middle: of a paced stream, before a whole answer, or inside the own body."""
        kind = rng.choice(("paced chat stream", "responses stream", "passed chat stream", "chat"))
        plan = self._plan(rng, kind)._replace(pace_ms=20)
        body = request_body(kind, plan)
        self.requests += 1
        await wire.send("POST", PATHS[TURNS[kind][0]], body)
        if TURNS[kind][2]:
            status, _ = await wire.head()
            if status != 200:
                raise Wrong(f"status {status}")
            for _ in range(rng.randint(1, 10)):
                if wire.buffer.endswith(b"\r\n0\r\n\r\n"):
                    break  # too late to leave: nothing more comes
                await wire.more()
        elif rng.random() < 0.5:
            await asyncio.sleep(0.05)
        wire.close(abort=rng.random() < 0.5)

    async def _stored(self, rng: random.Random, wire: Wire) -> None:
        """Store an answer, read it, go on from it, delete both."""
        ids: list[str] = []
        for _ in range(2):
            more = {"previous_response_id": ids[-1]} if ids else {}
            ids.append(await self._kept(rng, wire, store=True, **more))
            kept = await self._ask(wire, "GET", f"/v1/responses/{ids[-1]}")
            if kept.status != 200 or kept.json()["id"] != ids[-1]:
                raise Wrong(f"stored, then {kept.status} {kept.body[:200]!r}")
        for one in ids:
            await self._good(wire, "DELETE", f"/v1/responses/{one}")
        check_typed(await self._ask(wire, "GET", f"/v1/responses/{ids[0]}"), 404)

    async def _kept(self, rng: random.Random, wire: Wire, **more: object) -> str:
        plan = self._plan(rng, "responses")
        body = request_body("responses", plan, **more)
        reply = await self._ask(wire, "POST", "/v1/responses", body)
        check_good("responses", plan, reply)
        return str(reply.json()["id"])

    async def _conversation(self, rng: random.Random, wire: Wire) -> None:
        """Have two turns in a conversation, list them, delete it."""
        path = "/v1/conversations"
        one = (await self._good(wire, "POST", path, b"{}")).json()["id"]
        for _ in range(2):
            await self._kept(rng, wire, conversation=one)
        items = (await self._good(wire, "GET", f"{path}/{one}/items")).json()["data"]
        if len(items) != 4:
            raise Wrong(f"{len(items)} items after two turns")
        await self._good(wire, "DELETE", f"{path}/{one}")

    async def _file(self, rng: random.Random, wire: Wire) -> None:
        """Upload a file, read it back, delete it."""
        content = rng.randbytes(rng.randint(1, 200_000))
        part = b"--B\r\nContent-Disposition: form-data; name="
        body = part + b'"purpose"\r\n\r\nuser_data\r\n' + part + b'"file"; filename="a.bin"\r\n\r\n'
        body += content + b"\r\n--B--\r\n"
        sent = await self._good(wire, "POST", "/v1/files", body, "multipart/form-data; boundary=B")
        path = f"/v1/files/{sent.json()['id']}"
        if (await self._good(wire, "GET", f"{path}/content")).body != content:
            raise Wrong("a file came back changed")
        await self._good(wire, "DELETE", path)

    async def _models(self, rng: random.Random, wire: Wire) -> None:
        names = {m["id"] for m in (await self._good(wire, "GET", "/v1/models")).json()["data"]}
        if not {"gpt-5.5", "plain/plain-1"} <= names:
            raise Wrong(f"the models are {names}")

    async def _status(self, rng: random.Random, wire: Wire) -> None:
        await self._good(wire, "GET", rng.choice(("/v1/relay/status", "/metrics")))

    async def _wrong_token(self, rng: random.Random, wire: Wire) -> None:
        token = f"wrong-{rng.randrange(10**9)}"
        check_typed(await self._ask(wire, "GET", "/v1/models", b"", _JSON, token), 401)

    async def _malformed(self, rng: random.Random, wire: Wire) -> None:
        method, path, body, kind, status = rng.choice(MISTAKES)
        check_typed(await self._ask(wire, method, path, body, kind), status)

    async def _good(self, wire: Wire, *words: Any) -> Reply:
        reply = await self._ask(wire, *words)
        if reply.status not in (200, 201):
            raise Wrong(f"{words[:2]}: {reply.status} {reply.body[:200]!r}")
        return reply
