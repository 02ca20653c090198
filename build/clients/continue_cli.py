"""Continue CLI, `cn -p`, with the settings of `airelays connect continue-cli`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "cn")
WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)
CONFIG = WORK / "config.yaml"
CONFIG.write_text(
    "name: relay\nversion: 1.0.0\nschema: v1\nmodels:\n"
    f"  - name: relay\n    provider: openai\n    model: {MODEL}\n    apiBase: {BASE_URL}\n"
    "    apiKey: ${{ secrets.RELAY_TOKEN }}\n    roles: [chat]\n"
)
ENV = {**os.environ, "RELAY_TOKEN": TOKEN, "CONTINUE_TELEMETRY_ENABLED": "0"}
ENV.pop("TOKEN")


def ask(text):
    done = subprocess.run(
        [PROGRAM, "-p", text, "--config", str(CONFIG)],
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
        [PROGRAM, "-p", SLOW, "--config", str(CONFIG)],
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
