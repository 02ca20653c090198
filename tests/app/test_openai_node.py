"""The `openai` package for Node against a real relay with the demo upstream."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live import ROOT, running
from tests.net.test_live_wire import WIDE

NODE = ROOT / "tests" / "node"


@pytest.mark.skipif(
    shutil.which("node") is None or not (NODE / "node_modules" / "openai").is_dir(),
    reason="no node here, or its packages are not installed (build/test.py does that where npm is)",
)
def test_the_node_package_works_unchanged(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        done = subprocess.run(
            ["node", str(NODE / "sdk.mjs")],
            env={"PATH": os.environ["PATH"], "BASE_URL": relay.url, "TOKEN": relay.token},
            cwd=NODE,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "10 checks passed" in done.stdout
        assert relay.get("/v1/relay/status").json()["object"] == "relay.status"
