"""No stream ends in silence: the matrix of upstream x route x position x failure, against running relays.

Before the head a failure is a status with an error body; after it there is exactly one typed terminal and then the
last chunk; after the terminal nothing; where no terminal can be delivered the connection is reset. The journal says
the same. The data is in `fakes/truth.py`.
"""

from __future__ import annotations

import json
import select
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.truth import (
    FAILURES,
    KINDS,
    POSITIONS,
    ROUTES,
    Case,
    Cell,
    Stage,
    cells,
    expected,
    mark_of,
    stage,
)
from tests.live import Relay, Wire, running
from tests.net.test_live_wire import WIDE

AT_ONCE = 24
TIMES = {
    "AIRELAYS_OLLAMA_ENABLED": "true",
    "AIRELAYS_PING_SECONDS": "0.05",
    "AIRELAYS_STREAM_GAP_SECONDS": "1.5",
    "AIRELAYS_REQUEST_TIMEOUT_SECONDS": "1.5",
    "AIRELAYS_WRITE_STALL_SECONDS": "0.5",
    "AIRELAYS_DRAIN_SECONDS": "0.5",
}
Figure = Callable[[str, object], None]


class Answer(NamedTuple):
    """What one client got: its bytes, and whether the connection was reset in the end."""

    raw: bytes
    reset: bool

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def request_id(self) -> str:
        return self.head.split(b"x-request-id: ")[1].split(b"\r\n")[0].decode()


@contextmanager
def on_stage(kind: str, home: Path, **env: str) -> Iterator[tuple[Relay, Stage]]:
    """Run a relay in front of an upstream of `kind`."""
    with stage(kind) as upstream:
        data = home / ".airelays"
        data.mkdir(mode=0o700)
        config = "[upstream]\n" + KINDS[kind].config.format(url=upstream.url)
        (home / "config.toml").write_text(config)
        (data / "auth.json").write_bytes(FakeBackend().auth_json())
        (data / "auth.json").chmod(0o600)
        flags = ("--config", str(home / "config.toml"), "--offline")
        with running(home, *flags, env={**WIDE, **TIMES, **env}, demo=False) as relay:
            yield relay, upstream


def add(upstream: Stage, wanted: list[Cell]) -> list[tuple[int, Case]]:
    """Put `wanted` on the upstream's list."""
    first = len(upstream.cases)
    upstream.cases += [Case(cell) for cell in wanted]
    return list(enumerate(upstream.cases))[first:]


def request_of(relay: Relay, number: int, cell: Cell, version: str = "1.1") -> bytes:
    route = ROUTES[cell.route]
    headers = {"Connection": "close", **route.headers}
    raw = relay.request("POST", route.path, route.body(f"case:{number}:"), headers=headers)
    return raw.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)


def read_all(wire: Wire) -> Answer:
    """Read to the end of the connection; the end may be a reset."""
    wire.sock.settimeout(30)
    raw = wire.buffer
    while True:
        try:
            data = wire.sock.recv(65536)
        except ConnectionResetError:
            return Answer(raw, True)
        if not data:
            return Answer(raw, False)
        raw += data


def play(relay: Relay, number: int, case: Case) -> Answer:
    """Be the client of one cell: let the upstream fail once the client has seen what comes before."""
    with relay.connect() as wire:
        wire.send(request_of(relay, number, case.cell))
        mark = mark_of(case.cell)
        seen = b""
        if mark:
            try:
                seen = wire.until(mark)
            except EOFError:
                seen, wire.buffer = wire.buffer, b""
        case.go.set()
        answer = read_all(wire)
        return Answer(seen + answer.raw, answer.reset)


# ---- what an answer says


def body_of(answer: Answer) -> bytes:
    """Return the payload of a complete body. Raises AssertionError when it is not complete, or more follows."""
    head, _, raw = answer.raw.partition(b"\r\n\r\n")
    if b"\r\ncontent-length: " in head:
        length = int(head.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        assert len(raw) == length, "the length is not what the head says"
        return raw
    body = b""
    while True:
        line, _, raw = raw.partition(b"\r\n")
        assert line, f"the body ends without its last chunk: {answer.raw[-200:]!r}"
        size = int(line, 16)
        assert raw[size : size + 2] == b"\r\n", "a chunk without its end"
        if not size:
            assert raw == b"\r\n", f"bytes after the last chunk: {raw[:200]!r}"
            return body
        body, raw = body + raw[:size], raw[size + 2 :]


def events_of(body: bytes) -> list[Any]:
    found: list[Any] = []
    for block in body.split(b"\n\n"):
        data = [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
        if data:
            text = b"\n".join(data)
            try:
                found.append("[DONE]" if text == b"[DONE]" else json.loads(text))
            except ValueError:  # the nonsense of an upstream whose events are passed on as they are
                found.append({})
    return found


def end_of(event: Any) -> str:
    """Return what an event says of the stream's end: "success", "terminal" for an error, "" for nothing."""
    if event == "[DONE]":
        return "success"
    kind = event.get("type") or ""
    if kind in ("response.completed", "response.incomplete", "message_stop"):
        return "success"
    if kind in ("response.failed", "error") or event.get("error"):
        return "terminal"
    return ""


def fault_of(event: Any) -> dict[str, Any]:
    error = event.get("error") or (event.get("response") or {}).get("error") or {}
    return error if isinstance(error, dict) else {"message": error}


def check(cell: Cell, answer: Answer, code: str = "") -> str:
    """Check one answer; return how it ended."""
    wanted = expected(cell)
    status = int(answer.raw[9:12])
    body = body_of(answer)
    if status != 200:
        assert wanted == "status", f"{status}: {body[:300]!r}"
        error = json.loads(body)["error"]
        if cell.route.startswith("ollama"):
            assert status >= 400 and isinstance(error, str) and error
            return "status"
        assert status >= 400 and error["message"] and error["type"], error
        assert not code or error["code"] == code
        return "status"
    if not ROUTES[cell.route].stream:
        assert wanted == "success", body[:300]
        whole = json.loads(body)
        if cell.route.startswith("ollama"):
            assert whole["done"] is True and whole["message"]
            return "success"
        kinds = ("chat.completion", "response", "text_completion", "message")
        assert whole.get("object", whole.get("type")) in kinds
        return "success"
    if cell.route == "ollama":
        lines = [json.loads(line) for line in body.splitlines()]
        assert [bool(one.get("done") or one.get("error")) for one in lines[:-1]].count(True) == 0
        assert bool(lines[-1].get("done")) == (wanted == "success"), lines[-1]
        assert wanted != "status" or body.startswith(b" "), (
            "a head before the upstream had shown anything"
        )
        return "success" if wanted == "success" else "terminal"
    events = events_of(body)
    ends = [end for event in events if (end := end_of(event))]
    if wanted == "success":
        assert ends == ["success"], ends
        return "success"
    assert ends == ["terminal"], (ends, body[-300:])
    assert end_of(events[-1]) == "terminal", "something follows the terminal"
    fault = fault_of(events[-1])
    assert fault["message"] and (fault.get("type") or fault.get("code")), fault
    assert not code or cell.route == "codex" or fault["code"] == code, fault
    if wanted == "status":
        assert b"ping" in body or b"keepalive" in body, (
            "a head before the upstream had shown anything"
        )
    return "terminal"


def records_of(home: Path) -> dict[str, dict[str, Any]]:
    """Return the journal's last word on each request."""
    found = {}
    for path in (home / ".airelays" / "logs").rglob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            if record.get("phase") == "outbound_response":
                found[record["request_id"]] = record
    return found


OUTCOMES = {
    "success": {"ok"},
    "status": {"failed_upstream", "cut_by_upstream", "shut_down"},
    "terminal": {"failed_upstream", "cut_by_upstream", "shut_down"},
}


def play_all(relay: Relay, cases: list[tuple[int, Case]]) -> list[tuple[Case, Answer]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda one: play(relay, *one), cases)
        return [(case, answer) for (_, case), answer in zip(cases, answers, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_stream_ends_truthfully(kind: str, tmp_path: Path, record_property: Figure) -> None:
    wanted = [cell for cell in cells() if cell.kind == kind]
    with on_stage(kind, tmp_path) as (relay, upstream):
        played = play_all(relay, add(upstream, wanted))
    ended: Counter[str] = Counter()
    wrong = []
    records = records_of(tmp_path)
    for case, answer in played:
        try:
            assert not answer.reset, "the connection was reset"
            how = check(case.cell, answer)
            said = records[answer.request_id]["outcome"]
            assert said in OUTCOMES[how], f"the journal says {said}"
            ended[how] += 1
        except (AssertionError, ValueError, KeyError, IndexError) as error:
            wrong.append(f"{'/'.join(case.cell)}: {type(error).__name__} {error}")
    record_property(f"streams of {kind} that ended as they must", dict(ended))
    assert not wrong, f"{len(wrong)} of {len(played)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopping_relay_ends_every_stream(kind: str, tmp_path: Path) -> None:
    wanted = [cell for cell in cells(("stopping",)) if cell.kind == kind]
    patient = {"AIRELAYS_STREAM_GAP_SECONDS": "60", "AIRELAYS_REQUEST_TIMEOUT_SECONDS": "60"}
    with on_stage(kind, tmp_path, **patient) as (relay, upstream):
        cases = add(upstream, wanted)
        with ThreadPoolExecutor(len(cases)) as pool:
            futures = [pool.submit(play, relay, *one) for one in cases]
            for _, case in cases:
                assert case.asked.wait(20), "/".join(case.cell)
                assert not mark_of(case.cell) or case.go.wait(20), "/".join(case.cell)
            relay.process.send_signal(signal.SIGTERM)
            answers = [future.result() for future in futures]
        assert relay.process.wait(20) == 0
    wrong = []
    for (_, case), answer in zip(cases, answers, strict=True):
        try:
            assert not answer.reset, "the connection was reset"
            check(case.cell, answer, code="relay_shutting_down")
        except (AssertionError, ValueError, KeyError, IndexError) as error:
            wrong.append(f"{'/'.join(case.cell)}: {type(error).__name__} {error}")
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_takes_nothing_is_reset(kind: str, version: str, tmp_path: Path) -> None:
    routes = [name for name, route in ROUTES.items() if route.stream]
    wanted = [Cell(kind, route, "text", "slow") for route in routes]
    with on_stage(kind, tmp_path) as (relay, upstream):

        def starve(number: int, case: Case) -> None:
            with Wire(socket.create_connection(("127.0.0.1", relay.port), 30)) as wire:
                wire.send(request_of(relay, number, case.cell, version))
                wire.until(mark_of(case.cell))
                case.go.set()
                poll = select.poll()
                poll.register(wire.sock, 0)
                assert poll.poll(20_000), "a client that takes nothing was kept"
                assert read_all(wire).reset, "/".join(case.cell)
            assert case.left.wait(20)

        with ThreadPoolExecutor(len(wanted)) as pool:
            for done in [pool.submit(starve, *one) for one in add(upstream, wanted)]:
                done.result()
    records = records_of(tmp_path)
    assert {record["outcome"] for record in records.values()} == {"client_left"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_leaves_ends_the_upstream_request(kind: str, tmp_path: Path) -> None:
    wanted = [
        cell
        for cell in cells(("departed",))
        if cell.kind == kind and cell.position not in ("after_terminal", "tool")
    ]
    with on_stage(kind, tmp_path) as (relay, upstream):

        def leave(number: int, case: Case) -> None:
            with relay.connect() as wire:
                wire.send(request_of(relay, number, case.cell))
                assert case.asked.wait(20), "/".join(case.cell)
                if mark_of(case.cell):
                    wire.until(mark_of(case.cell))
                case.go.set()
                assert cell_is_mute(case.cell) or case.said.wait(20), "/".join(case.cell)
            assert case.left.wait(20), "/".join(case.cell)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(leave, *one) for one in add(upstream, wanted)]:
                done.result()
    assert {record["outcome"] for record in records_of(tmp_path).values()} == {"client_left"}


def cell_is_mute(cell: Cell) -> bool:
    """Whether the upstream sends nothing at all."""
    return cell.position == "before_head"


def test_the_matrix_has_every_row() -> None:
    """So that a row that vanishes is noticed."""
    found = cells()
    assert {c.failure for c in found} == set(FAILURES) and {c.position for c in found} == set(
        POSITIONS
    )
    assert {(c.kind, c.route) for c in found} >= {
        (k, r) for k in KINDS for r in ROUTES if ROUTES[r].stream and r != "codex"
    }
    assert len(found) > 1000
