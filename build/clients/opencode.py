"""opencode, `opencode run`, with the relay as an openai-compatible provider."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "opencode")
WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)
ENV = {
    **os.environ,
    "RELAY_TOKEN": TOKEN,
    "PWD": str(WORK),
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}
ENV.pop("TOKEN")
(WORK / "opencode.json").write_text(
    json.dumps(
        {
            "$schema": "https://opencode.ai/config.json",
            "model": f"relay/{MODEL}",
            "small_model": f"relay/{MODEL}",
            "share": "disabled",
            "autoupdate": False,
            "provider": {
                "relay": {
                    "npm": "@ai-sdk/openai-compatible",
                    "options": {"baseURL": BASE_URL, "apiKey": "{env:RELAY_TOKEN}"},
                    "models": {MODEL: {"name": "relay", "tool_call": True, "reasoning": True}},
                }
            },
        }
    )
)


def opencode(text, *more):
    words = [PROGRAM, "run", "--format", "json", *more]
    done = subprocess.run(words, env=ENV, cwd=WORK, input=text, capture_output=True, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return events, done.stdout + done.stderr


def said(answer):
    events, all_of_it = answer
    texts = [e["part"]["text"] for e in events if e.get("type") == "text"]
    true(texts, f"a text in {all_of_it[-300:]}")
    return texts[-1].strip()


def plain():
    raise Skip("it always streams")


def stream():
    true("hello there" in said(opencode(HELLO)), "the echo")


def tools():
    found = said(
        opencode('call the tool bash with {"command":"echo hi-from-tool","description":"says hi"}')
    )
    true("The tool said: hi-from-tool" in found, f"the output of the command in {found!r}")


def schema():
    raise Skip("it has none")


def replay():
    opencode('call the tool bash with {"command":"echo hi","description":"says hi"}')
    true("hello there" in said(opencode(HELLO, "--continue")), "the echo")


def errors():
    process = subprocess.Popen(
        [PROGRAM, "run", "--format", "json"],
        env=ENV,
        cwd=WORK,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    process.stdin.write("demo:context")
    process.stdin.close()
    end = time.monotonic() + 30
    out = ""
    for line in process.stdout:
        out += line
        if '"error"' in line or time.monotonic() > end:
            break
    process.terminate()
    process.wait()
    true("context" in out, f"the reason in {out[-300:]!r}")


def abort():
    process = subprocess.Popen(
        [PROGRAM, "run"],
        env=ENV,
        cwd=WORK,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process.stdin.write(SLOW)
    process.stdin.close()
    leaves(process, 30)


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
