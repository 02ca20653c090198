"""host.looplag: a loop that was held up is noticed once a minute."""

from __future__ import annotations

import asyncio
import time

from airelays.host.looplag import LAG_SECONDS, LOOK_SECONDS, LagWatch


def hold_up(seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass


async def watched(*holds_s: float) -> tuple[list[str], float]:
    said: list[str] = []
    watch = LagWatch(said.append)
    for hold_s in holds_s:
        over = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(LOOK_SECONDS, over.set_result, None)
        await asyncio.wait([over], timeout=LOOK_SECONDS * 0.5)
        hold_up(hold_s)
        await over
    watch.close()
    return said, watch.worst_s


def test_a_long_hold_is_told_once() -> None:
    said, worst_s = asyncio.run(watched(LOOK_SECONDS * 0.5 + LAG_SECONDS + 0.2, 0.9))
    assert len(said) == 1 and "was blocked for" in said[0]
    assert worst_s > LAG_SECONDS
