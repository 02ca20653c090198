"""`build/test.py` says at its start what this machine has no program for, and what is skipped for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

import needs  # noqa: E402

# A test goes on without these: it looks closer where they are.
EXTRA = {"objdump", "ruby", "sha256sum", "chromium", "chromium-browser"}


def test_every_program_that_a_test_looks_for_is_announced() -> None:
    announced = {name for need in needs.NEEDS for name in need.programs}
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    looked_for = set(re.findall(r"which\(\"([\w.-]+)\"\)", sources))
    assert {n for n in looked_for if not n.startswith("python")} <= announced | EXTRA | {"unshare"}


def test_a_bare_machine_is_told_all_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "build" / "needs.py")],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert (
        "skipped: the openai package of Node, axe-core for the page (missing: node, npm)" in lines
    )
    assert "skipped: web pages in a browser (missing: chromium)" in lines
    assert "skipped: what an old Python is told (missing: a Python of 2.7, 3.6, 3.8, 3.10)" in lines
    assert (
        "skipped: building the executable, which takes minutes "
        "(missing: the variable AIRELAYS_SLOW_TESTS=1)" in lines
    )


def test_the_test_command_says_it_before_anything_else() -> None:
    source = (ROOT / "build" / "test.py").read_text(encoding="utf-8")
    assert source.index("for line in skipped():") < source.index("python = prepare(launcher)")
