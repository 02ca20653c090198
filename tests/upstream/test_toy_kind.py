"""A new kind of upstream is one folder and one line: a toy serves, lists its model and is examined."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import ROOT, TOKEN, Relay, wait_ready

TOY = '''
"""Says the last text back."""

from __future__ import annotations

import json

from airelays.upstream.base import Answer, Check, Place, Upstream


def make(settings, own, *, warn, redactor):
    return Toy(own.name)


class Toy(Upstream):
    kind = "toy"

    def __init__(self, name):
        self.name = name

    async def respond(self, body, call):
        return Said(body["input"][-1]["content"][0]["text"])

    async def models(self, *, refresh=False):
        return [{"slug": "toy-1", "display_name": "Toy", "visibility": "list"}]

    async def status(self):
        return {"kind": self.kind, "ready": True}

    def places(self):
        return [Place("upstream toy", "http://127.0.0.1:9")]

    async def checks(self, *, ask):
        yield Check("upstream toy", "pass", "it plays")


class Said(Answer):
    def __init__(self, text):
        self.text = text

    async def pump(self, feed):
        part = {"type": "output_text", "text": self.text, "annotations": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
        response = {"id": "resp_1", "status": "completed", "model": "toy-1", "output": [item]}
        for event in (
            {"type": "response.output_text.delta", "output_index": 0, "delta": self.text},
            {"type": "response.completed", "response": response},
        ):
            feed(b"data: " + json.dumps(event).encode() + b"\\n\\n")
'''
PROGRAM = """
import sys
import airelays.upstream
from airelays.settings.kinds import KINDS, Kind
airelays.upstream.__path__.append(sys.argv.pop(1))
KINDS["toy"] = Kind("toy:make", example_model="toy-1")  # the one line
from airelays.cli import main
sys.exit(main(sys.argv[1:]))
"""


def words(folder: Path, *rest: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(folder), *rest]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "kinds" / "toy").mkdir(parents=True)
    (home / "kinds" / "toy" / "__init__.py").write_text(TOY)
    (home / "config.toml").write_text('[upstream]\nkind = "toy"\n')
    return home


def env_of(home: Path) -> dict[str, str]:
    path = os.environ.get("PATH", "")
    return {
        "HOME": str(home),
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "AIRELAYS_BEARER_TOKEN": TOKEN,
    }


@pytest.fixture(scope="module")
def relay(place: Path) -> Iterator[Relay]:
    ready = place / "ready.json"
    flags = ["--config", str(place / "config.toml"), "--port", "0", "--ready-file", str(ready)]
    process = subprocess.Popen(
        words(place / "kinds", "serve", *flags),
        env=env_of(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Relay(process, wait_ready(process, ready)["port"], place, TOKEN)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize("stream", [False, True])
def test_a_toy_answers_chat(relay: Relay, stream: bool) -> None:
    body = {"model": "anything", "messages": [{"role": "user", "content": "back"}]}
    reply = relay.send("POST", "/v1/chat/completions", {**body, "stream": stream})
    assert reply.status == 200 and b"back" in reply.body
    assert (b"[DONE]" in reply.body) is stream


def test_a_toy_is_listed_and_stands_in_the_status(relay: Relay) -> None:
    assert [m["id"] for m in relay.get("/v1/models").json()["data"]] == ["toy-1"]
    assert relay.get("/v1/relay/status").json()["upstreams"] == {
        "toy": {"kind": "toy", "ready": True, "health": {"state": "ready"}}
    }


def test_what_a_toy_does_not_have_is_refused(relay: Relay) -> None:
    for method, path, body in (
        ("GET", "/v1/subscription/status", None),
        ("POST", "/v1/images/generations", {"prompt": "x"}),
        ("POST", "/v1/embeddings", {"model": "toy-1", "input": "x"}),
    ):
        reply = relay.send(method, path, body)
        assert (reply.status, reply.headers["x-should-retry"]) == (501, "false"), path


def test_doctor_and_egress_know_a_toy(place: Path) -> None:
    config = ["--config", str(place / "config.toml"), "--json"]

    def said(*rest: str) -> dict[str, Any]:
        done = subprocess.run(
            words(place / "kinds", *rest, *config),
            env=env_of(place),
            capture_output=True,
            text=True,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    checks = {check["name"]: check for check in said("doctor")["checks"]}
    assert checks["upstream toy"]["message"] == "it plays"
    (row,) = said("egress")["egress"]
    assert row["purpose"] == "upstream toy" and row["origin"] == "http://127.0.0.1:9"
