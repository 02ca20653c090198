"""The same bytes from every build: gzip members, and the time that everything is dated."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

from packing import gzipped  # noqa: E402

EPOCH = 1_700_000_000
PRINT = "import packing; print(packing.source_epoch(), packing.source_epoch())"


def test_a_gzip_member_names_no_system() -> None:
    packed = gzipped(b"text" * 100, EPOCH)
    assert packed[:10] == b"\x1f\x8b\x08\0" + EPOCH.to_bytes(4, "little") + b"\x02\xff"
    assert gzip.decompress(packed) == b"text" * 100


def build_of(folder: Path) -> Path:
    """Return a `build/` of its own, below a folder with or without a history."""
    (folder / "build").mkdir()
    (folder / "build" / "packing.py").write_bytes((ROOT / "build" / "packing.py").read_bytes())
    return folder / "build"


def epoch(build: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(build.parent.parent)}
    return subprocess.run(
        [sys.executable, "-c", PRINT],
        env={**kept, "PYTHONPATH": str(build), **({"SOURCE_DATE_EPOCH": given} if given else {})},
        capture_output=True,
        text=True,
    )


def test_a_given_time_is_taken_without_a_word(tmp_path: Path) -> None:
    done = epoch(build_of(tmp_path), str(EPOCH))
    assert (done.stdout, done.stderr) == (f"{EPOCH} {EPOCH}\n", "")


def test_a_guess_is_said_once(tmp_path: Path) -> None:
    build = build_of(tmp_path)
    done = epoch(build)
    assert done.stdout == "1767225600 1767225600\n"
    assert done.stderr == (
        "build: SOURCE_DATE_EPOCH is not set; dated 2026-01-01T00:00:00Z, a fixed date, since there is "
        "no history here\n"
    )
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    date = {
        **os.environ,
        "GIT_AUTHOR_DATE": f"{EPOCH} +0000",
        "GIT_COMMITTER_DATE": f"{EPOCH} +0000",
    }
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "a"], env=date, check=True)
    done = epoch(build)
    assert done.stdout == f"{EPOCH} {EPOCH}\n"
    assert done.stderr == (
        "build: SOURCE_DATE_EPOCH is not set; dated 2023-11-14T22:13:20Z, the last commit\n"
    )


@pytest.mark.parametrize("given", ["-1", "yesterday", "1.5", "4294967296", "\u0661"])
def test_what_is_not_a_time_is_refused(given: str) -> None:
    words = [sys.executable, str(ROOT / "build" / "deb.py"), "--write"]
    done = subprocess.run(
        words, env={**os.environ, "SOURCE_DATE_EPOCH": given}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"build/deb.py: SOURCE_DATE_EPOCH is {given!r}; expected whole seconds since 1970, "
        "0 to 4294967295\n"
    )
