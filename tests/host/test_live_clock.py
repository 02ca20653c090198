"""A wall clock that jumps, both ways: nothing but what is dated by it may notice (threat-model.md, L5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.backend import FakeBackend
from tests.live import ROOT, Relay, running

DAY_S = 86_400
# Read by the child's Python before anything of ours: its wall clock is the true one plus what a file says.
SHIFTED_CLOCK = """
import time
_true = time.time
def _shifted(path=__PATH__):
    with open(path) as file:
        return _true() + float(file.read() or 0)
time.time = _shifted
"""

Jump = Callable[[float], None]


@pytest.fixture
def shift(tmp_path: Path) -> tuple[Jump, dict[str, str]]:
    """How a test moves the clock, and the variables of a relay that lives by it."""
    path = tmp_path / "clock" / "seconds"
    path.parent.mkdir()

    def jump(seconds: float) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(path)

    jump(0)
    source = SHIFTED_CLOCK.replace("__PATH__", repr(str(path)))
    (path.parent / "sitecustomize.py").write_text(source)
    return jump, {"PYTHONPATH": f"{path.parent}:{ROOT}"}


def chat(relay: Relay, text: str = "hello", *, stream: bool = False) -> bytes:
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
    return relay.request("POST", "/v1/chat/completions", body)


def captured_s(relay: Relay) -> int:
    found: int = relay.get("/v1/relay/status").json()["captured_at"]
    return found


JUMPS = (DAY_S, -2 * DAY_S, 3650 * DAY_S, -3650 * DAY_S, 0)


def test_the_relay_s_clock_is_moved_by_these_tests(
    tmp_path: Path, shift: tuple[Jump, dict[str, str]]
) -> None:
    jump, env = shift
    with running(tmp_path, env=env) as relay:
        before = captured_s(relay)
        jump(DAY_S)
        assert captured_s(relay) - before >= DAY_S


def test_an_open_stream_and_its_deadlines_do_not_notice(
    tmp_path: Path, shift: tuple[Jump, dict[str, str]]
) -> None:
    jump, env = shift
    pace = {"AIRELAYS_DEMO_PACE_MS": "20"}
    with running(tmp_path, env={**env, **pace}) as relay, relay.connect() as wire:
        wire.send(chat(relay, "one two three four five six seven eight", stream=True))
        assert wire.head().status == 200
        got = b""
        for at, part in enumerate(wire.chunks()):
            jump(JUMPS[at % len(JUMPS)])
            got += part
        assert got.endswith(b"data: [DONE]\n\n") and b"eight" in got
        # The connection is still good, although ten years have come and gone.
        jump(JUMPS[2])
        wire.send(chat(relay))
        assert wire.reply().status == 200


@pytest.mark.parametrize("seconds", JUMPS[:4])
def test_limits_and_blocks_hold(
    tmp_path: Path, shift: tuple[Jump, dict[str, str]], seconds: float
) -> None:
    jump, env = shift
    limits = {"AIRELAYS_RATE_LIMIT_PER_MINUTE": "1", "AIRELAYS_RATE_LIMIT_BURST": "2"}
    with running(tmp_path, env={**env, **limits}) as relay:

        def ask(token: str = "") -> tuple[int, str]:
            reply = relay.send("GET", "/v1/models", token=token)
            return reply.status, "" if reply.status == 200 else reply.error["code"]

        assert [ask()[0] for _ in range(2)] == [200, 200]
        limited = ask()
        assert limited[0] == 429
        for _ in range(8):
            ask("wrong")
        blocked = ask("wrong")
        jump(seconds)
        assert (ask(), ask("wrong")) == (limited, blocked)
        assert blocked == (429, "ip_temporarily_blocked")


def test_a_sign_in_is_refreshed_once_and_not_lost(
    tmp_path: Path, shift: tuple[Jump, dict[str, str]]
) -> None:
    jump, env = shift
    data = tmp_path / "data"
    with FakeBackend() as backend:
        env = {**env, **backend.sign_in(data)}
        with running(tmp_path, env=env, demo=False) as relay:

            def ask() -> int:
                body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hello"}]}
                return relay.send("POST", "/v1/chat/completions", body).status

            assert (ask(), backend.issuer.refresh_calls) == (200, 0)
            jump(-3650 * DAY_S)  # a machine whose battery is empty wakes up in the past
            assert (ask(), backend.issuer.refresh_calls) == (200, 0)
            jump(9.9 * DAY_S)  # the token has two hours left, and no more
            assert ask() == 200
            calls = backend.issuer.refresh_calls
            jump(20 * DAY_S)  # the issuer's clock has not jumped: its fresh tokens look expired too
            assert [ask() for _ in range(3)] == [200, 200, 200]
            assert backend.issuer.refresh_calls <= calls + 3
            jump(0)
            calls = backend.issuer.refresh_calls
            assert [ask() for _ in range(3)] == [200, 200, 200]
            assert backend.issuer.refresh_calls == calls
        kept = json.loads((data / "auth.json").read_bytes())["tokens"]
        assert kept["refresh_token"] == backend.issuer.refresh_token


def records(home: Path) -> Iterator[dict[str, object]]:
    for path in sorted((home / ".airelays" / "logs").rglob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            yield json.loads(line)


def test_the_journal_and_what_is_stored_stay_whole(
    tmp_path: Path, shift: tuple[Jump, dict[str, str]]
) -> None:
    jump, env = shift
    with running(tmp_path, env=env) as relay:
        body = {"model": "m", "input": "remember", "store": True}
        made = relay.send("POST", "/v1/responses", body).json()["id"]
        for seconds in (DAY_S, -2 * DAY_S, 5 * DAY_S, -5 * DAY_S, 0):
            jump(seconds)
            assert relay.get(f"/v1/responses/{made}").status == 200
        assert relay.stop() == 0
    answers = [r for r in records(tmp_path) if r["phase"] == "outbound_response"]
    assert [r["status_code"] for r in answers] == [200] * 6
