"""Look at the page in Chromium: `python3 build/page.py [--pictures] [--seconds N]`.

Every view at phone and desktop width in both themes, with axe-core (from tests/node, where build/test.py installs it);
the longest frame while 1,000 requests per minute come in; and the CPU time that two open pages cost a relay under load.
`--pictures` makes those of the README anew. Exit 1 when something is not as it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.app.test_page_browser import VIEWS, findings  # noqa: E402 - the path is set only now
from tests.app.test_page_session import LIMITS, new_code  # noqa: E402
from tests.chromium import CHROMIUM, Browser, Page  # noqa: E402
from tests.live import Relay, running  # noqa: E402

PICTURES = ROOT / "packaging" / "pictures"
SIZES = ((1280, 900), (390, 844), (320, 640))
PER_MINUTE = 1000
LONGEST_FRAME_MS = 100.0
MOST_CPU = 1.05
ROUNDS = 5
PROGRAMS = ("codex_cli/0.52", "claude-cli/2.1", "python-openai/1.99", "continue/1.2", "zed/0.212")
CALLS = (
    {"model": "demo", "messages": [{"role": "user", "content": "demo:words=40 hello"}]},
    {"model": "demo-mini", "messages": [{"role": "user", "content": "demo:words=12 hello"}]},
    {"model": "demo", "messages": [{"role": "user", "content": "demo:words=90 hello"}]},
    {"model": "demo", "messages": [{"role": "user", "content": "demo:overload"}]},
)  # fmt: skip
_FRAMES = """(() => { window.frames_ms = []; let before = performance.now();
  const look = (now) => { frames_ms.push(now - before); before = now; requestAnimationFrame(look); };
  requestAnimationFrame(look); })()"""


def main(arguments: list[str]) -> int:
    """Look; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/page.py")
    parser.add_argument("--pictures", action="store_true", help="make those of the README anew")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    given = parser.parse_args(arguments)
    if not CHROMIUM:
        sys.stderr.write("build/page.py needs chromium\n")
        return 1
    env = {**LIMITS, "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "200"}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), env=env) as relay:
        for call in CALLS * 6:
            ask(relay, call)
        with Browser(Path(folder) / "profile") as browser:
            good = [look(browser, relay), frames(browser, relay, given.seconds)]
            if given.pictures:
                draw(browser, relay)
            good.append(cost(browser, relay, given.seconds))
    return 0 if all(good) else 1


def ask(relay: Relay, call: dict[str, Any], number: int = 0) -> None:
    """Send one request of the programs that the page shows."""
    agent = PROGRAMS[number % len(PROGRAMS)]
    relay.send("POST", "/v1/chat/completions", call, headers={"User-Agent": agent})


def signed_in(browser: Browser, relay: Relay, width: int, height: int, *, dark: bool) -> Page:
    """Open the page with a code of its own."""
    page = browser.page(width, height, dark=dark)
    page.open(f"http://127.0.0.1:{relay.port}/#{new_code(relay)}")
    page.wait("document.getElementById('state').textContent === 'Live'")
    return page


def look(browser: Browser, relay: Relay) -> bool:
    """Look through all views; return whether axe found nothing and the console is clean."""
    found: dict[str, list[str]] = {}
    for width, height in SIZES:
        for dark in (False, True):
            page = signed_in(browser, relay, width, height, dark=dark)
            for view in VIEWS:
                page.do(f"location.hash = '#{view}'")
                page.wait("!reading")
                found[f"{view} {width} {'dark' if dark else 'light'}"] = findings(page)
            found[f"console {width}"] = page.problems()
            page.call("Page.close")
    for where, what in found.items():
        for one in what:
            print(f"{where}: {one}")
    bad = sum(map(len, found.values()))
    print(f"{len(found)} screens looked at, {bad} findings")
    return not bad


def frames(browser: Browser, relay: Relay, seconds: float) -> bool:
    """Measure the frames of a page while 1,000 requests per minute come in."""
    page = signed_in(browser, relay, 1280, 900, dark=False)
    page.do(_FRAMES)
    end_s, number, sent_s = time.monotonic() + seconds, 0, time.monotonic()
    while time.monotonic() < end_s:
        ask(relay, CALLS[number % len(CALLS)], number)
        number += 1
        time.sleep(max(0.0, sent_s + number * 60 / PER_MINUTE - time.monotonic()))
    times = sorted(page.do("window.frames_ms"))
    longest = times[-1]
    print(
        f"{number} requests in {seconds:.0f} s: {len(times)} frames, median {statistics.median(times):.1f} ms, "
        f"99 % within {times[len(times) * 99 // 100]:.1f} ms, longest {longest:.1f} ms"
    )
    page.call("Page.close")
    return bool(longest <= LONGEST_FRAME_MS)


def cost(browser: Browser, relay: Relay, seconds: float) -> bool:
    """Measure the relay's CPU time under one load without a page and with two, in turns."""
    spent: dict[int, list[float]] = {0: [], 2: []}
    with load(relay):
        for number in range(2 * ROUNDS):
            count = 2 if number % 2 else 0
            pages = [signed_in(browser, relay, 1280, 900, dark=False) for _ in range(count)]
            time.sleep(1.0)
            before = cpu_s(relay)
            time.sleep(seconds)
            spent[count].append((cpu_s(relay) - before) / seconds)
            for page in pages:
                page.call("Page.close")
            time.sleep(0.3)
    none, two = (statistics.median(spent[count]) for count in (0, 2))
    print(
        f"CPU of the relay under load: {none:.1%} without a page, {two:.1%} with two, ratio {two / none:.3f} "
        f"(single rounds {', '.join(f'{b / a:.3f}' for a, b in zip(spent[0], spent[2], strict=True))})"
    )
    return two / none <= MOST_CPU


@contextlib.contextmanager
def load(relay: Relay) -> Iterator[None]:
    """Keep 20 streams and 100 requests per second going."""
    stop = threading.Event()
    streams = [relay.connect() for _ in range(20)]
    for wire in streams:
        call = {
            **CALLS[0],
            "stream": True,
            "messages": [{"role": "user", "content": "demo:pace=20 demo:words=100000"}],
        }
        wire.send(relay.request("POST", "/v1/chat/completions", call))
        wire.head()
        threading.Thread(target=_drain, args=(wire.sock,), daemon=True).start()
    threads = [threading.Thread(target=_ask_on, args=(relay, 25.0, stop)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for wire in streams:
            wire.sock.close()


def _drain(sock: Any) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(1 << 16):
            pass


def _ask_on(relay: Relay, per_second: float, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", relay.port)
    body = json.dumps(CALLS[1]).encode()
    fields = {"Authorization": f"Bearer {relay.token}", "Content-Type": "application/json"}
    next_s = time.monotonic()
    while not stop.is_set():
        connection.request("POST", "/v1/chat/completions", body, fields)
        connection.getresponse().read()
        next_s += 1 / per_second
        time.sleep(max(0.0, next_s - time.monotonic()))
    connection.close()


def cpu_s(relay: Relay) -> float:
    """Return the CPU time that the relay's process has used, in seconds."""
    text = Path(f"/proc/{relay.process.pid}/schedstat").read_text()
    return int(text.split()[0]) / 1e9


def draw(browser: Browser, relay: Relay) -> None:
    """Make the two pictures of the README."""
    streams = []
    for number, (model, pace) in enumerate((("demo", 16), ("demo-mini", 11), ("demo", 28))):
        call = {**CALLS[0], "model": model, "stream": True}
        call["messages"] = [{"role": "user", "content": f"demo:pace={pace} demo:words=100000"}]
        wire = relay.connect()
        agent = {"User-Agent": PROGRAMS[number]}
        wire.send(relay.request("POST", "/v1/chat/completions", call, headers=agent))
        wire.head()
        threading.Thread(target=_drain, args=(wire.sock,), daemon=True).start()
        streams.append(wire)
    for name, size, dark in (
        ("page.png", (1100, 760), False),
        ("page-phone.png", (390, 760), True),
    ):
        page = signed_in(browser, relay, *size, dark=dark)
        page.wait("document.querySelectorAll('#running li').length === 3")
        for number in range(24):
            ask(relay, {**CALLS[number % 11 % 4], "stream": True}, number)
        page.wait("Number(document.getElementById('stat-minute').textContent) >= 24")
        time.sleep(1.5)
        page.picture(PICTURES / name)
        print(f"{name}: {os.path.getsize(PICTURES / name):,} bytes")
        page.call("Page.close")
    for wire in streams:
        wire.sock.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
