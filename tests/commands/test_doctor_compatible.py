"""`doctor` on compatible upstreams."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.fakes.openai_server import openai_server
from tests.live import ROOT, TOKEN, program


def doctor(home: Path, config: str, **env: str) -> tuple[int, dict[str, Any]]:
    path = home / "config.toml"
    path.write_text(config)
    variables = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [*program(), "doctor", "--json", "--config", str(path)],
        env={**variables, "AIRELAYS_BEARER_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    return done.returncode, checks


def test_every_compatible_upstream_is_checked(tmp_path: Path) -> None:
    with openai_server("/models") as server:
        config = (
            f'[upstream]\nkind = "compatible"\nbase_url = "{server.url}"\napi_key_env = "UP_KEY"\n'
            '[upstreams.dead]\nkind = "compatible"\nbase_url = "http://127.0.0.1:9/v1"\n'
        )
        code, checks = doctor(tmp_path, config, UP_KEY="k")
        assert code == 1
        assert checks["upstream compatible"]["status"] == "pass"
        assert "lists 2 models, tiny first" in checks["upstream compatible"]["message"]
        assert checks["upstream dead"]["status"] == "fail"
        assert "127.0.0.1" in checks["upstream dead"]["message"]
        code, checks = doctor(tmp_path, config)
        assert "UP_KEY" in checks["upstream compatible"]["message"]
