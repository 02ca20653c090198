"""aider, as a command: it edits a file and commits it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "aider")
WORK = Path(os.environ["HOME"], "work")
WORK.mkdir(exist_ok=True)
ENV = {
    **os.environ,
    "OPENAI_API_BASE": BASE_URL,
    "OPENAI_API_KEY": TOKEN,
    "AIDER_ANALYTICS": "false",
    "AIDER_CHECK_UPDATE": "false",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "user.name",
    "GIT_CONFIG_VALUE_0": "tester",
    "GIT_CONFIG_KEY_1": "user.email",
    "GIT_CONFIG_VALUE_1": "tester@localhost",
}
COMMON = (
    "--model", f"openai/{MODEL}", "--weak-model", f"openai/{MODEL}", "--yes-always", "--no-pretty", "--no-gitignore",
    "--no-show-model-warnings", "--no-show-release-notes", "--no-detect-urls", "--map-tokens", "0", "--no-fancy-input",
)  # fmt: skip
EDIT = "note.txt\n<<<<<<< SEARCH\nold line\n=======\nnew line\n>>>>>>> REPLACE"


def words(*more):
    return [PROGRAM, *COMMON, *more]


def aider(*more):
    done = subprocess.run(
        words(*more), env=ENV, cwd=WORK, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def plain():
    found = aider("--no-git", "--no-stream", "--chat-mode", "ask", "--message", HELLO)
    true(
        "hello there" in found.split("Tokens:")[0].rsplit("You said:")[-1],
        f"the echo in {found[-300:]!r}",
    )


def stream():
    found = aider("--no-git", "--stream", "--chat-mode", "ask", "--message", HELLO)
    true("You said:" in found and "hello there" in found, f"the echo in {found[-300:]!r}")


def tools():
    """Its tool is the edit: the echo of a SEARCH/REPLACE block changes the file, and a commit is made."""
    subprocess.run(["git", "init", "-q"], cwd=WORK, env=ENV, check=True)
    (WORK / "note.txt").write_text("old line\n")
    found = aider("--edit-format", "diff", "--message", "\n" + EDIT, "note.txt")
    true(
        (WORK / "note.txt").read_text() == "new line\n",
        f"an edited file; aider said {found[-400:]!r}",
    )


def schema():
    raise Skip("it has none")


def replay():
    raise Skip("it keeps no reasoning")


def errors():
    found = aider("--no-git", "--chat-mode", "ask", "--message", "demo:context")
    true("context" in found.lower(), f"the reason in {found[-300:]!r}")


def abort():
    more = ("--no-git", "--chat-mode", "ask", "--message", SLOW)
    process = subprocess.Popen(
        words(*more),
        env=ENV,
        cwd=WORK,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    leaves(process, 40)


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
