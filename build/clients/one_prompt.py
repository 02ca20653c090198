"""What a client plays that is started anew for each prompt: an answer, an error, an end in the middle."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness import *

WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)


def play(command, env):
    """Run the cases; `command` returns the words that ask a text, `env` are the variables beside those of now."""
    variables = {**os.environ, **env}
    variables.pop("TOKEN")
    keys = {"env": variables, "cwd": WORK, "stdin": subprocess.DEVNULL}

    def ask(text):
        done = subprocess.run(command(text), capture_output=True, text=True, timeout=120, **keys)
        return done.stdout + done.stderr

    def skipped(why):
        def case():
            raise Skip(why)

        return case

    def stream():
        found = ask(HELLO)
        true("hello there" in found, f"the echo in {found[-300:]!r}")

    def errors():
        found = ask("demo:context")
        true("context" in found, f"the reason in {found[-300:]!r}")

    def abort():
        null = subprocess.DEVNULL
        leaves(subprocess.Popen(command(SLOW), stdout=null, stderr=null, **keys), 60)

    run(
        {
            "plain": skipped("it always streams"),
            "stream": stream,
            "tools": skipped("not driven here"),
            "schema": skipped("it has none"),
            "replay": skipped("not driven here"),
            "errors": errors,
            "abort": abort,
        }
    )
