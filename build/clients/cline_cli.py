"""Cline CLI, one prompt; its provider file holds what its own dialog would put there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "cline")
WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)
SETTINGS = Path(os.environ["HOME"], ".cline", "data", "settings", "providers.json")
SETTINGS.parent.mkdir(parents=True, exist_ok=True)
OWN = {
    "provider": "openai-compatible",
    "apiKey": TOKEN,
    "model": MODEL,
    "baseUrl": BASE_URL,
}
SETTINGS.write_text(
    json.dumps(
        {
            "version": 1,
            "lastUsedProvider": "openai-compatible",
            "modes": {},
            "providers": {"openai-compatible": {"settings": OWN, "tokenSource": "manual"}},
        }
    )
)
ENV = {**os.environ, "CLINE_TELEMETRY_DISABLED": "1"}
ENV.pop("TOKEN")


def ask(text):
    done = subprocess.run(
        [PROGRAM, "-P", "openai-compatible", "-m", MODEL, text],
        env=ENV,
        cwd=WORK,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def plain():
    raise Skip("it always streams")


def stream():
    found = ask(HELLO)
    true("hello there" in found, f"the echo in {found[-300:]!r}")


def tools():
    raise Skip("not driven here")


def schema():
    raise Skip("it has none")


def replay():
    raise Skip("not driven here")


def errors():
    found = ask("demo:context")
    true("context" in found, f"the reason in {found[-300:]!r}")


def abort():
    process = subprocess.Popen(
        [PROGRAM, "-P", "openai-compatible", "-m", MODEL, SLOW],
        env=ENV,
        cwd=WORK,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    leaves(process, 60)


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
