"""Named keys at length: no secret anywhere, budgets over kills, and what a key costs.

    python3 build/named_keys.py secrets            10,000 requests with 50 keys; looks for the keys in all that is left
    python3 build/named_keys.py kills              50 kills; after each the sums are not below what clients saw end
    python3 build/named_keys.py cpu OTHER_TREE     CPU of a request there, here, and here with a key

The suite has smaller ones in `tests/app/test_keys.py`. Linux.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import live  # noqa: E402 - the checkout is on the path only now
from tests.app.keyed import make_many, run  # noqa: E402
from tests.live import Relay, running  # noqa: E402

WIDE = {
    "AIRELAYS_RATE_LIMIT_PER_MINUTE": "1000000",
    "AIRELAYS_RATE_LIMIT_BURST": "1000000",
    "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "1000",
    "AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "1000000",
}
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
KEYS, REQUESTS, THREADS = 50, 10_000, 8
KILLS = 50
ROUNDS, PER_ROUND = 15, 400


def secrets(keys: int = KEYS, requests: int = REQUESTS) -> int:
    """Return the number of places in which a key was found."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = make_many(home, keys, tokens_per_day=10**12)
        texts: list[str] = []
        env = {**WIDE, "AIRELAYS_LOG_BODIES": "redacted"}
        with running(home, env=env) as relay:
            with ThreadPoolExecutor(THREADS) as pool:
                share = [range(n, requests, THREADS) for n in range(THREADS)]
                for found in pool.map(lambda numbers: _ask(relay, made, numbers), share):
                    texts += found
            for path in ("/v1/relay/status", "/v1/relay/usage", "/metrics", "/v1/relay/logging"):
                texts.append(relay.get(path).body.decode())
            texts.append(Path(f"/proc/{relay.process.pid}/cmdline").read_text())
            for words in (("status",), ("key", "list"), ("key", "list", "--json")):
                done = run(home, *words)
                texts.append(done.stdout + done.stderr)
            relay.process.terminate()
            texts += [text or "" for text in relay.process.communicate()]
        files = [path for path in home.rglob("*") if path.is_file()]
        texts += [path.read_text(errors="replace") for path in files]
        everything = "\n".join(texts)
    places = sum(key in everything or key[5:48] in everything for key in made)
    print(f"{requests:,} requests, {keys} keys, {len(everything):,} characters: {places} found")
    return places


def _ask(relay: Relay, made: list[str], numbers: range) -> list[str]:
    """Send requests of every kind; return what was answered, without what is echoed to the asker itself."""
    texts = []
    for number in numbers:
        key = made[number % len(made)]
        wrong = key[:-1] + "~"
        kind = number % 10
        if kind == 0:
            reply = relay.send("GET", "/v1/models", token=wrong)
        elif kind == 1:
            reply = relay.send("GET", "/v1/files", token=key)  # not of its routes
        elif kind == 2:
            reply = relay.send("POST", CHAT, {"model": key}, token=key)  # a bad request
        elif kind == 3:
            reply = relay.send("GET", "/v1/models", token=None, headers={"x-api-key": key})
        else:
            body = {**BODY, "stream": kind > 6}
            reply = relay.send("POST", CHAT, body, token=key)
        texts.append("" if kind == 2 else reply.body.decode() + repr(reply.fields))
    return texts


def kills(count: int = KILLS) -> int:
    """Return how many sums were below what clients saw end."""
    low, seen = 0, dict.fromkeys(range(4), 0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = make_many(home, len(seen), tokens_per_day=10**12)
        for _ in range(count + 1):
            with running(home, env=WIDE) as relay, ThreadPoolExecutor(len(seen)) as pool:
                for one in relay.get("/v1/relay/usage").json()["keys"]:
                    low += one["tokens_today"] < seen[int(one["name"][1:]) - 1]
                before = dict(seen)
                work = [pool.submit(_spend, relay, made[n], seen, n) for n in seen]
                live.wait_for(lambda now=before: all(seen[n] > now[n] for n in seen))  # type: ignore[misc]
                relay.stop(signal.SIGKILL)
                for one in work:
                    one.result()
    print(f"{count} kills, {sum(seen.values()):,} tokens seen to end: {low} sums were too low")
    return low


def _spend(relay: Relay, key: str, seen: dict[int, int], which: int) -> None:
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    number = 0
    while True:
        number += 1
        more: dict[str, Any] = stream if number % 2 else {}
        try:
            reply = relay.send("POST", CHAT, {**BODY, **more}, token=key)
        except (OSError, EOFError):
            return
        usage = reply.events()[-2]["usage"] if more else reply.json()["usage"]
        seen[which] += usage["total_tokens"]


def cpu(other: str) -> int:
    """Print microseconds of CPU per request: of another tree, of this one, and of this one with a key."""
    with tempfile.TemporaryDirectory() as folder:
        there, here = Path(folder, "there"), Path(folder, "here")
        there.mkdir()
        here.mkdir()
        (key,) = make_many(here, 1)
        with running(here, env=WIDE) as mine:
            live.ROOT = Path(other)
            with running(there, env=WIDE) as theirs:
                live.ROOT = ROOT
                cases = {"there": (theirs, ""), "here": (mine, ""), "here, with a key": (mine, key)}
                found: dict[str, list[float]] = {name: [] for name in cases}
                for _ in range(ROUNDS):
                    for name, (relay, token) in cases.items():
                        found[name].append(_round(relay, token))
    medians = {name: statistics.median(times[2:]) for name, times in found.items()}
    for name, spent in medians.items():
        print(f"{name:<18} {spent:7.1f} us CPU per request, {spent / medians['there'] - 1:+.1%}")
    return 0


def _round(relay: Relay, token: str) -> float:
    with relay.connect() as wire:
        raw = relay.request("POST", CHAT, BODY, token=token)
        begun = _cpu_s(relay.process.pid)
        for _ in range(PER_ROUND):
            wire.send(raw)
            wire.reply()
        return (_cpu_s(relay.process.pid) - begun) / PER_ROUND * 1e6


def _cpu_s(pid: int) -> float:
    """Return what all threads of a process have used; finer than the ticks of its stat file."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def main(words: list[str]) -> int:
    """Run one of them; return 1 when it found something."""
    if words == ["secrets"]:
        return bool(secrets())
    if words == ["kills"]:
        return bool(kills())
    if words[:1] == ["cpu"] and len(words) == 2:
        return cpu(words[1])
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
