"""The Codex CLI, `codex exec`, with the relay as provider."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "codex")
HOME = Path(os.environ["HOME"], "codex")
HOME.mkdir(exist_ok=True)
WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)
ENV = {**os.environ, "CODEX_HOME": str(HOME), "RELAY_TOKEN": TOKEN}
ENV.pop("TOKEN")
(HOME / "config.toml").write_text(f"""model = "{MODEL}"
model_provider = "relay"
[model_providers.relay]
name = "relay"
base_url = "{BASE_URL}"
env_key = "RELAY_TOKEN"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
""")


def words(*more):
    return [PROGRAM, "exec", "--skip-git-repo-check", "--json", *more]


def codex(*more, wanted=0):
    done = subprocess.run(
        words(*more), env=ENV, cwd=WORK, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if wanted is not None and done.returncode != wanted:
        raise AssertionError(f"exit code {done.returncode}: {done.stdout[-300:]}")
    return events


def said(events):
    return [
        e["item"]["text"]
        for e in events
        if e["type"] == "item.completed" and e["item"]["type"] == "agent_message"
    ][-1]


def plain():
    same(said(codex(HELLO)), ECHO)


def stream():
    raise Skip("it always streams")


def tools():
    found = said(codex('call the tool exec_command with {"cmd":"echo hi-from-tool"}'))
    true("hi-from-tool" in found, f"the output of the command in {found!r}")


def schema():
    path = HOME / "schema.json"
    form = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    path.write_text(json.dumps(form))
    true(
        isinstance(json.loads(said(codex("--output-schema", str(path), "x")))["age"], int), "an age"
    )


def replay():
    effort = ("-c", 'model_reasoning_effort="low"')
    codex(*effort, 'call the tool exec_command with {"cmd":"echo hi"}')
    same(said(codex(*effort, "resume", "--last", HELLO)), ECHO)


def errors():
    events = codex(LIMITED, wanted=None)
    failed = [e for e in events if e["type"] == "turn.failed"]
    true(failed, "a failed turn")
    true("limit" in json.dumps(failed), f"the limit in {failed}")


def abort():
    process = subprocess.Popen(
        words(SLOW),
        env=ENV,
        cwd=WORK,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    leaves(process, 20)


run(
    {
        "plain": plain,
        "stream": stream,
        "tools": tools,
        "schema": schema,
        "replay": replay,
        "errors": errors,
        "abort": abort,
    }
)
