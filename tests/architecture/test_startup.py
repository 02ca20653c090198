"""What is loaded for which command: start-up time is made of imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import live

ROOT = Path(__file__).resolve().parents[2]
# Each costs milliseconds, and none is needed before the first request of a demo relay. ssl, logging and subprocess
# come with asyncio.
NOT_TO_SERVE = {
    "argparse", "certifi", "ctypes", "difflib", "email", "encodings.idna", "http", "multiprocessing", "sqlite3",
    "shlex", "tempfile", "tomllib", "unittest", "urllib.request", "xml", "zipfile",
}  # fmt: skip
NO_LOOP = {"asyncio", "ssl", "sqlite3", "argparse", "logging", "h11", "certifi", "multiprocessing"}
TABLE: list[tuple[str, set[str]]] = [
    ("--version", NO_LOOP | {"json", "re", "dataclasses", "hashlib"}),
    ("--help", NO_LOOP | {"tomllib", "subprocess"}),
    ("config path", NO_LOOP | {"tomllib", "subprocess"}),
    ("docs", NO_LOOP | {"tomllib", "subprocess"}),
    ("docs security", NO_LOOP | {"tomllib", "subprocess"}),
    ("token show", NO_LOOP | {"subprocess"}),
    ("init", NO_LOOP | {"subprocess"}),
    ("completion bash", NO_LOOP | {"subprocess"}),
    ("manpage", NO_LOOP | {"tomllib", "subprocess"}),
    ("service print", NO_LOOP | {"subprocess"}),
    ("quirks", NO_LOOP | {"subprocess"}),
]
PROBE = """
import contextlib, io, sys
import airelays.cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    airelays.cli.main(sys.argv[1].split())
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("words, unwanted", TABLE, ids=lambda v: v if isinstance(v, str) else "")
def test_a_command_loads_no_more_than_it_needs(
    tmp_path: Path, words: str, unwanted: set[str]
) -> None:
    script = PROBE.replace("io.StringIO()", "io.TextIOWrapper(io.BytesIO())")
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}",
            words,
        ],
        env={"HOME": str(tmp_path), "AIRELAYS_BEARER_TOKEN": live.TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & unwanted


def test_serve_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    words = [sys.executable, "-X", "importtime", "-m", "airelays", "serve", "--demo", "--port", "0"]
    process = subprocess.Popen(
        [*words, "--ready-file", str(ready)],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    live.wait_ready(process, ready)
    process.terminate()
    log = process.communicate(timeout=60)[1]
    loaded = set(re.findall(r"\| +([\w.]+)$", log, re.MULTILINE))
    assert "airelays.app.relay" in loaded
    roots = {name.split(".")[0] for name in loaded} | loaded
    assert not roots & NOT_TO_SERVE
