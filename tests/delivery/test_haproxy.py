"""Relays behind a real HAProxy: one killed, one drained. `build/haproxy.py` is the large form."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.balanced import HAPROXY, Streams, answered, balancer, relays_of
from tests.live import running, wait_for

needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")


@needs_haproxy
def test_a_killed_relay_ends_only_its_streams_and_a_drained_one_none(tmp_path: Path) -> None:
    async def run() -> dict[str, Counter[str]]:
        with ExitStack() as stack:
            relays = [
                stack.enter_context(one) for one in relays_of(tmp_path, 3, pace_ms=60, announce=0.5)
            ]
            port = stack.enter_context(balancer(tmp_path, [one.port for one in relays]))
            streams = Streams(port, 60)
            await streams.begin()
            relays[0].process.kill()
            relays[1].process.send_signal(signal.SIGTERM)
            return await streams.counted()

    counted = asyncio.run(run())
    assert set(counted) == {"r0", "r1", "r2"}
    assert set(counted["r0"]) == {"cut"}
    assert set(counted["r1"]) == set(counted["r2"]) == {"complete"}


@needs_haproxy
def test_limits_of_each_address_are_exact_over_several_relays(tmp_path: Path) -> None:
    limits = "rate_limit_burst = 2\nrate_limit_per_minute = 1\n"
    with ExitStack() as stack:
        relays = [stack.enter_context(one) for one in relays_of(tmp_path, 2, limits)]
        port = stack.enter_context(balancer(tmp_path, [one.port for one in relays]))

        async def ask() -> list[list[int]]:
            return await asyncio.gather(*(answered(port, number, 3) for number in range(12)))

        assert asyncio.run(ask()) == [[200, 200, 429]] * 12


def test_a_stopping_relay_says_so_before_it_accepts_no_more(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[server]\nannounce_seconds = 600\n")
    with running(tmp_path, "--config", str(config)) as relay:
        assert relay.get("/healthz").status == 200
        relay.process.send_signal(signal.SIGTERM)
        assert wait_for(lambda: relay.get("/healthz").status == 503)
        assert relay.get("/healthz").json()["ok"] is False
        assert relay.get("/v1/models").status == 200
        relay.process.send_signal(signal.SIGTERM)  # the second one waits for nothing
        assert relay.process.wait(20) == 0
