"""The soak runs: a few seconds of its mix, every answer right and nothing left over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "build" / "soak.py"
DEADLINE_S = 90.0


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_short_soak_is_right_and_leaves_nothing(tmp_path: Path) -> None:
    words = [sys.executable, str(SOAK), "--no-bars", "--minutes", "0.1", "--connections", "20"]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| wrong answers | 0 | 0 | yes |" in done.stdout
    assert "| left: descriptors other than connections |" in done.stdout
    assert "| left: tasks |" in done.stdout
    assert "**no**" not in done.stdout
