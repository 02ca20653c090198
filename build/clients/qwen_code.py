"""qwen-code, as a command in its one-shot form."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "qwen")
WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)
ENV = {
    **os.environ,
    "OPENAI_BASE_URL": BASE_URL,
    "OPENAI_API_KEY": TOKEN,
    "OPENAI_MODEL": MODEL,
    "QWEN_TELEMETRY_ENABLED": "false",
}


def words(text):
    return [PROGRAM, "--auth-type", "openai", "--yolo", "--prompt", text]


def qwen(text):
    done = subprocess.run(
        words(text), env=ENV, cwd=WORK, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def stream():
    found = qwen(HELLO)
    true(ECHO in found, f"the echo in {found[-300:]!r}")


def tools():
    found = qwen(
        'call the tool run_shell_command with {"command": "echo hi-from-tool", "is_background": false}'
    )
    true("hi-from-tool" in found, f"the output of the command in {found[-300:]!r}")


def errors():
    found = qwen("demo:context")
    true("context" in found.lower(), f"the reason in {found[-300:]!r}")


def abort():
    process = subprocess.Popen(
        words(SLOW),
        env=ENV,
        cwd=WORK,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # It starts a second process of its own.
    leaves(process, 40, lambda one: os.killpg(one.pid, signal.SIGTERM))


def skipped():
    raise Skip("it has no such command")


run(
    {
        "plain": skipped,
        "stream": stream,
        "tools": tools,
        "schema": skipped,
        "replay": skipped,
        "errors": errors,
        "abort": abort,
    }
)
