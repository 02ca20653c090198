"""shell-gpt, one prompt."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "sgpt")
WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)
ENV = {
    **os.environ,
    "API_BASE_URL": BASE_URL,
    "OPENAI_API_KEY": TOKEN,
    "DEFAULT_MODEL": MODEL,
    "USE_LITELLM": "false",
}
ENV.pop("TOKEN")


def ask(text):
    done = subprocess.run(
        [PROGRAM, "--no-cache", text],
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
        [PROGRAM, "--no-cache", SLOW],
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
