"""Claude Code, headless. It is told to stay on this machine, and what it may ask for beyond is a dead end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import harness as h

ROOT = h.BASE_URL.removesuffix("/v1")
HOME = Path(os.environ["HOME"])
FORM = '{"type":"object","properties":{"n":{"type":"number"}},"required":["n"],"additionalProperties":false}'
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "CLAUDE_CODE_MAX_RETRIES": "2",
}


def variables():
    """Return the environment of Claude Code: it gets the relay token from a helper, as `connect` sets it up."""
    helper = HOME / "show-token"
    if not helper.exists():
        folder = HOME / ".claude"
        folder.mkdir(exist_ok=True)
        helper.write_text('#!/bin/sh\nprintf %s "$RELAY_TOKEN"\n')
        helper.chmod(0o700)
        settings = {"apiKeyHelper": str(helper), "env": {"ANTHROPIC_BASE_URL": ROOT}}
        (folder / "settings.json").write_text(json.dumps(settings))
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "TMPDIR", "NO_PROXY", "HOME")
        if name in os.environ
    }
    return {**kept, **QUIET, "RELAY_TOKEN": h.TOKEN, "TERM": "xterm"}


def program():
    return str(
        next(Path(os.environ["PROGRAMS"]).parent.glob("@anthropic-ai/claude-code-*/claude*"))
    )


def start(*words, **more):
    asked = [program(), "-p", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        asked, cwd=HOME, env={**variables(), **more}, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        text=True,
    )  # fmt: skip


def claude(*words, **more):
    """Return what Claude Code prints."""
    return start(*words, "--model", h.MODEL, **more).communicate(timeout=50)[0]


def served():
    """Return how many requests the relay has served, this one not counted."""
    import urllib.request

    ask = urllib.request.Request(
        ROOT + "/v1/relay/status", headers={"Authorization": f"Bearer {h.TOKEN}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(ask, timeout=5) as answer:
        return h.find(json.load(answer), "requests_total")


def plain():
    h.true(claude(h.HELLO).rstrip().endswith("hello there"), "an answer")
    before = served()
    said = claude("/context")
    h.true("System prompt" in said and re.search(r"Tokens:\*\* [1-9]", said), "a table of counts")
    h.true(served() - before >= 5, "counts by the relay")


def tools():
    ask = 'call the tool Bash with {"command": "echo hi-$((40+2))", "description": "say"}'
    h.same(claude(ask, "--allowedTools", "Bash").strip(), "The tool said: hi-42")
    ask = 'call the tools Bash, Bash, Bash with {"command": "echo par", "description": "say"}'
    lines = claude(ask, "--allowedTools", "Bash", "--output-format", "stream-json", "--verbose")
    events = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    uses = [
        block
        for event in events
        if event.get("type") == "assistant"
        for block in event["message"]["content"]
        if block["type"] == "tool_use"
    ]
    h.same([block["name"] for block in uses], ["Bash"] * 3)
    h.same(events[-1]["result"], "The tool said: par | par | par")


def schema():
    ask = 'call the tool StructuredOutput with {"n": 4}'
    said = json.loads(claude(ask, "--json-schema", FORM, "--output-format", "json"))
    h.same(said["structured_output"], {"n": 4})


def replay():
    ask = 'call the tool Bash with {"command": "echo one", "description": "say"}'
    said = json.loads(claude(ask, "--allowedTools", "Bash", "--output-format", "json"))
    again = claude(h.HELLO, "--resume", said["session_id"])
    h.true(again.rstrip().endswith("hello there"), "an answer after replayed thinking")


def errors():
    before = served()
    said = claude("please demo:quota")
    h.true("429" in said, "a refusal with its status")
    h.same(served() - before - 1, 1)  # at once
    if h.UPSTREAM == "chat-only":
        compaction()


def compaction():
    """Fill the context of the server: Claude Code has to sum the conversation up, and goes on."""
    # 44,000 characters are 11,000 tokens there; it takes 60,000 with the tools.
    words = "alpha beta " * 4000
    said = json.loads(claude(f"one {words}", "--output-format", "json"))
    session = said["session_id"]
    for number in range(2, 8):
        before = served()
        again = claude(f"{number} {words}", "--resume", session, "--output-format", "json")
        h.true(not json.loads(again)["is_error"], "no error")
        if served() - before - 1 > 2:  # the refused one, the summary, and the turn again
            return
    raise AssertionError("the context was never full")


def abort():
    process = start(h.SLOW, "--model", h.MODEL)
    time.sleep(0.1)
    h.leaves(process)


h.run(
    {
        "plain": plain,
        "tools": tools,
        "schema": schema,
        "replay": replay,
        "errors": errors,
        "abort": abort,
    }
)
