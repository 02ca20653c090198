"""HAProxy in front of several relays, measured: `python3 build/haproxy.py [--streams 2000] [--install]`.

Starts real relays and Debian's haproxy with the lines of `packaging/haproxy/haproxy.cfg`, kills one relay, drains
another, counts what 200 addresses get, and compares two relays with one. `--install` installs haproxy with apt first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import balanced  # noqa: E402
from tests.balanced import ADDRESSES, Streams, answered, balancer, relays_of  # noqa: E402

CHAT = b'{"model":"demo","messages":[{"role":"user","content":"hello"}]}'


async def kill_and_drain(streams: int) -> list[tuple[str, str]]:
    """Run the streams over four relays, kill one and stop another in an orderly way."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relays = [stack.enter_context(one) for one in relays_of(home, 4, pace_ms=400, announce=4)]
        port = stack.enter_context(balancer(home, [one.port for one in relays]))
        running = Streams(port, streams)
        await running.begin()
        relays[0].process.kill()
        relays[1].process.send_signal(signal.SIGTERM)
        counted = await running.counted()
    names = {"r0": "the killed relay", "r1": "the drained relay"}
    return [
        (
            f"{streams:,} streams: those of {names.get(relay, f'relay {relay}')}",
            ", ".join(f"{count} {end}" for end, count in sorted(ends.items())),
        )
        for relay, ends in sorted(counted.items())
    ]


async def limits() -> tuple[str, str]:
    """Ask more than the limit allows from each of 200 addresses."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        more = "rate_limit_burst = 5\nrate_limit_per_minute = 1\n"
        relays = [stack.enter_context(one) for one in relays_of(home, 4, more)]
        port = stack.enter_context(balancer(home, [one.port for one in relays]))
        exact = 0
        for at in range(0, ADDRESSES, 20):
            asked = [answered(port, number, 8) for number in range(at, at + 20)]
            exact += sum(
                Counter(found) == {200: 5, 429: 3} for found in await asyncio.gather(*asked)
            )
    return ("addresses of 200 with exactly 5 of 8 requests let through", str(exact))


async def rate(count: int) -> float:
    """Return requests per second over `count` relays."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relays = [stack.enter_context(one) for one in relays_of(home, count)]
        port = stack.enter_context(balancer(home, [one.port for one in relays]))
        begun_s = time.monotonic()
        found = await asyncio.gather(
            *(answered(port, number, 60, body=CHAT) for number in range(32))
        )
        seconds = time.monotonic() - begun_s
        assert all(status == 200 for one in found for status in one)
        return 32 * 60 / seconds


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--install", action="store_true")
    given = parser.parse_args()
    if given.install and balanced.HAPROXY is None:
        subprocess.run(["apt-get", "install", "-y", "-q", "haproxy"], check=True)
        balanced.HAPROXY = shutil.which("haproxy")
    rows = asyncio.run(kill_and_drain(given.streams))
    rows.append(asyncio.run(limits()))
    for count in (1, 2):
        rows.append((f"requests per second, {count} relay(s)", f"{asyncio.run(rate(count)):.0f}"))
    print("| what | result |\n| --- | --- |")
    for what, result in rows:
        print(f"| {what} | {result} |")
    print(json.dumps(rows), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
