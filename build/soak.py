"""Let the relay work for an hour and look whether it grows: `python3 build/soak.py [--minutes N] [--rate N]`.

Everything runs on this machine's loopback: an upstream that also fails in every way it can, one relay of this
checkout with every feature on, and 200 clients with a seeded mix of good, bad, slow and leaving requests. Every
answer is checked. At the end: nothing wrong, nothing left over, memory and the slowest answers as at the beginning.
The exit code is 1 when one of these fails; `--no-bars` leaves out the two that need time. Ctrl-C ends it early.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from soak_traffic import TOKEN, Traffic, Wire, Wrong

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_S = 10.0
# Idle connections to the upstream are let go within so long.
POOL_S = 12.0
LEFT_S = 10.0
RSS_BAR, LATENCY_BAR = 0.05, 1.25
SLICES = 20
CONFIG = """\
[upstream]
base_url = "http://127.0.0.1:{port}/backend-api/codex"
issuer_base_url = "http://127.0.0.1:{port}"
stream_gap_seconds = 3
request_timeout_seconds = 20

[upstreams.plain]
kind = "compatible"
base_url = "http://127.0.0.1:{port}/plain/v1"
models = ["plain-*"]

[server]
max_connections = 4000
max_connections_per_ip = 4000

[security]
rate_limit_per_minute = 1000000
rate_limit_burst = 1000000
concurrent_requests_per_ip = 4000
failed_auth_max_attempts = 1000000
failed_auth_window_seconds = 60

[logging]
max_file_mb = 4
max_total_mb = 32
"""


class Sample(NamedTuple):
    """What the relay held at one time. `own` descriptors are neither a client's nor the upstream's."""

    at_s: float
    rss_kib: int
    descriptors: int
    own: int
    threads: int
    cpu_s: float
    status: dict[str, Any]
    upstream: dict[str, int]

    @property
    def busy(self) -> dict[str, int]:
        """What should be 0 without clients, beside the request that asks and its connection."""
        client = self.status["security"]["client"]
        return {
            "requests open": self.status["requests_open"] - 1,
            "streams open": self.status["streams_open"],
            "leases of clients": client["active_requests"] - 1,
            "client connections": self.status["connections"] - 1,
            "answers of the upstream under way": self.upstream["busy"],
        }


class Bar(NamedTuple):
    """One condition of the verdict."""

    name: str
    found: str
    allowed: str
    good: bool


# ---- the processes


def _sign_in(home: Path) -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    auth = {"https://api.openai.com/auth": {"chatgpt_account_id": "acc"}}
    jwt = f"{part({'alg': 'none'})}.{part({'exp': int(time.time()) + 10**6, **auth})}.c2ln"
    tokens = {"id_token": jwt, "access_token": jwt, "refresh_token": "r", "account_id": "acc"}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    (home / ".airelays").mkdir(mode=0o700)
    path = home / ".airelays" / "auth.json"
    path.write_text(json.dumps({"tokens": tokens, "last_refresh": now}))
    path.chmod(0o600)


@contextmanager
def _child(words: list[str], errors: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends. A session of its own: Ctrl-C is this program's."""
    with errors.open("wb") as file:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=file, start_new_session=True, **more
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def _upstream(home: Path) -> Iterator[int]:
    words = [sys.executable, str(Path(__file__).with_name("soak_upstream.py")), "0"]
    with _child(words, home / "upstream.err") as process:
        yield int(process.stdout.readline()) if process.stdout else 0


@contextmanager
def _relay(home: Path, upstream_port: int) -> Iterator[tuple[int, int]]:
    """Run the relay; yield its process id and port."""
    _sign_in(home)
    config, ready = home / "config.toml", home / "ready.json"
    config.write_text(CONFIG.format(port=upstream_port))
    words = [sys.executable, "-m", "airelays", "serve", "--port", "0", "--config", str(config)]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRELAY", "OPENAI_"))}
    env.update(HOME=str(home), PYTHONPATH=str(ROOT), AIRELAYS_BEARER_TOKEN=TOKEN)
    errors = home / "relay.err"
    with _child([*words, "--ready-file", str(ready)], errors, env=env, cwd=home) as process:
        end_s = time.monotonic() + 30
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end_s:
                raise SystemExit(f"the relay did not start: {errors.read_text()}")
            time.sleep(0.01)
        yield process.pid, int(json.loads(ready.read_text())["port"])


# ---- what the relay holds


class Watch:
    """Looks at the relay from outside, and asks it and the upstream."""

    def __init__(self, pid: int, port: int, upstream_port: int) -> None:
        self.pid, self.port, self.upstream_port = pid, port, upstream_port
        self.samples: list[Sample] = []

    async def look(self) -> Sample:
        """Return what the relay holds now."""
        wire, other = Wire(self.port), Wire(self.upstream_port)
        try:
            status = (await wire.ask("GET", "/v1/relay/status")).json()
            upstream = (await other.ask("GET", "/soak/stats")).json()
            return self._sample(status, upstream)
        finally:
            wire.close()
            other.close()

    def _sample(self, status: dict[str, Any], upstream: dict[str, int]) -> Sample:
        descriptors = len(os.listdir(f"/proc/{self.pid}/fd"))
        facts = Path(f"/proc/{self.pid}/status").read_text()
        times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return Sample(
            time.monotonic(),
            int(facts.partition("VmRSS:")[2].split()[0]),
            descriptors,
            descriptors - status["connections"] - upstream["open"],
            int(facts.partition("Threads:")[2].split()[0]),
            (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
            status,
            upstream,
        )

    async def keep_looking(self, every_s: float) -> None:
        """Take samples until cancelled."""
        begun_s = time.monotonic()
        while True:
            due_s = begun_s + every_s * (len(self.samples) + 1)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.samples.append(await self.look())

    async def settle(self, before: Sample | None, within_s: float, *, pool: bool) -> Sample:
        """Look until nothing is left over (with `pool`, no idle connection upstream either), or the time is up."""
        end_s = time.monotonic() + within_s
        while True:
            sample = await self.look()
            left = any(sample.busy.values()) or (pool and sample.upstream["open"] > 0)
            if before is not None:
                left = left or sample.own > before.own
                left = left or sample.status["tasks"] > before.status["tasks"]
            if not left or time.monotonic() > end_s:
                return sample
            await asyncio.sleep(0.1)

    async def counters(self) -> dict[str, float]:
        """Return what /metrics counts, labels and all."""
        wire = Wire(self.port)
        text = (await wire.ask("GET", "/metrics")).body.decode()
        wire.close()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (li.rpartition(" ") for li in lines)}


# ---- the run and its verdict


async def _run(watch: Watch, traffic: Traffic, arguments: argparse.Namespace) -> list[Bar]:
    seconds = arguments.minutes * 60
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, traffic.stop.set)
    await traffic.one_of_each()
    before = await watch.settle(None, LEFT_S, pool=False)
    every_s = max(0.2, min(SAMPLE_S, seconds / 40))
    looking = asyncio.create_task(watch.keep_looking(every_s))
    loop.call_later(seconds, traffic.stop.set)
    begun_s = time.monotonic()
    await traffic.run()
    ended_s = time.monotonic()
    looking.cancel()
    await asyncio.wait([looking])
    if not looking.cancelled() and looking.exception() is not None:
        traffic.wrong["samples of the relay"] += 1
        traffic.examples.append(f"samples of the relay: {looking.exception()!r}")
    waited_s = LEFT_S if arguments.no_bars else POOL_S
    after = await watch.settle(before, waited_s, pool=not arguments.no_bars)
    counters = await watch.counters()
    bars = [*_correct(traffic, counters), *_left_over(before, after, not arguments.no_bars)]
    if not arguments.no_bars:
        bars += [_rss(watch.samples), _latency(traffic.latencies)]
    _print(watch.samples, traffic, bars, ended_s - begun_s, arguments)
    return bars


def _correct(traffic: Traffic, counters: dict[str, float]) -> list[Bar]:
    wrong = sum(traffic.wrong.values())
    bugs = int(counters["airelays_bugs_total"])
    names = [name for name in counters if name.startswith("airelays_journal_dropped_total")]
    lost = int(sum(counters[name] for name in names))
    return [
        Bar("wrong answers", str(wrong), "0", not wrong),
        Bar("defects that the relay noted", str(bugs), "0", not bugs),
        Bar("records of the journal lost", str(lost), "0", not lost),
    ]


def _left_over(before: Sample, after: Sample, pool: bool) -> list[Bar]:
    counts = {name: (count, 0) for name, count in after.busy.items()}
    if pool:
        counts["connections to the upstream"] = (after.upstream["open"], 0)
    counts["descriptors other than connections"] = (after.own, before.own)
    counts["tasks"] = (after.status["tasks"], before.status["tasks"])
    return [
        Bar(f"left: {name}", str(count), str(most), count <= most)
        for name, (count, most) in counts.items()
    ]


def _rss(samples: list[Sample]) -> Bar:
    """The median of the last tenth of the samples against that of the second tenth."""
    if len(samples) < 20:
        return Bar("RSS", f"{len(samples)} samples", "20 samples or more", False)
    tenth = len(samples) // 10
    first = statistics.median(s.rss_kib for s in samples[tenth : 2 * tenth])
    last = statistics.median(s.rss_kib for s in samples[-tenth:])
    found = f"{first / 1024:.1f} -> {last / 1024:.1f} MiB ({(last / first - 1) * 100:+.1f} %)"
    return Bar("RSS, second tenth -> last tenth", found, "+5 %", last <= first * (1 + RSS_BAR))


def _latency(latencies: list[tuple[float, float]]) -> Bar:
    """The 99th percentile of whole chat answers: the last third of the time against the first.

    A third's figure is the median over its (up to 20) slices: a busy minute of the machine is none of the relay's.
    """
    begun_s, ended_s = (latencies[0][0], latencies[-1][0]) if latencies else (0.0, 0.0)
    per = max(1, min(SLICES, len(latencies) // 300))
    slices: list[list[float]] = [[] for _ in range(3 * per)]
    for at_s, took_s in latencies:
        part = (at_s - begun_s) / ((ended_s - begun_s) or 1.0)
        slices[max(0, min(3 * per - 1, int(part * 3 * per)))].append(took_s)
    tops = [_percentile(values, 0.99) for values in slices]
    first, last = statistics.median(tops[:per]), statistics.median(tops[-per:])
    if not first or not last:
        return Bar("p99", f"{len(latencies)} answers", "some in each third", False)
    return Bar(
        "p99 of whole chat answers, first third -> last third",
        f"{first * 1000:.2f} -> {last * 1000:.2f} ms ({last / first:.2f}x)",
        f"{LATENCY_BAR}x",
        last <= first * LATENCY_BAR,
    )


def _percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def _print(
    samples: list[Sample],
    traffic: Traffic,
    bars: list[Bar],
    seconds: float,
    arguments: argparse.Namespace,
) -> None:
    print(
        f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}; {seconds:,.0f} s, {arguments.connections} connections, "
        f"seed {arguments.seed}; {traffic.requests:,} requests ({traffic.requests / seconds:,.0f}/s), "
        f"{traffic.events:,} events\n"
    )
    rows = [(f"{name}", f"{count:,}") for name, count in traffic.kinds.items() if name != "fault"]
    rows += [(f"upstream fault: {name}", f"{count:,}") for name, count in traffic.faults.items()]
    _table(("requests", "count"), sorted(rows, key=lambda row: row[0].startswith("upstream")))
    if samples:
        _table(("relay", "found"), _facts(samples, [took for _, took in traffic.latencies]))
    marks = [(b.name, b.found, b.allowed, "yes" if b.good else "**no**") for b in bars]
    _table(("bar", "found", "allowed", "met"), marks)
    for what, count in traffic.wrong.most_common():
        print(f"wrong: {count:,} x {what}")
    for example in traffic.examples:
        print(f"for example {example}")


def _facts(samples: list[Sample], took: list[float]) -> list[tuple[str, str]]:
    """Return what the samples say beside the verdict; those of RSS as medians of the tenths of the run."""
    first, last = samples[0], samples[-1]
    part = (last.cpu_s - first.cpu_s) / ((last.at_s - first.at_s) or 1.0)
    edges = [len(samples) * n // 10 for n in range(11)]
    tenths = [
        f"{statistics.median(s.rss_kib for s in samples[a:b]) / 1024:.1f}"
        for a, b in pairwise(edges)
        if a < b
    ]
    return [
        ("CPU, part of a core", f"{part * 100:.0f} %"),
        ("RSS by tenths, MiB", " ".join(tenths)),
        ("RSS, MiB", _spread([s.rss_kib / 1024 for s in samples])),
        ("descriptors", _spread([s.descriptors for s in samples])),
        ("threads", _spread([s.threads for s in samples])),
        ("whole chat answer, p50 ms", f"{_percentile(took, 0.5) * 1000:.2f}"),
        ("whole chat answer, p99 ms", f"{_percentile(took, 0.99) * 1000:.2f}"),
    ]


def _spread(values: list[float]) -> str:
    return f"{values[0]:.0f} at first, {min(values):.0f} to {max(values):.0f}"


def _table(heads: tuple[str, ...], rows: list[Any]) -> None:
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main() -> int:
    """Run the soak; return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--rate", type=float, default=200.0, help="things done a second, in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-bars", action="store_true", help="do not judge memory and p99")
    arguments = parser.parse_args()
    if not Path("/proc/self/stat").exists():
        raise SystemExit(
            "build/soak.py reads memory and descriptors from /proc, which this system does not have"
        )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with _upstream(home) as upstream_port, _relay(home, upstream_port) as (pid, port):
            watch = Watch(pid, port, upstream_port)
            traffic = Traffic(port, arguments.connections, arguments.rate, arguments.seed)
            try:
                bars = asyncio.run(_run(watch, traffic, arguments))
            except (OSError, Wrong) as error:
                print(*traffic.examples, f"the relay does not answer: {error!r}", sep="\n")
                bars = [Bar("an answer at the end", "none", "one", False)]
        for name in ("relay.err", "upstream.err"):
            lines = (home / name).read_text(errors="replace").splitlines()
            print(*(f"{name}: {line}" for line in lines[-20:]), sep="\n", file=sys.stderr)
    return 0 if all(bar.good for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
