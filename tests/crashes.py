"""Kill a relay at a random moment of uploads and turns, again and again; then count every row and byte.

Run by hand with a number of rounds: `python -m tests.crashes 1000 FOLDER`; the suite runs a few.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.live import ROOT, TOKEN, Relay, start, wait_ready
from tests.net.test_live_wire import WIDE
from tests.state.test_live_files import FORM, field, file_part, form

WORKERS = 3


def check(home: Path) -> dict[str, Any]:
    """Run `airelays storage check --json` and return what it found."""
    done = subprocess.run(
        [sys.executable, "-m", "airelays", "storage", "check", "--json"],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return found


class _Client:
    """Uploads, deletes and talks until the relay dies; remembers what it was told."""

    def __init__(self, relay: Relay, dice: random.Random, conversation: str) -> None:
        self.relay = relay
        self.dice = dice
        self.conversation = conversation
        self.stored: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.said: list[str] = []
        self.steps = 0

    def run(self) -> None:
        try:
            while True:
                self.step()
                self.steps += 1
        except (OSError, EOFError, ValueError):
            return

    def step(self) -> None:
        what = self.dice.random()
        if what < 0.45 or (what < 0.6 and not self.stored):
            size = self.dice.choice((0, 10, 5_000, 300_000, 900_000))
            body = form(field("purpose", "user_data"), file_part(self.dice.randbytes(size)))
            reply = self.relay.send("POST", "/v1/files", body, headers=FORM)
            if reply.status == 413:  # 256 MiB of earlier lives: make room
                for old in self.relay.get("/v1/files?order=asc&limit=100").json()["data"]:
                    self.deleted.add(old["id"])
                    self.relay.send("DELETE", f"/v1/files/{old['id']}")
                    self.stored.pop(old["id"], None)
                return
            self.stored[reply.json()["id"]] = size
        elif what < 0.6:
            one = self.dice.choice(list(self.stored))
            self.deleted.add(one)
            self.relay.send("DELETE", f"/v1/files/{one}")
            del self.stored[one]
        else:
            text = f"turn {self.dice.random()}"
            body_ = {
                "model": "demo",
                "input": text,
                "conversation": self.conversation,
                "stream": self.dice.random() < 0.5,
                "store": self.dice.random() < 0.3,
            }
            reply = self.relay.send("POST", "/v1/responses", body_)
            assert reply.status == 200 and b"completed" in reply.body
            self.said.append(text)


def _once(home: Path, dice: random.Random) -> int:
    """One life of a relay: work, SIGKILL at a random moment, check. Return how many steps were done."""
    process, ready = start(home, env=WIDE)
    relay = Relay(process, wait_ready(process, ready)["port"], home, TOKEN)
    made = relay.send("POST", "/v1/conversations", {}).json()["id"]
    clients = [_Client(relay, random.Random(dice.random()), made) for _ in range(WORKERS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + dice.random() * 0.25
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise AssertionError(f"the relay ended by itself: {process.communicate()}")
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for thread in threads:
        thread.join(20)
    found = check(home)
    assert found["ok"], found
    _compare(home, clients, made)
    return sum(client.steps for client in clients)


def _compare(home: Path, clients: list[_Client], conversation: str) -> None:
    """What a client was told is stored must be there; what it was told is deleted must not."""
    import sqlite3

    uploads = home / ".airelays" / "uploads"
    names = {path.name for path in uploads.iterdir()}
    db = sqlite3.connect(home / ".airelays" / "state.sqlite3")
    texts = [
        json.loads(row[0])["content"][0]["text"]
        for row in db.execute(
            "SELECT body FROM items WHERE conversation_id = ? ORDER BY position", (conversation,)
        )
    ]
    db.close()
    # Question and answer alternate: a turn is stored whole or not at all.
    assert texts[1::2] == [f"You said: {text}" for text in texts[::2]]
    deleted = set().union(*(client.deleted for client in clients))
    for client in clients:
        for one, size in client.stored.items():
            if one not in deleted:
                assert (uploads / one).stat().st_size == size
        assert set(client.said) <= set(texts)
    assert not {name for name in names if not name.startswith("file-")}
    assert list((home / ".airelays" / "tmp").iterdir()) == []


def survive(home: Path, rounds: int, seed: int = 20261124) -> int:
    """Live and die `rounds` times in one home; return how many uploads and turns were done."""
    dice = random.Random(seed)
    return sum(_once(home, dice) for _ in range(rounds))


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    begun_s = time.monotonic()
    steps = survive(folder, int(sys.argv[1]))
    print(f"{sys.argv[1]} kills, {steps} steps, {time.monotonic() - begun_s:.0f} s, all in order")
    print(json.dumps(check(folder)))
